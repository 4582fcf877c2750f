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
      offsets = try Buffer(byteCount: try Codec.product(capacity + 1, large ? 8 : 4))
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
    case (.variable(let source, let table, let width), nil):
      guard range.count > 0 else { return }
      let first = try Codec.offset(table, range.lowerBound, width, limit: source.count, from: 0)
      let base = (bytes?.count ?? 0) - first
      var last = first
      for i in range {
        let end = try Codec.offset(table, i + 1, width, limit: source.count, from: last)
        try setEnd(base + end)
        last = end
      }
      try bytes?.append(UnsafeRawBufferPointer(rebasing: source[first..<last]))
    default: throw Failure(.corruptData, "the values of a page do not have the column's type")
    }
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
      guard end <= Int(Int32.max) else {
        throw Failure(.memoryLimit, "more than 2 GiB of text do not fit one \(shape.type) column; read fewer rows at once")
      }
      offsets.mutableValues(of: Int32.self)[count] = Int32(truncatingIfNeeded: end)
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
