import Core
import LanceProto

/// Takes rows out.
struct DeleteIntent: CommitIntent {
  let masks: [RowMask]
  /// The condition in words, for those who read the transaction.
  let predicate: String
  let name = "delete"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    RowRules.verdict(other, fragments: Set(masks.map(\.fragment)))
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    let outcome = try RowMask.apply(masks, to: &draft)
    if let verdict = outcome.verdict { return verdict }
    var delete = PBDeleteOperation()
    delete.updatedFragments = outcome.updated
    delete.deletedFragmentIds = outcome.removed
    delete.predicate = predicate
    draft.operation = .delete(delete)
    return .fits
  }
}

/// Takes rows out and adds fragments with what they have become, and with new rows.
struct UpdateIntent: CommitIntent {
  let name: String
  let masks: [RowMask]
  /// Not numbered; they hold all columns of the table.
  let fragments: [PBDataFragment]
  /// True when rows were added because the table did not have them (a merge): rows that others wrote meanwhile could be them.
  let addsMissingRows: Bool
  /// Ids of the fields whose values may have changed.
  let changedFields: [Int32]

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    if case .update(let update) = other.operation, addsMissingRows, !update.newFragments.isEmpty {
      return .retry("it wrote rows that may have the same keys")
    }
    return RowRules.verdict(other, fragments: Set(masks.map(\.fragment)))
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    let outcome = try RowMask.apply(masks, to: &draft)
    if let verdict = outcome.verdict { return verdict }
    draft.manifest.fragments += try draft.number(fragments)
    var update = PBUpdateOperation()
    update.removedFragmentIds = outcome.removed
    update.updatedFragments = outcome.updated
    update.newFragments = fragments
    update.fieldsForPreservingFragBitmap = changedFields.map { UInt32(bitPattern: $0) }
    update.updateMode = .rewriteRows
    draft.operation = .update(update)
    return .fits
  }
}

/// What deletes and updates have in common.
enum RowRules {
  /// Changes of other rows fit: whether they are other rows is seen when masks are joined.
  static func verdict(_ other: PBTransaction, fragments: Set<UInt64>) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    switch other.operation {
    case .merge: return .retry("it added or changed columns")
    case .rewrite where other.touches(fragments): return .retry("it moved rows that change here")
    case .dataReplacement where other.touches(fragments): return .retry("it changed values of rows that change here")
    default: return .fits
    }
  }
}
