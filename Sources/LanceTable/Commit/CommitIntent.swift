package import Core
package import LanceProto
import ObjectStore
import SwiftProtobuf

/// What a commit is about to do to a table, one type per kind of transaction (lance.md, parts 14 and 16).
///
/// An intent was computed on one version. Until it is published others may commit; the intent says for each of their
/// transactions whether it still stands, and then changes the newest manifest, whatever that has become.
package protocol CommitIntent: Sendable {
  /// In messages: `delete`, `compaction`.
  var name: String { get }

  /// How this fares against a transaction that was committed after the version it was computed on.
  /// - Parameters:
  ///   - other: what they did; its operation is one that we know.
  ///   - made: the version that it made.
  func verdict(on other: PBTransaction, made: ManifestFile) throws(Failure) -> CommitVerdict

  /// Changes `draft`, the newest manifest made ready for the next version, and sets the operation that others will read.
  /// - Returns: `.fits`; `.retry` or `.conflict` when the newest version shows that it does not.
  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict
}

/// Whether an intent stands after what another writer did.
package enum CommitVerdict: Sendable, Hashable {
  /// It goes on top.
  case fits
  /// It must be computed anew on the newest version; `why` completes the sentence "version 7: ...".
  case retry(_ why: String)
  /// It has lost its sense.
  case conflict(_ why: String)
}

