import Columnar
import Compute
import Core
import LanceIndex
import LanceTable
import Plan

/// Conditions that a BTREE or BITMAP index of a table can answer.
enum IndexedFilter {
  /// The rows that an index finds for one of `filters` (all of which are to be met); nil when no index helps. The rows meet that
  /// one condition; the others are left to the scan, and so are fragments that the index does not cover.
  static func rows(_ table: LanceTable, _ filters: [Expr]) throws(Failure) -> IndexedRows? {
    guard !filters.isEmpty, table.hasIndices else { return nil }
    var best: IndexedRows?
    for condition in filters.flatMap(\.conjuncts) {
      guard let query = try query(condition, table), let found = try table.rows(matching: query) else { continue }
      if found.count < best?.count ?? .max { best = found }
    }
    // Many scattered rows are read more slowly than all of them.
    guard let best, best.count <= max(64, table.rowCount / 16) else { return nil }
    return best
  }

  /// The names of indices that could be asked for `filters`, for `explain`.
  static func candidates(_ table: LanceTable, _ filters: [Expr]) -> [String] {
    guard !filters.isEmpty, let infos = try? table.indexList() else { return [] }
    let columns = filters.flatMap(\.conjuncts).compactMap { (try? query($0, table))?.column }
    return infos.filter { info in
      (info.kind == .btree || info.kind == .bitmap) && info.isUsable && columns.contains(info.column)
    }.map { "\($0.name) (\($0.kind.name))" }
  }

  /// `condition` as a question; nil for one that is not about one column and constants.
  private static func query(_ condition: Expr, _ table: LanceTable) throws(Failure) -> ScalarQuery? {
    var (column, intervals, takesNulls) = ("", [ScalarQuery.Interval](), false)
    func constant(_ value: Literal) throws(Failure) -> Column? {
      guard value != .null, let type = table.schema.fields.first(where: { $0.name == column })?.type else { return nil }
      return try value.column(value.type(meeting: type))
    }
    switch condition {
    case .compare(let op, .column(let name), .literal(let value)), .compare(let op, .literal(let value), .column(let name)):
      column = name
      guard let bound = try constant(value) else { return nil }
      var isMirrored = false
      if case .compare(_, .literal, _) = condition { isMirrored = true }
      switch isMirrored ? op.mirrored : op {
      case .equal: intervals = [.init(low: bound, high: bound)]
      case .less, .lessOrEqual: intervals = [.init(high: bound)]
      case .greater, .greaterOrEqual: intervals = [.init(low: bound)]
      case .notEqual: return nil
      }
    case .function(.between, let arguments):
      guard arguments.count == 3, case .column(let name) = arguments[0], case .literal(let least) = arguments[1],
        case .literal(let greatest) = arguments[2]
      else { return nil }
      column = name
      guard let low = try constant(least), let high = try constant(greatest) else { return nil }
      intervals = [.init(low: low, high: high)]
    case .function(.isIn(let values), let arguments):
      guard arguments.count == 1, case .column(let name) = arguments[0], values.count <= 1000 else { return nil }
      column = name
      for value in values { if let bound = try constant(value) { intervals.append(.init(low: bound, high: bound)) } }
    case .function(.isNull, let arguments):
      guard arguments.count == 1, case .column(let name) = arguments[0] else { return nil }
      (column, takesNulls) = (name, true)
    default: return nil
    }
    let name = column
    return ScalarQuery(column: name, intervals: intervals, takesNulls: takesNulls) { values throws(Failure) in
      let batch = try RecordBatch(schema: Schema([Field(name, values.type)]), columns: [values])
      return try Selection.indices(try condition.evaluate(batch))
    }
  }
}
