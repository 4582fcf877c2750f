import Core
import TensorGraph
import TensorKernels
import Tensors

/// A value of a file while it is read, with what it is for each of the two batches: real elements when it does not depend on the
/// input, else the result for zeros, of which shape and type count.
final class Item {
  let samples: [Tensor]
  let isFixed: Bool
  /// In the graph; nil for something fixed that no node has read yet.
  var value: Graph.Value?
  /// How many names of the file stand for this.
  var names = 0
  /// Of an initializer.
  var constantName: String?
  /// This is `factor` times another value.
  var multiple: (of: Item, factor: Double)?
  /// This is `scale` (1 + erf(factor x)), or erf(factor x) alone: halves of GELU.
  var errorFunction: (of: Item, factor: Double, scale: Double, hasOne: Bool)?
  /// This is the sigmoid of another value.
  var sigmoid: Item?

  init(_ samples: [Tensor], value: Graph.Value) {
    (self.samples, self.value) = (samples, value)
    isFixed = false
  }
  init(fixed samples: [Tensor]) {
    self.samples = samples
    isFixed = true
  }

  var dtype: DType { samples[0].dtype }
  var rank: Int { samples[0].rank }
  /// For the first batch.
  var shape: [Int] { samples[0].shape }

  /// Products of extents are computed with also where one of them is 0.
  func checkSize() throws(Failure) {
    guard samples.allSatisfy({ $0.rank == rank }) else {
      throw Failure(
        .unsupported,
        "onnx: the number of dims depends on the batch: \(Shape.text(samples[0].shape)), \(Shape.text(samples[1].shape))")
    }
    for sample in samples {
      _ = try Shape.count(sample.shape.map { max(1, $0) }, op: "onnx")
      guard sample.shape.allSatisfy({ $0 < 1 << 32 }) else {
        throw Failure(.unsupported, "onnx: a tensor of shape \(Shape.text(sample.shape)) has an extent of 2^32 or more")
      }
    }
  }

  /// The root of `multiple`.
  var base: (item: Item, factor: Double) { multiple.map { ($0.of, $0.factor) } ?? (self, 1) }

  /// An extent that must not depend on the batch.
  func extent(_ dim: Int) throws(Failure) -> Int {
    let extents = samples.compactMap { $0.shape.indices.contains(dim) ? $0.shape[dim] : nil }
    guard extents.count == samples.count, let first = extents.first else {
      throw Failure(.shapeMismatch, "input \(Shape.text(shape)) has no dim \(dim + 1)")
    }
    guard extents.allSatisfy({ $0 == first }) else {
      throw Failure(
        .unsupported, "dim \(dim + 1) of input \(Shape.text(shape)) depends on the batch, which cannot be told here")
    }
    return first
  }
  func extents(_ dims: Range<Int>) throws(Failure) -> [Int] {
    var out: [Int] = []
    for dim in dims { out.append(try extent(dim)) }
    return out
  }
  /// A dim from 0, also counted from the end.
  func axis(_ dim: Int) throws(Failure) -> Int { try Item.axis(dim, rank: rank) }
  static func axis(_ dim: Int, rank: Int) throws(Failure) -> Int {
    guard dim >= -rank, dim < rank else { throw Failure(.corruptData, "axis \(dim) is none of \(rank) dims") }
    return dim < 0 ? dim + rank : dim
  }

  /// Whether something fixed is the same for both batches.
  func isSame() throws(Failure) -> Bool {
    guard isFixed, samples.count == 2 else { return isFixed }
    let (a, b) = (samples[0], samples[1])
    if a === b { return true }
    guard a.shape == b.shape, a.dtype == b.dtype else { return false }
    return try Tensor.compare(.ne, a, b).sum().item() == 0
  }

  /// The one number of something fixed, if it is one for both batches.
  func number() throws(Failure) -> Double? {
    guard isFixed, samples[0].count == 1, try isSame() else { return nil }
    return try samples[0].detached().item()
  }

  /// The integers of a fixed list, for each batch.
  func integerLists(_ what: String) throws(Failure) -> [[Int]] {
    guard isFixed else {
      throw Failure(.unsupported, "\(what) is computed from the input's elements; it must be known beforehand")
    }
    var out: [[Int]] = []
    for sample in samples {
      guard !sample.dtype.isFloat, sample.rank <= 1, sample.count <= 4096 else {
        throw Failure(.corruptData, "\(what) must be a list of integers, not \(sample.dtype) \(Shape.text(sample.shape))")
      }
      let source = try sample.detached().cast(.i64).contiguous()
      let list = source.pointer.assumingMemoryBound(to: Int64.self)
      out.append((0..<source.count).map { Int(list[$0]) })
      withExtendedLifetime(source) {}
    }
    return out
  }
  /// The same where the list must not depend on the batch.
  func integers(_ what: String) throws(Failure) -> [Int] {
    let lists = try integerLists(what)
    guard let first = lists.first, lists.allSatisfy({ $0 == first }) else {
      throw Failure(.unsupported, "\(what) depends on the batch, which cannot be told here")
    }
    return first
  }
}
