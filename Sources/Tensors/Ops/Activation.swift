package import Core
package import TensorKernels

/// Activations with kinks or settings.
extension Tensor {
  /// op of each element; integers become f32. `slope` is leaky_relu's factor below 0 and elu's alpha.
  package func activated(_ op: Activation, slope: Double = 0.01) throws(Failure) -> Tensor {
    let source = try dtype.isFloat ? self : cast(.f32)
    let type = source.dtype
    let out = try Tensor.empty(shape, type, op: op.rawValue)
    Kernels.activation(op, slope: slope, type, Tensor.loop(shape, out, source), out: out.pointer, a: source.pointer)
    out.traced(.activation(op, slope: slope), [source])
    return out.recorded(op.rawValue, [source], saving: [source]) { (g, saved, _) throws(Failure) in
      let d = try Tensor.empty(g.shape, type, op: op.rawValue)
      Kernels.activationGradient(
        op, slope: slope, type, Tensor.loop(g.shape, d, g, saved[0]), out: d.pointer, g: g.pointer, x: saved[0].pointer)
      return [d]
    }
  }

  /// x where x > 0, else weight x; weight (1), or (C) for x (N,C,...).
  package static func prelu(_ x: Tensor, _ weight: Tensor) throws(Failure) -> Tensor {
    try x.needFloat("prelu")
    guard weight.dtype == x.dtype, weight.rank == 1, weight.count == 1 || (x.rank >= 2 && weight.count == x.shape[1]) else {
      throw Failure(
        .shapeMismatch,
        "prelu: weight \(weight.dtype) \(Shape.text(weight.shape)) does not fit input \(x.dtype) \(Shape.text(x.shape)): "
          + "(1) or one number per channel is needed")
    }
    let slopes =
      weight.count == 1 ? weight : try weight.reshaped([weight.count] + [Int](repeating: 1, count: max(0, x.rank - 2)))
    let isPositive = try compare(.gt, x, scalar(0, x.dtype))
    return try select(isPositive, x, x.mul(weight.count == 1 ? weight.reshaped([]) : slopes))
  }
}
