import Core
import TensorKernels

/// Product codes: a vector of `dim` numbers cut into `m` sub-vectors, each replaced by the nearest of 256 centroids, one byte each.
/// Jégou, Douze, Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011.
struct ProductCode: Sendable {
  static let size = 256
  let dim: Int
  let m: Int
  /// (m, 256, dim / m)
  let codebook: [Float]

  var width: Int { dim / m }

  /// Finds a codebook for rows like `x` (count, dim).
  static func train(_ x: UnsafePointer<Float>, count: Int, dim: Int, m: Int, iterations: Int, seed: UInt64) throws(Failure)
    -> ProductCode
  {
    var codebook: [Float] = []
    codebook.reserveCapacity(size * dim)
    let width = dim / m
    for s in 0..<m {
      codebook += try KMeans.centroids(
        x + s * width, count: count, dim: width, leading: dim, k: size, iterations: iterations, seed: seed &+ UInt64(s))
    }
    return ProductCode(dim: dim, m: m, codebook: codebook)
  }

  /// codes (count, m) of x (count, dim). Serial within a parallel block.
  func encode(_ x: UnsafePointer<Float>, count: Int, codes: UnsafeMutablePointer<UInt8>) throws(Failure) {
    let result: Result<Void, Failure> = withUnsafeTemporaryAllocation(of: Int32.self, capacity: count) { nearest in
      codebook.withUnsafeBufferPointer { book in
        guard let book = book.baseAddress, let nearest = nearest.baseAddress else { return .success(()) }
        do throws(Failure) {
          for s in 0..<m {
            try Kernels.nearestCentroids(
              x + s * width, count: count, dim: width, leading: dim, centroids: book + s * ProductCode.size * width,
              k: ProductCode.size, nearest: nearest, score: nil)
            for i in 0..<count { codes[i * m + s] = UInt8(truncatingIfNeeded: nearest[i]) }
          }
          return .success(())
        } catch { return .failure(error) }
      }
    }
    try result.get()
  }

  /// table[s, j]: the part that code j of sub-vector s adds to the distance of `q` (l2), or to its inner product (dot).
  func table(_ q: UnsafePointer<Float>, _ metric: VectorMetric, into table: UnsafeMutablePointer<Float>) {
    codebook.withUnsafeBufferPointer { book in
      guard let book = book.baseAddress else { return }
      for s in 0..<m {
        let (part, centroids) = (q + s * width, book + s * ProductCode.size * width)
        if metric == .dot {
          Kernels.dots(centroids, count: ProductCode.size, dim: width, query: part, out: table + s * ProductCode.size)
        } else {
          Kernels.squaredDistances(
            centroids, count: ProductCode.size, dim: width, query: part, out: table + s * ProductCode.size)
        }
      }
    }
  }
}
