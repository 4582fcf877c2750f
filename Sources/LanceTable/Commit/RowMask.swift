import Core
import LanceFile
import LanceProto
import ObjectStore

/// Rows of one fragment that an operation takes out, found on the version that it read.
///
/// Held compressed: an operation keeps the masks of all fragments until it commits.
struct RowMask: Sendable {
  let fragment: UInt64
  /// Rows of the fragment's files, deleted ones included.
  let physicalRows: Int
  /// Rows taken out, all of them live in the version that was read.
  let count: Int
  /// Their physical offsets as a bitmap.
  private let rows: [UInt8]

  /// - Parameter rows: sorted, distinct.
  init(fragment: TableFragment, rows: [UInt32]) {
    self.fragment = fragment.id
    physicalRows = fragment.physicalRows
    count = rows.count
    self.rows = RoaringBitmap.encode(rows)
  }

  func decoded() throws(Failure) -> [UInt32] { try RoaringBitmap.decode(rows, what: "a row mask") }

  /// What a commit that takes rows out does to the fragments.
  struct Outcome {
    var updated: [PBDataFragment] = []
    var removed: [UInt64] = []
    /// Nil: it fits.
    var verdict: CommitVerdict?
  }

  /// Takes the rows of `masks` out of the fragments of `draft`, on top of what others deleted meanwhile, writing new deletion
  /// files. A fragment that is left without rows disappears.
  ///
  /// A row that another writer took out too asks for a new computation, for deletes as well: it may have become another row, in
  /// another fragment, that the condition meets.
  static func apply(_ masks: [RowMask], to draft: inout ManifestDraft) throws(Failure) -> Outcome {
    var outcome = Outcome()
    var places: [UInt64: Int] = [:]
    for (i, fragment) in draft.manifest.fragments.enumerated() { places[fragment.id] = i }
    for mask in masks {
      try Cancellation.check()
      guard let place = places[mask.fragment] else {
        outcome.verdict = .retry("fragment \(mask.fragment), some of whose rows change, is gone")
        return outcome
      }
      var fragment = draft.manifest.fragments[place]
      var gone = DeletionVector.none
      if fragment.hasDeletionFile {
        gone = try FragmentFiles.deletions(fragment, rows: mask.physicalRows, draft.location)
      }
      let rows = try mask.decoded()
      let all = DeletionVector(gone.deleted + rows)
      if all.count < gone.count + rows.count {
        outcome.verdict = .retry("a row of fragment \(mask.fragment) was changed by both")
        return outcome
      }
      if all.count == mask.physicalRows {
        outcome.removed.append(fragment.id)
      } else {
        fragment.deletionFile = try draft.writeDeletions(all, of: fragment.id)
        draft.manifest.fragments[place] = fragment
        outcome.updated.append(fragment)
      }
    }
    if !outcome.removed.isEmpty {
      let removed = Set(outcome.removed)
      draft.manifest.fragments.removeAll { removed.contains($0.id) }
    }
    return outcome
  }
}

extension ManifestDraft {
  /// Writes the complete set of a fragment's deleted rows.
  mutating func writeDeletions(_ deleted: DeletionVector, of fragment: UInt64) throws(Failure) -> PBDeletionFile {
    var changed = PBDataFragment()
    changed.id = fragment
    changed.deletionFile.fileType = .bitmap
    changed.deletionFile.readVersion = readVersion
    changed.deletionFile.id = .random(in: 0 ... .max)
    changed.deletionFile.numDeletedRows = UInt64(deleted.count)
    try put(try location.deletionsPath(of: changed), Checksum.sealed(RoaringBitmap.encode(deleted.deleted)))
    return changed.deletionFile
  }
}
