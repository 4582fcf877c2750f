package import Core
package import LanceProto

/// Sets fragment ids aside for a compaction that follows: the transaction of a rewrite names its new fragments by id.
package struct ReserveFragmentsIntent: CommitIntent {
  package let count: Int
  package let name = "compaction"

  package init(count: Int) { self.count = count }

  package func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict { CommitVerdict.replaced(other) ?? .fits }

  package func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    guard let number = UInt32(exactly: count) else {
      throw Failure(.invalidArgument, "\(count) fragment ids are no number to reserve")
    }
    _ = try draft.reserve(count)
    var reserve = PBReserveFragmentsOperation()
    reserve.numFragments = number
    draft.operation = .reserveFragments(reserve)
    return .fits
  }
}

/// Replaces fragments by others that hold the same live rows (compaction).
///
/// Addresses of the rows change: the old fragments leave the bitmaps of all indices, so that their rows count as not indexed.
package struct RewriteIntent: CommitIntent {
  /// Fragments that become others.
  package struct Group: Sendable {
    /// As read.
    package let old: [PBDataFragment]
    /// With ids that were reserved.
    package let new: [PBDataFragment]
    package init(old: [PBDataFragment], new: [PBDataFragment]) {
      self.old = old
      self.new = new
    }
  }
  package let groups: [Group]
  package let name = "compaction"

  package init(groups: [Group]) { self.groups = groups }

  private var oldIDs: Set<UInt64> { Set(groups.flatMap(\.old).map(\.id)) }

  package func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    switch other.operation {
    case .delete, .update: return other.touches(oldIDs) ? .retry("it changed rows that are moved here") : .fits
    case .rewrite: return other.touches(oldIDs) ? .retry("it moved the same rows") : .fits
    case .dataReplacement: return other.touches(oldIDs) ? .retry("it changed values of rows that are moved here") : .fits
    case .merge: return .retry("it added or changed columns")
    case .createIndex: return .retry("it made an index over rows that are moved here")
    default: return .fits
    }
  }

  package func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    let gone = oldIDs
    guard gone.isSubset(of: Set(draft.manifest.fragments.map(\.id))) else {
      return .retry("some of the fragments to compact are gone")
    }
    // By id, or official readers call the table corrupt. Ids were reserved: what others appended since then has higher ones.
    let fragments = draft.manifest.fragments.filter { !gone.contains($0.id) } + groups.flatMap(\.new)
    draft.manifest.fragments = fragments.sorted { $0.id < $1.id }
    try draft.dropFromIndices(gone)
    var rewrite = PBRewriteOperation()
    rewrite.groups = groups.map { group in
      var message = PBRewriteOperation.Group()
      message.oldFragments = group.old
      message.newFragments = group.new
      return message
    }
    draft.operation = .rewrite(rewrite)
    return .fits
  }
}
