import Core
import LanceProto
import ObjectStore

/// One run of `cleanup`. First all is read and decided, then versions are removed, then their files.
///
/// Others may write, tag, restore, delete the table and make another one of its name meanwhile. So each manifest is looked at
/// again when it is removed, while nobody can open it; and what newer versions need is asked once more before the first file goes.
struct Sweep {
  private let location: TableLocation
  private let options: CleanupOptions
  private let now = Instant.now.timeInterval
  private let listing: VersionListing
  private let latest: ManifestFile
  /// What the versions to remove need.
  private var orphaned: Set<String> = []
  /// Files that may go, by path, and the paths of those that go with a data file (`data/x/1.blob` with `data/x.lance`).
  private var candidates: [String: ObjectInfo] = [:]
  private var followers: [String: [String]] = [:]
  private var filesRemoved = 0
  private var bytesFreed = 0

  init(_ location: TableLocation, _ options: CleanupOptions) throws(Failure) {
    self.location = location
    self.options = options
    listing = try VersionListing(location)
    guard let latest = location.living(listing) else {
      throw Failure(.datasetNotFound, "there is no table at '\(location.folder)' in \(location.store.name)")
    }
    self.latest = try Sweep.read(latest, listing.naming, location)
    guard !self.latest.manifest.hasBranch else {
      throw Failure(
        .unsupported, "table '\(location.name)' is a branch; a branch is not cleaned up, as its names are kept elsewhere")
    }
  }

  mutating func run() throws(Failure) -> CleanupReport {
    var (removable, inUse, named) = try choose()
    try findCandidates(removed: Set(removable.map(\.version)))
    var gone: [UInt64] = []
    for key in removable {
      switch try options.dryRun ? .removed(bytes: size(of: key.version)) : remove(key) {
      case .removed(let bytes):
        gone.append(key.version)
        filesRemoved += 1
        bytesFreed += bytes
        continue
      case .inUse: inUse.append(key.version)
      case .named: named.append(key.version)
      }
      if let file = try read(key.version) { keep(try needs(of: file)) }
    }
    let kept = try keepNewer(removed: gone)
    for (path, object) in candidates.sorted(by: { $0.key < $1.key }) {
      try Cancellation.check()
      filesRemoved += 1
      bytesFreed += object.size
      if !options.dryRun { try location.store.delete(path) }
    }
    return CleanupReport(
      isDryRun: options.dryRun, versionsRemoved: gone, versionsKept: kept, filesRemoved: filesRemoved, bytesFreed: bytesFreed,
      inUse: inUse.sorted(), named: named.sorted())
  }

  // MARK: versions

  /// The versions that are old enough, oldest first, by what may become of them.
  private mutating func choose() throws(Failure) -> (removable: [OpenVersion.Key], inUse: [UInt64], named: [UInt64]) {
    var (removable, inUse, named): ([OpenVersion.Key], [UInt64], [UInt64]) = ([], [], [])
    let names = try namedVersions()
    var next: ManifestFile?
    for (i, version) in listing.versions.dropLast(options.keepVersions).enumerated() {
      var current = next
      if current == nil { current = try read(version) }
      guard let file = current else { continue }
      next = try read(listing.versions[i + 1])
      // A later version was not old for longer.
      guard let next, now - (try time(of: next)) >= options.olderThanSeconds else { break }
      if names.contains(version) {
        named.append(version)
        continue
      }
      let key = OpenVersion.Key(file.manifest)
      var isOpen = OpenVersion.contains(key)
      if !isOpen { isOpen = try location.store.isHeld(path(of: version)) }
      if isOpen {
        inUse.append(version)
      } else {
        removable.append(key)
        orphaned.formUnion(try needs(of: file))
      }
    }
    return (removable, inUse, named)
  }

  private enum Removal { case removed(bytes: Int), inUse, named }

  private func remove(_ key: OpenVersion.Key) throws(Failure) -> Removal {
    try Cancellation.check()
    let bytes = try size(of: key.version)
    var stays: Removal?
    let gone = Failure(.versionNotFound, "version \(key.version) is gone")
    do throws(Failure) {
      let isRemoved = try location.store.deleteUnheld(path(of: key.version)) { () throws(Failure) in
        if try namedVersions().contains(key.version) { stays = .named }
        // Gone by somebody else's doing: what has become of the table is asked afterwards.
        guard stays == nil, let found = try read(key.version) else { throw gone }
        guard OpenVersion.Key(found.manifest) == key else { throw isAnother }
        if OpenVersion.contains(key) {
          stays = .inUse
          throw gone
        }
      }
      return isRemoved ? .removed(bytes: bytes) : .inUse
    } catch {
      if let stays { return stays }
      if error.code == gone.code { return .removed(bytes: 0) }
      throw error
    }
  }

