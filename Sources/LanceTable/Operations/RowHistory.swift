import Core
import LanceProto
import ObjectStore

/// Which rows of a version an older version has too: the same row, not just an equal one.
///
/// A row is known by its place, (fragment id, physical row), since fragment ids are never used twice and a row that gets other
/// values moves to a new fragment. Only compaction moves rows that stay the same; those are traced back through its
/// transactions: the rows of its new fragments are the live rows of the old ones, in order.
struct RowHistory {
  let old: LanceTable
  let new: LanceTable
  /// What the versions in between did, oldest first.
  private(set) var operations: [String] = []
  /// True when the table was replaced in between: then field ids mean other fields.
  private(set) var isOverwritten = false

  private var oldFragments: [UInt64: TableFragment] = [:]
  private var origins: [UInt64: Origin] = [:]
  /// Fragments whose values were replaced in place.
  private var replaced: Set<UInt64> = []

  /// Where the rows of a fragment that a compaction made come from.
  private struct Origin {
    /// The old fragments of its group, and how many live rows stand before each one.
    let fragments: [(fragment: PBDataFragment, first: Int)]
    /// Rows of the group before this fragment's.
    let first: Int
  }

  /// - Throws: `VERSION_NOT_FOUND` when a version in between is gone, `INVALID_ARGUMENT` when `old` is the newer one.
  init(from old: LanceTable, to new: LanceTable) throws(Failure) {
    self.old = old
    self.new = new
    guard old.version <= new.version else {
      throw Failure(.invalidArgument, "table '\(new.name)': version \(old.version) is not older than version \(new.version)")
    }
    for fragment in old.fragments { oldFragments[fragment.id] = fragment }
    var version = old.version
    while version < new.version {
      version += 1
      let file = version == new.version ? new.file : try new.location.manifest(version, new.naming)
      guard let transaction = new.location.transaction(of: file) else {
        throw Failure(
          .unsupported,
          "table '\(new.name)': version \(version) does not say what it changed, so versions cannot be compared across it")
      }
      operations.append(transaction.operationName ?? "unknown")
      try note(transaction)
    }
  }

  private mutating func note(_ transaction: PBTransaction) throws(Failure) {
    switch transaction.operation {
    case .overwrite: isOverwritten = true
    case .dataReplacement(let replacement): replaced.formUnion(replacement.replacements.map(\.fragmentID))
    case .update(let update) where update.updateMode == .rewriteColumns:
      replaced.formUnion(update.updatedFragments.map(\.id))
    case .rewrite(let rewrite):
      for group in rewrite.groups {
        var (first, fragments): (Int, [(fragment: PBDataFragment, first: Int)]) = (0, [])
        for fragment in group.oldFragments {
          fragments.append((fragment, first))
          first += try rows(of: fragment) - deletions(of: fragment).count
        }
        first = 0
        for fragment in group.newFragments {
          origins[fragment.id] = Origin(fragments: fragments, first: first)
          first += try rows(of: fragment)
        }
      }
    default: break
    }
  }

  private func rows(of fragment: PBDataFragment) throws(Failure) -> Int {
    let rows = Int(clamping: fragment.physicalRows)
    return rows > 0 ? rows : try FragmentFiles.length(of: fragment, new.location)
  }

  private func deletions(of fragment: PBDataFragment) throws(Failure) -> DeletionVector {
    guard fragment.hasDeletionFile else { return .none }
    return try FragmentFiles.deletions(fragment, rows: try rows(of: fragment), new.location)
  }

  /// Live positions in `fragment` of `new` that `old` does not have; nil for all of them.
  func changed(in fragment: TableFragment) throws(Failure) -> [Int]? {
    if replaced.contains(fragment.id) || (oldFragments[fragment.id] == nil && origins[fragment.id] == nil) { return nil }
    let live = try new.cache.deletions(fragment, new.location)
    var places: [UInt32] = []
    places.reserveCapacity(fragment.rowCount)
    for position in 0..<fragment.rowCount { places.append(UInt32(truncatingIfNeeded: live.physical(position))) }
    let known = try known(places, in: fragment.id)
    if !known.contains(true) { return nil }
    return known.indices.filter { !known[$0] }
  }

  /// For physical rows `places` (ascending) of a fragment, whether `old` has them.
  private func known(_ places: [UInt32], in id: UInt64) throws(Failure) -> [Bool] {
    try Cancellation.check()
    let none = [Bool](repeating: false, count: places.count)
    if replaced.contains(id) { return none }
    if let fragment = oldFragments[id] {
      let deleted = try old.cache.deletions(fragment, old.location)
      if deleted.isEmpty { return [Bool](repeating: true, count: places.count) }
      return places.map { !deleted.touches(Int($0)..<Int($0) + 1) }
    }
    guard let origin = origins[id] else { return none }
    // Places come in order, so each old fragment gets one run of them.
    var result = none
    var next = 0
    for (i, (fragment, first)) in origin.fragments.enumerated() where next < places.count {
      let end = i + 1 < origin.fragments.count ? origin.fragments[i + 1].first : Int.max
      let deleted = try deletions(of: fragment)
      var (below, begin): ([UInt32], Int) = ([], next)
      while next < places.count, origin.first + Int(places[next]) < end {
        let position = origin.first + Int(places[next]) - first
        guard position >= 0 else { break }
        below.append(UInt32(truncatingIfNeeded: deleted.physical(position)))
        next += 1
      }
      for found in try known(below, in: fragment.id) {
        result[begin] = found
        begin += 1
      }
    }
    return result
  }
}
