package import Columnar
import Compute
package import Core
package import LanceTable
package import Plan

extension TableLocation {
  /// Adds columns computed from the others, behind them.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `ALREADY_EXISTS`, `INVALID_SCHEMA` for a null constant, which has no type.
  package func addColumns(_ expressions: [NamedExpr], options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport
  {
    let table = try LanceTable(self)
    var fields: [Field] = []
    var reads: [String] = []
    for named in expressions {
      guard !named.expr.hasAggregate else {
        throw Failure(.typeMismatch, "\(named.expr): an aggregate cannot be the value of new column '\(named.name)'")
      }
      let type = try named.expr.type(in: table.schema)
      guard type != .null else {
        throw Failure(.invalidSchema, "new column '\(named.name)' has only nulls and so no type; cast it to one")
      }
      fields.append(Field(named.name, type))
      for name in named.expr.columns where !reads.contains(name) { reads.append(name) }
    }
    return try addColumns(fields, reads: reads, options: options) { batch throws(Failure) in
      var columns: [Column] = []
      for named in expressions { columns.append(try named.expr.column(batch)) }
      return columns
    }
  }

  /// Adds columns of `frame`, matched by key (a left join): rows without a partner get null.
  /// - Parameters:
  ///   - key: columns that both have; a key stands at most once in the frame.
  ///   - columns: which of the frame's; nil: all but the key.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `ALREADY_EXISTS`, `INVALID_ARGUMENT` naming a key that stands twice.
  package func addColumns(
    from frame: Frame, key: [String], columns: [String]? = nil, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    let names = columns ?? frame.schema.names.filter { !key.contains($0) }
    for name in names { _ = try frame.schema.index(of: name) }
    guard !names.isEmpty else { throw Failure(.invalidArgument, "the frame has no columns to add to table '\(name)'") }
    let table = try LanceTable(self)
    let source = try MergeSource(frame, key: key, of: table, columns: names)
    var values: [Column] = []
    for name in names {
      let column = try source.batch.column(name)
      // One row of nulls behind the others, for rows without a partner.
      values.append(try Column.concatenate([column, try Column.nulls(column.type, count: 1)], type: column.type))
    }
    let none = Int32(source.batch.count)
    let fields = zip(names, values).map { Field($0, $1.type) }
    return try addColumns(fields, reads: key, options: options) { batch throws(Failure) in
      let rows = try source.rows(of: batch).map { $0 >= 0 ? $0 : none }
      var columns: [Column] = []
      for column in values { columns.append(try column.take(rows)) }
      return columns
    }
  }

  /// Gives a column another type.
  /// - Parameter lenient: what does not convert becomes null instead of an error.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` when there is no such conversion, `INVALID_ARGUMENT` for a value that does not
  ///   convert, `VERSION_CONFLICT`.
  package func castColumn(
    _ column: String, to type: DataType, lenient: Bool = false, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    let old = try LanceTable(self).schema.field(column).type
    let target = Cast.target(old, type)
    guard Cast.isPossible(old, target) else {
      throw Failure(.typeMismatch, "column '\(column)' of table '\(name)': \(old) cannot be cast to \(target)")
    }
    return try castColumn(column, to: target, options: options) { values throws(Failure) in
      do throws(Failure) { return try Cast.cast(values, to: target, lenient: lenient) } catch {
        throw error.context("column '\(column)' of table '\(name)'")
      }
    }
  }
}
