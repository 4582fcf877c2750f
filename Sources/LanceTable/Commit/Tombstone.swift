package import Core
import LanceProto
import ObjectStore

/// How a table ends in a store whose folders cannot be moved away in one step, as in a bucket.
///
/// A last version is committed, an overwrite without rows whose schema metadata says `moonlake.deleted`. From then on the table does not
/// exist for us, and other programs see an empty one. As it takes its place among the versions like any other, a commit that began
/// before either comes earlier (and is deleted, too) or finds the table gone: no version can ever refer to files that were deleted with
/// an older one. A table that is made anew under the name goes on counting from there. The manifest stays: about a kilobyte per name.
enum Tombstone {
  static let key = "moonlake.deleted"
}

/// Ends the table, whatever others did to it; not another one that was made in its place.
struct DropIntent: CommitIntent {
  let name = "deletion"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict { .fits }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    draft.manifest.fragments = []
    draft.manifest.schemaMetadata = Metadata.bytes([Tombstone.key: "true"])
    draft.indexSection = nil
    var overwrite = PBOverwriteOperation()
    overwrite.schema = draft.manifest.fields
    overwrite.schemaMetadata = draft.manifest.schemaMetadata
    draft.operation = .overwrite(overwrite)
    return .fits
  }
}

extension ManifestFile {
  /// True when this version says that the table was deleted.
  var isTombstone: Bool { manifest.schemaMetadata[Tombstone.key] != nil }

  /// What a new table keeps of the one that was deleted: the numbers that must not be used again.
  var successor: ManifestFile {
    var kept = PBManifest()
    kept.version = manifest.version
    kept.maxFragmentID = manifest.maxFragmentID
    return ManifestFile(manifest: kept, indexSection: nil, transaction: nil)
  }
}

extension TableLocation {
  /// The newest version of `listing`; nil when there is none or it says that the table was deleted. A damaged one is there.
  func living(_ listing: VersionListing) -> UInt64? {
    guard let latest = listing.latest else { return nil }
    // Where folders move at once, tables are deleted with their folder.
    if store.movesAtOnce { return latest }
    return (try? manifest(latest, listing.naming))?.isTombstone == true ? nil : latest
  }

  /// Commits the version that ends the table. Its files stay.
  /// - Throws: `DATASET_NOT_FOUND`; `VERSION_CONFLICT` when another deletion was faster; `CORRUPT_DATA` and `UNSUPPORTED` when the newest
  ///   version cannot be built on, by anybody.
  package func drop() throws(Failure) {
    guard let latest = living(try VersionListing(self)) else {
      throw Failure(.datasetNotFound, "there is no table at '\(folder)' in \(store.name)")
    }
    _ = try TableCommit(location: self, properties: [:]).run(DropIntent(), readVersion: latest)
  }

  /// When the table was deleted; nil when it was not.
  package func dropped() throws(Failure) -> Instant? {
    let listing = try VersionListing(self)
    guard let latest = listing.latest, living(listing) == nil else { return nil }
    return try store.head(manifestPath(latest, listing.naming))?.modified
  }
}
