/// A row and how far it is. Nearer rows come first, of equally near ones the one that stands earlier in the table.
struct Candidate: Comparable, Sendable {
  var distance: Float
  /// Fragment position << 32 | physical offset: ascends as rows do.
  var row: UInt64

  @inline(__always) static func < (a: Candidate, b: Candidate) -> Bool {
    a.distance != b.distance ? a.distance < b.distance : a.row < b.row
  }
}

/// The `limit` least candidates of those offered: a heap with the greatest on top. NaN is never taken.
struct NearestHeap: Sendable {
  private var items: [Candidate] = []
  private let limit: Int

  init(_ limit: Int) {
    self.limit = max(1, limit)
    items.reserveCapacity(min(self.limit, 1024))
  }

  var count: Int { items.count }
  var isFull: Bool { items.count == limit }

  /// Nothing farther than this is taken.
  var bound: Float { isFull ? items[0].distance : .infinity }

  /// True when a candidate like this would be taken.
  @inline(__always) func takes(_ candidate: Candidate) -> Bool {
    isFull ? candidate < items[0] : candidate.distance == candidate.distance
  }

  mutating func offer(_ candidate: Candidate) {
    guard takes(candidate) else { return }
    if items.count < limit {
      items.append(candidate)
      var i = items.count - 1
      while i > 0, items[(i - 1) / 2] < items[i] {
        items.swapAt(i, (i - 1) / 2)
        i = (i - 1) / 2
      }
      return
    }
    var i = 0
    while true {
      var child = 2 * i + 1
      guard child < items.count else { break }
      if child + 1 < items.count, items[child] < items[child + 1] { child += 1 }
      guard candidate < items[child] else { break }
      items[i] = items[child]
      i = child
    }
    items[i] = candidate
  }

  mutating func merge(_ other: NearestHeap) { for item in other.items { offer(item) } }

  /// Nearest first.
  var sorted: [Candidate] { items.sorted() }
}
