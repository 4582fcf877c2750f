import Columnar
import Compute
package import Core

/// Computes what does not depend on rows: `2 * 3` -> `6`, `x & true` -> `x`, `x | true` -> `true`, `~~x` -> `x`; a filter
/// that is always true goes away, one that is never true becomes `limit 0`. Expressions that fail (such as an overflow) or
/// whose value has no literal of the same type are left for the run.
package enum ConstantFolding: OptimizerRule {
  package static func apply(_ plan: LogicalPlan) throws(Failure) -> LogicalPlan {
    let plan = try plan.mapInputs(apply)
    switch plan.node {
    case .project(let input, let exprs):
      return try input.project(exprs.map { NamedExpr($0.name, fold($0.expr, input.schema)) })
    case .filter(let input, let condition):
      switch fold(condition, input.schema) {
      case .literal(.bool(true)): return input
      case .literal(.bool(false)), .literal(.null): return try input.limit(0)
      case let folded: return try input.filter(folded)
      }
    case .check(let input, let check):
      var copy = check
      copy.expr = fold(check.expr, input.schema)
      return LogicalPlan(.check(input, copy), plan.schema)
    default: return plan
    }
  }

  static func fold(_ expr: Expr, _ schema: Schema) -> Expr {
    expr.transformed { e in
      switch e {
      case .literal, .column, .alias, .aggregate: return e
      case .and(.literal(.bool(true)), let x), .and(let x, .literal(.bool(true))): return x
      case .or(.literal(.bool(false)), let x), .or(let x, .literal(.bool(false))): return x
      case .and(.literal(.bool(false)), _), .and(_, .literal(.bool(false))): return .literal(.bool(false))
      case .or(.literal(.bool(true)), _), .or(_, .literal(.bool(true))): return .literal(.bool(true))
      case .not(.not(let x)): return x
      default:
        let constant = e.children.allSatisfy { if case .literal = $0 { true } else { false } }
        return constant ? value(of: e) ?? e : e
      }
    }
  }

  /// The literal that an expression of literals is, if one has the same type.
  private static func value(of e: Expr) -> Expr? {
    guard let empty = try? RecordBatch(schema: Schema([]), columns: [], count: 1), let result = try? e.evaluate(empty),
      let column = try? result.expanded()
    else { return nil }
    if !column.isValid(0) { return nil }
    switch column.type {
    case .bool: return .literal(.bool(column.bool(0)))
    case .int64: return .literal(.int(column.values(of: Int64.self)[0]))
    case .float64: return .literal(.double(column.values(of: Double.self)[0]))
    case .utf8: return .literal(.string(column.string(0)))
    default: return nil
    }
  }
}
