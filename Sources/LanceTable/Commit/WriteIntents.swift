import Core
import LanceProto
import ObjectStore

/// Adds fragments, whose data has the fields `fields`.
///
/// Fits everything but what replaces the table, and columns that changed under it.
struct AppendIntent: CommitIntent {
  let fragments: [PBDataFragment]
  let fields: [PBField]
  let name = "append"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    guard case .merge = other.operation else { return .fits }
    // Columns added later read as null in our rows. A column that got a new id (a cast) would lose our values.
    let now = made.manifest.fields
    for field in fields where !now.contains(where: { $0.id == field.id }) {
      return .conflict("it changed column '\(field.name)'")
    }
    for field in now where field.parentID == -1 && !field.nullable && !fields.contains(where: { $0.id == field.id }) {
      return .conflict("it added column '\(field.name)', which does not allow nulls")
    }
    return .fits
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    draft.manifest.fragments += try draft.number(fragments)
    var append = PBAppendOperation()
    append.fragments = fragments
    draft.operation = .append(append)
    return .fits
  }
}

/// Replaces everything; creates the table when there is none. Its rows do not come from the table, so it fits everything: another
/// overwrite too, after which it would only be written once more.
struct OverwriteIntent: CommitIntent {
  let fragments: [PBDataFragment]
  let fields: [PBField]
  let metadata: [String: String]
  /// `2.0`, `2.1` or `2.2`.
  let fileVersion: String
  let name = "overwrite"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict { .fits }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    // Where a deletion moves the folder away, no version tells of it: the files that are already written have gone with it.
    if draft.location.store.movesAtOnce {
      for file in fragments.flatMap(\.files) {
        guard try draft.location.store.head(draft.location.path(of: file)) != nil else {
          return .conflict("the table was deleted while the rows were written")
        }
      }
    }
    let schemaMetadata = Metadata.bytes(metadata)
    var overwrite = PBOverwriteOperation()
    overwrite.fragments = fragments
    overwrite.schema = fields
    overwrite.schemaMetadata = schemaMetadata
    draft.operation = .overwrite(overwrite)
    draft.manifest.fields = fields
    draft.manifest.schemaMetadata = schemaMetadata
    draft.manifest.dataFormat.fileFormat = "lance"
    draft.manifest.dataFormat.version = fileVersion
    draft.manifest.readerFeatureFlags &= ~FeatureFlags.mixedFileVersions
    draft.manifest.writerFeatureFlags &= ~FeatureFlags.mixedFileVersions
    if draft.manifest.hasMaxAllocatedFieldID {
      draft.manifest.maxAllocatedFieldID = max(draft.manifest.maxAllocatedFieldID, fields.map(\.id).max() ?? -1)
    }
    draft.manifest.fragments = try draft.number(fragments)
    draft.indexSection = nil
    return .fits
  }
}

/// The state of an old version as a new one. Whatever others did meanwhile is undone with the rest.
struct RestoreIntent: CommitIntent {
  /// Open, so that a cleanup leaves it alone until the commit.
  let old: LanceTable
  let name = "restore"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict { .fits }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    // Stores without holds: at least it is there now.
    guard try old.location.manifest(old.version, old.naming).manifest.transactionFile == old.commitName else {
      return .conflict("version \(old.version) is another one now")
    }
    draft.restore(old.file)
    var restore = PBRestoreOperation()
    restore.version = old.version
    draft.operation = .restore(restore)
    return .fits
  }
}
