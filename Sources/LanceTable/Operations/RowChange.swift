package import Columnar
package import Core
import LanceProto
import ObjectStore

/// A condition on rows. What it means is its maker's business: this room knows no expressions.
package struct RowFilter: Sendable {
  /// The columns that it looks at.
  package let columns: [String]
  /// The condition in words, kept in the transaction.
  package let text: String
  /// The rows of a batch of `columns` that meet it, as ascending positions.
  package let matching: @Sendable (RecordBatch) throws(Failure) -> [Int32]

  package init(
    columns: [String], text: String, matching: @escaping @Sendable (RecordBatch) throws(Failure) -> [Int32]
  ) {
    self.columns = columns
    self.text = text
    self.matching = matching
  }

  /// Every row.
  package static let all = RowFilter(columns: [], text: "true") { batch throws(Failure) in (0..<Int32(batch.count)).map { $0 } }
}

/// New values for columns of chosen rows.
package struct RowUpdate: Sendable {
  /// The columns that are set.
  package let columns: [String]
  /// The columns that the new values are made from.
  package let reads: [String]
  /// One column for each of `columns`, of its type, from a batch of `reads`.
  package let values: @Sendable (RecordBatch) throws(Failure) -> [Column]

  package init(
    columns: [String], reads: [String], values: @escaping @Sendable (RecordBatch) throws(Failure) -> [Column]
  ) {
    self.columns = columns
    self.reads = reads
    self.values = values
  }
}

/// What becomes of the rows of one batch; all other rows stay. Positions ascend, and no row is in both lists.
package struct RowDecision: Sendable {
  package var deleted: [Int32]
  package var rewritten: [Int32]
  /// For each of `rewritten`, what it becomes, in the numbers of whoever decides (row of a merge's source); empty when not needed.
  package var sources: [Int32]

  package init(deleted: [Int32] = [], rewritten: [Int32] = [], sources: [Int32] = []) {
    self.deleted = deleted
    self.rewritten = rewritten
    self.sources = sources
  }
}

/// An operation on the rows of one version: which go, which change, which come. Its closures are called by one thread.
package struct RowChange {
  package enum Kind {
    /// Rows only go; the condition in words.
    case delete(predicate: String)
    /// Columns that are set.
    case update(columns: [String])
    /// Rows are compared with those of another table.
    case merge
  }
  package let kind: Kind
  /// The columns that `decide` looks at.
  package let columns: [String]
  /// What becomes of each row; called for all live rows, batch by batch, in order.
  package let decide: (RecordBatch) throws(Failure) -> RowDecision
  /// What rewritten rows (all columns of the table) become, with the decisions for just these rows.
  package let rewrite: (RecordBatch, RowDecision) throws(Failure) -> RecordBatch
  /// Rows to add, with all columns of the table, asked for when all decisions are made.
  package let inserts: () throws(Failure) -> (any RecordBatchReader)?

  package init(
    _ kind: Kind, columns: [String], decide: @escaping (RecordBatch) throws(Failure) -> RowDecision,
    rewrite: @escaping (RecordBatch, RowDecision) throws(Failure) -> RecordBatch = { batch, _ throws(Failure) in batch },
    inserts: @escaping () throws(Failure) -> (any RecordBatchReader)? = { () throws(Failure) in nil }
  ) {
    self.kind = kind
    self.columns = columns
    self.decide = decide
    self.rewrite = rewrite
    self.inserts = inserts
  }
}

/// Runs one `RowChange` over a table. In memory are a batch of the columns looked at, a batch of rewritten rows, what the file
/// format buffers, and a bitmap of the rows that go.
struct RowChanger {
  private let table: LanceTable
  private let files: NewFiles
  private let change: RowChange
  private let plan: WritePlan
  private let writer: FragmentWriter
  private(set) var masks: [RowMask] = []
  private(set) var inserted = 0
  private(set) var updated = 0
  private(set) var deleted = 0

  init(_ table: LanceTable, _ change: RowChange, _ files: NewFiles, _ options: ChangeOptions) throws(Failure) {
    self.table = table
    self.files = files
    self.change = change
    plan = try WritePlan(rewriting: table)
    writer = FragmentWriter(location: table.location, plan: plan, maxRows: max(1, options.maxRowsPerFile))
  }

  /// - Returns: the intent; nil when nothing changes.
  mutating func run() throws(Failure) -> (any CommitIntent)? {
    let fragments: [PBDataFragment]
    do throws(Failure) {
      for fragment in table.fragments { try visit(fragment) }
      if let reader = try change.inserts() {
        while let batch = try reader.next() {
          try Cancellation.check()
          try writer.append(try plan.conform(batch))
          inserted += batch.count
        }
      }
      fragments = try writer.finish()
    } catch {
      writer.removeAll()
      throw error
    }
    for file in fragments.flatMap(\.files) { files.add(table.location.path("\(TableLocation.data)/\(file.path)")) }
    if masks.isEmpty, fragments.isEmpty { return nil }
    switch change.kind {
    case .delete(let predicate): return DeleteIntent(masks: masks, predicate: predicate)
    case .update(let columns):
      return UpdateIntent(
        name: "update", masks: masks, fragments: fragments, addsMissingRows: false,
        changedFields: table.fields.filter { columns.contains($0.field.name) }.flatMap(\.ids))
    case .merge:
      return UpdateIntent(
        name: "merge", masks: masks, fragments: fragments, addsMissingRows: inserted > 0,
        changedFields: table.fields.flatMap(\.ids))
    }
  }

