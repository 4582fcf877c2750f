/// Checksums of files that others wrote.
extension Kernels {
  /// Tables for eight bytes at a time: table k takes a byte that k more bytes follow.
  private static let crcTables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var value = UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
      tables[byte] = value
    }
    for i in 256..<8 * 256 {
      let before = tables[i - 256]
      tables[i] = before >> 8 ^ tables[Int(before & 0xff)]
    }
    return tables
  }()

  /// CRC-32 as in zip and gzip (polynomial 0xEDB88320).
  package static func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    crcTables.withUnsafeBufferPointer { table in
      var crc: UInt32 = 0xffff_ffff
      var i = 0
      while bytes.count - i >= 8 {
        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)) ^ UInt64(crc)
        crc = 0
        for k in 0..<8 { crc ^= table[(7 - k) * 256 + Int(word >> UInt64(8 * k) & 0xff)] }
        i += 8
      }
      while i < bytes.count {
        crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[i])) & 0xff)]
        i += 1
      }
      return ~crc
    }
  }

  /// How many of `count` floats are NaN, how many infinite, and where the first of either is.
  package static func notFinite(_ type: DType, _ count: Int, _ p: UnsafeRawPointer) -> (nan: Int, infinite: Int, first: Int?) {
    switch type {
    case .f32: oddOnes(count, typed(p, Float.self))
    case .f64: oddOnes(count, typed(p, Double.self))
    default: (0, 0, nil)
    }
  }
}

private func oddOnes<T: Real>(_ count: Int, _ p: UnsafePointer<T>) -> (nan: Int, infinite: Int, first: Int?) {
  // x - x is 0 for finite numbers only: the usual case is one sum.
  var sum: T = 0
  for i in 0..<count { sum += p[i] - p[i] }
  if sum == 0 { return (0, 0, nil) }
  var (nan, infinite) = (0, 0)
  var first: Int?
  for i in 0..<count where !p[i].isFinite {
    if p[i].isNaN { nan += 1 } else { infinite += 1 }
    first = first ?? i
  }
  return (nan, infinite, first)
}
