package import Core
import TensorKernels

/// Batch norm, layer norm, dropout.
extension Tensor {
  /// Normalizes each channel of x (N,C) or (N,C,...) to mean 0 and variance 1, then gamma x + beta.
  ///
  /// With `training` the batch's statistics are used, and `runningMean` and `runningVariance` (C) move towards them by
  /// `momentum` (variance unbiased); otherwise the running ones are used. `relu`: max(y, 0) of it, in the same pass and with the bits
  /// of the two one after the other.
  package static func batchNorm(
    _ x: Tensor, gamma: Tensor?, beta: Tensor?, runningMean: Tensor?, runningVariance: Tensor?, training: Bool,
    momentum: Double = 0.1, epsilon: Double = 1e-5, relu: Bool = false
  ) throws(Failure) -> Tensor {
    // With the running statistics it is one of a graph's ops, which are joined there.
    if relu, !training {
      return try batchNorm(
        x, gamma: gamma, beta: beta, runningMean: runningMean, runningVariance: runningVariance, training: false,
        momentum: momentum, epsilon: epsilon
      ).unary(.relu)
    }
    try x.needFloat("batch_norm")
    guard x.rank >= 2 else {
      throw Failure(.shapeMismatch, "batch_norm: input \(Shape.text(x.shape)) must be (batch, channels, ...)")
    }
    let (type, channels) = (x.dtype, x.shape[1])
    for (name, t) in [("weight", gamma), ("bias", beta), ("running_mean", runningMean), ("running_var", runningVariance)] {
      guard let t else { continue }
      guard t.shape == [channels], t.dtype == type else {
        throw Failure(
          .shapeMismatch,
          "batch_norm: \(name) \(t.dtype) \(Shape.text(t.shape)) does not fit input \(type) \(Shape.text(x.shape))")
      }
    }
    let (batch, spatial) = (x.shape[0], x.shape.dropFirst(2).reduce(1, *))
    if training, batch * spatial < 2 {
      throw Failure(
        .shapeMismatch, "batch_norm: training needs more than one value per channel, input is \(Shape.text(x.shape))")
    }
    let source = try x.detached().contiguous()
    let (scale, shift) = (try gamma?.detached().contiguous(), try beta?.detached().contiguous())
    let out = try empty(x.shape, type, op: "batch_norm")
    let (mean, variance, inverse) = (
      try empty([channels], type, op: "batch_norm"), try empty([channels], type, op: "batch_norm"),
      try empty([channels], type, op: "batch_norm")
    )
    if !training {
      guard let runningMean, let runningVariance else {
        throw Failure(.invalidArgument, "batch_norm: without training, running_mean and running_var are needed")
      }
      mean.fill(from: runningMean)
      inverse.fill(from: try runningVariance.detached().add(epsilon).unary(.rsqrt))
    }
    Kernels.batchNorm(
      type, batch: batch, channels: channels, spatial: spatial, training: training, epsilon: epsilon, relu: relu,
      x: source.pointer, gamma: scale?.pointer, beta: shift?.pointer, mean: mean.pointer, variance: variance.pointer,
      inverse: inverse.pointer,
      y: out.pointer)
    if training {
      let n = Double(batch * spatial)
      try GradMode.disabled { () throws(Failure) in
        if let runningMean { try runningMean.assign(runningMean.mul(1 - momentum).add(mean.mul(momentum))) }
        if let runningVariance {
          try runningVariance.assign(runningVariance.mul(1 - momentum).add(variance.mul(momentum * n / (n - 1))))
        }
      }
    }
    let one = if let gamma { gamma } else { try full([channels], 1, type) }
    let zero = if let beta { beta } else { try zeros([channels], type) }
    if !training { out.traced(.batchNorm(epsilon: epsilon), [x, runningMean, runningVariance, one, zero]) }
    // Only relu's gradient needs beta, and may not find it changed.
    let last = relu ? [try zero.detached().contiguous()] : []
    return out.recorded("batch_norm", [x, one, zero], saving: [source, try one.detached().contiguous(), mean, inverse] + last) {
      (g, saved, needs) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try empty(g.shape, type, op: "batch_norm"))
      let (dgamma, dbeta) = (try empty([channels], type, op: "batch_norm"), try empty([channels], type, op: "batch_norm"))
      Kernels.batchNormBackward(
        type, batch: batch, channels: channels, spatial: spatial, training: training, relu: relu,
        x: saved[0].pointer, gamma: saved[1].pointer, beta: relu ? saved[4].pointer : nil,
        mean: saved[2].pointer, inverse: saved[3].pointer, dy: dy.pointer, dx: dx.pointer, dgamma: dgamma.pointer,
        dbeta: dbeta.pointer)
      return [needs[0] ? dx : nil, needs[1] ? dgamma : nil, needs[2] ? dbeta : nil]
    }
  }

  /// Normalizes over the last dims, whose shape is `shape`, then gamma x + beta.
  package static func layerNorm(
    _ x: Tensor, shape normalized: [Int], gamma: Tensor?, beta: Tensor?, epsilon: Double = 1e-5
  ) throws(Failure) -> Tensor {
    try x.needFloat("layer_norm")
    guard !normalized.isEmpty, x.rank >= normalized.count, Array(x.shape.suffix(normalized.count)) == normalized else {
      throw Failure(
        .shapeMismatch,
        "layer_norm: input \(Shape.text(x.shape)) does not end in the normalized shape \(Shape.text(normalized))")
    }
    let type = x.dtype
    for (name, t) in [("weight", gamma), ("bias", beta)] {
      guard let t else { continue }
      guard t.shape == normalized, t.dtype == type else {
        throw Failure(
          .shapeMismatch, "layer_norm: \(name) \(t.dtype) \(Shape.text(t.shape)) does not fit \(type) \(Shape.text(normalized))"
        )
      }
    }
    let width = normalized.reduce(1, *)
    let rows = x.count / max(1, width)
    let source = try x.detached().contiguous()
    let (scale, shift) = (try gamma?.detached().contiguous(), try beta?.detached().contiguous())
    let out = try empty(x.shape, type, op: "layer_norm")
    let (mean, inverse) = (try empty([rows], type, op: "layer_norm"), try empty([rows], type, op: "layer_norm"))
    Kernels.layerNorm(
      type, rows: rows, width: width, epsilon: epsilon, x: source.pointer, gamma: scale?.pointer, beta: shift?.pointer,
      mean: mean.pointer, inverse: inverse.pointer, y: out.pointer)
    let one = if let gamma { gamma } else { try full(normalized, 1, type) }
    let zero = if let beta { beta } else { try zeros(normalized, type) }
    out.traced(.layerNorm(shape: normalized, epsilon: epsilon), [x, one, zero])
    return out.recorded("layer_norm", [x, one, zero], saving: [source, try one.detached().contiguous(), mean, inverse]) {
      (g, saved, needs) throws(Failure) in
      let dy = try g.contiguous()
      let (dx, xhat) = (try empty(g.shape, type, op: "layer_norm"), try empty([rows, width], type, op: "layer_norm"))
      Kernels.layerNormBackward(
        type, rows: rows, width: width, x: saved[0].pointer, gamma: saved[1].pointer, mean: saved[2].pointer,
        inverse: saved[3].pointer, dy: dy.pointer, dx: dx.pointer, xhat: xhat.pointer)
      let flat = try dy.reshaped([rows, width])
      return [
        needs[0] ? dx : nil, needs[1] ? try flat.mul(xhat).sum([0]).reshaped(normalized) : nil,
        needs[2] ? try flat.sum([0]).reshaped(normalized) : nil,
      ]
    }
  }

  /// Sets each element to 0 with probability p and divides the rest by 1 - p; the same tensor when not training.
  package static func dropout(_ x: Tensor, p: Double, training: Bool) throws(Failure) -> Tensor {
    try x.needFloat("dropout")
    guard p >= 0, p < 1 else { throw Failure(.invalidArgument, "dropout: p must be at least 0 and below 1, not \(p)") }
    if !training || p == 0 { return x }
    let type = x.dtype
    let source = try x.detached().contiguous()
    let out = try empty(x.shape, type, op: "dropout")
    let mask = try empty(x.shape, .u8, op: "dropout")
    let (generator, start) = RandomState.reserve(x.count)
    Kernels.dropout(type, x.count, generator, start: start, p: p, x: source.pointer, y: out.pointer, mask: mask.pointer)
    return out.recorded("dropout", [x], saving: [mask]) { (g, saved, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try empty(g.shape, type, op: "dropout"))
      Kernels.dropoutBackward(type, dy.count, p: p, mask: saved[0].pointer, dy: dy.pointer, dx: dx.pointer)
      return [dx]
    }
  }
}