  /// Seconds since 1970 of the commit; of the file when the manifest does not say, or says a time to come.
  private func time(of file: ManifestFile) throws(Failure) -> Double {
    if let committed = file.manifest.committed?.timeInterval, committed <= now { return committed }
    return try location.store.head(path(of: file.manifest.version))?.modified.timeInterval ?? .infinity
  }

  /// Versions that tags name and that branches begin at.
  private func namedVersions() throws(Failure) -> Set<UInt64> {
    Set(try location.tagList().map(\.version)).union(try location.branchList().map(\.parentVersion))
  }

  private func path(of version: UInt64) -> String { location.manifestPath(version, listing.naming) }
  private func size(of version: UInt64) throws(Failure) -> Int { try location.store.head(path(of: version))?.size ?? 0 }

  private var isAnother: Failure {
    Failure(.versionConflict, "table '\(location.name)' was deleted and made anew while it was cleaned up")
  }

  /// nil when it is gone.
  private func read(_ version: UInt64) throws(Failure) -> ManifestFile? {
    try Cancellation.check()
    do throws(Failure) { return try Sweep.read(version, listing.naming, location) } catch {
      guard error.code == .versionNotFound else { throw error }
      return nil
    }
  }

  private static func read(_ version: UInt64, _ naming: ManifestNaming, _ location: TableLocation) throws(Failure)
    -> ManifestFile
  {
    do throws(Failure) {
      let file = try location.manifest(version, naming)
      try FeatureFlags.checkKnown(file.manifest, table: location.name)
      return file
    } catch {
      guard error.code == .corruptData else { throw error }
      throw Failure(
        .corruptData, "\(error.message); nothing is cleaned up before doctor has moved it away", details: error.details)
    }
  }

  // MARK: files

  /// Files of `removed` versions and, when asked for, of nobody, that no version that stays needs.
  private mutating func findCandidates(removed: Set<UInt64>) throws(Failure) {
    guard !removed.isEmpty || options.looksForLostFiles else { return }
    func isOld(_ object: ObjectInfo) -> Bool {
      options.looksForLostFiles && now - object.modified.timeInterval >= options.unreferencedOlderThanSeconds
    }
    for folder in [TableLocation.data, TableLocation.deletions, TableLocation.indices, TableLocation.transactions] {
      for object in try location.store.list(location.path(folder), recursive: true) {
        let owner = owner(of: object.path)
        guard orphaned.contains(object.path) || orphaned.contains(owner) || isOld(object) else { continue }
        candidates[object.path] = object
        followers[owner, default: []].append(object.path)
      }
    }
    // Newest first: they need most of what there is, and often nothing is left to look for.
    for version in listing.versions.reversed() where !removed.contains(version) && !candidates.isEmpty {
      if let file = try read(version) { keep(try needs(of: file)) }
    }
    for object in try location.store.list(location.path(TableLocation.versions), recursive: false)
    where !object.isFolder && TableLocation.isLeftover(object.name) && isOld(object) {
      candidates[object.path] = object
    }
  }

  private mutating func keep(_ paths: Set<String>) {
    for path in paths {
      candidates[path] = nil
      for follower in followers[path] ?? [] { candidates[follower] = nil }
    }
  }

  /// Makes the removals durable and keeps what versions need that came meanwhile.
  /// - Returns: the versions that are there.
  private mutating func keepNewer(removed: [UInt64]) throws(Failure) -> [UInt64] {
    if options.dryRun || candidates.isEmpty && removed.isEmpty {
      let gone = Set(removed)
      return listing.versions.filter { !gone.contains($0) }
    }
    let after = try VersionListing(location)
    guard let newest = location.living(after), after.naming == listing.naming else { throw isAnother }
    if !removed.isEmpty {
      // A write into the folder makes the removals in it durable before a file goes that the removed versions need.
      let hint = Array("{\"version\":\(newest)}".utf8)
      try location.store.put(location.path("\(TableLocation.versions)/latest_version_hint.json"), hint)
    }
    let known = Set(listing.versions)
    for version in after.versions where !known.contains(version) {
      if let file = try read(version) { keep(try needs(of: file)) }
    }
    guard let file = try read(newest),
      try !location.isAnother(file, after.naming, than: latest.manifest.version, latest.manifest.transactionFile)
    else { throw isAnother }
    return after.versions
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

  private func owner(of path: String) -> String { ObjectPath.folder(path) + ".lance" }
}
