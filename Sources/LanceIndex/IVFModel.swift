import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import TensorKernels

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What an IVF index learns before rows are put into it: centroids, and a codebook for product codes.
struct IVFModel: Sendable {
  let metric: VectorMetric
  let dim: Int
  /// (k, dim)
  let centroids: [Float]
  /// Nil: IVF_FLAT.
  let code: ProductCode?

  var partitions: Int { centroids.count / dim }
  /// Codes are of x - centroid.
  var usesResiduals: Bool { metric != .dot }

  /// Learns from a sample of the rows of `source`.
  /// - Throws: `INVALID_ARGUMENT` when there are no vectors.
  static func train(_ source: VectorRows, _ options: IndexOptions, partitions: Int, subVectors: Int?) throws(Failure)
    -> IVFModel
  {
    let dim = source.column.dim
    let wanted = max(partitions, subVectors == nil ? 0 : ProductCode.size) * max(1, options.sampleRate)
    let sample = try source.sample(wanted, seed: options.seed)
    guard sample.count > 0 else {
      throw Failure(
        .invalidArgument, "column '\(source.column.name)' has no vectors yet; an IVF index learns from those that are there")
    }
    let x = UnsafePointer(sample.buffer.pointer.assumingMemoryBound(to: Float.self))
    defer { withExtendedLifetime(sample.buffer) {} }
    let k = min(partitions, sample.count)
    let centroids = try KMeans.centroids(
      x, count: sample.count, dim: dim, leading: dim, k: k, iterations: options.iterations, seed: options.seed)
    guard let subVectors else { return IVFModel(metric: options.metric, dim: dim, centroids: centroids, code: nil) }
    let plain = IVFModel(metric: options.metric, dim: dim, centroids: centroids, code: nil)
    // The sample is in random order, so its first rows are a sample too.
    let count = min(sample.count, ProductCode.size * max(1, options.sampleRate))
    let residuals = try Buffer(byteCount: count * dim * 4, zeroed: false)
    let r = residuals.pointer.assumingMemoryBound(to: Float.self)
    defer { withExtendedLifetime(residuals) {} }
    var nearest = [Int32](repeating: 0, count: count)
    try plain.assign(x, count: count, nearest: &nearest)
    plain.subtract(x, count: count, nearest: nearest, into: r)
    let code = try ProductCode.train(
      r, count: count, dim: dim, m: subVectors, iterations: options.iterations, seed: options.seed &+ 1)
    return IVFModel(metric: options.metric, dim: dim, centroids: centroids, code: code)
  }

  init(metric: VectorMetric, dim: Int, centroids: [Float], code: ProductCode?) {
    self.metric = metric
    self.dim = dim
    self.centroids = centroids
    self.code = code
  }

  /// That of an index that is there, for its deltas.
  init(_ index: IVFIndex) {
    var code: ProductCode?
    if case .codes(_, let known) = index.content { code = known }
    self.init(metric: index.metric, dim: index.dim, centroids: index.centroids, code: code)
  }

  /// The partition of each row of `x` (count, dim).
  func assign(_ x: UnsafePointer<Float>, count: Int, nearest: UnsafeMutablePointer<Int32>) throws(Failure) {
    let result: Result<Void, Failure> = centroids.withUnsafeBufferPointer { c in
      guard let c = c.baseAddress else { return .success(()) }
      do throws(Failure) {
        return .success(
          try Kernels.nearestCentroids(
            x, count: count, dim: dim, leading: dim, centroids: c, k: partitions, nearest: nearest, score: nil))
      } catch { return .failure(error) }
    }
    try result.get()
  }

  /// into = x - centroid, or x where codes are of the vectors themselves.
  func subtract(_ x: UnsafePointer<Float>, count: Int, nearest: UnsafePointer<Int32>, into: UnsafeMutablePointer<Float>) {
    guard usesResiduals else { return into.update(from: x, count: count * dim) }
    centroids.withUnsafeBufferPointer { c in
      for i in 0..<count {
        let base = Int(nearest[i]) * dim
        for d in 0..<dim { into[i * dim + d] = x[i * dim + d] - c[base + d] }
      }
    }
  }

  // MARK: messages

  func tensor(_ values: [Float], shape: [Int]) -> PBIndexTensor {
    var tensor = PBIndexTensor()
    tensor.dataType = .float32
    tensor.shape = shape.map { UInt32($0) }
    tensor.data = values.withUnsafeBytes { Data($0) }
    return tensor
  }

  var details: PBVectorIndexDetails {
    var details = PBVectorIndexDetails()
    details.metricType = metric.proto
    if let code {
      details.pq.numBits = 8
      details.pq.numSubVectors = UInt32(code.m)
    } else {
      details.flat = PBEmptyMessage()
    }
    return details
  }
}
