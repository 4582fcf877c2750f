package import Core
import TensorKernels

/// Sums, means, extremes, positions, spread, running sums and order.
extension Tensor {
  /// This tensor as (outer, count, inner) around the reduced axes; contiguous, copied only when the axes are apart.
  private func folded(_ axes: [Int]) throws(Failure) -> (source: Tensor, outer: Int, count: Int, inner: Int) {
    let length = axes.reduce(1) { $0 * shape[$1] }
    if let first = axes.first, let last = axes.last, last - first == axes.count - 1 {
      let source = try detached().contiguous()
      return (source, shape[..<first].reduce(1, *), length, shape[(last + 1)...].reduce(1, *))
    }
    if axes.isEmpty { return (try detached().contiguous(), count, 1, 1) }
    let kept = shape.indices.filter { !axes.contains($0) }
    let source = try detached().permuted(kept + axes).contiguous()
    return (source, kept.reduce(1) { $0 * shape[$1] }, length, 1)
  }

  private func reducedShape(_ axes: [Int], keepDims: Bool) -> [Int] {
    shape.indices.compactMap { axes.contains($0) ? (keepDims ? 1 : nil) : shape[$0] }
  }

  /// Sum over `dims` (all when nil). Integers and bools sum as i64.
  package func sum(_ dims: [Int]? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    let axes = try Shape.axes(dims, rank: rank, op: "sum")
    let source = try dtype.isFloat ? self : cast(.i64)
    let f = try source.folded(axes)
    let out = try Tensor.empty(reducedShape(axes, keepDims: keepDims), source.dtype, op: "sum")
    try Kernels.reduce(
      .sum, source.dtype, outer: f.outer, count: f.count, inner: f.inner, out: out.pointer, a: f.source.pointer)
    let (old, kept) = (shape, reducedShape(axes, keepDims: true))
    out.traced(.sum(dims: axes, keepDims: keepDims), [self])
    return out.recorded("sum", [self]) { (g, _, _) throws(Failure) in [try g.reshaped(kept).expanded(old)] }
  }

  /// Mean over `dims` (all when nil).
  package func mean(_ dims: [Int]? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    try needFloat("mean")
    let axes = try Shape.axes(dims, rank: rank, op: "mean")
    let n = axes.reduce(1) { $0 * shape[$1] }
    return try sum(axes, keepDims: keepDims).div(Tensor.scalar(Double(n), dtype))
  }

  /// Variance over `dims`: squared distances from the mean by n - correction.
  package func variance(_ dims: [Int]? = nil, correction: Int = 1, keepDims: Bool = false) throws(Failure) -> Tensor {
    try needFloat("var")
    let axes = try Shape.axes(dims, rank: rank, op: "var")
    let n = axes.reduce(1) { $0 * shape[$1] }
    let squares = try sub(mean(axes, keepDims: true)).unary(.square).sum(axes, keepDims: keepDims)
    return try squares.div(Tensor.scalar(Double(max(0, n - correction)), dtype))
  }

  /// Square root of the variance.
  package func deviation(_ dims: [Int]? = nil, correction: Int = 1, keepDims: Bool = false) throws(Failure) -> Tensor {
    try variance(dims, correction: correction, keepDims: keepDims).unary(.sqrt)
  }

  /// Euclidean length of all elements along `dims`.
  package func norm(_ dims: [Int]? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    try needFloat("norm")
    return try unary(.square).sum(dims, keepDims: keepDims).unary(.sqrt)
  }

  /// Product over one dim, or all.
  package func product(_ dim: Int? = nil, keepDims: Bool = false) throws(Failure) -> Tensor {
    let axes = try Shape.axes(dim.map { [$0] }, rank: rank, op: "prod")
    let source = try dtype.isFloat ? self : cast(.i64)
    let f = try source.folded(axes)
    let type = source.dtype
    let out = try Tensor.empty(reducedShape(axes, keepDims: keepDims), type, op: "prod")
    try Kernels.reduce(.prod, type, outer: f.outer, count: f.count, inner: f.inner, out: out.pointer, a: f.source.pointer)
    let old = shape
    return out.recorded("prod", [self], saving: [f.source]) { (g, saved, _) throws(Failure) in
      // Each element's factor is the product of the others: products from the left times products from the right.
      let d = try Tensor.empty(old, type, op: "prod")
      let flat = try g.contiguous()
      for o in 0..<f.outer {
        for k in 0..<f.inner {
          func at(_ i: Int) -> Int { (o * f.count + i) * f.inner + k }
          let slope = Kernels.load(type, flat.pointer, o * f.inner + k)
          var left = slope
          for i in 0..<f.count {
            Kernels.store(type, d.pointer, at(i), left)
            left *= Kernels.load(type, saved[0].pointer, at(i))
          }
          var right = 1.0
          for i in (0..<f.count).reversed() {
            Kernels.store(type, d.pointer, at(i), Kernels.load(type, d.pointer, at(i)) * right)
            right *= Kernels.load(type, saved[0].pointer, at(i))
          }
        }
      }
      return [d]
    }
  }

