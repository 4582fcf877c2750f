import Columnar
package import Core
import LanceProto
import ObjectStore

/// How `TableLocation.compact` chooses and writes.
package struct CompactOptions: Sendable {
  /// Fragments of fewer rows are joined with their neighbours, up to this size.
  package var targetRowsPerFragment = 1 << 20
  /// Fragments of which more than this share is deleted are rewritten.
  package var deletedShare = 0.1
  /// About the memory that rows on their way take; the file writer's pages (8 MiB per column, 128 MiB in all for many) come on top.
  package var memoryBytes = 256 << 20
  /// Fragments are joined only where at least so many become fewer; those with many deleted rows are rewritten all the same.
  package var fewestFragments = 2
  /// Fragments that are much larger than all candidates behind them together stay, so that a table that grows by small appends is not
  /// written anew each time (a row is rewritten about log n times).
  package var leavesLargeAlone = false
  /// Ids of fragments of a version that stay as they are.
  package var spares: (@Sendable (LanceTable) throws(Failure) -> Set<UInt64>)?
  /// How often the work is done anew because others changed the same fragments.
  package var attempts = 10
  /// Called with the bytes of rows on their way, before they are written: may wait, and may throw to give the work up.
  package var pace: (@Sendable (Int) throws(Failure) -> Void)?
  /// Kept in the commit's transaction.
  package var properties: [String: String] = [:]

  package init() {}
}

/// The result of `TableLocation.compact`.
package struct CompactReport: Sendable {
  /// The newest version afterwards.
  package let version: UInt64
  package let fragmentsRemoved: Int
  package let fragmentsAdded: Int
  /// Live rows that were rewritten.
  package let rows: Int
  package let deletedRowsDropped: Int
  /// Bytes of the data files of the fragments that were rewritten, and of those that replace them.
  package let bytesBefore: Int
  package let bytesAfter: Int

  package var isChanged: Bool { fragmentsRemoved > 0 }

  package var json: JSONValue {
    [
      "version": .int(Int64(clamping: version)), "changed": .bool(isChanged),
      "fragments_removed": .int(Int64(fragmentsRemoved)),
      "fragments_added": .int(Int64(fragmentsAdded)), "rows": .int(Int64(rows)),
      "deleted_rows_dropped": .int(Int64(deletedRowsDropped)), "bytes_before": .int(Int64(bytesBefore)),
      "bytes_after": .int(Int64(bytesAfter)),
    ]
  }
}

extension TableLocation {
  /// Joins small fragments with their neighbours and rewrites those with many deleted rows. Rewritten rows keep
  /// their order among each other and go behind those of fragments that stay: fragments stand by their ids, as with Lance's own
  /// compaction.
  ///
  /// Two commits, as the format has it: one reserves the new fragments' ids, one replaces the fragments. Indices do not cover
  /// rewritten fragments; their rows are searched as those of new fragments are. Appends of others meanwhile are no obstacle; a
  /// change of a fragment that is being rewritten starts the work anew.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_CONFLICT`, `UNSUPPORTED` (stable row ids, columns that cannot be written),
  ///   `CORRUPT_DATA`, `CANCELLED`, `IO_ERROR`.
  package func compact(_ options: CompactOptions = CompactOptions()) throws(Failure) -> CompactReport {
    guard options.targetRowsPerFragment >= 1, options.deletedShare >= 0 else {
      throw Failure(.invalidArgument, "compaction needs a target of at least one row and a share of deleted rows from 0 to 1")
    }
    var changeOptions = ChangeOptions()
    changeOptions.properties = options.properties
    changeOptions.attempts = options.attempts
    var done: Rewriting?
    var oldVersion: UInt64 = 0
    let committed = try commit(options: changeOptions) { (table, files) throws(Failure) in
      oldVersion = table.version
      done = nil
      guard table.manifest.readerFeatureFlags & FeatureFlags.stableRowIDs == 0 else {
        throw Failure(.unsupported, "table '\(name)' has stable row ids; compaction of such tables is not supported")
      }
      let plan = try CompactionPlan(table, options)
      guard !plan.groups.isEmpty else { return nil }
      var rewriting = try Rewriting(table: table, files: files, options: options)
      for group in plan.groups { try rewriting.rewrite(group) }
      try rewriting.number(changeOptions)
      done = rewriting
      return RewriteIntent(groups: rewriting.groups)
    }
    guard let committed, let done else {
      return CompactReport(
        version: oldVersion, fragmentsRemoved: 0, fragmentsAdded: 0, rows: 0, deletedRowsDropped: 0, bytesBefore: 0,
        bytesAfter: 0)
    }
    let old = done.groups.flatMap(\.old)
    let new = done.groups.flatMap(\.new)
    func bytes(_ fragments: [PBDataFragment]) -> Int {
      fragments.flatMap(\.files).reduce(0) { $0 &+ Int(clamping: $1.fileSizeBytes) }
    }
    return CompactReport(
      version: committed.version, fragmentsRemoved: old.count, fragmentsAdded: new.count, rows: done.rows,
      deletedRowsDropped: done.deletedRows, bytesBefore: bytes(old), bytesAfter: bytes(new))
  }
}
