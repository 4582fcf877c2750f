/// Reads little-endian values front to back from memory it does not own; every read is checked.
///
/// Used for formats that come from files, so nothing here can trap: a read past the end throws `CORRUPT_DATA`.
public struct ByteReader {
  public let bytes: UnsafeRawBufferPointer
  public private(set) var offset: Int
  /// What is being read, for messages: `footer`, `manifest`.
  public let what: String

  public init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0, what: String) {
    self.bytes = bytes
    self.offset = offset
    self.what = what
  }

  public var remaining: Int { max(0, bytes.count - offset) }

  /// The next little-endian integer.
  public mutating func read<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(Failure) -> T {
    let size = MemoryLayout<T>.size
    try need(size)
    let value = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
    offset += size
    return T(littleEndian: value)
  }

  /// The next big-endian integer (IDX headers).
  public mutating func readBigEndian<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(Failure) -> T {
    T(bigEndian: T(littleEndian: try read(type)))
  }

  /// The next `count` bytes, not copied.
  public mutating func take(_ count: Int) throws(Failure) -> UnsafeRawBufferPointer {
    try need(count)
    let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    offset += count
    return part
  }

  public mutating func skip(_ count: Int) throws(Failure) {
    try need(count)
    offset += count
  }

  /// Skips to the next multiple of `alignment`.
  public mutating func align(_ alignment: Int) throws(Failure) {
    try skip((alignment - offset % alignment) % alignment)
  }

  private func need(_ count: Int) throws(Failure) {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw Failure(.corruptData, "\(what) is cut short: \(count) bytes wanted at \(offset), \(bytes.count) there")
    }
  }
}

/// Collects little-endian values in memory.
public struct ByteWriter {
  public private(set) var bytes: [UInt8] = []
  public init(reserving count: Int = 0) { bytes.reserveCapacity(count) }
  public var count: Int { bytes.count }

  public mutating func write<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
  public mutating func write(_ part: some Sequence<UInt8>) { bytes.append(contentsOf: part) }
  public mutating func write(_ part: UnsafeRawBufferPointer) { bytes.append(contentsOf: part) }
  /// Pads with `byte` to a multiple of `alignment`.
  public mutating func align(_ alignment: Int, with byte: UInt8 = 0) {
    while bytes.count % alignment != 0 { bytes.append(byte) }
  }
}
