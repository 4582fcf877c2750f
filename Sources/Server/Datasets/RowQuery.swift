import Columnar
import Core
import DataFrames
import LanceTable
import Plan

/// `select`, `where` and `order` of a query as a lazy frame.
struct RowQuery: Sendable {
  /// Columns in this order; nil for all.
  var columns: [String]?
  var filter: String?
  /// Columns to sort by; a minus before a name: descending.
  var order: [String]?

  static let parameters = [
    QueryParameter(name: "select", kind: .text, about: "Only these columns, with commas between."),
    QueryParameter(
      name: "where", kind: .text,
      about:
        "Only rows for which this is true, in SQL's words: label = 3 AND split IN ('train', 'test'). Knows AND OR NOT, = <> < <= > >=, IN, BETWEEN, LIKE, IS NULL, + - * / %, CAST, DATE, TIMESTAMP and functions such as lower, length, abs, coalesce."
    ),
    QueryParameter(name: "order", kind: .text, about: "Sort by these columns, with commas between; -name: descending."),
  ]

  init(_ call: Call) throws(Failure) {
    columns = try RowQuery.names(call, "select")
    filter = call.text("where")
    order = try RowQuery.names(call, "order")
  }

  static func names(_ call: Call, _ parameter: String) throws(Failure) -> [String]? {
    guard let text = call.text(parameter) else { return nil }
    let names = text.split(separator: ",").map(String.init)
    if names.isEmpty { throw Failure(.invalidRequest, "query parameter '\(parameter)' names no column") }
    return names
  }

  /// True when the rows are the table's own, in its order.
  var isPlain: Bool { filter == nil && order == nil }

  /// - Throws: `INVALID_FILTER`, `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`.
  func frame(_ table: LanceTable) throws(Failure) -> Frame {
    var frame = Frame(LanceSource(table))
    if let filter { frame = try frame.filter(try Expr(parsing: filter)) }
    if let order { frame = try frame.sort(order.map { SortKey(named: $0) }) }
    if let columns { frame = try frame.select(columns.map { Expr.column($0) }) }
    return frame
  }
}
