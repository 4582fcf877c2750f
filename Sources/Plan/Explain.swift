import Columnar
import Compute
import Core

extension LogicalPlan {
  /// The plan as text, one operator per line, inputs indented below:
  /// ```
  /// project image, label
  ///   filter label >= 3
  ///     scan memory: image, label
  /// ```
  package func explain() -> String {
    var lines: [String] = []
    write(to: &lines, depth: 0)
    return lines.joined(separator: "\n")
  }

  private func write(to lines: inout [String], depth: Int) {
    lines.append(String(repeating: "  ", count: depth) + line)
    for input in inputs { input.write(to: &lines, depth: depth + 1) }
  }

  private static func list(_ exprs: [NamedExpr]) -> String {
    exprs.map { $0.isPassed ? "\($0.expr)" : "\($0.name) = \($0.expr.unaliased)" }.joined(separator: ", ")
  }

  private var line: String {
    switch node {
    case .scan(let source, let columns, let filters, let limit):
      var text = "scan \(source.label): \(columns.isEmpty ? "no columns" : columns.joined(separator: ", "))"
      if let filter = Expr.conjunction(filters) { text += "; filter \(filter)" }
      if let note = source.note(filters) { text += "; \(note)" }
      if let limit { text += "; limit \(limit)" }
      return text
    case .project(_, let exprs): return exprs.isEmpty ? "project nothing" : "project \(LogicalPlan.list(exprs))"
    case .filter(_, let condition): return "filter \(condition)"
    case .limit(_, let offset, let count):
      return "limit \(count.map { "\($0)" } ?? "all")\(offset > 0 ? " offset \(offset)" : "")"
    case .sort(_, let keys):
      return "sort "
        + keys.map { "\($0.expr)\($0.descending ? " descending" : "")\($0.nullsFirst ? " nulls first" : "")" }.joined(
          separator: ", ")
    case .distinct(_, let on): return on.isEmpty ? "distinct" : "distinct on \(on.joined(separator: ", "))"
    case .aggregate(_, let keys, let calls):
      let made = calls.map { "\($0.name) = \(Expr.aggregate($0.aggregate, $0.argument))" }.joined(separator: ", ")
      return "aggregate \(made)\(keys.isEmpty ? "" : " by \(LogicalPlan.list(keys))")"
    case .join(_, _, let join):
      let pairs = zip(join.leftOn, join.rightOn).map { $0 == $1 ? "\($0)" : "\($0) = \($1)" }.joined(separator: ", ")
      return "\(join.kind.rawValue) join on \(pairs)"
    case .concat: return "concat"
    case .rowIndex(_, let name, let start): return "row index \(name) from \(start)"
    case .check(_, let check): return "check \(check.name): \(check.expr), else \(check.action.rawValue)"
    }
  }
}
