import Columnar
package import Core

/// Moves filters towards the sources, so that rows are dropped before work is done on them.
///
/// A filter passes: other filters; projections, when the columns it uses are only passed on or renamed there; sort; both or one
/// side of a join; every input of concat; aggregate and distinct, when it uses keys only. It does not pass limit, row index and
/// check, whose results depend on the rows they see. A source takes the parts it accepts.
package enum PredicatePushdown: OptimizerRule {
  package static func apply(_ plan: LogicalPlan) throws(Failure) -> LogicalPlan { try push([], into: plan) }

  /// `plan` with all of `filters` applied to its rows.
  private static func push(_ filters: [Expr], into plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    switch plan.node {
    case .filter(let input, let condition): return try push(condition.conjuncts + filters, into: input)
    case .scan(let source, let columns, let old, let limit):
      guard limit == nil else { return try stop(filters, plan) }
      let (taken, rest) = divide(filters) { source.accepts($0) }
      return try stop(rest, try .scan(source, columns, old + taken, nil))
    case .project(let input, let exprs):
      var names: [String: Expr] = [:]
      for e in exprs { if case .column = e.expr.unaliased { names[e.name] = e.expr.unaliased } }
      let (down, rest) = divide(filters) { $0.columns.allSatisfy { names[$0] != nil } }
      return try stop(rest, try push(down.map { $0.substituting(names) }, into: input).project(exprs))
    case .sort(let input, let keys): return try push(filters, into: input).sort(keys)
    case .concat(let inputs):
      var made: [LogicalPlan] = []
      for input in inputs { made.append(try push(filters, into: input)) }
      return try plan.with(inputs: made)
    case .distinct(let input, let on):
      let (down, rest) = divide(filters) { on.isEmpty || $0.columns.allSatisfy(on.contains) }
      return try stop(rest, try plan.with(inputs: [push(down, into: input)]))
    case .aggregate(let input, let keys, _):
      var names: [String: Expr] = [:]
      for key in keys { if case .column = key.expr.unaliased { names[key.name] = key.expr.unaliased } }
      let (down, rest) = divide(filters) { !$0.columns.isEmpty && $0.columns.allSatisfy { names[$0] != nil } }
      return try stop(rest, try plan.with(inputs: [push(down.map { $0.substituting(names) }, into: input)]))
    case .join(let left, let right, let join):
      let (toLeft, others) = divide(filters) { $0.columns.allSatisfy(left.schema.names.contains) && !$0.columns.isEmpty }
      var names: [String: Expr] = [:]
      for column in join.rightColumns { names[column.name] = .column(column.source) }
      let (toRight, rest) = divide(others) { e in
        join.kind == .inner && !e.columns.isEmpty && e.columns.allSatisfy { names[$0] != nil }
      }
      let made = try plan.with(inputs: [
        try push(toLeft, into: left), try push(toRight.map { $0.substituting(names) }, into: right),
      ])
      return try stop(rest, made)
    case .limit, .rowIndex, .check: return try stop(filters, try plan.mapInputs(apply))
    }
  }

  private static func divide(_ filters: [Expr], _ test: (Expr) -> Bool) -> ([Expr], [Expr]) {
    (filters.filter(test), filters.filter { !test($0) })
  }

  private static func stop(_ filters: [Expr], _ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    guard let condition = Expr.conjunction(filters) else { return plan }
    return try plan.filter(condition)
  }
}
