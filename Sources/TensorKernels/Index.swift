import Core

/// Picking and adding by positions. Positions are i64, 0-based, checked here: the first bad one is returned as its place
/// in `index`, -1 when all are good.
extension Kernels {
  /// out (rows picked, width bytes each) = rows `index` of a (rows, width bytes). Spread over the cores.
  package static func takeRows(
    rows: Int, rowBytes: Int, index: UnsafePointer<Int64>, count: Int, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) -> Int {
    for i in 0..<count where index[i] < 0 || index[i] >= Int64(rows) { return i }
    nonisolated(unsafe) let (out, a, index) = (out, a, index)
    Parallel.forEach(count: count, grain: max(1, 131072 / max(1, rowBytes))) { range in
      for i in range { (out + i * rowBytes).copyMemory(from: a + Int(index[i]) * rowBytes, byteCount: rowBytes) }
    }
    return -1
  }

  /// a (rows, width) += the rows of g (count, width) at `index`, in order of i; columns are spread over the cores.
  package static func addRows(
    _ type: DType, width: Int, index: UnsafePointer<Int64>, count: Int, a: UnsafeMutableRawPointer, g: UnsafeRawPointer
  ) {
    func add<T: Real>(_ a: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>) {
      nonisolated(unsafe) let (a, g, index) = (a, g, index)
      Parallel.forEach(count: width, grain: max(1, 16384 / max(1, count))) { range in
        for i in 0..<count {
          let (target, source) = (a + Int(index[i]) * width, g + i * width)
          for j in range { target[j] += source[j] }
        }
      }
    }
    if type == .f32 { add(typed(a, Float.self), typed(g)) } else { add(typed(a, Double.self), typed(g)) }
  }

  /// out[o,i,k] = a[o, index[o,i,k], k]: a (outer, from, inner), index and out (outer, count, inner).
  package static func gather(
    size: Int, outer: Int, from: Int, count: Int, inner: Int, index: UnsafePointer<Int64>, out: UnsafeMutableRawPointer,
    a: UnsafeRawPointer
  ) -> Int {
    for i in 0..<outer * count * inner where index[i] < 0 || index[i] >= Int64(from) { return i }
    func pick<T: BitwiseCopyable>(_ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>) {
      nonisolated(unsafe) let (out, a, index) = (out, a, index)
      Parallel.forEach(count: outer * count, grain: max(1, 8192 / max(1, inner))) { range in
        for r in range {
          let base = a + (r / count) * from * inner
          for k in 0..<inner { out[r * inner + k] = base[Int(index[r * inner + k]) * inner + k] }
        }
      }
    }
    switch size {
    case 1: pick(typed(out, UInt8.self), typed(a))
    case 4: pick(typed(out, UInt32.self), typed(a))
    default: pick(typed(out, UInt64.self), typed(a))
    }
    return -1
  }

  /// a[o, index[o,i,k], k] += g[o,i,k], the reverse of `gather`; one outer part after the other on each core.
  package static func scatterAdd(
    _ type: DType, outer: Int, from: Int, count: Int, inner: Int, index: UnsafePointer<Int64>, a: UnsafeMutableRawPointer,
    g: UnsafeRawPointer
  ) -> Int {
    for i in 0..<outer * count * inner where index[i] < 0 || index[i] >= Int64(from) { return i }
    func add<T: Element>(_ a: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>) {
      nonisolated(unsafe) let (a, g, index) = (a, g, index)
      Parallel.forEach(count: outer, grain: max(1, 8192 / max(1, inner * count))) { range in
        for o in range {
          for r in o * count..<(o + 1) * count {
            for k in 0..<inner {
              let at = (o * from + Int(index[r * inner + k])) * inner + k
              a[at] = T.plus(a[at], g[r * inner + k])
            }
          }
        }
      }
    }
    switch type {
    case .bool, .u8: add(typed(a, UInt8.self), typed(g))
    case .i32: add(typed(a, Int32.self), typed(g))
    case .i64: add(typed(a, Int64.self), typed(g))
    case .f32: add(typed(a, Float.self), typed(g))
    case .f64: add(typed(a, Double.self), typed(g))
    }
    return -1
  }
}
