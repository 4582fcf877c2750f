package import Columnar
package import Core

/// What differs between two versions of a table.
package struct TableDiff: Sendable, Hashable {
  package struct Rename: Sendable, Hashable {
    package let from: String
    package let to: String
  }
  package struct Retype: Sendable, Hashable {
    package let name: String
    package let from: String
    package let to: String
  }
  package let from: UInt64
  package let to: UInt64
  /// Rows that only `to` has. An updated row counts here and among the removed ones.
  package let rowsAdded: Int
  /// Rows that only `from` has.
  package let rowsRemoved: Int
  package let columnsAdded: [String]
  package let columnsDropped: [String]
  package let columnsRenamed: [Rename]
  package let columnsRetyped: [Retype]
  /// What was done between the older version and the newer one, in order.
  package let operations: [String]

  package var json: JSONValue {
    func names(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }
    return [
      "from": .int(Int64(clamping: from)), "to": .int(Int64(clamping: to)), "rows_added": .int(Int64(rowsAdded)),
      "rows_removed": .int(Int64(rowsRemoved)), "columns_added": names(columnsAdded), "columns_dropped": names(columnsDropped),
      "columns_renamed": .array(columnsRenamed.map { ["from": .string($0.from), "to": .string($0.to)] }),
      "columns_retyped": .array(
        columnsRetyped.map { ["name": .string($0.name), "from": .string($0.from), "to": .string($0.to)] }),
      "operations": names(operations),
    ]
  }
}

extension TableLocation {
  /// Compares two versions, in either direction. Reads no values, only which rows and columns there are.
  /// - Throws: `VERSION_NOT_FOUND`, also when a version in between was cleaned up.
  package func diff(from: TableVersion, to: TableVersion = .latest) throws(Failure) -> TableDiff {
    let (first, second) = (try LanceTable(self, version: from), try LanceTable(self, version: to))
    let isForward = first.version <= second.version
    let history = try isForward ? RowHistory(from: first, to: second) : RowHistory(from: second, to: first)
    var changed = 0
    for fragment in history.new.fragments { changed += try history.changed(in: fragment)?.count ?? fragment.rowCount }
    let common = history.new.rowCount - changed
    let columns = ColumnDiff(first, second, areIDsStable: !history.isOverwritten)
    return TableDiff(
      from: first.version, to: second.version, rowsAdded: second.rowCount - common, rowsRemoved: first.rowCount - common,
      columnsAdded: columns.added, columnsDropped: columns.dropped, columnsRenamed: columns.renamed,
      columnsRetyped: columns.retyped, operations: history.operations)
  }
}

/// Columns are matched by field id (a rename keeps it), then by name (a new type gets a new id).
private struct ColumnDiff {
  var added: [String] = []
  var dropped: [String] = []
  var renamed: [TableDiff.Rename] = []
  var retyped: [TableDiff.Retype] = []

  init(_ first: LanceTable, _ second: LanceTable, areIDsStable: Bool) {
    var rest = second.fields
    var unmatched: [TableField] = []
    func retype(_ a: TableField, _ b: TableField) {
      guard a.field.type != b.field.type else { return }
      retyped.append(TableDiff.Retype(name: b.field.name, from: "\(a.field.type)", to: "\(b.field.type)"))
    }
    for column in first.fields {
      guard areIDsStable, let at = rest.firstIndex(where: { $0.id == column.id }) else {
        unmatched.append(column)
        continue
      }
      let other = rest.remove(at: at)
      if other.field.name != column.field.name {
        renamed.append(TableDiff.Rename(from: column.field.name, to: other.field.name))
      }
      retype(column, other)
    }
    for column in unmatched {
      if let at = rest.firstIndex(where: { $0.field.name == column.field.name }) {
        retype(column, rest.remove(at: at))
      } else {
        dropped.append(column.field.name)
      }
    }
    added = rest.map(\.field.name)
  }
}

extension LanceTable {
  /// The rows of this version that version `since` does not have: inserted since then, or rewritten by an update. Rows that a compaction
  /// moved are not changes; neither are new columns.
  /// - Throws: `COLUMN_NOT_FOUND`, `VERSION_NOT_FOUND`, also when a version in between was cleaned up, `INVALID_ARGUMENT` when `since` is
  ///   not older.
  package func changes(since: UInt64, columns: [String]? = nil, batchRows: Int = 1 << 16) throws(Failure)
    -> any RecordBatchReader
  {
    let names = columns ?? schema.names
    return ChangedRows(
      self, try RowHistory(from: try LanceTable(location, version: .number(since)), to: self), names,
      try schema.selecting(names), min(max(1, batchRows), self.batchRows(of: names)))
  }
}

/// Reads the changed rows of a version front to back.
private final class ChangedRows: RecordBatchReader {
  let schema: Schema
  private let table: LanceTable
  private let history: RowHistory
  private let columns: [String]
  private let batchRows: Int
  private var fragment = 0
  private var row = 0
  /// Of the current fragment; nil when not computed yet.
  private var rows: RowSelection?

  init(_ table: LanceTable, _ history: RowHistory, _ columns: [String], _ schema: Schema, _ batchRows: Int) {
    self.table = table
    self.history = history
    self.columns = columns
    self.schema = schema
    self.batchRows = batchRows
  }

  func next() throws(Failure) -> RecordBatch? {
    while fragment < table.fragments.count {
      try Cancellation.check()
      let current = table.fragments[fragment]
      if rows == nil { rows = try history.changed(in: current).map { .positions($0) } ?? .all }
      let selection = rows ?? .all
      var count = current.rowCount
      if case .positions(let positions) = selection { count = positions.count }
      guard row < count else {
        (fragment, row, rows) = (fragment + 1, 0, nil)
        continue
      }
      let part = row..<min(count, row + batchRows)
      row = part.upperBound
      if case .positions(let positions) = selection {
        return try table.read(fragment: fragment, columns: columns, rows: .positions(Array(positions[part])))
      }
      return try table.read(fragment: fragment, columns: columns, rows: .range(part))
    }
    return nil
  }
}