  private mutating func visit(_ fragment: TableFragment) throws(Failure) {
    let deletions = try table.cache.deletions(fragment, table.location)
    let batchRows = table.batchRows(of: change.columns)
    var gone: [UInt32] = []
    var start = 0
    while start < fragment.rowCount {
      try Cancellation.check()
      let rows = start..<min(fragment.rowCount, start + batchRows)
      let batch = try table.read(fragment: fragment.position, columns: change.columns, rows: .range(rows))
      let decision = try change.decide(batch)
      try rewrite(fragment, decision, from: start)
      updated += decision.rewritten.count
      deleted += decision.deleted.count
      for position in RowChanger.merged(decision.deleted, decision.rewritten) {
        gone.append(UInt32(truncatingIfNeeded: deletions.physical(start + Int(position))))
      }
      start = rows.upperBound
    }
    if !gone.isEmpty { masks.append(RowMask(fragment: fragment, rows: gone)) }
  }

  /// Writes what the rewritten rows become, some at a time: rows may be wide.
  private func rewrite(_ fragment: TableFragment, _ decision: RowDecision, from start: Int) throws(Failure) {
    let all = decision.rewritten
    let most = table.batchRows(of: table.schema.names)
    var next = 0
    while next < all.count {
      let part = next..<min(all.count, next + most)
      let positions = all[part].map { start + Int($0) }
      let old = try table.read(fragment: fragment.position, rows: .positions(positions))
      let sources = decision.sources.isEmpty ? [] : Array(decision.sources[part])
      let new = try change.rewrite(old, RowDecision(rewritten: Array(all[part]), sources: sources))
      try writer.append(try plan.conform(new))
      next = part.upperBound
    }
  }

  /// Two ascending lists as one.
  private static func merged(_ a: [Int32], _ b: [Int32]) -> [Int32] {
    if a.isEmpty { return b }
    if b.isEmpty { return a }
    return (a + b).sorted()
  }
}

extension TableLocation {
  /// Changes rows as `make` says for the newest version, and commits. `make` is called again when others changed the same rows
  /// meanwhile.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_CONFLICT`, `UNSUPPORTED` for rewriting rows of a table with stable row ids,
  ///   `INVALID_SCHEMA` for nulls where a column has none, `CANCELLED`, `IO_ERROR`, and what the closures throw.
  package func change(
    options: ChangeOptions = ChangeOptions(), _ make: (LanceTable) throws(Failure) -> RowChange
  ) throws(Failure) -> ChangeReport {
    var version: UInt64 = 0
    var (inserted, updated, deleted) = (0, 0, 0)
    let committed = try commit(options: options) { table, files throws(Failure) in
      version = table.version
      let change = try make(table)
      if case .delete = change.kind {} else { try table.checkAddressRowIDs() }
      var changer = try RowChanger(table, change, files, options)
      let intent = try changer.run()
      (inserted, updated, deleted) = (changer.inserted, changer.updated, changer.deleted)
      return intent
    }
    guard let committed else { return ChangeReport(version: version, isChanged: false) }
    return ChangeReport(version: committed.version, inserted: inserted, updated: updated, deleted: deleted)
  }

  /// Deletes the rows that meet `filter`.
  package func delete(where filter: RowFilter, options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    try change(options: options) { _ throws(Failure) in
      RowChange(.delete(predicate: filter.text), columns: filter.columns) { batch throws(Failure) in
        RowDecision(deleted: try filter.matching(batch))
      }
    }
  }

  /// Sets columns of the rows that meet `filter` (nil: all). The rows move to new fragments behind the others.
  package func update(
    _ update: RowUpdate, where filter: RowFilter? = nil, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    let filter = filter ?? .all
    return try change(options: options) { table throws(Failure) in
      for name in update.columns { _ = try table.schema.index(of: name) }
      return RowChange(.update(columns: update.columns), columns: filter.columns) { batch throws(Failure) in
        RowDecision(rewritten: try filter.matching(batch))
      } rewrite: { old, _ throws(Failure) in
        try old.replacing(update.columns, by: try update.values(try old.selecting(update.reads)))
      }
    }
  }
}

extension RecordBatch {
  /// The batch with other columns in place of those named.
  /// - Throws: `COLUMN_NOT_FOUND`, `INVALID_SCHEMA` for a column of another length.
  package func replacing(_ names: [String], by values: [Column]) throws(Failure) -> RecordBatch {
    guard names.count == values.count else {
      throw Failure(.internalError, "\(values.count) columns for \(names.count) names")
    }
    var fields = schema.fields
    var columns = self.columns
    for (name, column) in zip(names, values) {
      let at = try schema.index(of: name)
      fields[at].type = column.type
      columns[at] = column
    }
    return try RecordBatch(schema: Schema(fields, metadata: schema.metadata), columns: columns, count: count)
  }
}

extension LanceTable {
  /// - Throws: `UNSUPPORTED` when rows have ids that must stay with them when they move.
  func checkAddressRowIDs() throws(Failure) {
    guard manifest.readerFeatureFlags & FeatureFlags.stableRowIDs == 0 else {
      throw Failure(
        .unsupported,
        "table '\(name)' has stable row ids; rewriting rows of such tables is not supported (delete and append are)")
    }
  }
}
