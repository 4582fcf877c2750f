import Columnar
import Core

/// Collects the values of one leaf, chunk part by chunk part, in the memory of the column that comes out.
struct LeafSink {
  private let shape: LeafShape
  private let capacity: Int
  private(set) var count = 0
  private var fixed: Buffer?
  private var offsets: Buffer?
  private var bytes: GrowingBytes?
  private var validity: [Buffer?] = []

  /// Room for `capacity` rows. `listValidity` tells for each fixed-size list whether its items may be null;
  /// `bytesHint` is a guess of the bytes of all strings.
  init(_ shape: LeafShape, capacity: Int, listValidity: [Bool] = [], bytesHint: Int = 0) throws(Failure) {
    self.shape = shape
    self.capacity = capacity
    switch shape.storage {
    case .null: break
    case .fixed(let bits):
      let size = (try Codec.product(try Codec.product(capacity, shape.factor), bits) + 7) / 8
      fixed = try Buffer(byteCount: size, zeroed: bits == 1)
      var items = capacity
      for (level, size) in shape.sizes.enumerated() {
        items *= size
        let stored = level < listValidity.count && listValidity[level]
        validity.append(stored ? try Bitmap.filled(items, true) : nil)
      }
    case .variable(let large):
      let table = try Buffer(byteCount: try Codec.product(capacity + 1, large ? 8 : 4), zeroed: false)
      table.pointer.storeBytes(of: 0, as: UInt32.self)
      if large { table.pointer.storeBytes(of: 0, as: UInt64.self) }
      offsets = table
      bytes = try GrowingBytes(capacity: bytesHint)
    }
  }

  /// Adds values `range` of a chunk.
  mutating func append(_ values: ChunkValues, _ range: Range<Int>) throws(Failure) {
    guard range.lowerBound >= 0, range.upperBound <= values.count, range.count <= capacity - count else {
      throw Failure(.corruptData, "a page holds other rows than it says")
    }
    switch (values.storage, fixed) {
    case (.fixed(let source, let bits), let target?):
      let factor = shape.factor
      if bits == 1 {
        Bitmap.copy(source, range.lowerBound * factor, to: target.pointer, count * factor, count: range.count * factor)
      } else {
        let width = bits / 8 * factor
        (target.pointer + count * width).copyMemory(from: source + range.lowerBound * width, byteCount: range.count * width)
      }
      var factorSoFar = 1
      for (level, size) in shape.sizes.enumerated() {
        factorSoFar *= size
        guard level < values.validity.count, let bits = values.validity[level], let target = validity[level] else { continue }
        Bitmap.copy(
          bits, range.lowerBound * factorSoFar, to: target.pointer, count * factorSoFar, count: range.count * factorSoFar)
      }
      count += range.count
    case (.variable(let source, let table, let width, let symbols), nil):
      guard range.count > 0, bytes != nil else { return }
      if let symbols {
        try append(coded: source, table, width, symbols, range)
      } else if width == 4 {
        try append(strings: source, table, UInt32.self, range)
      } else {
        try append(strings: source, table, UInt64.self, range)
      }
    default: throw Failure(.corruptData, "the values of a page do not have the column's type")
    }
  }

  /// Where the next `rows` fixed-width rows of whole bytes go, for a decoder that writes them itself; then `added` is called.
  /// Nil when they do not fit or rows do not have `bits`.
  func place(_ rows: Int, bits: Int) -> UnsafeMutableRawPointer? {
    guard let fixed, shape.sizes.isEmpty, case .fixed(bits) = shape.storage, bits % 8 == 0, rows <= capacity - count else {
      return nil
    }
    return fixed.pointer + count * (bits / 8)
  }
  mutating func added(_ rows: Int) { count += rows }

