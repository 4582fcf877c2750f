package import Core
import LanceProto
import ObjectStore

/// What an operation did to a table.
package struct ChangeReport: Sendable, Hashable {
  /// The version that is newest afterwards: a new one, or the one that was read when there was nothing to do.
  package let version: UInt64
  /// Rows that are new.
  package let inserted: Int
  /// Rows that have other values.
  package let updated: Int
  /// Rows that are gone.
  package let deleted: Int
  /// False when no version was made.
  package let isChanged: Bool

  package init(version: UInt64, inserted: Int = 0, updated: Int = 0, deleted: Int = 0, isChanged: Bool = true) {
    self.version = version
    self.inserted = inserted
    self.updated = updated
    self.deleted = deleted
    self.isChanged = isChanged
  }

  package var json: JSONValue {
    [
      "version": .int(Int64(clamping: version)), "inserted": .int(Int64(inserted)), "updated": .int(Int64(updated)),
      "deleted": .int(Int64(deleted)), "changed": .bool(isChanged),
    ]
  }
}

/// What every operation on a table takes besides its own arguments.
package struct ChangeOptions: Sendable {
  /// Kept in the commit's transaction: who did it and why.
  package var properties: [String: String] = [:]
  /// The operation takes place only on this version: when another one is the newest, it fails with `VERSION_CONFLICT`.
  package var ifVersion: UInt64?
  /// Rows of one data file that is written, and so of one fragment.
  package var maxRowsPerFile = 1 << 20
  /// How often an operation is computed anew because others changed what it was computed from.
  package var attempts = 10

  package init() {}
}

/// The files that an operation has written and nothing refers to yet.
package final class NewFiles {
  private let store: any ObjectStore
  private var paths: [String] = []

  init(_ store: any ObjectStore) { self.store = store }

  /// - Parameter path: in the store.
  package func add(_ path: String) { paths.append(path) }

  func removeAll() {
    for path in paths { try? store.delete(path) }
    paths = []
  }
}

extension TableLocation {
  /// Opens the newest version, lets `work` compute a change of it, and commits.
  ///
  /// When others changed what it was computed from, the files of the attempt are removed and `work` runs again on the version
  /// that is newest then, at most `options.attempts` times.
  /// - Parameter work: answers nil when there is nothing to do; names the files it writes to `NewFiles`.
  /// - Returns: the new version; nil when there was nothing to do.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_CONFLICT`, `UNSUPPORTED`, `CANCELLED`, `IO_ERROR`, and what `work` throws.
  package func commit(
    options: ChangeOptions, _ work: (LanceTable, NewFiles) throws(Failure) -> (any CommitIntent)?
  ) throws(Failure) -> LanceTable? {
    let commit = TableCommit(location: self, properties: options.properties)
    var last: Failure?
    for attempt in 0..<max(1, options.attempts) {
      try Cancellation.check()
      if attempt > 0 { TableCommit.backOff(attempt) }
      let table = try LanceTable(self)
      if let wanted = options.ifVersion, table.version != wanted {
        throw TableCommit.isNot(wanted, self, newest: table.version)
      }
      try FeatureFlags.checkWritable(table.manifest, table: name)
      let files = NewFiles(store)
      let outcome: TableCommit.Outcome
      do throws(Failure) {
        guard let intent = try work(table, files) else {
          files.removeAll()
          return nil
        }
        outcome = try commit.run(
          intent, readVersion: table.version, commitName: table.commitName, exactly: options.ifVersion != nil)
      } catch {
        if TableCommit.isUndone(error) { files.removeAll() }
        throw error
      }
      switch outcome {
      case .published(let file, let naming): return try LanceTable(location: self, file: file, naming: naming)
      case .retry(let why):
        files.removeAll()
        last = why
      }
    }
    var failure = last ?? Failure(.versionConflict, "table '\(name)' was changed by others")
    failure.message += "; given up after \(max(1, options.attempts)) attempts, try again later"
    throw failure
  }
}
