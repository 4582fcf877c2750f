import Core
import LanceProto

/// Which fragments of a table a compaction rewrites.
///
/// Candidates are fragments of fewer rows than the target and fragments with many deleted rows. Candidates that follow each
/// other and are covered by the same indices form a group, which becomes as few fragments as its rows allow. A group is
/// rewritten when that gives (enough) fewer fragments; else only its members with many deleted rows are, each for itself.
struct CompactionPlan {
  /// Ranges of positions in the table's list of fragments.
  private(set) var groups: [Range<Int>] = []

  init(_ table: LanceTable, _ options: CompactOptions) throws(Failure) {
    var coverage: [Set<UInt64>] = []
    for index in try table.indexEntries() { coverage.append(Set(try index.coveredFragments())) }
    func indices(_ fragment: TableFragment) -> [Bool] { coverage.map { $0.contains(fragment.id) } }
    let spared = try options.spares?(table) ?? []
    let target = max(1, options.targetRowsPerFragment)
    func hasManyDeleted(_ fragment: TableFragment) -> Bool {
      let deleted = fragment.physicalRows - fragment.rowCount
      return deleted > 0 && Double(deleted) > options.deletedShare * Double(fragment.physicalRows)
    }
    var start = 0
    while start < table.fragments.count {
      var end = start
      while end < table.fragments.count {
        let fragment = table.fragments[end]
        guard fragment.physicalRows < target || hasManyDeleted(fragment), !spared.contains(fragment.id),
          end == start || indices(fragment) == indices(table.fragments[start])
        else { break }
        end += 1
      }
      guard end > start else {
        start += 1
        continue
      }
      var first = start
      if options.leavesLargeAlone {
        var behind = table.fragments[start..<end].reduce(0) { $0 + $1.rowCount }
        while first < end, !hasManyDeleted(table.fragments[first]) {
          behind -= table.fragments[first].rowCount
          guard table.fragments[first].rowCount > 4 * behind else { break }
          first += 1
        }
      }
      let members = table.fragments[first..<end]
      let rows = members.reduce(0) { $0 + $1.rowCount }
      let fewer = members.count - (rows + target - 1) / target
      if fewer > 0, members.count >= options.fewestFragments {
        groups.append(first..<end)
      } else {
        for i in first..<end where hasManyDeleted(table.fragments[i]) { groups.append(i..<i + 1) }
      }
      start = end
    }
  }
}
