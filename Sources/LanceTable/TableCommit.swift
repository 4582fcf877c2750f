import Core
import LanceProto
import ObjectStore
import SwiftProtobuf

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a commit is about to do to a table.
enum CommitIntent {
  /// Adds fragments, whose data has the fields `fields`.
  case append(fragments: [PBDataFragment], fields: [PBField])
  /// Replaces everything; creates the table when there is none.
  case overwrite(fragments: [PBDataFragment], content: TableContent)

  var name: String {
    switch self {
    case .append: "append"
    case .overwrite: "overwrite"
    }
  }
}

/// The parts of a manifest that an overwrite sets anew.
struct TableContent {
  var fields: [PBField]
  /// The schema's metadata, as a manifest holds it.
  var carrier: PBManifest
  /// `2.0`, `2.1` or `2.2`.
  var fileVersion: String
}

/// One commit: derive a manifest from the newest one, write the transaction, publish the manifest under the next
/// version's name if nobody was faster, else check what the others did and try again on top of it.
///
/// Order on disk: data files (durable already), transaction file, manifest, hint. A crash leaves either the old version
/// and some unreferenced files, or the new version with everything in it.
struct TableCommit {
  let location: TableLocation
  let properties: [String: String]
  static let attempts = 20

  /// - Parameters:
  ///   - intent: what to do.
  ///   - readVersion: the version that the writer looked at; nil when there must be no table yet.
  /// - Returns: the new version's manifest.
  /// - Throws: `VERSION_CONFLICT`, `ALREADY_EXISTS`, `UNSUPPORTED`; after another error of the store the outcome of the
  ///   last step is not known.
  func run(_ intent: CommitIntent, readVersion: UInt64?) throws(Failure) -> (ManifestFile, ManifestNaming) {
    for attempt in 0..<TableCommit.attempts {
      try Cancellation.check()
      if attempt > 0 { TableCommit.backOff(attempt) }
      let listing = try VersionListing(location)
      let newest: ManifestFile?
      if let latest = listing.latest {
        guard let readVersion else {
          throw Failure(.alreadyExists, "table '\(location.name)' exists already (version \(latest))")
        }
        newest = try location.manifest(latest, listing.naming)
        try checkConflicts(intent, since: readVersion, listing)
      } else {
        guard readVersion == nil else {
          throw Failure(.versionConflict, "table '\(location.name)' was deleted while the \(intent.name) was written")
        }
        newest = nil
      }
      if let newest { try FeatureFlags.checkWritable(newest.manifest, table: location.name) }
      let file = try derive(intent, from: newest)
      let transactionPath = location.path("\(TableLocation.transactions)/\(file.manifest.transactionFile)")
      if let transaction = file.transaction { try location.store.put(transactionPath, try Protobuf.bytes(transaction)) }
      let name = listing.naming.name(of: file.manifest.version)
      let manifestPath = location.path("\(TableLocation.versions)/\(name)")
      switch try location.store.putIfAbsent(manifestPath, try file.encoded()) {
      case .written:
        // Readers list the folder; the hint only saves others a few requests, so its failure is no failure.
        let hint = Array("{\"version\":\(file.manifest.version)}".utf8)
        try? location.store.put(location.path("\(TableLocation.versions)/latest_version_hint.json"), hint)
        return (file, listing.naming)
      case .alreadyExists:
        try? location.store.delete(transactionPath)
      }
    }
    throw Failure(
      .versionConflict,
      "table '\(location.name)': the \(intent.name) was overtaken by other writers \(TableCommit.attempts) times; try again later"
    )
  }

  /// Sleeps a random time of up to 2^attempt ms, at most 200 ms.
  private static func backOff(_ attempt: Int) {
    usleep(UInt32.random(in: 500...UInt32(1000 * min(200, 1 << min(attempt, 8)))))
  }

  // MARK: conflicts

