package import Core
import TensorKernels

/// Directions of vectors.
extension Tensor {
  /// Each vector along a dim divided by its length, or by `epsilon` where that is larger.
  package func unitVectors(_ dim: Int, epsilon: Double = 1e-12, op: String = "normalize") throws(Failure) -> Tensor {
    try needFloat(op)
    let axis = try Shape.axis(dim, rank: rank, op: op)
    // Held from below before the root, whose slope at 0 is infinite.
    let squares = try unary(.square).sum([axis], keepDims: true).clamped(epsilon * epsilon, .infinity)
    return try div(squares.unary(.sqrt))
  }

  /// sum(x y) / (|x| |y|) along a dim; lengths are at least `epsilon`.
  package static func cosineSimilarity(_ x: Tensor, _ y: Tensor, _ dim: Int, epsilon: Double = 1e-8) throws(Failure) -> Tensor {
    let op = "cosine_similarity"
    guard x.shape == y.shape else {
      throw Failure(.shapeMismatch, "\(op): shapes \(Shape.text(x.shape)) and \(Shape.text(y.shape)) must be the same")
    }
    return try x.unitVectors(dim, epsilon: epsilon, op: op).mul(y.unitVectors(dim, epsilon: epsilon, op: op)).sum([dim])
  }
}
