package import Columnar
package import Core

/// 64-bit codes of fixed-width values, and hashes.
enum Codes {
  /// One code per row such that equal values have equal codes and unequal ones differ: integers sign-extended, floats as
  /// the bits of their double with one zero and one NaN, bools 0 or 1. Null rows have code 0. Nil for wider types.
  static func equality(_ c: Column) throws(Failure) -> Buffer? {
    switch c.type.storage {
    case .int8: return try integers(c, Int8.self)
    case .int16: return try integers(c, Int16.self)
    case .int32: return try integers(c, Int32.self)
    case .int64: return try integers(c, Int64.self)
    case .uint8: return try integers(c, UInt8.self)
    case .uint16: return try integers(c, UInt16.self)
    case .uint32: return try integers(c, UInt32.self)
    case .uint64: return try integers(c, UInt64.self)
    case .float32:
      return try codes(c, Float.self) { bits(Double($0)) }
    case .float64: return try codes(c, Double.self) { bits($0) }
    case .float16: return try equality(try Cast.cast(c, to: .float32))
    case .bool:
      return try fill(c) { c.bool($0) ? 1 : 0 }
    default: return nil
    }
  }

  /// One code per row whose unsigned order is the order of the values (NaN last); null rows have code 0.
  static func order(_ c: Column) throws(Failure) -> Buffer? {
    let sign: UInt64 = 1 << 63
    switch c.type.storage {
    case .int8: return try codes(c, Int8.self) { UInt64(bitPattern: Int64($0)) ^ sign }
    case .int16: return try codes(c, Int16.self) { UInt64(bitPattern: Int64($0)) ^ sign }
    case .int32: return try codes(c, Int32.self) { UInt64(bitPattern: Int64($0)) ^ sign }
    case .int64: return try codes(c, Int64.self) { UInt64(bitPattern: $0) ^ sign }
    case .uint8, .uint16, .uint32, .uint64, .bool: return try equality(c)
    case .float32: return try codes(c, Float.self) { ordered(Double($0)) }
    case .float64: return try codes(c, Double.self) { ordered($0) }
    case .float16: return try order(try Cast.cast(c, to: .float32))
    default: return nil
    }
  }

  @inline(__always) private static func bits(_ x: Double) -> UInt64 {
    x == 0 ? 0 : x != x ? 0x7FF8_0000_0000_0000 : x.bitPattern
  }

  @inline(__always) private static func ordered(_ x: Double) -> UInt64 {
    let b = bits(x)
    return b >> 63 == 1 ? ~b : b | 1 << 63
  }

  private static func integers<T: Number & FixedWidthInteger>(_ c: Column, _: T.Type) throws(Failure) -> Buffer {
    try codes(c, T.self) { UInt64(truncatingIfNeeded: $0) }
  }

  @inline(__always)
  private static func codes<T: Number>(_ c: Column, _: T.Type, _ f: (T) -> UInt64) throws(Failure) -> Buffer {
    let out = try Buffer(byteCount: c.count * 8, zeroed: false)
    let x = UnsafePointer(c.buffers[0].pointer.assumingMemoryBound(to: T.self) + c.offset)
    let z = out.pointer.assumingMemoryBound(to: UInt64.self)
    for i in 0..<c.count { z[i] = f(x[i]) }
    clearNulls(c, z)
    return out
  }

  private static func fill(_ c: Column, _ f: (Int) -> UInt64) throws(Failure) -> Buffer {
    let out = try Buffer(byteCount: c.count * 8, zeroed: false)
    let z = out.pointer.assumingMemoryBound(to: UInt64.self)
    for i in 0..<c.count { z[i] = f(i) }
    clearNulls(c, z)
    return out
  }

  private static func clearNulls(_ c: Column, _ z: UnsafeMutablePointer<UInt64>) {
    guard c.nullCount > 0 else { return }
    for i in 0..<c.count where !c.isValid(i) { z[i] = 0 }
  }

  /// A mix of all bits; Stafford's variant 13 of the splitmix64 finalizer, https://prng.di.unimi.it/splitmix64.c
  @inline(__always)
  static func mix(_ x: UInt64) -> UInt64 {
    var z = x &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A hash of bytes, eight at a time.
  @inline(__always)
  static func hash(_ p: UnsafePointer<UInt8>, _ n: Int, seed: UInt64) -> UInt64 {
    var h = seed ^ UInt64(truncatingIfNeeded: n) &* 0x9E37_79B9_7F4A_7C15
    let raw = UnsafeRawPointer(p)
    var i = 0
    while i &+ 8 <= n {
      let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: i, as: UInt64.self))
      h = (h ^ word) &* 0xFF51_AFD7_ED55_8CCD
      h ^= h >> 32
      i &+= 8
    }
    var tail: UInt64 = 0
    var shift: UInt64 = 0
    while i < n {
      tail |= UInt64(p[i]) << shift
      shift &+= 8
      i &+= 1
    }
    return mix(h ^ tail)
  }
}

/// `hash(seed)`: a number from 0 to 2^63 - 1 per row as int64, the same on every machine and in every version.
package enum Hashing {
  /// Equal values of any integer type hash alike. Null has a hash of its own.
  package static func hash(_ a: Operand, seed: Int64) throws(Failure) -> Operand {
    let c = a.column
    let n = c.count
    let out = try Buffer(byteCount: n * 8, zeroed: false)
    let z = out.pointer.assumingMemoryBound(to: UInt64.self)
    let start = Codes.mix(UInt64(bitPattern: seed))
    if c.type == .null {
      for i in 0..<n { z[i] = start >> 1 }
    } else if let codes = try Codes.equality(c) {
      let x = codes.values(of: UInt64.self)
      for i in 0..<n { z[i] = Codes.mix(x[i] ^ start) >> 1 }
    } else if c.type.isVariableWidth {
      let rows = ByteRows(c)
      for i in 0..<n {
        let (p, length) = rows.span(i)
        z[i] = Codes.hash(p, length, seed: start) >> 1
      }
    } else if case .fixedSizeList = c.type {
      // The bytes of all items of the row.
      var items = c
      while case .fixedSizeList = items.type { items = items.items() }
      guard let width = items.type.byteWidth, n > 0, items.nullCount == 0 else {
        throw Failure(.typeMismatch, "hash of \(c.type) values with nulls inside is not possible")
      }
      let rowBytes = items.count / n * width
      let base = UnsafePointer(items.buffers[0].pointer.assumingMemoryBound(to: UInt8.self) + items.offset * width)
      for i in 0..<n { z[i] = Codes.hash(base + i * rowBytes, rowBytes, seed: start) >> 1 }
    } else {
      throw Failure(.typeMismatch, "hash of \(c.type) values is not possible")
    }
    if c.nullCount > 0 { for i in 0..<n where !c.isValid(i) { z[i] = Codes.mix(~start) >> 1 } }
    return a.with(Column(type: .int64, count: n, buffers: [out]))
  }

  /// True for types that have a hash, can be grouped by, joined on and made distinct.
  package static func isKey(_ type: DataType) -> Bool {
    switch type {
    case .list, .largeList, .structure, .map, .decimal256: false
    case .fixedSizeList(let f, _): isKey(f.type) && (f.type.byteWidth != nil || f.type.children.count == 1)
    case .dictionary(_, let value): isKey(value)
    default: true
    }
  }
}
