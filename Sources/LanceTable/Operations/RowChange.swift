package import Columnar
package import Core
import LanceProto

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
