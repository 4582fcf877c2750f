package import Core
import LanceProto
import ObjectStore

/// Which version of a table is meant.
package enum TableVersion: Sendable, Hashable {
  case latest
  case number(UInt64)
  case tag(String)
  /// The newest version that was committed at or before this time.
  case time(Instant)
}

/// One version of a table, as listed.
package struct VersionInfo: Sendable, Hashable {
  package let version: UInt64
  /// When it was committed; nil when the manifest does not say.
  package let time: Instant?
  /// `create`, `append`, `overwrite`, `delete`, `update`, `add_columns`, `drop_columns`, `compact`, ...; nil when no
  /// transaction is there.
  package let operation: String?
  package let rowCount: Int
  package let fragments: Int
  /// Names of the tags that point to it.
  package let tags: [String]
  /// What is wrong with its manifest; the other values then say nothing.
  package let error: String?

  /// `{version, time, operation, rows, fragments, tags, error?}`.
  package var json: JSONObject {
    var object: JSONObject = [
      "version": .int(Int64(clamping: version)), "time": time.map { .string($0.description) } ?? .null,
      "operation": operation.map { .string($0) } ?? .null, "rows": .int(Int64(rowCount)), "fragments": .int(Int64(fragments)),
      "tags": .array(tags.map { .string($0) }),
    ]
    if let error { object["error"] = .string(error) }
    return object
  }
}

/// A tag: a name for a version.
package struct TagInfo: Sendable, Hashable {
  package let name: String
  package let version: UInt64

  /// `{name, version}`.
  package var json: JSONObject { ["name": .string(name), "version": .int(Int64(clamping: version))] }
}

extension TableLocation {
  /// The tags in `_refs/tags`, by name. Files that are no tags are left out.
  package func tagList() throws(Failure) -> [TagInfo] {
    var found: [TagInfo] = []
    for object in try store.list(path(TableLocation.tags), recursive: false) where object.name.hasSuffix(".json") {
      guard let bytes = try bytes(of: object), let json = try? JSONValue(parsing: bytes),
        let version = json["version"]?.intValue, version > 0
      else { continue }
      found.append(TagInfo(name: String(object.name.dropLast(5)), version: UInt64(version)))
    }
    return found
  }

  /// nil when the object is gone since it was listed.
  func bytes(of object: ObjectInfo) throws(Failure) -> [UInt8]? {
    do throws(Failure) { return try store.read(object.path).array() } catch {
      guard error.code == .fileNotFound else { throw error }
      return nil
    }
  }

  /// The number of the version that is meant, and how manifests are named.
  /// - Throws: `DATASET_NOT_FOUND` when there is no table, `VERSION_NOT_FOUND` naming what there is.
  func resolve(_ version: TableVersion) throws(Failure) -> (UInt64, ManifestNaming) {
    let listing = try VersionListing(self)
    guard let latest = living(listing), let oldest = listing.versions.first else {
      throw Failure(.datasetNotFound, "there is no table at '\(folder)' in \(store.name)")
    }
    func require(_ number: UInt64) throws(Failure) -> (UInt64, ManifestNaming) {
      guard listing.versions.contains(number) else {
        throw Failure(.versionNotFound, "table '\(name)' has no version \(number); versions are \(oldest) to \(latest)")
      }
      return (number, listing.naming)
    }
    switch version {
    case .latest: return (latest, listing.naming)
    case .number(let number): return try require(number)
    case .tag(let tag):
      let known = try tagList()
      guard let found = known.first(where: { $0.name == tag }) else {
        throw Failure(.versionNotFound, "table '\(name)' has no tag \(nearNames(tag, known: known.map(\.name), what: "tags"))")
      }
      return try require(found.version)
    case .time(let time):
      for number in listing.versions.reversed() {
        if let committed = try manifest(number, listing.naming).manifest.committed, committed <= time {
          return (number, listing.naming)
        }
      }
      throw Failure(.versionNotFound, "table '\(name)' has no version as old as \(time)")
    }
  }

  /// All versions, oldest first. A damaged manifest is listed with its error.
  package func versionList() throws(Failure) -> [VersionInfo] {
    let listing = try VersionListing(self)
    guard living(listing) != nil else {
      throw Failure(.datasetNotFound, "there is no table at '\(folder)' in \(store.name)")
    }
    let tags = try tagList()
    var list: [VersionInfo] = []
    for number in listing.versions {
      let named = tags.filter { $0.version == number }.map(\.name)
      do throws(Failure) {
        let file = try manifest(number, listing.naming)
        list.append(
          VersionInfo(
            version: number, time: file.manifest.committed, operation: transaction(of: file)?.operationName,
            rowCount: file.manifest.liveRows ?? 0, fragments: file.manifest.fragments.count, tags: named, error: nil))
      } catch {
        list.append(
          VersionInfo(
            version: number, time: nil, operation: nil, rowCount: 0, fragments: 0, tags: named, error: error.message))
      }
    }
    return list
  }
}

extension PBManifest {
  var committed: Instant? {
    hasTimestamp ? Instant(seconds: timestamp.seconds, nanoseconds: min(max(0, timestamp.nanos), 999_999_999)) : nil
  }

  /// Rows that are not deleted; nil when a fragment does not say or the numbers contradict each other.
  var liveRows: Int? {
    var total = 0
    for fragment in fragments {
      guard let rows = Int(exactly: fragment.physicalRows), rows > 0,
        let deleted = Int(exactly: fragment.hasDeletionFile ? fragment.deletionFile.numDeletedRows : 0), deleted <= rows
      else { return nil }
      let (sum, overflow) = total.addingReportingOverflow(rows - deleted)
      guard !overflow else { return nil }
      total = sum
    }
    return total
  }
}

extension PBTransaction {
  /// The operation in words, as `VersionInfo` shows it.
  package var operationName: String? {
    switch operation {
    case .append: "append"
    case .delete: "delete"
    case .overwrite: readVersion == 0 ? "create" : "overwrite"
    case .createIndex: "create_index"
    case .rewrite: "compact"
    case .merge: "add_columns"
    case .restore: "restore"
    case .reserveFragments: "reserve_fragments"
    case .update: "update"
    case .project: "drop_columns"
    case .updateConfig: "update_config"
    case .dataReplacement: "replace_data"
    case .clone: "clone"
    case .updateBases: "update_bases"
    case nil: nil
    }
  }
}
