import Columnar
import Compute
package import Core
package import LanceTable
package import Plan

/// Changes of tables by expressions: their types are checked against the table before a row is read.
extension TableLocation {
  /// Deletes the rows where `condition` is true.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` when it is not Boolean, and what `change` throws.
  package func delete(where condition: Expr, options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    try delete(options: options) { table throws(Failure) in try RowFilter(condition, in: table) }
  }

  /// Sets columns to the values of expressions in the rows where `condition` is true (nil: all). All expressions see the old values.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` naming column and types, `INVALID_ARGUMENT` for a column that is set twice or a
  ///   value that does not fit, and what `change` throws.
  package func update(
    set assignments: [(column: String, value: Expr)], where condition: Expr? = nil, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    guard !assignments.isEmpty else { throw Failure(.invalidArgument, "update of table '\(name)' sets no column") }
    for (i, (column, _)) in assignments.enumerated() where assignments[..<i].contains(where: { $0.column == column }) {
      throw Failure(.invalidArgument, "update of table '\(name)' sets column '\(column)' twice")
    }
    return try update(options: options) { table throws(Failure) in
      var setters: [Setter] = []
      for (column, value) in assignments { setters.append(try Setter(column, value, in: table)) }
      let known = setters
      let values = RowUpdate(columns: known.map(\.name), reads: table.schema.names) { batch throws(Failure) in
        var columns: [Column] = []
        for setter in known { columns.append(try setter.column(batch)) }
        return columns
      }
      guard let condition else { return (values, nil) }
      return (values, try RowFilter(condition, in: table))
    }
  }
}

extension RowFilter {
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` when `condition` is not Boolean.
  package init(_ condition: Expr, in table: LanceTable) throws(Failure) {
    let type = try condition.type(in: table.schema)
    guard type == .bool || type == .null else {
      throw Failure(.typeMismatch, "\(condition): a condition must be Boolean, not \(type)")
    }
    guard !condition.hasAggregate else {
      throw Failure(.typeMismatch, "\(condition): an aggregate cannot stand in a condition on rows")
    }
    self.init(columns: condition.columns, text: "\(condition)") { batch throws(Failure) in
      try Selection.indices(try condition.evaluate(batch))
    }
  }
}

/// One column that is set to an expression's value.
private struct Setter: Sendable {
  let name: String
  private let value: Expr
  private let field: Field

  init(_ name: String, _ value: Expr, in table: LanceTable) throws(Failure) {
    self.name = name
    self.value = value
    field = try table.schema.field(name)
    let type = try value.type(in: table.schema)
    guard !value.hasAggregate else {
      throw Failure(.typeMismatch, "\(value): an aggregate cannot be the value of column '\(name)'")
    }
    guard Assignment.isPossible(type, field.type, value) else {
      throw Failure(
        .typeMismatch, "column '\(name)' of table '\(table.name)' is \(field.type), the value \(value) is \(type); cast it")
    }
    if case .literal(.null) = value.unaliased, !field.isNullable {
      throw Failure(.invalidSchema, "column '\(name)' of table '\(table.name)' does not allow nulls")
    }
  }

  func column(_ batch: RecordBatch) throws(Failure) -> Column {
    do throws(Failure) { return try Cast.cast(try value.column(batch), to: field.type) } catch {
      throw error.context("column '\(name)'")
    }
  }
}

/// Which values a column takes without being asked to cast.
enum Assignment {
  /// Equal types; any integer into an integer column and any number into a float column (a value that does not fit is an error when it
  /// comes); text into the other text type; a constant wherever it can be compared; lists item by item.
  static func isPossible(_ given: DataType, _ wanted: DataType, _ value: Expr? = nil) -> Bool {
    if given == wanted || given == .null { return true }
    if case .literal(let constant)? = value?.unaliased, constant.type(meeting: wanted) == wanted { return true }
    switch (given, wanted) {
    case (.dictionary(_, let item), _): return isPossible(item, wanted)
    case (.fixedSizeList(let a, let n), .fixedSizeList(let b, let m)): return n == m && isPossible(a.type, b.type)
    case (.list(let a), .list(let b)), (.largeList(let a), .largeList(let b)): return isPossible(a.type, b.type)
    default:
      if given.isInteger { return wanted.isInteger || wanted.isFloat }
      if given.isFloat { return wanted.isFloat }
      return (given.isString && wanted.isString) || (given.isBinary && wanted.isBinary)
    }
  }
}
