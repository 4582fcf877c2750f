package import Core
import TensorKernels

/// Largest values over several dims, and the logarithm of a sum of exponentials.
extension Tensor {
  /// The largest (or smallest) over `dims` (all when nil); ties share the gradient evenly.
  package func amax(largest: Bool, _ dims: [Int]? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    let op = largest ? "amax" : "amin"
    let axes = try Shape.axes(dims, rank: rank, op: op)
    guard axes.allSatisfy({ shape[$0] > 0 }) else {
      throw Failure(.invalidArgument, "\(op): a dim of shape \(Shape.text(shape)) has no elements")
    }
    var kept = detached()
    for axis in axes { kept = try kept.extreme(largest: largest, axis, keepDims: true).values }
    let small = shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
    // A copy where nothing was reduced: the result must not share memory with this.
    let out = try axes.isEmpty ? detached().clone() : kept.detached().reshaped(keepDims ? kept.shape : small)
    let wide = kept.shape
    return out.recorded(op, [self], saving: [self, kept]) { (g, saved, _) throws(Failure) in
      let ties = try Tensor.compare(.eq, saved[0], saved[1]).cast(g.dtype)
      return [try ties.mul(g.reshaped(wide).div(ties.sum(axes, keepDims: true)))]
    }
  }

  /// log(sum(e^x)) over `dims`, the largest taken out first.
  package func logsumexp(_ dims: [Int]? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    try needFloat("logsumexp")
    let axes = try Shape.axes(dims, rank: rank, op: "logsumexp")
    if axes.contains(where: { shape[$0] == 0 }) { return try unary(.exp).sum(axes, keepDims: keepDims).unary(.log) }
    var top = try detached().amax(largest: true, axes, keepDims: true)
    // inf - inf is no number: what is infinite stays in.
    let isInfinite = try Tensor.compare(.eq, top.unary(.abs), Tensor.scalar(.infinity, dtype))
    top = try Tensor.select(isInfinite, Tensor.scalar(0, dtype), top)
    let sum = try sub(top).unary(.exp).sum(axes, keepDims: keepDims).unary(.log)
    return try sum.add(top.reshaped(sum.shape))
  }
}