  /// Largest (or smallest) values along a dim and their positions (i64, from 0).
  package func extreme(largest: Bool, _ dim: Int, keepDims: Bool = false) throws(Failure) -> (values: Tensor, positions: Tensor)
  {
    let op = largest ? "max" : "min"
    let axis = try Shape.axis(dim, rank: rank, op: op)
    let positions = try argExtreme(largest: largest, axis, keepDims: true)
    let values = try gathered(axis, positions)
    return keepDims ? (values, positions) : (try values.squeezed(axis), try positions.squeezed(axis))
  }

  /// The largest (or smallest) of all elements; ties share the gradient evenly, as in PyTorch.
  package func extreme(largest: Bool) throws(Failure) -> Tensor {
    let op = largest ? "max" : "min"
    guard count > 0 else { throw Failure(.invalidArgument, "\(op): the tensor has no elements") }
    let source = try detached().contiguous()
    let out = try Tensor.empty([], dtype, op: op)
    try Kernels.reduce(largest ? .max : .min, dtype, outer: 1, count: count, inner: 1, out: out.pointer, a: source.pointer)
    return out.recorded(op, [self], saving: [self, out]) { (g, saved, _) throws(Failure) in
      let ties = try Tensor.compare(.eq, saved[0], saved[1]).cast(g.dtype)
      return [try ties.mul(g.div(ties.sum()))]
    }
  }

  /// Positions (i64, from 0) of the first largest (or smallest) along a dim, or in the flat tensor.
  package func argExtreme(largest: Bool, _ dim: Int?, keepDims: Bool = false) throws(Failure) -> Tensor {
    let op = largest ? "argmax" : "argmin"
    guard let dim else {
      return try detached().flattened().argExtreme(largest: largest, 0, keepDims: false)
    }
    let axis = try Shape.axis(dim, rank: rank, op: op)
    guard shape[axis] > 0 else {
      throw Failure(.invalidArgument, "\(op): dim \(axis + 1) of shape \(Shape.text(shape)) has no elements")
    }
    let f = try folded([axis])
    let out = try Tensor.empty(reducedShape([axis], keepDims: keepDims), .i64, op: op)
    Kernels.argExtreme(
      largest: largest, dtype, outer: f.outer, count: f.count, inner: f.inner, out: out.pointer, a: f.source.pointer)
    return out
  }

  /// Whether any (or all) elements are not zero: a bool scalar.
  package func anyNonZero() throws(Failure) -> Bool { try Tensor.compare(.ne, self, Tensor.scalar(0, dtype)).sum().item() > 0 }
  package func allNonZero() throws(Failure) -> Bool {
    try Tensor.compare(.ne, self, Tensor.scalar(0, dtype)).sum().item() == Double(count)
  }

  /// Running sums along a dim.
  package func cumsum(_ dim: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "cumsum")
    let source = try dtype.isFloat ? self : cast(.i64)
    return try source.running(axis, reverse: false).recorded("cumsum", [self]) { (g, _, _) throws(Failure) in
      [try g.running(axis, reverse: true)]
    }
  }
  private func running(_ axis: Int, reverse: Bool) throws(Failure) -> Tensor {
    let f = try folded([axis])
    let out = try Tensor.empty(shape, dtype, op: "cumsum")
    Kernels.cumsum(
      dtype, outer: f.outer, count: f.count, inner: f.inner, reverse: reverse, out: out.pointer, a: f.source.pointer)
    return out
  }

  /// Sorted along a dim (stable): values and positions (i64, from 0).
  package func sorted(_ dim: Int, descending: Bool) throws(Failure) -> (values: Tensor, positions: Tensor) {
    let axis = try Shape.axis(dim, rank: rank, op: "sort")
    return try ordered(axis, keep: shape[axis], descending: descending, op: "sort")
  }

  /// The `k` largest (or smallest) along a dim, best first: values and positions (i64, from 0).
  package func topk(_ k: Int, _ dim: Int, largest: Bool) throws(Failure) -> (values: Tensor, positions: Tensor) {
    let axis = try Shape.axis(dim, rank: rank, op: "topk")
    guard k >= 0, k <= shape[axis] else {
      throw Failure(
        .invalidArgument, "topk: k = \(k) is not in 0..\(shape[axis]), the extent of dim \(axis + 1) of \(Shape.text(shape))")
    }
    return try ordered(axis, keep: k, descending: largest, op: "topk")
  }

  private func ordered(_ axis: Int, keep: Int, descending: Bool, op: String) throws(Failure) -> (
    values: Tensor, positions: Tensor
  ) {
    let f = try folded([axis])
    var target = shape
    target[axis] = keep
    let positions = try Tensor.empty(target, .i64, op: op)
    Kernels.sortPositions(
      dtype, outer: f.outer, count: f.count, inner: f.inner, keep: keep, descending: descending,
      positions: positions.pointer, a: f.source.pointer)
    return (try gathered(axis, positions), positions)
  }

  func needFloat(_ op: String) throws(Failure) {
    guard dtype.isFloat else {
      throw Failure(.typeMismatch, "\(op): needs f32 or f64, this tensor is \(dtype); convert it with :to \"f32\"")
    }
  }
}
