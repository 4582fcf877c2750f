package import Core
import LanceProto
import ObjectStore

/// What `TableLocation.cleanup` removes.
package struct CleanupOptions: Sendable {
  /// Versions committed longer ago are removed.
  package var olderThanSeconds: Double = 14 * 86400
  /// The newest versions are kept whatever their age; at least one.
  package var keepVersions = 1
  /// Files that no version refers to are removed when they are older: a younger one may belong to a writer at work.
  package var unreferencedOlderThanSeconds: Double = 7 * 86400
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
  /// disk, in another one of ours, and what any of them needs. Manifests go first, and durably, so that a crash leaves files without a version and no version without
  /// its files.
  /// - Throws: `DATASET_NOT_FOUND`; `CORRUPT_DATA` when a manifest is damaged, as nobody knows what it needs (`doctor` moves it
  ///   away); `INVALID_ARGUMENT`, `IO_ERROR`, `CANCELLED`.
  package func cleanup(_ options: CleanupOptions = CleanupOptions()) throws(Failure) -> CleanupReport {
    guard options.olderThanSeconds >= 0, options.unreferencedOlderThanSeconds >= 0, options.keepVersions >= 1 else {
      throw Failure(.invalidArgument, "cleanup needs ages of 0 seconds or more and keeps at least one version")
    }
    return try Sweep(self, options).run()
  }
}

/// One run of `cleanup`.
private struct Sweep {
  private let location: TableLocation
  private let options: CleanupOptions
  private let now = Instant.now.timeInterval
  private let listing: VersionListing
  private var files: [UInt64: ManifestFile] = [:]
  private var removedBytes = 0
  private var removedFiles = 0

  init(_ location: TableLocation, _ options: CleanupOptions) throws(Failure) {
    self.location = location
    self.options = options
    listing = try VersionListing(location)
    guard !listing.versions.isEmpty else {
      throw Failure(.datasetNotFound, "there is no table at '\(location.folder)' in \(location.store.name)")
    }
    try read(listing.versions)
  }

  private mutating func read(_ versions: [UInt64]) throws(Failure) {
    for version in versions where files[version] == nil {
      try Cancellation.check()
      do throws(Failure) { files[version] = try location.manifest(version, listing.naming) } catch {
        guard error.code == .corruptData else { throw error }
        throw Failure(
          .corruptData, "\(error.message); nothing is cleaned up before doctor has moved it away", details: error.details)
      }
    }
  }

  func run() throws(Failure) -> CleanupReport {
    var sweep = self
    return try sweep.sweep()
  }

  private mutating func sweep() throws(Failure) -> CleanupReport {
    var removed: [UInt64] = []
    var inUse: [UInt64] = []
    var named: [UInt64] = []
    let names = try namedVersions()
    for version in listing.versions.dropLast(options.keepVersions) {
      guard let file = files[version], let committed = try time(of: version, file), now - committed >= options.olderThanSeconds
      else { continue }
      if names.contains(version) {
        named.append(version)
      } else if OpenVersion.contains(file.manifest, location.manifestPath(version, listing.naming), in: location.store) {
        inUse.append(version)
      } else {
        removed.append(version)
      }
    }
    var orphaned: Set<String> = []
    for version in removed {
      guard let file = files[version] else { continue }
      orphaned.formUnion(try needs(of: file))
      try remove(location.manifestPath(version, listing.naming))
    }
    var kept = Set(listing.versions).subtracting(removed)
    if !options.dryRun, !removed.isEmpty {
      // A write into the folder makes the removals in it durable before a file goes that the removed versions need.
      if let latest = listing.latest {
        let hint = Array("{\"version\":\(latest)}".utf8)
        try location.store.put(location.path("\(TableLocation.versions)/latest_version_hint.json"), hint)
      }
      // Versions that came meanwhile may need what a removed one needed.
      let after = try VersionListing(location).versions
      try read(after)
      kept.formUnion(after)
    }
    var needed: Set<String> = []
    for version in kept { if let file = files[version] { needed.formUnion(try needs(of: file)) } }
    for folder in [TableLocation.data, TableLocation.deletions, TableLocation.indices, TableLocation.transactions] {
      for object in try location.store.list(location.path(folder), recursive: true) {
        try Cancellation.check()
        if needed.contains(object.path) || needed.contains(owner(of: object.path)) { continue }
        let age = now - object.modified.timeInterval
        guard orphaned.contains(object.path) || age >= options.unreferencedOlderThanSeconds else { continue }
        try remove(object.path, size: object.size)
      }
    }
    for object in try location.store.list(location.path(TableLocation.versions), recursive: false)
    where !object.isFolder && TableLocation.isLeftover(object.name) {
      guard now - object.modified.timeInterval >= options.unreferencedOlderThanSeconds else { continue }
      try remove(object.path, size: object.size)
    }
    return CleanupReport(
      isDryRun: options.dryRun, versionsRemoved: removed, versionsKept: kept.sorted(), filesRemoved: removedFiles,
      bytesFreed: removedBytes, inUse: inUse, named: named)
  }

  private mutating func remove(_ path: String, size: Int? = nil) throws(Failure) {
    let bytes: Int
    if let size { bytes = size } else { bytes = try location.store.head(path)?.size ?? 0 }
    if !options.dryRun { try location.store.delete(path) }
    removedFiles += 1
    removedBytes += bytes
  }

  /// Seconds since 1970 of the commit; of the file when the manifest does not say.
  private func time(of version: UInt64, _ file: ManifestFile) throws(Failure) -> Double? {
    if let committed = file.manifest.committed { return committed.timeInterval }
    return try location.store.head(location.manifestPath(version, listing.naming))?.modified.timeInterval
  }

  /// Versions that tags name and that branches begin at.
  private func namedVersions() throws(Failure) -> Set<UInt64> {
    Set(try location.tagList().map(\.version)).union(try location.branchList().map(\.parentVersion))
  }

  /// The paths that a version needs besides its manifest.
  private func needs(of file: ManifestFile) throws(Failure) -> Set<String> {
    var paths = Set(try location.references(of: file).map(\.path))
    for fragment in file.manifest.fragments {
      for external in [fragment.externalRowIds, fragment.externalLastUpdatedAtVersions, fragment.externalCreatedAtVersions] {
        if !external.path.isEmpty { paths.insert(location.path("\(TableLocation.data)/\(external.path)")) }
      }
    }
    if !file.manifest.transactionFile.isEmpty {
      paths.insert(location.path("\(TableLocation.transactions)/\(file.manifest.transactionFile)"))
    }
    return paths
  }

  /// The data file that a file beside it belongs to: `data/x/1.blob` to `data/x.lance`.
  private func owner(of path: String) -> String { ObjectPath.folder(path) + ".lance" }
}