  /// Adds the strings `range` of a chunk; their offsets (`T`, at any address) are checked.
  private mutating func append<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    strings source: UnsafeRawBufferPointer, _ table: UnsafeRawPointer, _: T.Type, _ range: Range<Int>
  ) throws(Failure) {
    guard let offsets, let base = source.baseAddress else { return }
    let width = MemoryLayout<T>.size
    let rows = table + range.lowerBound * width
    let size = try LeafSink.checkedBytes(table, T.self, range, limit: source.count)
    let first = Int(rows.loadUnaligned(as: T.self))
    let begin = bytes?.count ?? 0
    let delta = begin - first
    if case .variable(large: true) = shape.storage {
      let target = offsets.pointer.assumingMemoryBound(to: Int64.self) + count + 1
      for i in 0..<range.count {
        target[i] = Int64(truncatingIfNeeded: rows.loadUnaligned(fromByteOffset: (i &+ 1) &* width, as: T.self)) &+ Int64(delta)
      }
    } else {
      try checkSize(begin + size)
      let target = offsets.pointer.assumingMemoryBound(to: Int32.self) + count + 1
      let shift = Int32(truncatingIfNeeded: delta)
      for i in 0..<range.count {
        target[i] = Int32(truncatingIfNeeded: rows.loadUnaligned(fromByteOffset: (i &+ 1) &* width, as: T.self)) &+ shift
      }
    }
    count += range.count
    try bytes?.append(UnsafeRawBufferPointer(start: base + first, count: size))
  }

  /// Adds the strings `range` of a chunk that are coded with `symbols`.
  private mutating func append(
    coded source: UnsafeRawBufferPointer, _ table: UnsafeRawPointer, _ width: Int, _ symbols: SymbolTable, _ range: Range<Int>
  ) throws(Failure) {
    if width == 4 {
      try append(coded: source, table, UInt32.self, symbols, range)
    } else {
      try append(coded: source, table, UInt64.self, symbols, range)
    }
  }

  private mutating func append<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    coded source: UnsafeRawBufferPointer, _ table: UnsafeRawPointer, _: T.Type, _ symbols: SymbolTable, _ range: Range<Int>
  ) throws(Failure) {
    guard let offsets, let base = source.baseAddress else { return }
    let size = try LeafSink.checkedBytes(table, T.self, range, limit: source.count)
    guard let place = try bytes?.room(symbols.bound(size) + 8) else { return }
    let rows = table + range.lowerBound * MemoryLayout<T>.size
    let begin = bytes?.count ?? 0
    let first = count
    var written = 0
    func end(_ i: Int) -> Int {
      Int(truncatingIfNeeded: rows.loadUnaligned(fromByteOffset: i &* MemoryLayout<T>.size, as: T.self))
    }
    if case .variable(large: true) = shape.storage {
      let target = offsets.pointer.assumingMemoryBound(to: Int64.self) + first + 1
      try symbols.decode(base, count: range.count, end: end, to: place) { i, at in
        target[i] = Int64(begin &+ at)
        written = at
      }
    } else {
      let target = offsets.pointer.assumingMemoryBound(to: Int32.self) + first + 1
      try symbols.decode(base, count: range.count, end: end, to: place) { i, at in
        target[i] = Int32(truncatingIfNeeded: begin &+ at)
        written = at
      }
      try checkSize(begin + written)
    }
    count += range.count
    bytes?.added(written)
  }

  /// Bytes of strings `range`, whose offsets were found to ascend and to stay below `limit`.
  private static func checkedBytes<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ table: UnsafeRawPointer, _: T.Type, _ range: Range<Int>, limit: Int
  ) throws(Failure) -> Int {
    let width = MemoryLayout<T>.size
    let rows = table + range.lowerBound * width
    var disorder: T = 0
    for i in 0..<range.count {
      let start = rows.loadUnaligned(fromByteOffset: i &* width, as: T.self)
      let end = rows.loadUnaligned(fromByteOffset: (i &+ 1) &* width, as: T.self)
      disorder |= end < start ? 1 : 0
    }
    let first = rows.loadUnaligned(as: T.self)
    let last = rows.loadUnaligned(fromByteOffset: range.count * width, as: T.self)
    guard disorder == 0, last <= limit else {
      throw Failure(.corruptData, "the offsets of a chunk of strings are not in order, or go beyond its \(limit) bytes")
    }
    return Int(last - first)
  }

  /// Adds one fixed-width row: `validityBytes` bytes of item bits in front, then the values.
  mutating func append(row: UnsafeRawPointer, validityBytes: Int) throws(Failure) {
    guard let fixed, count < capacity, let bits = shape.bitsPerRow else {
      throw Failure(.corruptData, "a page holds too many rows")
    }
    let width = bits / 8
    (fixed.pointer + count * width).copyMemory(from: row + validityBytes, byteCount: width)
    if validityBytes > 0, let target = validity.first, let target {
      Bitmap.copy(row, 0, to: target.pointer, count * shape.factor, count: shape.factor)
    }
    count += 1
  }

  /// Adds one string of at most `bound` bytes that `fill` writes (8 spare bytes follow); `fill` returns the bytes used.
  mutating func append(bound: Int, _ fill: (UnsafeMutableRawPointer) throws(Failure) -> Int) throws(Failure) {
    guard count < capacity, bytes != nil else { throw Failure(.corruptData, "a page holds too many rows") }
    if bound > 0, let place = try bytes?.room(bound + 8) { bytes?.added(try fill(place)) }
    try setEnd(bytes?.count ?? 0)
  }

  /// Adds one string.
  mutating func append(_ value: UnsafeRawBufferPointer) throws(Failure) {
    guard count < capacity, bytes != nil else { throw Failure(.corruptData, "a page holds too many rows") }
    try bytes?.append(value)
    try setEnd(bytes?.count ?? 0)
  }

  private mutating func setEnd(_ end: Int) throws(Failure) {
    guard let offsets else { return }
    count += 1
    if case .variable(large: true) = shape.storage {
      offsets.mutableValues(of: Int64.self)[count] = Int64(end)
    } else {
      try checkSize(end)
      offsets.mutableValues(of: Int32.self)[count] = Int32(truncatingIfNeeded: end)
    }
  }

  private func checkSize(_ end: Int) throws(Failure) {
    guard end <= Int(Int32.max) else {
      throw Failure(.memoryLimit, "more than 2 GiB of text do not fit one \(shape.type) column; read fewer rows at once")
    }
  }

  /// The column of all rows so far; nothing of it is null except items of fixed-size lists.
  func finish() throws(Failure) -> Column {
    guard count == capacity || shape.storage == .null else {
      throw Failure(.corruptData, "a page holds \(count) values where \(capacity) are wanted")
    }
    if let offsets, let bytes { return shape.column(rows: capacity, buffers: [offsets, try bytes.finish()], validity: []) }
    return shape.column(rows: capacity, buffers: fixed.map { [$0] } ?? [], validity: validity)
  }
}
