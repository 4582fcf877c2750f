import Columnar
import Compute
import Core
import LanceTable
import Plan

/// The rows of a frame in memory, found by their key.
///
/// A row whose key has a null is in `batch` but never found. Columns that the table has too are of the table's types.
struct MergeSource {
  let batch: RecordBatch
  let key: [String]
  private let types: [DataType]
  private let groups: GroupTable
  /// The row of each group.
  private let rowOfGroup: [Int32]

  /// - Parameters:
  ///   - table: whose rows will be matched; nil when it is still to be made.
  ///   - columns: besides the key, which of the frame's columns to keep.
  /// - Throws: `COLUMN_NOT_FOUND` when the frame or the table has no such key, `TYPE_MISMATCH`, `INVALID_ARGUMENT` naming a key that stands
  ///   twice.
  init(_ frame: Frame, key: [String], of table: LanceTable? = nil, columns: [String]) throws(Failure) {
    guard !key.isEmpty else { throw Failure(.invalidArgument, "rows are matched by a key; none is given") }
    for (i, name) in key.enumerated() where key[..<i].contains(name) {
      throw Failure(.invalidArgument, "key column '\(name)' is given twice")
    }
    var fields: [Field] = []
    for name in key + columns.filter({ !key.contains($0) }) {
      var field = try frame.schema.field(name)
      var stored: Field?
      if let table {
        stored = try key.contains(name) ? table.schema.field(name) : table.schema.fields.first { $0.name == name }
      }
      if let table, let stored {
        guard Assignment.isPossible(field.type, stored.type) else {
          throw Failure(
            .typeMismatch, "column '\(name)' is \(stored.type) in table '\(table.name)' and \(field.type) in the frame; cast it"
          )
        }
        field.type = stored.type
      } else if case .dictionary(_, let value) = field.type {
        field.type = value
      }
      fields.append(field)
    }
    let given = try frame.select(fields.map { NamedExpr.column($0.name) }).collect()
    var values: [Column] = []
    for (field, column) in zip(fields, given.columns) {
      do throws(Failure) { values.append(try Cast.cast(column, to: field.type)) } catch {
        throw error.context("column '\(field.name)' of the frame")
      }
    }
    batch = try RecordBatch(
      schema: Schema(fields.map { Field($0.name, $0.type) }), columns: values, count: given.count)
    self.key = key
    types = fields.prefix(key.count).map(\.type)
    groups = GroupTable(types: types)
    let keys = Array(values.prefix(key.count))
    var present: [Int32] = []
    for i in 0..<batch.count where keys.allSatisfy({ $0.isValid(i) }) { present.append(Int32(i)) }
    var some: [Column] = []
    for column in keys { some.append(present.count == batch.count ? column : try column.take(present)) }
    let ids = try groups.insert(some, count: present.count)
    if groups.count < present.count {
      // Groups are numbered in order of appearance: the first row that did not make a new one repeats a key.
      var fresh: Int32 = 0
      for (i, id) in ids.enumerated() {
        guard id < fresh else {
          fresh += 1
          continue
        }
        throw Failure(
          .invalidArgument, "the frame has two rows with the key \(MergeSource.text(batch, key, Int(present[i])))",
          details: ["key": .object(try batch.selecting(key).json(row: Int(present[i])))])
      }
    }
    rowOfGroup = present
  }

  /// The row of the frame for each row of `table`, a batch that has the key columns; -1 when there is none.
  func rows(of table: RecordBatch) throws(Failure) -> [Int32] {
    var keys: [Column] = []
    for (name, type) in zip(key, types) { keys.append(try Cast.cast(try table.column(name), to: type)) }
    var rows = try groups.find(keys, count: table.count)
    let hasNulls = keys.contains { $0.nullCount > 0 }
    for i in rows.indices where rows[i] >= 0 {
      rows[i] = hasNulls && !keys.allSatisfy { $0.isValid(i) } ? -1 : rowOfGroup[Int(rows[i])]
    }
    return rows
  }

  /// `id = 7, day = "2026-01-01"`.
  static func text(_ batch: RecordBatch, _ key: [String], _ row: Int) -> String {
    key.map { name in
      let value = (try? batch.column(name)).map { $0.json(row) } ?? .null
      return "\(name) = \(String(decoding: value.utf8(), as: UTF8.self))"
    }.joined(separator: ", ")
  }
}
