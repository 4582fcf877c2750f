package import Core

/// Bits in Arrow's order: bit `i` is bit `i % 8` of byte `i / 8`, least significant first; 1 = valid / true.
package enum Bitmap {
  /// Bytes for `count` bits.
  @inlinable package static func byteCount(_ count: Int) -> Int { (count + 7) >> 3 }

  @inlinable package static func get(_ bytes: UnsafeRawPointer, _ i: Int) -> Bool {
    bytes.load(fromByteOffset: i >> 3, as: UInt8.self) >> UInt8(truncatingIfNeeded: i & 7) & 1 == 1
  }

  @inlinable package static func set(_ bytes: UnsafeMutableRawPointer, _ i: Int, _ value: Bool) {
    let at = bytes.assumingMemoryBound(to: UInt8.self) + (i >> 3)
    let bit = UInt8(1) << UInt8(truncatingIfNeeded: i & 7)
    at.pointee = value ? at.pointee | bit : at.pointee & ~bit
  }

  /// Set bits among `offset ..< offset + count`.
  package static func countSet(_ bytes: UnsafeRawPointer, offset: Int, count: Int) -> Int {
    var total = 0
    var i = offset
    let end = offset + count
    while i < end, i & 7 != 0 {
      total += get(bytes, i) ? 1 : 0
      i += 1
    }
    while end - i >= 64 {
      total += bytes.loadUnaligned(fromByteOffset: i >> 3, as: UInt64.self).nonzeroBitCount
      i += 64
    }
    while i < end {
      total += get(bytes, i) ? 1 : 0
      i += 1
    }
    return total
  }

  /// A buffer of `count` bits, all `value`.
  package static func filled(_ count: Int, _ value: Bool) throws(Failure) -> Buffer {
    let buffer = try Buffer(byteCount: byteCount(count))
    if value { buffer.mutableValues(of: UInt8.self).update(repeating: 0xFF) }
    return buffer
  }

  /// Copies `count` bits from `source` at `from` to `target` at `to`.
  package static func copy(_ source: UnsafeRawPointer, _ from: Int, to target: UnsafeMutableRawPointer, _ to: Int, count: Int) {
    if from & 7 == 0, to & 7 == 0 {
      let whole = count >> 3
      target.advanced(by: to >> 3).copyMemory(from: source.advanced(by: from >> 3), byteCount: whole)
      for i in (whole << 3)..<count { set(target, to + i, get(source, from + i)) }
    } else {
      // Bits up to a whole byte of the target, then eight at a time out of two source bytes, then the rest.
      var i = 0
      while i < count, (to &+ i) & 7 != 0 {
        set(target, to &+ i, get(source, from &+ i))
        i &+= 1
      }
      let shift = UInt8(truncatingIfNeeded: (from &+ i) & 7)
      while count &- i >= 8 {
        let at = (from &+ i) >> 3
        var byte = source.load(fromByteOffset: at, as: UInt8.self) &>> shift
        if shift > 0 { byte |= source.load(fromByteOffset: at &+ 1, as: UInt8.self) &<< (8 &- shift) }
        target.storeBytes(of: byte, toByteOffset: (to &+ i) >> 3, as: UInt8.self)
        i &+= 8
      }
      while i < count {
        set(target, to &+ i, get(source, from &+ i))
        i &+= 1
      }
    }
  }
}