/// The next version of a table while it is being made: everything of the newest version, unknown fields too, until an intent
/// changes it.
package struct ManifestDraft {
  package let location: TableLocation
  /// The newest version; 0 when the table is being created.
  package let readVersion: UInt64
  package var manifest: PBManifest
  /// The serialized index section; kept byte for byte while nobody changes it.
  package var indexSection: [UInt8]?
  /// What the transaction says was done.
  package var operation: PBTransaction.OneOf_Operation?
  /// Objects written for this attempt only; removed again when it is not published.
  private(set) var written: [String] = []

  /// - Throws: `CORRUPT_DATA` when version numbers are used up.
  init(after newest: ManifestFile?, at location: TableLocation) throws(Failure) {
    manifest = newest?.manifest ?? PBManifest()
    self.location = location.following(manifest)
    indexSection = newest?.indexSection
    readVersion = manifest.version
    manifest.version = try ManifestDraft.next(after: readVersion, location)
    stamp()
  }

  private static func next(after version: UInt64, _ location: TableLocation) throws(Failure) -> UInt64 {
    let (next, overflow) = version.addingReportingOverflow(1)
    guard !overflow, next < UInt64.max else { throw Failure(.corruptData, "table '\(location.name)' has no next version") }
    return next
  }

  /// Replaces the content by that of an old version; what must never go back (version, ids) does not.
  mutating func restore(_ old: ManifestFile) {
    let newest = manifest
    manifest = old.manifest
    manifest.version = newest.version
    if newest.hasMaxFragmentID { manifest.maxFragmentID = max(newest.maxFragmentID, old.manifest.maxFragmentID) }
    manifest.nextRowID = max(newest.nextRowID, old.manifest.nextRowID)
    if newest.hasMaxAllocatedFieldID {
      manifest.maxAllocatedFieldID = max(newest.maxAllocatedFieldID, old.manifest.maxAllocatedFieldID)
      manifest.readerFeatureFlags |= newest.readerFeatureFlags & FeatureFlags.maxAllocatedFieldID
      manifest.writerFeatureFlags |= newest.writerFeatureFlags & FeatureFlags.maxAllocatedFieldID
    }
    indexSection = old.indexSection
    stamp()
  }

  /// Who made this version and when.
  private mutating func stamp() {
    manifest.versionAuxData = 0
    manifest.tag = ""
    let now = Instant.now
    manifest.timestamp.seconds = now.seconds
    manifest.timestamp.nanos = now.nanoseconds
    manifest.writerVersion = PBWriterVersion()
    manifest.writerVersion.library = "moonlake"
    manifest.writerVersion.version = "0.1.0"
  }

  /// Writes an object that belongs to this attempt.
  mutating func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    written.append(path)
    try location.store.put(path, bytes)
  }

  // MARK: ids

  /// The next `count` fragment ids, which nobody will ever use again.
  package mutating func reserve(_ count: Int) throws(Failure) -> Range<UInt64> {
    let known = manifest.fragments.map(\.id).max()
    let first = max(manifest.hasMaxFragmentID ? UInt64(manifest.maxFragmentID) + 1 : 0, known.map { $0 &+ 1 } ?? 0)
    guard count > 0 else { return first..<first }
    guard let last = UInt32(exactly: first + UInt64(count) - 1) else {
      throw Failure(.unsupported, "table '\(location.name)' has used all of its 2^32 fragment ids")
    }
    manifest.maxFragmentID = last
    return first..<UInt64(last) + 1
  }

  /// The fragments with ids after the highest one ever used, and with new row ids where the table has stable ones.
  package mutating func number(_ fragments: [PBDataFragment]) throws(Failure) -> [PBDataFragment] {
    var ids = try reserve(fragments.count)
    var numbered: [PBDataFragment] = []
    for var fragment in fragments {
      fragment.id = ids.popFirst() ?? 0
      if hasStableRowIDs, fragment.rowIDSequence == nil { try addRowIDs(to: &fragment) }
      numbered.append(fragment)
    }
    return numbered
  }

  /// New rows: ids that were never used, made and last changed by this version.
  private mutating func addRowIDs(to fragment: inout PBDataFragment) throws(Failure) {
    let (end, overflow) = manifest.nextRowID.addingReportingOverflow(fragment.physicalRows)
    guard !overflow else { throw Failure(.corruptData, "table '\(location.name)' has no row ids left") }
    var ids = PBU64Segment()
    ids.range.start = manifest.nextRowID
    ids.range.end = end
    var sequence = PBRowIdSequence()
    sequence.segments = [ids]
    var run = PBRowVersionRun()
    run.span.range.end = fragment.physicalRows
    run.version = manifest.version
    var versions = PBRowVersionSequence()
    versions.runs = [run]
    do {
      fragment.inlineRowIds = try sequence.serializedData()
      fragment.inlineCreatedAtVersions = try versions.serializedData()
      fragment.inlineLastUpdatedAtVersions = fragment.inlineCreatedAtVersions
    } catch {
      throw Failure(.internalError, "row ids cannot be serialized: \(error)")
    }
    manifest.nextRowID = end
  }

  package var hasStableRowIDs: Bool { manifest.readerFeatureFlags & FeatureFlags.stableRowIDs != 0 }

  // MARK: indices

  /// The entries of the index section.
  /// - Throws: `CORRUPT_DATA` when the section is no message.
  package func indices() throws(Failure) -> [PBIndexMetadata] {
    try IndexSection.decode(indexSection, what: "table '\(location.name)' version \(readVersion)").indices
  }

  package mutating func setIndices(_ indices: [PBIndexMetadata]) throws(Failure) {
    var section = try IndexSection.decode(indexSection, what: "table '\(location.name)' version \(readVersion)")
    section.indices = indices
    indexSection = indices.isEmpty ? nil : try Protobuf.bytes(section)
  }

  /// Drops the indices over fields that the schema does not have any more.
  mutating func dropIndicesOfLostFields() throws(Failure) {
    let ids = Set(manifest.fields.map(\.id))
    let all = try indices()
    let kept = all.filter { $0.fields.allSatisfy(ids.contains) }
    if kept.count < all.count { try setIndices(kept) }
  }
}

extension PBManifest {
  /// An id that no field of this version has, in its schema or in a data file.
  var nextFieldID: Int32 {
    var last = fields.map(\.id).max() ?? -1
    if hasMaxAllocatedFieldID { last = max(last, maxAllocatedFieldID) }
    for file in fragments.flatMap(\.files) { last = max(last, file.fields.max() ?? -1) }
    return last == Int32.max ? last : last + 1
  }
}
