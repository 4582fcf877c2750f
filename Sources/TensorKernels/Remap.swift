import Core

/// Moving whole positions of one dim by a map that was made here and is right (padding, flipping), and writing at positions of scripts,
/// which are checked. Arrays are seen as (outer, extent, inner).
extension Kernels {
  /// out[o,i,k] = a[o, map[i], k]; 0 <= map[i] < from. Outer parts are spread over the cores.
  package static func remap(
    size: Int, outer: Int, from: Int, count: Int, inner: Int, map: UnsafePointer<Int64>, out: UnsafeMutableRawPointer,
    a: UnsafeRawPointer
  ) {
    func pick<T: BitwiseCopyable>(_ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>) {
      nonisolated(unsafe) let (out, a, map) = (out, a, map)
      Parallel.forEach(count: outer, grain: max(1, 16384 / max(1, count * inner))) { range in
        for o in range {
          let (target, source) = (out + o * count * inner, a + o * from * inner)
          if inner == 1 {
            for i in 0..<count { target[i] = source[Int(map[i])] }
          } else {
            for i in 0..<count { (target + i * inner).update(from: source + Int(map[i]) * inner, count: inner) }
          }
        }
      }
    }
    switch size {
    case 1: pick(typed(out, UInt8.self), typed(a))
    case 4: pick(typed(out, UInt32.self), typed(a))
    default: pick(typed(out, UInt64.self), typed(a))
    }
  }

  /// a[o, map[i], k] += g[o,i,k], in order of i: the reverse of `remap`.
  package static func remapAdd(
    _ type: DType, outer: Int, from: Int, count: Int, inner: Int, map: UnsafePointer<Int64>, a: UnsafeMutableRawPointer,
    g: UnsafeRawPointer
  ) {
    func add<T: Real>(_ a: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>) {
      nonisolated(unsafe) let (a, g, map) = (a, g, map)
      Parallel.forEach(count: outer, grain: max(1, 16384 / max(1, count * inner))) { range in
        for o in range {
          let (target, source) = (a + o * from * inner, g + o * count * inner)
          for i in 0..<count {
            let (t, s) = (target + Int(map[i]) * inner, source + i * inner)
            for k in 0..<inner { t[k] += s[k] }
          }
        }
      }
    }
    if type == .f32 { add(typed(a, Float.self), typed(g)) } else { add(typed(a, Double.self), typed(g)) }
  }

  /// a[o, index[o,i,k], k] = s[o,i,k], in order of i, so that the last of equal positions stays.
  /// - Returns: the place in `index` of the first position outside 0 ..< from, or -1; then nothing was written.
  package static func scatter(
    size: Int, outer: Int, from: Int, count: Int, inner: Int, index: UnsafePointer<Int64>, a: UnsafeMutableRawPointer,
    s: UnsafeRawPointer
  ) -> Int {
    for i in 0..<outer * count * inner where index[i] < 0 || index[i] >= Int64(from) { return i }
    func put<T: BitwiseCopyable>(_ a: UnsafeMutablePointer<T>, _ s: UnsafePointer<T>) {
      nonisolated(unsafe) let (a, s, index) = (a, s, index)
      Parallel.forEach(count: outer, grain: max(1, 8192 / max(1, inner * count))) { range in
        for o in range {
          for r in o * count..<(o + 1) * count {
            for k in 0..<inner { a[(o * from + Int(index[r * inner + k])) * inner + k] = s[r * inner + k] }
          }
        }
      }
    }
    switch size {
    case 1: put(typed(a, UInt8.self), typed(s))
    case 4: put(typed(a, UInt32.self), typed(s))
    default: put(typed(a, UInt64.self), typed(s))
    }
    return -1
  }
}
