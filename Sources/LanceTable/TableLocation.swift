package import Core
import LanceProto
package import ObjectStore
import SwiftProtobuf

/// Where a table lies: a folder of a store. All paths of the format are relative to that folder.
///
///     data/<stem>.lance                          data files, never changed
///     _versions/<2^64-1-version>.manifest        one per version (ManifestNaming)
///     _versions/latest_version_hint.json         {"version":N}, may be stale or absent
///     _transactions/<read version>-<uuid>.txn    what each commit did
///     _deletions/<fragment>-<version>-<id>.bin   deleted rows (.arrow: the same as an Arrow file)
///     _indices/<uuid>/...                        indices
///     _refs/tags/<name>.json                     names of versions
package struct TableLocation: Sendable {
  package let store: any ObjectStore
  /// Relative to the store's root; `""` when the root itself is the table.
  package let folder: String
  /// Other folders that the opened version keeps files in.
  let bases: BasePaths

  package init(_ store: any ObjectStore, _ folder: String) { self.init(store, folder, .none) }

  private init(_ store: any ObjectStore, _ folder: String, _ bases: BasePaths) {
    self.store = store
    self.folder = folder
    self.bases = bases
  }

  /// The same place, where files of the version `manifest` are found.
  func following(_ manifest: PBManifest) -> TableLocation {
    manifest.basePaths.isEmpty ? self : TableLocation(store, folder, BasePaths(manifest, in: store))
  }

  /// The table's name in messages: the folder's name without `.lance`.
  package var name: String {
    let last = ObjectPath.name(folder.isEmpty ? store.name : folder)
    return last.hasSuffix(".lance") ? String(last.dropLast(6)) : last
  }

  package func path(_ relative: String) -> String { ObjectPath.join(folder, relative) }

  package static let versions = "_versions"
  package static let transactions = "_transactions"
  package static let data = "data"
  package static let deletions = "_deletions"
  package static let tags = "_refs/tags"
  package static let branches = "_refs/branches"
}

/// The manifests found in `_versions/`, oldest first.
package struct VersionListing: Sendable {
  package let naming: ManifestNaming
  package let versions: [UInt64]

  package var latest: UInt64? { versions.last }

  /// - Throws: `CORRUPT_DATA` when both naming schemes are in use.
  package init(_ location: TableLocation) throws(Failure) {
    var found: [ManifestNaming: [UInt64]] = [:]
    for object in try location.store.list(location.path(TableLocation.versions), recursive: false) where !object.isFolder {
      if let (scheme, version) = ManifestNaming.parse(object.name) { found[scheme, default: []].append(version) }
    }
    guard found.count < 2 else {
      throw Failure(
        .corruptData, "table '\(location.name)' has manifests of both naming schemes in \(TableLocation.versions)",
        place: location.folder)
    }
    naming = found.keys.first ?? .v2
    versions = found.values.first?.sorted() ?? []
  }
}

extension TableLocation {
  /// Where the manifest of `version` lies in the store.
  func manifestPath(_ version: UInt64, _ naming: ManifestNaming) -> String {
    path("\(TableLocation.versions)/\(naming.name(of: version))")
  }

  /// Reads the manifest of `version`.
  /// - Throws: `VERSION_NOT_FOUND`, `CORRUPT_DATA`.
  package func manifest(_ version: UInt64, _ naming: ManifestNaming) throws(Failure) -> ManifestFile {
    let path = manifestPath(version, naming)
    let buffer: Buffer
    do throws(Failure) { buffer = try store.read(path) } catch {
      guard error.code == .fileNotFound else { throw error }
      throw Failure(.versionNotFound, "table '\(name)' has no version \(version)")
    }
    let what = "table '\(name)': manifest '\(path)' of version \(version)"
    let file = try buffer.withBytes { bytes throws(Failure) in try ManifestFile(bytes, what: what) }
    guard file.manifest.version == version else {
      throw Failure(.corruptData, "\(what) is damaged: it says version \(file.manifest.version)")
    }
    return file
  }

  /// The transaction of a version: from the manifest file, else from the file that the manifest names; nil when neither is
  /// there or readable.
  func transaction(of file: ManifestFile) -> PBTransaction? {
    if let transaction = file.transaction { return transaction }
    let name = file.manifest.transactionFile
    guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "/")) else { return nil }
    guard let buffer = try? store.read(path("\(TableLocation.transactions)/\(name)")) else { return nil }
    return try? PBTransaction(serializedBytes: buffer.array())
  }
}