  /// Looks at what every version after `readVersion` did (table in shared/design/lance.md, part 16).
  private func checkConflicts(_ intent: CommitIntent, since readVersion: UInt64, _ listing: VersionListing) throws(Failure) {
    for version in listing.versions where version > readVersion {
      let file = try location.manifest(version, listing.naming)
      func conflict(_ why: String) -> Failure {
        Failure(
          .versionConflict,
          "table '\(location.name)': the \(intent.name) that began on version \(readVersion) conflicts with version \(version): \(why)",
          details: ["read_version": .int(Int64(clamping: readVersion)), "version": .int(Int64(clamping: version))])
      }
      guard let transaction = location.transaction(of: file) else {
        throw conflict("it does not say what it changed (no transaction)")
      }
      guard case .append(_, let fields) = intent else {
        // An overwrite replaces whatever the others did; only an operation that we don't know could demand more.
        if transaction.operation == nil { throw conflict("its operation is not known here") }
        continue
      }
      switch transaction.operation {
      case .append, .delete, .createIndex, .rewrite, .reserveFragments, .update, .project, .updateConfig, .dataReplacement,
        .updateBases:
        continue
      case .merge:
        // Columns added later read as null in our rows. A column that got a new id (a cast) would lose our values.
        let now = file.manifest.fields
        for field in fields where !now.contains(where: { $0.id == field.id }) {
          throw conflict("it changed column '\(field.name)'")
        }
        for field in now where field.parentID == -1 && !field.nullable && !fields.contains(where: { $0.id == field.id }) {
          throw conflict("it added column '\(field.name)', which does not allow nulls")
        }
      case .overwrite: throw conflict("it replaced the table")
      case .restore(let restore): throw conflict("it restored version \(restore.version)")
      case .clone: throw conflict("it cloned another table")
      case nil: throw conflict("its operation is not known here")
      }
    }
  }

  // MARK: the new manifest

  /// The next version: everything of the newest one kept (unknown fields too), with the intent's change.
  func derive(_ intent: CommitIntent, from newest: ManifestFile?) throws(Failure) -> ManifestFile {
    var manifest = newest?.manifest ?? PBManifest()
    let readVersion = manifest.version
    let (version, overflow) = readVersion.addingReportingOverflow(1)
    guard !overflow, version < UInt64.max else { throw Failure(.corruptData, "table '\(location.name)' has no next version") }
    manifest.version = version
    manifest.versionAuxData = 0
    manifest.tag = ""
    let now = Instant.now
    manifest.timestamp.seconds = now.seconds
    manifest.timestamp.nanos = now.nanoseconds
    manifest.writerVersion = PBWriterVersion()
    manifest.writerVersion.library = "moonlake"
    manifest.writerVersion.version = "0.1.0"

    var transaction = PBTransaction()
    transaction.readVersion = readVersion
    transaction.uuid = randomUUID()
    transaction.properties = properties
    var indexSection = newest?.indexSection
    switch intent {
    case .append(let fragments, _):
      transaction.append.fragments = fragments
      manifest.fragments += try number(fragments, in: &manifest)
    case .overwrite(let fragments, let content):
      transaction.overwrite.fragments = fragments
      transaction.overwrite.schema = content.fields
      transaction.overwrite.schemaMetadata = content.carrier.schemaMetadata
      manifest.fields = content.fields
      manifest.schemaMetadata = content.carrier.schemaMetadata
      manifest.dataFormat.fileFormat = "lance"
      manifest.dataFormat.version = content.fileVersion
      manifest.readerFeatureFlags &= ~FeatureFlags.mixedFileVersions
      manifest.writerFeatureFlags &= ~FeatureFlags.mixedFileVersions
      if manifest.hasMaxAllocatedFieldID {
        manifest.maxAllocatedFieldID = max(manifest.maxAllocatedFieldID, content.fields.map(\.id).max() ?? -1)
      }
      manifest.fragments = try number(fragments, in: &manifest)
      indexSection = nil
    }
    FeatureFlags.refresh(&manifest)
    manifest.transactionFile = "\(readVersion)-\(transaction.uuid).txn"
    return ManifestFile(manifest: manifest, indexSection: indexSection, transaction: transaction)
  }

  /// The fragments with ids after the highest one ever used, and with row ids where the table has stable ones.
  private func number(_ fragments: [PBDataFragment], in manifest: inout PBManifest) throws(Failure) -> [PBDataFragment] {
    let known = manifest.fragments.map(\.id).max()
    var next = max(manifest.hasMaxFragmentID ? UInt64(manifest.maxFragmentID) + 1 : 0, known.map { $0 &+ 1 } ?? 0)
    var numbered: [PBDataFragment] = []
    for var fragment in fragments {
      guard let id = UInt32(exactly: next) else {
        throw Failure(.unsupported, "table '\(location.name)' has used all of its 2^32 fragment ids")
      }
      fragment.id = next
      manifest.maxFragmentID = id
      next += 1
      if manifest.readerFeatureFlags & FeatureFlags.stableRowIDs != 0 {
        let (end, overflow) = manifest.nextRowID.addingReportingOverflow(fragment.physicalRows)
        guard !overflow else { throw Failure(.corruptData, "table '\(location.name)' has no row ids left") }
        var segment = PBU64Segment()
        segment.range.start = manifest.nextRowID
        segment.range.end = end
        var sequence = PBRowIdSequence()
        sequence.segments = [segment]
        do { fragment.inlineRowIds = try sequence.serializedData() } catch {
          throw Failure(.internalError, "row ids cannot be serialized: \(error)")
        }
        manifest.nextRowID = end
      }
      numbered.append(fragment)
    }
    return numbered
  }
}
