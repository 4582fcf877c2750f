import Columnar
package import Core

/// Computes and reads only columns that are used further up. Columns that sources do not have to read are left out of scans,
/// expressions nobody uses are dropped, and a projection over a plan that passes everything on unchanged goes away.
package enum ProjectionPushdown: OptimizerRule {
  package static func apply(_ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    try exactly(plan.schema.names, try prune(plan, Set(plan.schema.names)))
  }

  /// `plan` with exactly the columns `names`.
  private static func exactly(_ names: [String], _ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    plan.schema.names == names ? plan : try plan.project(names.map { .column($0) })
  }

  /// `plan` with at least the columns `used`, as few others as is free of cost, in the order of before.
  private static func prune(_ plan: LogicalPlan, _ used: Set<String>) throws(Failure) -> LogicalPlan {
    func needing(_ exprs: [Expr]) -> Set<String> { used.union(exprs.flatMap(\.columns)) }
    switch plan.node {
    case .scan(let source, let columns, let filters, let limit):
      return try .scan(source, columns.filter(used.contains), filters, limit)
    case .project(let input, let exprs):
      let kept = exprs.filter { used.contains($0.name) }
      let below = try prune(input, Set(kept.flatMap { $0.expr.columns }))
      if kept.allSatisfy(\.isPassed), below.schema.names == kept.map(\.name) { return below }
      return try below.project(kept)
    case .filter(let input, let condition):
      return try prune(input, needing([condition])).filter(condition)
    case .sort(let input, let keys): return try prune(input, needing(keys.map(\.expr))).sort(keys)
    case .limit(let input, let offset, let count): return try prune(input, used).limit(count, offset: offset)
    case .distinct(let input, let on):
      let names = on.isEmpty ? Set(input.schema.names) : used.union(on)
      return try plan.with(inputs: [prune(input, names)])
    case .aggregate(let input, let keys, let calls):
      let kept = calls.filter { used.contains($0.name) }
      let below = try prune(input, Set(keys.flatMap { $0.expr.columns } + kept.flatMap { $0.argument?.columns ?? [] }))
      let names = Set(keys.map(\.name) + kept.map(\.name))
      return LogicalPlan(
        .aggregate(below, keys: keys, calls: kept), Schema(plan.schema.fields.filter { names.contains($0.name) }))
    case .join(let left, let right, var join):
      join.rightColumns.removeAll { !used.contains($0.name) }
      let a = try prune(left, used.intersection(left.schema.names).union(join.leftOn.flatMap(\.columns)))
      let b = try prune(right, Set(join.rightColumns.map(\.source)).union(join.rightOn.flatMap(\.columns)))
      return try a.joined(b, join)
    case .concat(let inputs):
      let names = plan.schema.names.filter(used.contains)
      var made: [LogicalPlan] = []
      for input in inputs { made.append(try exactly(names, try prune(input, Set(names)))) }
      return LogicalPlan(.concat(made), try plan.schema.selecting(names))
    case .rowIndex(let input, let name, let start):
      let below = try prune(input, used.subtracting([name]))
      return used.contains(name) ? try below.rowIndex(name, start: start) : below
    case .check(let input, let check):
      return try plan.with(inputs: [prune(input, needing([check.expr]).subtracting(check.action == .flag ? [check.name] : []))])
    }
  }
}
