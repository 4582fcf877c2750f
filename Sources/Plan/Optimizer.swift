package import Core

/// Rewrites a plan so that it computes the same rows with less work.
package protocol OptimizerRule: Sendable {
  static func apply(_ plan: LogicalPlan) throws(Failure) -> LogicalPlan
}

extension LogicalPlan {
  /// All rules in order: constants first, then filters down, limits down, and last the columns, which look at what is left.
  package func optimized() throws(Failure) -> LogicalPlan {
    var plan = try ConstantFolding.apply(self)
    plan = try PredicatePushdown.apply(plan)
    plan = try LimitPushdown.apply(plan)
    return try ProjectionPushdown.apply(plan)
  }

  /// The same plan with every input rewritten by `f`.
  func mapInputs(_ f: (LogicalPlan) throws(Failure) -> LogicalPlan) throws(Failure) -> LogicalPlan {
    if inputs.isEmpty { return self }
    var made: [LogicalPlan] = []
    for input in inputs { made.append(try f(input)) }
    return try with(inputs: made)
  }
}
