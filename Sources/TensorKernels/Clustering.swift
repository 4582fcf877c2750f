package import Core
import Glibc

/// Nearest centroids and tables of product codes. x (count, dim), centroids c (k, dim), row major Float.
extension Kernels {
  /// For each row of x the centroid with the smallest |x - c|^2 (the first of equal ones): its place in `nearest`, the distance less
  /// |x|^2 in `score` (may be nil). `leading` is the distance between rows of x in elements, at least `dim`.
  ///
  /// |x - c|^2 = |x|^2 + |c|^2 - 2 x.c: the products are GEMMs of blocks of rows, small enough for the cache.
  package static func nearestCentroids(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, leading: Int, centroids c: UnsafePointer<Float>, k: Int,
    nearest: UnsafeMutablePointer<Int32>, score: UnsafeMutablePointer<Float>?
  ) throws(Failure) {
    guard count > 0, k > 0 else { return }
    guard max(k, dim, leading) < BLAS.limit else {
      throw Failure(.unsupported, "\(k) centroids of \(dim) numbers are more than OpenBLAS takes")
    }
    let halves = try BufferPool.take(byteCount: k * 4, zeroed: false)
    defer { BufferPool.give(halves) }
    let half: UnsafeMutablePointer<Float> = typed(halves.pointer)
    squaredNorms(c, count: k, dim: dim, out: half)
    for j in 0..<k { half[j] *= 0.5 }
    let rows = max(16, min(1024, (1 << 16) / k))
    let scratch = try Scratch(bytes: rows * k * 4, blocks: (count + rows - 1) / rows)
    nonisolated(unsafe) let (x, c, half0, nearest, score) = (x, c, half, nearest, score)
    Parallel.forEach(count: count, grain: rows) { range in
      scratch.use { raw in
        let products: UnsafeMutablePointer<Float> = typed(raw)
        oneGemm(
          false, true, range.count, k, dim, Float(1), x + range.lowerBound * leading, leading, c, dim, Float(0), products, k)
        for i in 0..<range.count {
          let (best, value) = smallest(half0, products + i * k, k)
          nearest[range.lowerBound + i] = Int32(truncatingIfNeeded: best)
          score?[range.lowerBound + i] = 2 * value
        }
      }
    }
    try Cancellation.check()
  }

  /// sums (k, dim) += the rows of x by their centroid; counts (k) += how many. Serial, in row order.
  package static func addToCentroids(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, leading: Int, nearest: UnsafePointer<Int32>,
    sums: UnsafeMutablePointer<Float>, counts: UnsafeMutablePointer<Int32>
  ) {
    for i in 0..<count {
      let j = Int(nearest[i])
      let (sum, row) = (sums + j * dim, x + i * leading)
      for d in 0..<dim { sum[d] += row[d] }
      counts[j] += 1
    }
  }

  /// sums[i] += table[s, codes[s, i]] over the m sub-vectors s: distances from product codes that lie sub-vector by sub-vector.
  /// table (m, 256), codes (m, count).
  package static func addCodeDistances(
    table: UnsafePointer<Float>, codes: UnsafePointer<UInt8>, m: Int, count: Int, stride: Int, sums: UnsafeMutablePointer<Float>
  ) {
    var s = 0
    while s + 4 <= m {
      let (t0, t1, t2, t3) = (table + s * 256, table + (s + 1) * 256, table + (s + 2) * 256, table + (s + 3) * 256)
      let (c0, c1, c2, c3) = (codes + s * stride, codes + (s + 1) * stride, codes + (s + 2) * stride, codes + (s + 3) * stride)
      for i in 0..<count {
        sums[i] += (t0[Int(c0[i])] + t1[Int(c1[i])]) + (t2[Int(c2[i])] + t3[Int(c3[i])])
      }
      s += 4
    }
    while s < m {
      let (t, c) = (table + s * 256, codes + s * stride)
      for i in 0..<count { sums[i] += t[Int(c[i])] }
      s += 1
    }
  }
}

/// The place of the smallest h[j] - p[j], the first of equal ones, and the value.
@inline(__always)
private func smallest(_ h: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ k: Int) -> (Int, Float) {
  var best = SIMD8<Float>(repeating: .infinity)
  var block = SIMD8<Int32>(repeating: 0)
  var j = 0
  while j + 8 <= k {
    let value =
      UnsafeRawPointer(h + j).loadUnaligned(as: SIMD8<Float>.self)
      - UnsafeRawPointer(p + j).loadUnaligned(as: SIMD8<Float>.self)
    let isLess = value .< best
    best.replace(with: value, where: isLess)
    block.replace(with: SIMD8<Int32>(repeating: Int32(truncatingIfNeeded: j)), where: isLess)
    j += 8
  }
  var (place, value) = (0, Float.infinity)
  for lane in 0..<8 {
    let at = Int(block[lane]) + lane
    if best[lane] < value || (best[lane] == value && best[lane] < .infinity && at < place) { (place, value) = (at, best[lane]) }
  }
  while j < k {
    if h[j] - p[j] < value { (place, value) = (j, h[j] - p[j]) }
    j += 1
  }
  return (place, value)
}
