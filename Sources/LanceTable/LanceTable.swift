package import Columnar
package import Core
package import LanceProto
import ObjectStore
import Synchronization

// Room LanceTable: tables of the Lance format (docs/formats/lance-table.md) on any object store.
//
//   LanceTable          one version of a table: schema, fragments, reading
//   LanceTable.write    create, append, overwrite
//   TableLocation       versions, tags, manifests of a table that is not opened
//   Operations/         what changes a table: rows, columns, versions, tags, branches; what differs between versions
//   Commit/             publishing a version: an intent per kind of transaction, conflicts, retries
//
//   ManifestFile, ManifestNaming, FeatureFlags, TableField, LogicalType      what a manifest holds
//   RoaringBitmap, ArrowDeletions, DeletionVector                            deleted rows

/// One version of a table, fixed when it is opened: what other writers commit later is not seen.
///
/// May be used by several threads. Columns are top-level fields; rows are counted without the deleted ones.
package final class LanceTable: Sendable {
  package let location: TableLocation
  package let file: ManifestFile
  package let naming: ManifestNaming
  package let schema: Schema
  package let fields: [TableField]
  package let fragments: [TableFragment]
  /// `2.0`, `2.1` or `2.2`.
  package let fileVersion: String

  package var manifest: PBManifest { file.manifest }
  package var version: UInt64 { file.manifest.version }
  package var name: String { location.name }
  /// When this version was committed; nil when the manifest does not say.
  package var time: Instant? { file.manifest.committed }
  /// The name of this version's transaction, different for every commit of any table; empty when the manifest names none.
  package var commitName: String { file.manifest.transactionFile }
  /// The table's settings (`lance.auto_cleanup.interval`, ...).
  package var config: [String: String] { file.manifest.config }

  /// A version that was just committed.
  convenience init(location: TableLocation, file: ManifestFile, naming: ManifestNaming) throws(Failure) {
    let hold = location.store.hold(location.manifestPath(file.manifest.version, naming))
    try self.init(location: location, file: file, naming: naming, pin: OpenVersion(file.manifest, hold))
  }

  private init(location: TableLocation, file: ManifestFile, naming: ManifestNaming, pin: OpenVersion) throws(Failure) {
    self.pin = pin
    let manifest = file.manifest
    let name = location.name
    try FeatureFlags.checkReadable(manifest, table: name)
    let location = location.following(manifest)
    self.location = location
    self.file = file
    self.naming = naming
    fields = try TableField.columns(manifest.fields, table: name)
    schema = Schema(fields.map(\.field), metadata: Metadata.texts(manifest.schemaMetadata))
    do throws(Failure) { try schema.validate() } catch {
      throw Failure(.corruptData, "table '\(name)' version \(manifest.version): \(error.message)")
    }
    fileVersion = try LanceTable.fileVersion(manifest, table: name)
    var fragments: [TableFragment] = []
    var ids: Set<UInt64> = []
    for (position, fragment) in manifest.fragments.enumerated() {
      guard ids.insert(fragment.id).inserted, fragment.id <= UInt64(UInt32.max) else {
        throw Failure(
          .corruptData, "table '\(name)' version \(manifest.version): fragment id \(fragment.id) is doubled or too large")
      }
      fragments.append(try TableFragment(fragment, position: position, fields: fields, location: location))
    }
    self.fragments = fragments
    var total = 0
    var firstRows: [Int] = []
    for fragment in fragments {
      firstRows.append(total)
      let (sum, overflow) = total.addingReportingOverflow(fragment.rowCount)
      guard !overflow else { throw Failure(.corruptData, "table '\(name)' says it has more than 2^63 rows") }
      total = sum
    }
    rowCount = total
    self.firstRows = firstRows
  }

  /// Opens a version of the table at `location`.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_NOT_FOUND`, `UNSUPPORTED`; `CORRUPT_DATA` when its manifest is damaged, naming the
  ///   file and the last good version.
  package convenience init(_ location: TableLocation, version: TableVersion = .latest) throws(Failure) {
    var (number, naming) = try location.resolve(version)
    var file: ManifestFile
    var pin: OpenVersion
    do throws(Failure) {
      do throws(Failure) { (file, pin) = try location.hold(number, naming) } catch {
        // Deleted or cleaned up since it was listed: another look says what has become of it.
        guard error.code == .versionNotFound else { throw error }
        (number, naming) = try location.resolve(version)
        (file, pin) = try location.hold(number, naming)
      }
    } catch {
      guard error.code == .corruptData else { throw error }
      var damaged = error
      if let good = location.lastGoodVersion(before: number, naming) {
        damaged.message += "; the last good version is \(good)"
        damaged.details["last_good_version"] = .int(Int64(clamping: good))
      } else {
        damaged.message += "; no older version is good"
      }
      throw damaged
    }
    try self.init(location: location, file: file, naming: naming, pin: pin)
  }

  /// True when there is a table (at least one manifest) at `location`.
  package static func exists(_ location: TableLocation) throws(Failure) -> Bool {
    location.living(try VersionListing(location)) != nil
  }

  /// Rows that are not deleted. Known from the manifest; no data is read.
  package let rowCount: Int

  /// The position of each fragment's first row.
  let firstRows: [Int]

  /// Open files and deletions, shared by all reads of this version.
  let cache = TableCache()

  /// Keeps the version's files from cleanup.
  private let pin: OpenVersion

  /// Bytes of the data files of this version (not of older versions, deletions and indices); files whose size the manifest
  /// does not say are asked from the store.
  package func byteCount() throws(Failure) -> Int {
    var total = 0
    for file in manifest.fragments.flatMap(\.files) {
      var size = Int(clamping: file.fileSizeBytes)
      if size == 0 { size = try location.store.head(try location.path(of: file))?.size ?? 0 }
      total = total.addingReportingOverflow(size).partialValue
    }
    return max(0, total)
  }

  private static func fileVersion(_ manifest: PBManifest, table: String) throws(Failure) -> String {
    var version = manifest.hasDataFormat ? manifest.dataFormat.version : ""
    if version.isEmpty {
      // Smallest manifests leave it out: the files say it.
      let first = manifest.fragments.first?.files.first
      version = first.map { "\($0.fileMajorVersion).\($0.fileMinorVersion)" } ?? "2.2"
      if version == "0.3" { version = "2.0" }
    }
    guard ["2.0", "2.1", "2.2"].contains(version) else {
      throw Failure(
        .unsupported, "table '\(table)' stores its data in Lance file version \(version); supported are 2.0, 2.1 and 2.2")
    }
    return version
  }
}

extension TableLocation {
  /// The newest version below `number` whose manifest can be read.
  func lastGoodVersion(before number: UInt64, _ naming: ManifestNaming) -> UInt64? {
    guard let listing = try? VersionListing(self) else { return nil }
    return listing.versions.reversed().first { $0 < number && (try? manifest($0, naming)) != nil }
  }
}
