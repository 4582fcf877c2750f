package import Core

/// Makes a column value by value. Fixed-width numbers, bool, strings and binaries; nested columns are put together
/// from finished children (`Column.list`, `Column.vectors`).
package struct ColumnBuilder {
  package let type: DataType
  /// Rows so far.
  package private(set) var count = 0
  private var storage: [UInt8] = []
  private var offsets: [Int64] = []
  private var validity: [UInt8] = []
  private var nullCount = 0

  package init(_ type: DataType, reserving rows: Int = 0) {
    self.type = type
    if type.isVariableWidth { offsets = [0] }
    storage.reserveCapacity(rows * (type.byteWidth ?? 1))
  }

  package mutating func appendNull() throws(Failure) {
    switch type {
    case .bool: setBit(count, false)
    case _ where type.isVariableWidth: offsets.append(Int64(storage.count))
    default: storage.append(contentsOf: repeatElement(0, count: type.byteWidth ?? 0))
    }
    mark(false)
  }

  /// A number whose width must be the type's.
  package mutating func append<T: BitwiseCopyable>(_ value: T) throws(Failure) {
    guard type.byteWidth == MemoryLayout<T>.size else {
      throw Failure(.typeMismatch, "a \(T.self) does not fit a column of type \(type)")
    }
    withUnsafeBytes(of: value) { storage.append(contentsOf: $0) }
    mark(true)
  }

  package mutating func append(bool value: Bool) throws(Failure) {
    setBit(count, value)
    mark(true)
  }

  package mutating func append(string value: String) throws(Failure) {
    storage.append(contentsOf: value.utf8)
    try endOfRow()
  }

  package mutating func append(bytes: some Collection<UInt8>) throws(Failure) {
    storage.append(contentsOf: bytes)
    if case .fixedSizeBinary(let width) = type {
      guard bytes.count == width else { throw Failure(.typeMismatch, "\(bytes.count) bytes do not fit \(type)") }
      mark(true)
    } else {
      try endOfRow()
    }
  }

  private mutating func endOfRow() throws(Failure) {
    guard type.isVariableWidth else { throw Failure(.typeMismatch, "text does not fit a column of type \(type)") }
    guard type.hasLargeOffsets || storage.count <= Int(Int32.max) else {
      throw Failure(.memoryLimit, "a \(type) column holds at most 2 GiB of text; use smaller batches")
    }
    offsets.append(Int64(storage.count))
    mark(true)
  }

  private mutating func setBit(_ i: Int, _ value: Bool) {
    if i >> 3 >= storage.count { storage.append(0) }
    if value { storage[i >> 3] |= 1 << UInt8(i & 7) }
  }

  private mutating func mark(_ valid: Bool) {
    if count >> 3 >= validity.count { validity.append(0) }
    if valid { validity[count >> 3] |= 1 << UInt8(count & 7) } else { nullCount += 1 }
    count += 1
  }

  /// The column; the builder is empty afterwards.
  package mutating func finish() throws(Failure) -> Column {
    if case .null = type { return Column(type: .null, count: count, buffers: []) }
    var buffers: [Buffer] = []
    if type.isVariableWidth {
      buffers.append(type.hasLargeOffsets ? try Buffer(offsets) : try Buffer(offsets.map { Int32(truncatingIfNeeded: $0) }))
    }
    buffers.append(try Buffer(storage))
    let column = Column(
      type: type, count: count, validity: nullCount == 0 ? nil : try Buffer(validity), buffers: buffers, nullCount: nullCount)
    self = ColumnBuilder(type)
    return column
  }
}
