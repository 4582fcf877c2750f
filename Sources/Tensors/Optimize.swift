package import Core
package import TensorKernels

/// Fused optimizer steps on one parameter, in place; state tensors belong to the caller.
extension Tensor {
  func checkState(_ op: String, _ states: [Tensor]) throws(Failure) -> Tensor? {
    guard let grad else { return nil }
    guard isContiguous, dtype.isFloat, grad.shape == shape, grad.dtype == dtype else {
      throw Failure(.shapeMismatch, "\(op): a parameter \(dtype) \(Shape.text(shape)) must be contiguous and fit its gradient")
    }
    for state in states where state.shape != shape || state.dtype != dtype || !state.isContiguous {
      throw Failure(.shapeMismatch, "\(op): state \(Shape.text(state.shape)) does not fit parameter \(Shape.text(shape))")
    }
    return try grad.detached().contiguous()
  }

  /// Adam or AdamW, step number `step` from 1. A parameter without gradient stays as it is.
  package func adamStep(_ o: AdamOptions, step: Int, m: Tensor, v: Tensor) throws(Failure) {
    guard let gradient = try checkState("adam", [m, v]) else { return }
    guard step >= 1 else { throw Failure(.invalidArgument, "adam: steps count from 1, not \(step)") }
    Kernels.adam(dtype, count, o, step: step, p: pointer, g: gradient.pointer, m: m.pointer, v: v.pointer)
    for t in [self, m, v] { t.storage.changed() }
  }

  /// SGD; `velocity` is needed for momentum, and is filled on the `first` step.
  package func sgdStep(_ o: SGDOptions, first: Bool, velocity: Tensor?) throws(Failure) {
    guard let gradient = try checkState("sgd", velocity.map { [$0] } ?? []) else { return }
    Kernels.sgd(dtype, count, o, first: first, p: pointer, g: gradient.pointer, velocity: velocity?.pointer)
    storage.changed()
    velocity?.storage.changed()
  }

  /// Scales the gradients of `parameters` so that their joint length is at most `most`; gives the length before.
  package static func clipGradientNorm(_ parameters: [Tensor], most: Double) throws(Failure) -> Double {
    var squares = 0.0
    for p in parameters {
      guard let grad = p.grad else { continue }
      let length = try grad.norm().item()
      squares += length * length
    }
    let total = squares.squareRoot()
    let scale = most / (total + 1e-6)
    if scale < 1 { for p in parameters { p.grad = try p.grad?.mul(scale) } }
    return total
  }
}
