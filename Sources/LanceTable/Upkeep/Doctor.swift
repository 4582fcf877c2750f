package import Core
import LanceProto
import ObjectStore

extension TableLocation {
  /// Looks at names, manifests and sizes, not at data bytes (`verify` does): damaged manifests, versions that are missing,
  /// missing files and wrong sizes, tags that lead nowhere, the hint, leftovers of stopped writers.
  ///
  /// With `repair`, damaged manifests move to `_quarantine/`, so that the newest version is one that opens; nothing is deleted.
  /// When no version is good, nothing is moved.
  /// - Throws: `DATASET_NOT_FOUND` when there is no manifest at all, `IO_ERROR`, `CANCELLED`.
  package func doctor(repair: Bool = false) throws(Failure) -> DoctorReport {
    var examination = try Examination(self)
    try examination.readManifests()
    if repair, examination.hasGoodManifest { try examination.quarantineDamaged() }
    try examination.checkNaming(repair: repair)
    examination.checkHoles()
    try examination.checkFiles()
    try examination.checkTags()
    try examination.checkHint(repair: repair)
    try examination.checkLeftovers()
    return examination.report
  }
}

/// The steps of `doctor`.
private struct Examination {
  private struct ManifestObject {
    let path: String
    let scheme: ManifestNaming
    let version: UInt64
    /// nil when it is damaged.
    var file: ManifestFile?
  }
  private let location: TableLocation
  /// Oldest version first.
  private var manifests: [ManifestObject] = []
  private var findings: [Finding] = []
  private var quarantined: [String] = []
  private var lastGood: UInt64?

  init(_ location: TableLocation) throws(Failure) {
    self.location = location
    for object in try location.store.list(location.path(TableLocation.versions), recursive: false) where !object.isFolder {
      guard let (scheme, version) = ManifestNaming.parse(object.name) else { continue }
      manifests.append(ManifestObject(path: object.path, scheme: scheme, version: version))
    }
    guard !manifests.isEmpty else {
      throw Failure(.datasetNotFound, "there is no table at '\(location.folder)' in \(location.store.name)")
    }
    manifests.sort { $0.version < $1.version }
  }

  var report: DoctorReport {
    DoctorReport(
      table: location.name, findings: findings, latestVersion: manifests.last?.version, lastGoodVersion: lastGood,
      quarantined: quarantined)
  }

  var hasGoodManifest: Bool { manifests.contains { $0.file != nil } }

  private mutating func note(
    _ kind: Finding.Kind, _ severity: Finding.Severity, path: String? = nil, version: UInt64? = nil, repaired: Bool = false,
    _ message: String
  ) {
    findings.append(
      Finding(kind: kind, severity: severity, path: path, version: version, message: message, isRepaired: repaired))
  }

  mutating func readManifests() throws(Failure) {
    for i in manifests.indices {
      try Cancellation.check()
      let object = manifests[i]
      do throws(Failure) {
        let file = try location.manifest(object.version, object.scheme)
        _ = try location.references(of: file)
        manifests[i].file = file
      } catch {
        guard error.code == .corruptData else { throw error }
        note(.damagedManifest, .error, path: object.path, version: object.version, error.message)
      }
    }
  }

  mutating func quarantineDamaged() throws(Failure) {
    for object in manifests where object.file == nil { try quarantine(object.path) }
    manifests.removeAll { $0.file == nil }
    findings = findings.map { finding in
      guard finding.kind == .damagedManifest else { return finding }
      return Finding(
        kind: finding.kind, severity: finding.severity, path: finding.path, version: finding.version, message: finding.message,
        isRepaired: true)
    }
  }

  /// Copies a file to `_quarantine/` and takes it away. A crash between the two leaves both, which the next repair settles.
  private mutating func quarantine(_ path: String) throws(Failure) {
    let bytes = try location.store.read(path).array()
    let folder = location.path(TableLocation.quarantine)
    let name = "\(Instant.now.seconds)-\(ObjectPath.name(path))"
    var target = ObjectPath.join(folder, name)
    var copy = 1
    while try location.store.putIfAbsent(target, bytes) == .alreadyExists {
      copy += 1
      target = ObjectPath.join(folder, "\(name).\(copy)")
    }
    try location.store.delete(path)
    quarantined.append(target)
  }

