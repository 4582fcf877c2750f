package import Core
package import LanceTable

/// Some of a table version's live rows: per fragment, ascending positions among its live rows.
package struct RowSet: Sendable {
  /// By place in `LanceTable.fragments`.
  package let live: [[Int32]]
  package let count: Int

  /// - Parameter live: one list per fragment of the table.
  package init(live: [[Int32]]) {
    self.live = live
    count = live.reduce(0) { $0 + $1.count }
  }

  /// - Parameter positions: among the table's live rows, in any order; repeats count once.
  /// - Throws: `INVALID_ARGUMENT` for rows that the table does not have.
  package init(_ table: LanceTable, positions: [Int]) throws(Failure) {
    var live = [[Int32]](repeating: [], count: table.fragments.count)
    var last = -1
    for position in positions.sorted() where position != last {
      guard position >= 0, position < table.rowCount else {
        throw Failure(.invalidArgument, "row \(position) is not in table '\(table.name)' of \(table.rowCount) rows")
      }
      let fragment = table.fragmentPosition(ofRow: position)
      live[fragment].append(Int32(truncatingIfNeeded: position - table.firstRow(fragment: fragment)))
      last = position
    }
    self.init(live: live)
  }

  /// The physical offsets of the rows in fragment `position`, ascending.
  func offsets(_ table: LanceTable, fragment position: Int) throws(Failure) -> [UInt32] {
    let deletions = try table.deletions(fragment: position)
    if deletions.isEmpty { return live[position].map { UInt32(bitPattern: $0) } }
    return live[position].map { UInt32(truncatingIfNeeded: deletions.physical(Int($0))) }
  }
}

/// Which physical rows of a table count: those that are not deleted, or those of a `RowSet`.
struct RowMask: Sendable {
  private enum Fragment {
    /// All but these.
    case except(DeletionVector)
    /// One bit per physical row.
    case bits([UInt64])
  }
  private let fragments: [Fragment]

  init(_ table: LanceTable, among: RowSet?) throws(Failure) {
    var fragments: [Fragment] = []
    for position in table.fragments.indices {
      guard let among else {
        fragments.append(.except(try table.deletions(fragment: position)))
        continue
      }
      var bits = [UInt64](repeating: 0, count: (table.fragments[position].physicalRows + 63) / 64)
      for offset in try among.offsets(table, fragment: position) { bits[Int(offset >> 6)] |= 1 << UInt64(offset & 63) }
      fragments.append(.bits(bits))
    }
    self.fragments = fragments
  }

  /// - Parameter offset: a physical row of the fragment.
  @inline(__always) func contains(_ fragment: Int, _ offset: Int) -> Bool {
    switch fragments[fragment] {
    case .except(let deletions): return deletions.isEmpty || !deletions.touches(offset..<offset + 1)
    case .bits(let bits): return bits[offset >> 6] >> UInt64(offset & 63) & 1 == 1
    }
  }
}

extension LanceTable {
  /// The position among the live rows of a row that is live.
  func livePosition(_ row: UInt64) throws(Failure) -> Int {
    let (fragment, offset) = (Int(row >> 32), Int(row & 0xFFFF_FFFF))
    return firstRow(fragment: fragment) + offset - (try deletions(fragment: fragment)).rank(offset)
  }
}
