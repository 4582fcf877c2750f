import Core
import Glibc

/// Random numbers by counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
///
/// Element i of a draw comes from counter `start + i / 4`, lane i % 4, so the numbers do not depend on threads or blocks.
package struct Philox: Sendable {
  let key: (UInt32, UInt32)

  package init(seed: UInt64) { key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)) }

  /// The four numbers of one counter.
  @inline(__always)
  package func block(_ counter: UInt64) -> SIMD4<UInt32> {
    var c = SIMD4<UInt32>(UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32), 0, 0)
    var (k0, k1) = key
    for _ in 0..<10 {
      let p0 = UInt64(c[0]) &* 0xD251_1F53
      let p1 = UInt64(c[2]) &* 0xCD9E_8D57
      c = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k1, UInt32(truncatingIfNeeded: p0))
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return c
  }

  /// Counters that a draw of `count` elements uses.
  package static func counters(_ count: Int) -> UInt64 { UInt64((count + 3) / 4) }
}

extension Kernels {
  /// Uniform in [low, high), 24 random bits each.
  package static func uniform(
    _ type: DType, _ count: Int, _ generator: Philox, start: UInt64, low: Double, high: Double, out: UnsafeMutableRawPointer
  ) {
    nonisolated(unsafe) let out = out
    forEachBlock(count, generator, start) { i, bits, n in
      for lane in 0..<n {
        let u = Double(bits[lane] >> 8) * 0x1p-24
        var v = low + (high - low) * u
        if type == .f32, Float(v) >= Float(high), high > low { v = Double(Float(high).nextDown) }
        if type == .f32 { typed(out, Float.self)[i + lane] = Float(v) } else { typed(out, Double.self)[i + lane] = v }
      }
    }
  }

  /// Normal with mean 0 and deviation 1 (Box-Muller on pairs of lanes).
  package static func normal(
    _ type: DType, _ count: Int, _ generator: Philox, start: UInt64, out: UnsafeMutableRawPointer
  ) {
    nonisolated(unsafe) let out = out
    forEachBlock(count, generator, start) { i, bits, n in
      var values = SIMD4<Double>.zero
      for pair in 0..<2 {
        let u = (Double(bits[2 * pair]) + 0.5) * 0x1p-32
        let angle = 2 * Double.pi * (Double(bits[2 * pair + 1]) * 0x1p-32)
        let radius = (-2 * log(u)).squareRoot()
        values[2 * pair] = radius * cos(angle)
        values[2 * pair + 1] = radius * sin(angle)
      }
      for lane in 0..<n {
        if type == .f32 {
          typed(out, Float.self)[i + lane] = Float(values[lane])
        } else {
          typed(out, Double.self)[i + lane] = values[lane]
        }
      }
    }
  }

  /// Integers in low ..< high (i64), by multiply-shift on 64 random bits; the bias is below 2^-32 for ranges to 2^32.
  package static func integers(
    _ count: Int, _ generator: Philox, start: UInt64, low: Int64, high: Int64, out: UnsafeMutableRawPointer
  ) {
    nonisolated(unsafe) let out = out
    let width = UInt64(bitPattern: high &- low)
    Parallel.forEach(count: count, grain: 4096) { range in
      for i in range {
        let bits = generator.block(start &+ UInt64(i))
        let wide = (UInt64(bits[0]) << 32 | UInt64(bits[1])).multipliedFullWidth(by: width).high
        typed(out, Int64.self)[i] = low &+ Int64(bitPattern: wide)
      }
    }
  }

  /// y = x * mask, mask = 0 with probability p, else 1 / (1 - p); `mask` is written when given (u8: 1 = kept).
  package static func dropout(
    _ type: DType, _ count: Int, _ generator: Philox, start: UInt64, p: Double, x: UnsafeRawPointer, y: UnsafeMutableRawPointer,
    mask: UnsafeMutableRawPointer
  ) {
    let threshold = UInt32(min(p * 0x1p32, Double(UInt32.max)))
    nonisolated(unsafe) let (x, y, mask) = (x, y, mask)
    let keeps: UnsafeMutablePointer<UInt8> = typed(mask)
    nonisolated(unsafe) let kept = keeps
    forEachBlock(count, generator, start) { i, bits, n in
      for lane in 0..<n { kept[i + lane] = bits[lane] >= threshold ? 1 : 0 }
    }
    dropoutBackward(type, count, p: p, mask: mask, dy: x, dx: y)
  }

  /// dx = dy * mask / (1 - p).
  package static func dropoutBackward(
    _ type: DType, _ count: Int, p: Double, mask: UnsafeRawPointer, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer
  ) {
    let loop = StridedLoop(shape: [count], [[1], [1], [1]])
    if type == .f32 {
      let scale = Float(1 / (1 - p))
      binaryLoop(loop, typed(dx, Float.self), typed(dy, Float.self), typed(mask, UInt8.self)) { $1 != 0 ? $0 * scale : 0 }
    } else {
      let scale = 1 / (1 - p)
      binaryLoop(loop, typed(dx, Double.self), typed(dy, Double.self), typed(mask, UInt8.self)) { $1 != 0 ? $0 * scale : 0 }
    }
  }

  /// A random order of 0 ..< count (Fisher-Yates, serial: the order is defined by the seed alone).
  package static func permutation(_ count: Int, _ generator: Philox, start: UInt64, out: UnsafeMutablePointer<Int64>) {
    for i in 0..<count { out[i] = Int64(i) }
    guard count > 1 else { return }
    for i in stride(from: count - 1, to: 0, by: -1) {
      let bits = generator.block(start &+ UInt64(i))
      let j = Int((UInt64(bits[0]) << 32 | UInt64(bits[1])).multipliedFullWidth(by: UInt64(i + 1)).high)
      (out[i], out[j]) = (out[j], out[i])
    }
  }
}

@inline(__always)
private func forEachBlock(
  _ count: Int, _ generator: Philox, _ start: UInt64, _ body: (Int, SIMD4<UInt32>, Int) -> Void
) {
  nonisolated(unsafe) let body = body
  Parallel.forEach(count: (count + 3) / 4, grain: 4096) { range in
    for b in range { body(b * 4, generator.block(start &+ UInt64(b)), min(4, count - b * 4)) }
  }
}
