import Columnar
import Core

// Packed and constant arrays of file version 2.0, which older official writers made.
extension ArrayPage {
  /// Checks a packed array's description against `shape` and the bytes that are there; both widths as numbers.
  private static func widths(
    _ bytes: UnsafeRawBufferPointer, _ width: UInt64, _ bits: UInt64, _ shape: LeafShape, stored: Int, _ name: String
  ) throws(Failure) -> (width: Int, bits: Int) {
    guard case .fixed(let own) = shape.storage, shape.sizes.isEmpty, [8, 16, 32, 64].contains(own), bits == UInt64(own),
      width <= bits
    else { throw Failure(.corruptData, "\(name) of \(bits)-bit values to \(width) bits for a column of type \(shape.type)") }
    let size = (try Codec.product(stored, Int(width)) + 7) / 8
    guard size <= bytes.count else { throw Failure(.corruptData, "\(name) needs \(size) bytes, \(bytes.count) are there") }
    return (Int(width), own)
  }

  /// Blocks of 1024 values in FastLanes order, the last one filled up.
  static func packedBlocks(
    _ bytes: UnsafeRawBufferPointer, width: UInt64, bits: UInt64, _ shape: LeafShape, rows: Int, _ range: Range<Int>
  ) throws(Failure) -> Column {
    let block = FastLanes.blockSize
    let (width, bits) = try widths(bytes, width, bits, shape, stored: (rows + block - 1) / block * block, "BitpackedForNonNeg")
    guard !range.isEmpty, let base = bytes.baseAddress else { return try Column.nulls(shape.type, count: 0) }
    let first = range.lowerBound / block
    let blocks = (range.upperBound + block - 1) / block - first
    let out = try Buffer(byteCount: blocks * block * bits / 8, zeroed: false)
    Codec.unpack(
      base + first * FastLanes.packedByteCount(width: width), blocks: blocks, bits: bits, width: width, to: out.pointer)
    return Column(type: shape.type, count: range.count, offset: range.lowerBound - first * block, buffers: [out])
  }

  /// Values back to back, least significant bit first; `signed` values are extended by their highest bit.
  static func packedBits(
    _ bytes: UnsafeRawBufferPointer, width: UInt64, bits: UInt64, signed: Bool, _ shape: LeafShape, rows: Int,
    _ range: Range<Int>
  ) throws(Failure) -> Column {
    let (width, bits) = try widths(bytes, width, bits, shape, stored: rows, "Bitpacked")
    let size = bits / 8
    let out = try Buffer(byteCount: range.count * size)
    for (k, i) in range.enumerated() {
      var value: UInt64 = 0
      for bit in 0..<width {
        let at = i * width + bit
        value |= UInt64(bytes[at >> 3] >> UInt8(at & 7) & 1) << UInt64(bit)
      }
      if signed, width > 0, width < 64, value >> UInt64(width - 1) & 1 == 1 { value |= ~UInt64(0) << UInt64(width) }
      withUnsafeBytes(of: value.littleEndian) { source in
        if let base = source.baseAddress { (out.pointer + k * size).copyMemory(from: base, byteCount: size) }
      }
    }
    return Column(type: shape.type, count: range.count, buffers: [out])
  }

  /// One value for all rows.
  static func constant(_ value: [UInt8], _ shape: LeafShape, _ range: Range<Int>) throws(Failure) -> Column {
    guard let bits = shape.bitsPerRow, value.count == (bits + 7) / 8, !value.isEmpty else {
      throw Failure(.corruptData, "a constant of \(value.count) bytes for a column of type \(shape.type)")
    }
    if bits == 1 {
      return Column(type: shape.type, count: range.count, buffers: [try Bitmap.filled(range.count, value[0] != 0)])
    }
    let out = try Buffer(byteCount: try Codec.product(range.count, value.count), zeroed: false)
    for i in 0..<range.count {
      for (k, byte) in value.enumerated() {
        out.pointer.storeBytes(of: byte, toByteOffset: i * value.count + k, as: UInt8.self)
      }
    }
    return shape.column(rows: range.count, buffers: [out], validity: shape.sizes.map { _ in nil })
  }
}
