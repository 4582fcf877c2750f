/// The deleted rows of one fragment: sorted, distinct offsets among its physical rows, and the translation between
/// *live* positions (what a reader counts) and physical ones.
package struct DeletionVector: Sendable, Hashable {
  /// Sorted, distinct.
  package let deleted: [UInt32]

  package static let none = DeletionVector(sorted: [])

  package init(sorted deleted: [UInt32]) { self.deleted = deleted }

  /// Takes offsets in any order.
  package init(_ offsets: [UInt32]) {
    var sorted = offsets.sorted()
    var kept = 0
    for i in sorted.indices where i == 0 || sorted[i] != sorted[kept - 1] {
      sorted[kept] = sorted[i]
      kept += 1
    }
    sorted.removeLast(sorted.count - kept)
    self.deleted = sorted
  }

  package var count: Int { deleted.count }
  package var isEmpty: Bool { deleted.isEmpty }

  /// Deleted rows before physical row `offset`.
  package func rank(_ offset: Int) -> Int {
    var low = 0
    var high = deleted.count
    while low < high {
      let middle = (low + high) / 2
      if Int(deleted[middle]) < offset { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The physical row of live row `position`.
  package func physical(_ position: Int) -> Int {
    // deleted[i] - i live rows stand before the i-th deleted one: find how many deleted rows stand before ours.
    var low = 0
    var high = deleted.count
    while low < high {
      let middle = (low + high) / 2
      if Int(deleted[middle]) - middle <= position { low = middle + 1 } else { high = middle }
    }
    return position + low
  }

  /// Positions, counted from `range.lowerBound`, of the live rows among physical rows `range`.
  package func live(in range: Range<Int>) -> [Int32] {
    var live: [Int32] = []
    live.reserveCapacity(range.count)
    var next = rank(range.lowerBound)
    for row in range {
      if next < deleted.count, Int(deleted[next]) == row { next += 1 } else { live.append(Int32(row - range.lowerBound)) }
    }
    return live
  }

  /// True when one of physical rows `range` is deleted.
  package func touches(_ range: Range<Int>) -> Bool { rank(range.upperBound) > rank(range.lowerBound) }
}
