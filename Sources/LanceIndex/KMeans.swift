import Core
import TensorKernels

/// Lloyd's k-means over rows of Float32: the partitions of an IVF index, and the codebooks of product codes.
///
/// Rows are given to centroids by blocked matrix products (`Kernels.nearestCentroids`); the first centroids are rows drawn by the
/// seed. A centroid that loses all of its rows takes over half of the largest one. The same seed gives the same bits, whatever the threads.
enum KMeans {
  /// - Parameters:
  ///   - x: (count, dim) with `leading` elements from row to row. Must live through the call.
  ///   - k: centroids wanted. With fewer rows than that, rows are used several times.
  /// - Returns: centroids (k, dim).
  static func centroids(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, leading: Int, k: Int, iterations: Int, seed: UInt64
  ) throws(Failure) -> [Float] {
    var centroids = start(x, count: count, dim: dim, leading: leading, k: k, seed: seed)
    guard count > k else { return centroids }
    var nearest = [Int32](repeating: 0, count: count)
    var score = [Float](repeating: 0, count: count)
    var last = Double.infinity
    let squares = sumOfSquares(x, count: count, dim: dim, leading: leading)
    for iteration in 0..<max(1, iterations) {
      try assign(x, count, dim, leading, centroids, k, &nearest, &score)
      let loss = max(0, score.reduce(squares) { $0 + Double($1) })
      if iteration > 0, last - loss < 1e-3 * last { break }
      last = loss
      var counts = [Int32](repeating: 0, count: k)
      var sums = [Float](repeating: 0, count: k * dim)
      nearest.withUnsafeBufferPointer { nearest in
        sums.withUnsafeMutableBufferPointer { sums in
          counts.withUnsafeMutableBufferPointer { counts in
            guard let n = nearest.baseAddress, let s = sums.baseAddress, let c = counts.baseAddress else { return }
            Kernels.addToCentroids(x, count: count, dim: dim, leading: leading, nearest: n, sums: s, counts: c)
          }
        }
      }
      for j in 0..<k where counts[j] > 0 {
        let scale = 1 / Float(counts[j])
        for d in 0..<dim { centroids[j * dim + d] = sums[j * dim + d] * scale }
      }
      refill(&centroids, &counts, dim)
    }
    return centroids
  }

  /// Distinct rows drawn by the seed, in the order of the draw; over again when there are fewer than `k`.
  private static func start(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, leading: Int, k: Int, seed: UInt64
  ) -> [Float] {
    var centroids = [Float](repeating: 0, count: k * dim)
    guard count > 0 else { return centroids }
    let rows = Sample.rows(of: count, min(k, count), seed: seed)
    for j in 0..<k { for d in 0..<dim { centroids[j * dim + d] = x[rows[j % rows.count] * leading + d] } }
    return centroids
  }

  private static func sumOfSquares(_ x: UnsafePointer<Float>, count: Int, dim: Int, leading: Int) -> Double {
    var total = 0.0
    for i in 0..<count {
      var sum: Float = 0
      for d in 0..<dim { sum += x[i * leading + d] * x[i * leading + d] }
      total += Double(sum)
    }
    return total
  }

  private static func assign(
    _ x: UnsafePointer<Float>, _ count: Int, _ dim: Int, _ leading: Int, _ centroids: [Float], _ k: Int,
    _ nearest: inout [Int32], _ score: inout [Float]
  ) throws(Failure) {
    let result: Result<Void, Failure> = centroids.withUnsafeBufferPointer { c in
      nearest.withUnsafeMutableBufferPointer { n in
        score.withUnsafeMutableBufferPointer { s in
          guard let c = c.baseAddress, let n = n.baseAddress, let s = s.baseAddress else { return .success(()) }
          do throws(Failure) {
            return .success(
              try Kernels.nearestCentroids(
                x, count: count, dim: dim, leading: leading, centroids: c, k: k, nearest: n, score: s))
          } catch { return .failure(error) }
        }
      }
    }
    try result.get()
  }

  /// Centroids without rows become the largest one, moved apart a little in turn.
  private static func refill(_ centroids: inout [Float], _ counts: inout [Int32], _ dim: Int) {
    for j in counts.indices where counts[j] == 0 {
      guard let large = counts.indices.max(by: { counts[$0] < counts[$1] }), counts[large] > 1 else { return }
      for d in 0..<dim {
        let value = centroids[large * dim + d]
        let step = (abs(value) + 1e-6) * (d % 2 == 0 ? 1e-3 : -1e-3)
        centroids[j * dim + d] = value + step
        centroids[large * dim + d] = value - step
      }
      counts[j] = counts[large] / 2
      counts[large] -= counts[j]
    }
  }
}

/// Random choices that a seed defines.
enum Sample {
  /// `wanted` (at most `count`) distinct numbers below `count`, in random order.
  static func rows(of count: Int, _ wanted: Int, seed: UInt64) -> [Int] {
    let generator = Philox(seed: seed)
    // The first steps of a Fisher-Yates shuffle; places that were not touched hold their own number.
    var moved: [Int: Int] = [:]
    var rows: [Int] = []
    rows.reserveCapacity(wanted)
    for i in 0..<min(wanted, count) {
      let bits = generator.block(UInt64(i))
      let random = UInt64(bits[0]) << 32 | UInt64(bits[1])
      let j = i + Int(random.multipliedFullWidth(by: UInt64(count - i)).high)
      rows.append(moved[j] ?? j)
      moved[j] = moved[i] ?? i
    }
    return rows
  }
}
