package import Core
import LanceProto
import ObjectStore

/// What `TableLocation.cleanup` removes.
package struct CleanupOptions: Sendable {
  /// Versions are removed when the version after them was committed longer ago: so long they have been old.
  package var olderThanSeconds: Double = 14 * 86400
  /// The newest versions are kept whatever their age; at least one.
  package var keepVersions = 1
  /// Files that no version refers to are removed when they are older: a younger one may belong to a writer at work.
  package var unreferencedOlderThanSeconds: Double = 7 * 86400
  /// Whether files that only writers cut short left behind are looked for: all manifests are read for that. Else only removed
  /// versions' files are.
  package var looksForLostFiles = true
  /// Nothing is removed, only counted.
  package var dryRun = false

  package init() {}
}

/// The result of `TableLocation.cleanup`.
package struct CleanupReport: Sendable {
  package let isDryRun: Bool
  package let versionsRemoved: [UInt64]
  package let versionsKept: [UInt64]
  /// Manifests, data, deletion, index, transaction and temporary files.
  package let filesRemoved: Int
  package let bytesFreed: Int
  /// Versions old enough that were kept because they are open, in this process or (tables on a local disk) another one.
  package let inUse: [UInt64]
  /// Versions old enough that were kept because a tag or a branch names them.
  package let named: [UInt64]

  package var json: JSONValue {
    func numbers(_ versions: [UInt64]) -> JSONValue { .array(versions.map { .int(Int64(clamping: $0)) }) }
    return [
      "dry_run": .bool(isDryRun), "versions_removed": numbers(versionsRemoved), "versions_kept": numbers(versionsKept),
      "files_removed": .int(Int64(filesRemoved)), "bytes_freed": .int(Int64(bytesFreed)), "in_use": numbers(inUse),
      "named": numbers(named),
    ]
  }
}

extension TableLocation {
  /// Removes old versions, and files that no version needs any more.
  ///
  /// Never removed: the newest version, versions that a tag or a branch names, versions that are open in this process or, on a local
  /// disk, in another one of ours, and what any of them needs. Manifests go first, and durably, so that a crash leaves files without
  /// a version and no version without its files.
  /// - Throws: `DATASET_NOT_FOUND`; `CORRUPT_DATA` when a manifest is damaged, as nobody knows what it needs (`doctor` moves it
  ///   away); `INVALID_ARGUMENT`, `IO_ERROR`, `CANCELLED`.
  package func cleanup(_ options: CleanupOptions = CleanupOptions()) throws(Failure) -> CleanupReport {
    guard options.olderThanSeconds >= 0, options.unreferencedOlderThanSeconds >= 0, options.keepVersions >= 1 else {
      throw Failure(.invalidArgument, "cleanup needs ages of 0 seconds or more and keeps at least one version")
    }
    var sweep = try Sweep(self, options)
    return try sweep.run()
  }
}
