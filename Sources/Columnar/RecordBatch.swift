package import Core

/// Columns of equal length under a schema.
///
/// A class, as `Column` is, so that a variable that holds a batch keeps its columns' memory until the end of its scope: the optimiser
/// frees a struct of arrays right after its last use, under a pointer of `batch.columns[0].values(of:)` (see `Buffer`).
package final class RecordBatch: Sendable {
  package let schema: Schema
  package let columns: [Column]
  /// Rows.
  package let count: Int

  /// - Throws: `INVALID_SCHEMA` when columns do not fit the schema or differ in length.
  package init(schema: Schema, columns: [Column], count: Int? = nil) throws(Failure) {
    guard schema.fields.count == columns.count else {
      throw Failure(.invalidSchema, "\(columns.count) columns for a schema of \(schema.fields.count)")
    }
    let rows = count ?? columns.first?.count ?? 0
    for (field, column) in zip(schema.fields, columns) {
      guard column.type == field.type else {
        throw Failure(.invalidSchema, "column '\(field.name)' is \(column.type), the schema says \(field.type)")
      }
      guard column.count == rows else {
        throw Failure(.invalidSchema, "column '\(field.name)' has \(column.count) rows, others have \(rows)")
      }
    }
    self.schema = schema
    self.columns = columns
    self.count = rows
  }

  /// Nullable columns named in order.
  package convenience init(_ named: KeyValuePairs<String, Column>) throws(Failure) {
    try self.init(schema: Schema(named.map { Field($0.key, $0.value.type) }), columns: named.map(\.value))
  }

  /// - Throws: `COLUMN_NOT_FOUND` naming the nearest column.
  package func column(_ name: String) throws(Failure) -> Column { columns[try schema.index(of: name)] }

  /// The columns `names`, in that order.
  package func selecting(_ names: [String]) throws(Failure) -> RecordBatch {
    var chosen: [Column] = []
    for name in names { chosen.append(try column(name)) }
    return try RecordBatch(schema: try schema.selecting(names), columns: chosen, count: count)
  }

  /// Rows `start ..< start + length`, sharing memory.
  package func slice(_ start: Int, _ length: Int) -> RecordBatch {
    RecordBatch(unchecked: schema, columns.map { $0.slice(start, length) }, length)
  }

  private init(unchecked schema: Schema, _ columns: [Column], _ count: Int) {
    self.schema = schema
    self.columns = columns
    self.count = count
  }

  /// Row `i` as a JSON object, for previews.
  package func json(row i: Int) -> JSONObject {
    var object = JSONObject()
    for (field, column) in zip(schema.fields, columns) { object[field.name] = column.json(i) }
    return object
  }
}

/// A stream of batches that all have `schema`; `nil` ends it. Used by one thread at a time.
package protocol RecordBatchReader: AnyObject {
  var schema: Schema { get }
  func next() throws(Failure) -> RecordBatch?
}

/// A reader over batches that are already in memory.
package final class InMemoryReader: RecordBatchReader {
  package let schema: Schema
  private var rest: ArraySlice<RecordBatch>

  package init(schema: Schema, _ batches: [RecordBatch]) {
    self.schema = schema
    self.rest = batches[...]
  }
  package func next() throws(Failure) -> RecordBatch? { rest.popFirst() }
}
