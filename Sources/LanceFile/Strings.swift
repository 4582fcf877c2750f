import Columnar
import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// True when `count` bytes at `a` and `b` are the same.
func compareBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool { memcmp(a, b, count) == 0 }

/// The strings of a column by position; nulls are empty.
struct Strings {
  let longest: Int
  let hasNulls: Bool
  let count: Int
  // The column's parts without its type, which would be looked at for every row.
  private let offsets: UnsafeRawPointer
  private let isLarge: Bool
  private let data: UnsafeRawPointer
  private let validity: UnsafeRawPointer?
  private let first: Int
  /// Keeps the memory alive.
  private let owner: Column

  init(_ column: Column) {
    owner = column
    count = column.count
    hasNulls = column.nullCount > 0
    first = column.offset
    isLarge = column.type.hasLargeOffsets
    let width = isLarge ? 8 : 4
    offsets = UnsafeRawPointer(column.buffers[0].pointer) + column.offset * width
    data = UnsafeRawPointer(column.buffers[1].pointer)
    validity = column.validity.map { UnsafeRawPointer($0.pointer) }
    var longest = 0
    var last = count > 0 ? Strings.offset(offsets, isLarge, 0) : 0
    for i in 0..<column.count {
      let end = Strings.offset(offsets, isLarge, i + 1)
      longest = max(longest, end - last)
      last = end
    }
    self.longest = longest
  }

  @inline(__always)
  private static func offset(_ table: UnsafeRawPointer, _ isLarge: Bool, _ i: Int) -> Int {
    isLarge ? Int(table.load(fromByteOffset: i &* 8, as: Int64.self)) : Int(table.load(fromByteOffset: i &* 4, as: Int32.self))
  }

  @inline(__always)
  func bytes(_ i: Int) -> UnsafeRawBufferPointer {
    if let validity, !Bitmap.get(validity, first + i) { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let start = Strings.offset(offsets, isLarge, i)
    return UnsafeRawBufferPointer(start: data + start, count: Strings.offset(offsets, isLarge, i + 1) - start)
  }

  func isNull(_ i: Int) -> Bool { validity.map { !Bitmap.get($0, first + i) } ?? false }

  /// Bytes of rows `range`, those of nulls included: an upper bound.
  @inline(__always)
  func byteCount(_ range: Range<Int>) -> Int {
    range.isEmpty ? 0 : Strings.offset(offsets, isLarge, range.upperBound) - Strings.offset(offsets, isLarge, range.lowerBound)
  }

  /// The strings coded by `coder`, as a binary column without nulls.
  func coded(_ coder: SymbolCoder) throws(Failure) -> Column {
    let width = isLarge ? 8 : 4
    let ends = try Buffer(byteCount: (count + 1) * width, zeroed: false)
    var out = try GrowingBytes(capacity: byteCount(0..<count) * 5 / 8 + 64)
    func setEnd(_ i: Int) {
      if isLarge {
        ends.pointer.storeBytes(of: Int64(out.count), toByteOffset: i &* 8, as: Int64.self)
      } else {
        ends.pointer.storeBytes(of: Int32(truncatingIfNeeded: out.count), toByteOffset: i &* 4, as: Int32.self)
      }
    }
    setEnd(0)
    for i in 0..<count {
      let string = bytes(i)
      out.added(coder.code(string, to: try out.room(2 * string.count)))
      setEnd(i + 1)
    }
    return Column(type: isLarge ? .largeBinary : .binary, count: count, buffers: [ends, try out.finish()])
  }
}

/// The distinct strings of a page and each row's place among them.
struct StringDictionary {
  /// Row of each distinct string, in the order in which they first came.
  private(set) var firstRows: [Int32] = []
  /// For each row; 0 for nulls.
  private(set) var indices: [UInt32] = []
  private var slots: [Int32]
  private var mask: Int

  /// Nil when a dictionary would not pay: more than half of a sample of 1,024 rows is distinct, or more than one row in eight.
  init?(_ strings: Strings) {
    slots = []
    mask = 0
    guard strings.count >= 64 else { return nil }
    let step = max(1, strings.count / 1024)
    reset(2048)
    var sampled = 0
    for i in stride(from: 0, to: strings.count, by: step) where !strings.isNull(i) {
      sampled += 1
      _ = place(i, strings)
    }
    guard firstRows.count * 2 <= sampled else { return nil }
    reset(4096)
    indices.reserveCapacity(strings.count)
    let most = strings.count / 8
    for i in 0..<strings.count {
      guard !strings.isNull(i) else {
        indices.append(0)
        continue
      }
      indices.append(place(i, strings))
      guard firstRows.count <= most else { return nil }
    }
    // All null is another page.
    guard !firstRows.isEmpty else { return nil }
  }

  private mutating func reset(_ size: Int) {
    slots = [Int32](repeating: -1, count: size)
    mask = size - 1
    firstRows.removeAll()
  }

  private mutating func place(_ row: Int, _ strings: Strings) -> UInt32 {
    let string = strings.bytes(row)
    var at = StringDictionary.hash(string) & mask
    while slots[at] >= 0 {
      let known = strings.bytes(Int(firstRows[Int(slots[at])]))
      if known.count == string.count, StringDictionary.equal(known, string) { return UInt32(slots[at]) }
      at = (at + 1) & mask
    }
    let index = Int32(firstRows.count)
    slots[at] = index
    firstRows.append(Int32(row))
    if firstRows.count * 2 > mask { grow(strings) }
    return UInt32(index)
  }

  private mutating func grow(_ strings: Strings) {
    slots = [Int32](repeating: -1, count: (mask + 1) * 2)
    mask = slots.count - 1
    for (i, row) in firstRows.enumerated() {
      var at = StringDictionary.hash(strings.bytes(Int(row))) & mask
      while slots[at] >= 0 { at = (at + 1) & mask }
      slots[at] = Int32(i)
    }
  }

  private static func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard let p = a.baseAddress, let q = b.baseAddress else { return true }
    return compareBytes(p, q, a.count)
  }

  /// A hash of eight bytes at a time.
  private static func hash(_ string: UnsafeRawBufferPointer) -> Int {
    guard let base = string.baseAddress else { return 0 }
    var state = UInt64(string.count) &* 0x9E37_79B9_7F4A_7C15
    func mix(_ word: UInt64) {
      let (high, low) = (state ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
      state = high ^ low
    }
    var at = 0
    while at &+ 8 <= string.count {
      mix(base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      at &+= 8
    }
    var word: UInt64 = 0
    while at < string.count {
      word = word << 8 | UInt64(base.load(fromByteOffset: at, as: UInt8.self))
      at &+= 1
    }
    mix(word)
    return Int(truncatingIfNeeded: state >> 1)
  }
}
