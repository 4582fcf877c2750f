package import Columnar
import Compute
package import Core
package import Engine
package import Plan

/// A table that is described, not computed: a lazy plan. Every method gives another frame; names and types are checked at once,
/// rows are read only by `collect`, `count`, `batches`, `show` and `write`.
package struct Frame: Sendable {
  package let plan: LogicalPlan
  package init(_ plan: LogicalPlan) { self.plan = plan }
  package init(_ source: any TableSource) { plan = .scan(source) }

  /// A frame over columns of equal length, without a copy.
  package init(columns: [(name: String, column: Column)], label: String = "memory") throws(Failure) {
    let rows = columns.first?.column.count ?? 0
    for (name, column) in columns where column.count != rows {
      throw Failure(
        .shapeMismatch, "column '\(name)' has \(column.count) rows, '\(columns[0].name)' has \(rows)")
    }
    let schema = Schema(columns.map { Field($0.name, $0.column.type) })
    try schema.validate()
    let batch = try RecordBatch(schema: schema, columns: columns.map(\.column), count: rows)
    self.init(MemoryTable([batch], schema: schema, label: label))
  }

  package var schema: Schema { plan.schema }

  /// An expression's output needs a name: its alias, or its first column's.
  private static func named(_ expr: Expr) throws(Failure) -> NamedExpr {
    guard let name = expr.outputName else {
      throw Failure(.invalidArgument, "\(expr) has no name; give one with alias(\"name\")")
    }
    return NamedExpr(name, expr)
  }

  package func select(_ exprs: [Expr]) throws(Failure) -> Frame {
    var list: [NamedExpr] = []
    for e in exprs { list.append(try Frame.named(e)) }
    return Frame(try plan.project(list))
  }
  package func select(_ exprs: [NamedExpr]) throws(Failure) -> Frame { Frame(try plan.project(exprs)) }
  package func with(_ exprs: [NamedExpr]) throws(Failure) -> Frame { Frame(try plan.with(exprs)) }
  package func filter(_ condition: Expr) throws(Failure) -> Frame { Frame(try plan.filter(condition)) }

  /// Old name -> new name.
  package func rename(_ names: [(old: String, new: String)]) throws(Failure) -> Frame {
    for (old, _) in names { _ = try schema.index(of: old) }
    return Frame(
      try plan.project(
        schema.names.map { name in NamedExpr(names.first { $0.old == name }?.new ?? name, .column(name)) }))
  }

  package func drop(_ names: [String]) throws(Failure) -> Frame {
    for name in names { _ = try schema.index(of: name) }
    return Frame(try plan.project(schema.names.filter { !names.contains($0) }.map { .column($0) }))
  }

  package func cast(_ types: [(name: String, type: DataType)], lenient: Bool = false) throws(Failure) -> Frame {
    for (name, _) in types { _ = try schema.index(of: name) }
    return Frame(try plan.with(types.map { NamedExpr($0.name, .cast(.column($0.name), $0.type, lenient: lenient)) }))
  }

  package func limit(_ count: Int?, offset: Int = 0) throws(Failure) -> Frame { Frame(try plan.limit(count, offset: offset)) }
  package func sort(_ keys: [SortKey]) throws(Failure) -> Frame { Frame(try plan.sort(keys)) }
  package func distinct(on names: [String] = []) throws(Failure) -> Frame { Frame(try plan.distinct(on: names)) }
  package func aggregate(by keys: [NamedExpr], _ outputs: [NamedExpr]) throws(Failure) -> Frame {
    Frame(try plan.aggregate(keys: keys, outputs))
  }
  package func rowIndex(_ name: String, start: Int64) throws(Failure) -> Frame {
    Frame(try plan.rowIndex(name, start: start))
  }
  package func check(_ name: String, _ expr: Expr, _ action: Check.Action) throws(Failure) -> Frame {
    Frame(try plan.check(name, expr, action))
  }
  package static func concat(_ frames: [Frame]) throws(Failure) -> Frame { Frame(try .concat(frames.map(\.plan))) }
  package func join(
    _ other: Frame, leftOn: [Expr], rightOn: [Expr], kind: Join.Kind = .inner, suffix: String = "_right"
  ) throws(Failure) -> Frame {
    Frame(try plan.join(other.plan, leftOn: leftOn, rightOn: rightOn, kind: kind, suffix: suffix))
  }

  // MARK: running

  /// The rows as a stream of batches.
  package func batches() throws(Failure) -> Execution { try Execution(plan) }
  /// All rows in memory.
  package func collect() throws(Failure) -> RecordBatch { try Execution(plan).collect() }

  /// Rows, without reading more columns than filters need.
  package func count() throws(Failure) -> Int {
    if case .scan(let source, _, let filters, nil) = plan.node, filters.isEmpty, let known = source.rowCount { return known }
    let execution = try Execution(try plan.aggregate(keys: [], [NamedExpr("count", .aggregate(.count, nil))]))
    return Int(try execution.collect().columns[0].json(0).intValue ?? 0)
  }

  /// How often each combination of values of `names` occurs, most frequent first.
  package func countBy(_ names: [String]) throws(Failure) -> Frame {
    try aggregate(by: names.map { .column($0) }, [NamedExpr("count", .aggregate(.count, nil))]).sort([
      SortKey(.column("count"), descending: true)
    ])
  }

  /// The plan as written and, with `optimised`, as it will run.
  package func explain(optimised: Bool = true) throws(Failure) -> String {
    optimised ? try plan.optimized().explain() : plan.explain()
  }

  /// The first `rows` rows as a text table.
  package func show(_ rows: Int = 10) throws(Failure) -> String {
    let known: Int?
    if case .scan(let source, _, let filters, nil) = plan.node, filters.isEmpty { known = source.rowCount } else { known = nil }
    let some = try limit(rows < Int.max ? rows + 1 : rows).collect()
    let shown = some.count > rows ? some.slice(0, rows) : some
    return TextTable.text(shown, total: known ?? (some.count > rows ? nil : some.count))
  }

  /// Rows if they are known without running the plan (projections and row indices over a source).
  package var knownRowCount: Int? { Frame.rows(plan) }

  private static func rows(_ plan: LogicalPlan) -> Int? {
    switch plan.node {
    case .scan(let source, _, let filters, let limit):
      return filters.isEmpty && limit == nil ? source.rowCount : nil
    case .project(let p, _), .sort(let p, _), .rowIndex(let p, _, _): return rows(p)
    case .check(let p, let check): return check.action == .drop ? nil : rows(p)
    case .concat(let parts):
      var total = 0
      for part in parts {
        guard let n = rows(part) else { return nil }
        total += n
      }
      return total
    default: return nil
    }
  }

  /// Rows that will be read at most, for progress.
  package var rowsToRead: Int? { Frame.upperBound(plan) }

  private static func upperBound(_ plan: LogicalPlan) -> Int? {
    switch plan.node {
    case .scan(let source, _, _, _): return source.rowCount
    case .concat(let parts):
      var total = 0
      for part in parts {
        guard let n = upperBound(part) else { return nil }
        total += n
      }
      return total
    case .limit(let p, _, let count): return [upperBound(p), count].compactMap(\.self).min()
    case .join, .aggregate, .distinct: return nil
    default: return plan.inputs.first.flatMap(upperBound)
    }
  }
}
