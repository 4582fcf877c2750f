package import Columnar
package import Core

/// One column to sort by.
package struct SortColumn: Sendable {
  package var column: Column
  package var descending: Bool
  package var nullsFirst: Bool

  package init(_ column: Column, descending: Bool = false, nullsFirst: Bool = false) {
    self.column = column
    self.descending = descending
    self.nullsFirst = nullsFirst
  }
}

/// Stable sorting of rows by several columns.
///
/// From the last key to the first, rows are sorted stably by a 64-bit code whose order is the value's (a radix
/// sort), then nulls are moved behind (or before). Numbers give their code directly, strings by rank. NaN sorts behind
/// all numbers, before nulls. Nulls come last unless asked, descending too.
package enum Sorting {
  /// The order of rows. `count` rows in each key.
  package static func indices(_ keys: [SortColumn], count: Int) throws(Failure) -> [Int32] {
    guard count <= Int(Int32.max) else { throw Failure(.memoryLimit, "\(count) rows are too many to sort at once") }
    var order = (0..<Int32(count)).map { $0 }
    for key in keys.reversed() {
      if key.column.type == .null { continue }
      var codes = try codes(key.column)
      if key.descending {
        codes.withUnsafeMutableBufferPointer { c in for i in c.indices { c[i] = ~c[i] } }
      }
      let column = key.column
      if column.nullCount > 0 { for i in 0..<count where !column.isValid(i) { codes[i] = 0 } }
      sort(&order, by: codes)
      if column.nullCount > 0 {
        var (nulls, others): ([Int32], [Int32]) = ([], [])
        for i in order { if column.isValid(Int(i)) { others.append(i) } else { nulls.append(i) } }
        order = key.nullsFirst ? nulls + others : others + nulls
      }
      try Cancellation.check()
    }
    return order
  }

  /// True for types that can be sorted.
  package static func isSortable(_ type: DataType) -> Bool {
    switch type {
    case .list, .largeList, .fixedSizeList, .structure, .map, .decimal256: false
    case .dictionary(_, let value): isSortable(value)
    default: true
    }
  }

  private static func codes(_ c: Column) throws(Failure) -> [UInt64] {
    if let buffer = try Codes.order(c) { return Array(buffer.values(of: UInt64.self)[0..<c.count]) }
    switch c.type {
    case .utf8, .largeUtf8, .binary, .largeBinary, .fixedSizeBinary: return try byteRanks(c)
    case .decimal128:
      let raw = c.buffers[0].pointer + c.offset * 16
      let values = (0..<c.count).map { i in
        Int128(raw.loadUnaligned(fromByteOffset: i * 16 + 8, as: Int64.self)) << 64
          | Int128(raw.loadUnaligned(fromByteOffset: i * 16, as: UInt64.self))
      }
      return ranks(c.count) {
        values[$0] < values[$1]
      } equal: {
        values[$0] == values[$1]
      }
    default: throw Failure(.typeMismatch, "\(c.type) values cannot be sorted")
    }
  }

  /// Ranks of strings: different ones are found by hash, and sorted by their first eight bytes, then by all.
  private static func byteRanks(_ c: Column) throws(Failure) -> [UInt64] {
    let table = GroupTable(types: [c.type])
    let ids = try table.insert([c], count: c.count)
    let keys = try table.keys()[0]
    let rows = ByteRows(keys)
    var prefixes = [UInt64](repeating: 0, count: keys.count)
    for i in 0..<keys.count where keys.isValid(i) {
      let (p, n) = rows.span(i)
      var value: UInt64 = 0
      for j in 0..<8 { value = value << 8 | (j < n ? UInt64(p[j]) : 0) }
      prefixes[i] = value
    }
    let rank = prefixes.withUnsafeBufferPointer { prefix in
      ranks(keys.count) { i, j in
        prefix[i] != prefix[j] ? prefix[i] < prefix[j] : rows.compare(i, rows, j) < 0
      } equal: { i, j in
        prefix[i] == prefix[j] && rows.equal(i, rows, j)
      }
    }
    return ids.map { rank[Int($0)] }
  }

  private static func ranks(_ n: Int, _ less: (Int, Int) -> Bool, equal: (Int, Int) -> Bool) -> [UInt64] {
    var order = (0..<Int32(n)).map { $0 }
    order.sort { less(Int($0), Int($1)) }
    var out = [UInt64](repeating: 0, count: n)
    var rank: UInt64 = 0
    for k in 0..<n {
      if k > 0, !equal(Int(order[k - 1]), Int(order[k])) { rank += 1 }
      out[Int(order[k])] = rank
    }
    return out
  }

  /// Sorts `order` stably by `codes[row]`: least significant digit first, digits that are all equal skipped.
  private static func sort(_ order: inout [Int32], by codes: [UInt64]) {
    let n = order.count
    guard n > 1 else { return }
    var differ: UInt64 = 0
    for code in codes { differ |= code ^ codes[0] }
    guard differ != 0 else { return }
    if n < 512 {
      let place = order
      var positions = Array(0..<n)
      positions.sort { (codes[Int(place[$0])], $0) < (codes[Int(place[$1])], $1) }
      order = positions.map { place[$0] }
      return
    }
    typealias Pair = (code: UInt64, row: Int32)
    let from = UnsafeMutablePointer<Pair>.allocate(capacity: n)
    let to = UnsafeMutablePointer<Pair>.allocate(capacity: n)
    defer {
      from.deallocate()
      to.deallocate()
    }
    for k in 0..<n { from[k] = (codes[Int(order[k])], order[k]) }
    var (source, target) = (from, to)
    // Digits of 11 bits: six passes at most. All histograms in one reading.
    let (digits, size) = (6, 2048)
    var starts = [Int32](repeating: 0, count: digits * size)
    starts.withUnsafeMutableBufferPointer { starts in
      for k in 0..<n {
        var code = source[k].code
        for d in 0..<digits {
          starts[d &* size &+ Int(code & 2047)] &+= 1
          code >>= 11
        }
      }
      for d in 0..<digits where differ >> UInt64(d * 11) & 2047 != 0 {
        var sum: Int32 = 0
        for i in d * size..<(d + 1) * size {
          let c = starts[i]
          starts[i] = sum
          sum &+= c
        }
        let shift = UInt64(d * 11)
        for k in 0..<n {
          let at = d &* size &+ Int(source[k].code >> shift & 2047)
          target[Int(starts[at])] = source[k]
          starts[at] &+= 1
        }
        swap(&source, &target)
      }
    }
    for k in 0..<n { order[k] = source[k].row }
  }
}
