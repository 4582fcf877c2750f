/// Two-byte floats, as files hold them: f16 (IEEE: 5 bits of exponent) and bf16 (the upper half of an f32). Computing is done in f32.
package enum HalfFormat: String, CaseIterable, Sendable { case f16, bf16 }

extension Kernels {
  /// f32 from two-byte floats (little-endian, not aligned).
  package static func widen(_ format: HalfFormat, _ count: Int, from: UnsafeRawPointer, to out: UnsafeMutableRawPointer) {
    let target = out.assumingMemoryBound(to: Float.self)
    for i in 0..<count {
      let bits = UInt16(littleEndian: from.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      target[i] = format == .bf16 ? Float(bitPattern: UInt32(bits) << 16) : floatOfHalf(bits)
    }
  }

  /// Two-byte floats (little-endian) from f32, rounded to the nearest, ties to even; what is too large becomes infinite.
  package static func narrow(_ format: HalfFormat, _ count: Int, from: UnsafeRawPointer, to out: UnsafeMutableRawPointer) {
    let source = from.assumingMemoryBound(to: Float.self)
    for i in 0..<count {
      let bits = format == .bf16 ? upperHalf(source[i]) : halfOfFloat(source[i])
      out.storeBytes(of: bits.littleEndian, toByteOffset: 2 * i, as: UInt16.self)
    }
  }
}

private func floatOfHalf(_ bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let exponent = UInt32(bits >> 10) & 0x1F
  let fraction = UInt32(bits & 0x3FF)
  switch exponent {
  case 0: return (sign == 0 ? 1 : -1) * Float(fraction) * 0x1p-24  // zero and subnormal
  case 31: return Float(bitPattern: sign | 0x7F80_0000 | (fraction << 13))
  default: return Float(bitPattern: sign | ((exponent + 112) << 23) | (fraction << 13))
  }
}

private func halfOfFloat(_ value: Float) -> UInt16 {
  let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
  let size = value.magnitude
  if value.isNaN { return sign | 0x7E00 }
  if size >= 65520 { return sign | 0x7C00 }  // halfway beyond the largest, 65504
  if size < 0x1p-14 { return sign | UInt16((size * 0x1p24).rounded(.toNearestOrEven)) }
  // Rounding may carry into the exponent, which is right.
  let bits = size.bitPattern - (112 << 23)
  return sign | UInt16(truncatingIfNeeded: (bits + 0xFFF + ((bits >> 13) & 1)) >> 13)
}

private func upperHalf(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
}
