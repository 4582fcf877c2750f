import Core
import LanceProto

/// Adds or changes columns: new data files beside the fragments' others, and a new schema.
struct MergeColumnsIntent: CommitIntent {
  let name: String
  /// All fields of the table, in their new order.
  let fields: [PBField]
  /// One more file for each fragment, by fragment id; none for columns that only read as null.
  let files: [UInt64: PBDataFile]

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    switch other.operation {
    case .append: return .retry("it appended rows, which need the columns too")
    case .delete, .update: return .retry("it changed rows")
    case .merge: return .retry("it added or changed columns")
    case .rewrite: return .retry("it moved rows")
    case .dataReplacement: return .retry("it changed values")
    case .project: return .conflict("it dropped or renamed columns")
    default: return .fits
    }
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    let before = Set(draft.manifest.fields.map(\.id))
    draft.manifest.fields = fields
    for i in draft.manifest.fragments.indices {
      if let file = files[draft.manifest.fragments[i].id] { draft.manifest.fragments[i].files.append(file) }
    }
    draft.dropUnusedFiles()
    if draft.manifest.hasMaxAllocatedFieldID {
      draft.manifest.maxAllocatedFieldID = max(draft.manifest.maxAllocatedFieldID, fields.map(\.id).max() ?? -1)
    }
    try draft.dropIndicesOfLostFields()
    var merge = PBMergeOperation()
    merge.fragments = draft.manifest.fragments
    merge.schema = fields
    merge.schemaMetadata = draft.manifest.schemaMetadata
    // Others may append rows without the new columns only when those allow nulls.
    merge.preservesNullability = fields.allSatisfy { $0.nullable || before.contains($0.id) }
    draft.operation = .merge(merge)
    return .fits
  }
}

/// Drops or renames columns: the schema changes, no file does.
struct ProjectIntent: CommitIntent {
  let name: String
  /// Fields by id that go, with everything below them.
  let dropped: Set<Int32>
  /// New names by field id.
  let renamed: [Int32: String]

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    switch other.operation {
    case .merge: return .retry("it added or changed columns")
    case .project: return .retry("it dropped or renamed columns")
    default: return .fits
    }
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    draft.manifest.fields.removeAll { dropped.contains($0.id) }
    for i in draft.manifest.fields.indices {
      if let name = renamed[draft.manifest.fields[i].id] { draft.manifest.fields[i].name = name }
    }
    draft.dropUnusedFiles()
    try draft.dropIndicesOfLostFields()
    var project = PBProjectOperation()
    project.schema = draft.manifest.fields
    project.preservesNullability = true
    draft.operation = .project(project)
    return .fits
  }
}

extension ManifestDraft {
  /// Leaves out the data files that hold no field of the schema any more. A fragment keeps one file: it tells the number of rows.
  mutating func dropUnusedFiles() {
    let ids = Set(manifest.fields.map(\.id))
    for i in manifest.fragments.indices {
      let files = manifest.fragments[i].files
      let used = files.filter { $0.fields.contains(where: ids.contains) }
      if used.count < files.count { manifest.fragments[i].files = used.isEmpty ? Array(files.prefix(1)) : used }
    }
  }
}