  /// Manifests of both schemes: a change of the scheme that stopped half way. The older form is copied to the newer one's name.
  mutating func checkNaming(repair: Bool) throws(Failure) {
    guard Set(manifests.map(\.scheme)).count > 1 else { return }
    let old = manifests.filter { $0.scheme == .v1 }
    let versions = old.map(\.version)
    let canRepair =
      repair && old.allSatisfy { $0.file != nil } && !manifests.contains { $0.scheme == .v2 && versions.contains($0.version) }
    if canRepair {
      for object in old {
        let name = ManifestNaming.v2.name(of: object.version)
        let target = location.path("\(TableLocation.versions)/\(name)")
        guard try location.store.putIfAbsent(target, try location.store.read(object.path).array()) == .written else {
          throw Failure(.versionConflict, "table '\(location.name)': somebody wrote '\(target)' during the repair")
        }
        try quarantine(object.path)
      }
      manifests = manifests.map { object in
        guard object.scheme == .v1 else { return object }
        let name = ManifestNaming.v2.name(of: object.version)
        return ManifestObject(
          path: location.path("\(TableLocation.versions)/\(name)"), scheme: .v2, version: object.version, file: object.file)
      }
    }
    note(
      .mixedNaming, .error, path: location.path(TableLocation.versions), repaired: canRepair,
      "manifests of both naming schemes: versions \(list(versions)) have the older form; the table cannot be opened")
  }

  mutating func checkHoles() {
    guard let first = manifests.first?.version, let last = manifests.last?.version else { return }
    var missing: [ClosedRange<UInt64>] = []
    var next = first
    for object in manifests {
      if object.version > next { missing.append(next...object.version - 1) }
      next = object.version + 1
    }
    guard !missing.isEmpty else { return }
    let text = missing.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)" }
    note(
      .versionHole, .note,
      "of versions \(first) to \(last), \(text.joined(separator: ", ")) are not there: cleaned up, moved away or lost")
  }

  /// The files of the newest version that can be read; older ones until one is complete.
  mutating func checkFiles() throws(Failure) {
    var sizes: [String: Int?] = [:]
    var isNewest = true
    for object in manifests.reversed() {
      guard let file = object.file else { continue }
      var isComplete = true
      for reference in try location.references(of: file) {
        try Cancellation.check()
        let size: Int?
        if let known = sizes[reference.path] {
          size = known
        } else {
          do throws(Failure) {
            size = try location.store.head(reference.path).flatMap { $0.isFolder ? nil : $0.size }
          } catch {
            guard error.code == .pathNotAllowed else { throw error }
            size = nil
          }
          sizes[reference.path] = .some(size)
        }
        guard let size else {
          isComplete = false
          if isNewest {
            note(
              .missingFile, .error, path: reference.path, version: object.version,
              "version \(object.version) needs '\(reference.path)', which is missing")
          }
          continue
        }
        if let expected = reference.byteCount, expected != size {
          isComplete = false
          if isNewest {
            note(
              .wrongSize, .error, path: reference.path, version: object.version,
              "'\(reference.path)' has \(size) bytes, version \(object.version) says \(expected)")
          }
        }
      }
      if isComplete {
        lastGood = object.version
        return
      }
      isNewest = false
    }
  }

  mutating func checkTags() throws(Failure) {
    let tags = try location.tagList()
    let readable = Set(manifests.filter { $0.file != nil }.map(\.version))
    for object in try location.store.list(location.path(TableLocation.tags), recursive: false)
    where object.name.hasSuffix(".json") {
      let name = String(object.name.dropLast(5))
      guard let tag = tags.first(where: { $0.name == name }) else {
        note(.unreadableTag, .warning, path: object.path, "tag '\(name)' cannot be read")
        continue
      }
      if !readable.contains(tag.version) {
        note(
          .danglingTag, .warning, path: object.path, version: tag.version,
          "tag '\(name)' names version \(tag.version), which is missing or damaged")
      }
    }
  }

  /// Other writers look for newer versions from the hint on: one that is too high hides the table from them.
  mutating func checkHint(repair: Bool) throws(Failure) {
    let path = location.path("\(TableLocation.versions)/latest_version_hint.json")
    guard let latest = manifests.last?.version, let buffer = try? location.store.read(path) else { return }
    let hint = (try? JSONValue(parsing: buffer.array()))?["version"]?.intValue
    guard hint != Int64(clamping: latest) else { return }
    let isAhead = hint.map { $0 > Int64(clamping: latest) } ?? true
    if repair { try location.store.put(path, Array("{\"version\":\(latest)}".utf8)) }
    note(
      .staleHint, isAhead ? .warning : .note, path: path, repaired: repair,
      "the hint says version \(hint.map { "\($0)" } ?? "nothing"), the newest one is \(latest)")
  }

  mutating func checkLeftovers() throws(Failure) {
    var count = 0
    var bytes = 0
    for object in try location.store.list(location.folder, recursive: true) where TableLocation.isLeftover(object.name) {
      count += 1
      bytes += object.size
    }
    guard count > 0 else { return }
    note(.leftoverFiles, .note, "\(count) temporary files (\(bytes) bytes) of writers that stopped; cleanup removes old ones")
  }

  private func list(_ versions: [UInt64]) -> String { versions.map { "\($0)" }.joined(separator: ", ") }
}

extension TableLocation {
  /// True for the temporary files that a writer of ours (`x.0123456789abcdef.tmp`) or another (`x.manifest#1`) leaves when it is stopped.
  static func isLeftover(_ name: String) -> Bool { name.hasSuffix(".tmp") || name.contains(".manifest#") }
}
