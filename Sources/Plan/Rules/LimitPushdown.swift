package import Core

/// Moves limits towards the sources: through projections and row indices, as an upper bound into every input of concat and into
/// scans. Limits on limits become one.
package enum LimitPushdown: OptimizerRule {
  package static func apply(_ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    if case .limit(let input, let offset, let count) = plan.node { return try push(offset, count, input) }
    return try plan.mapInputs(apply)
  }

  private static func push(_ offset: Int, _ count: Int?, _ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    switch plan.node {
    case .limit(let input, let innerOffset, let innerCount):
      // Rows innerOffset ..< innerOffset + innerCount, and of those offset ..< offset + count.
      let left = innerCount.map { max(0, $0 - offset) }
      let most = [left, count].compactMap(\.self).min()
      let (sum, overflow) = innerOffset.addingReportingOverflow(offset)
      return try push(overflow ? .max : sum, most, input)
    case .project(let input, let exprs): return try push(offset, count, input).project(exprs)
    case .rowIndex(let input, let name, let start) where offset == 0:
      return try push(0, count, input).rowIndex(name, start: start)
    case .concat(let inputs):
      guard let most = total(offset, count) else { return try stop(offset, count, plan) }
      var made: [LogicalPlan] = []
      for input in inputs { made.append(try push(0, most, input)) }
      return try stop(offset, count, try plan.with(inputs: made))
    case .scan(let source, let columns, let filters, let limit):
      guard let most = total(offset, count) else { return try stop(offset, count, plan) }
      return try stop(offset, count, try .scan(source, columns, filters, min(limit ?? .max, most)))
    default: return try stop(offset, count, try apply(plan))
    }
  }

  private static func total(_ offset: Int, _ count: Int?) -> Int? {
    guard let count else { return nil }
    let (sum, overflow) = offset.addingReportingOverflow(count)
    return overflow ? nil : sum
  }

  private static func stop(_ offset: Int, _ count: Int?, _ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    count == nil && offset == 0 ? plan : try plan.limit(count, offset: offset)
  }
}
