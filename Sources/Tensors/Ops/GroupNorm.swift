package import Core
import TensorKernels

/// Normalization of one sample by itself: over groups of channels, or each channel alone.
extension Tensor {
  /// x (N,C,...): every group of C / groups channels of a sample to mean 0 and variance 1, then gamma (C) x + beta (C).
  package static func groupNorm(
    _ x: Tensor, groups: Int, gamma: Tensor?, beta: Tensor?, epsilon: Double = 1e-5, op: String = "group_norm"
  ) throws(Failure) -> Tensor {
    try x.needFloat(op)
    guard x.rank >= 2 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(x.shape)) must be (batch, channels, ...)")
    }
    let channels = x.shape[1]
    guard groups >= 1, channels % groups == 0 else {
      throw Failure(
        .shapeMismatch, "\(op): \(channels) channels of input \(Shape.text(x.shape)) cannot be split into \(groups) groups")
    }
    for (name, t) in [("weight", gamma), ("bias", beta)] {
      guard let t else { continue }
      guard t.shape == [channels], t.dtype == x.dtype else {
        throw Failure(
          .shapeMismatch,
          "\(op): \(name) \(t.dtype) \(Shape.text(t.shape)) does not fit input \(x.dtype) \(Shape.text(x.shape))")
      }
    }
    if x.count == 0 { return x }
    let (type, batch) = (x.dtype, x.shape[0])
    let s = GroupShape(batch: batch, channels: channels, spatial: x.count / (batch * channels), groups: groups)
    let source = try x.detached().contiguous()
    let (scale, shift) = (try gamma?.detached().contiguous(), try beta?.detached().contiguous())
    let out = try empty(x.shape, type, op: op)
    let (mean, inverse) = (try empty([batch, groups], type, op: op), try empty([batch, groups], type, op: op))
    Kernels.groupNorm(
      type, s, epsilon: epsilon, x: source.pointer, gamma: scale?.pointer, beta: shift?.pointer, mean: mean.pointer,
      inverse: inverse.pointer, y: out.pointer)
    let one = if let scale { scale } else { try full([channels], 1, type) }
    let inputs = [x] + [gamma, beta].compactMap { $0 }
    if Trace.current != nil {
      let zero = if let beta { beta } else { try zeros([channels], type) }
      out.traced(.groupNorm(groups: groups, epsilon: epsilon), [x, gamma ?? one, zero])
    }
    let hasGamma = gamma != nil
    return out.recorded(op, inputs, saving: [source, one, mean, inverse]) { (g, saved, needs) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try empty(g.shape, type, op: op))
      let (dgamma, dbeta) = (try empty([batch, channels], type, op: op), try empty([batch, channels], type, op: op))
      Kernels.groupNormBackward(
        type, s, x: saved[0].pointer, gamma: saved[1].pointer, mean: saved[2].pointer, inverse: saved[3].pointer,
        dy: dy.pointer, dx: dx.pointer, dgamma: dgamma.pointer, dbeta: dbeta.pointer)
      var gradients: [Tensor?] = [needs[0] ? dx : nil]
      for at in 1..<max(1, needs.count) {
        gradients.append(needs[at] ? try (at == 1 && hasGamma ? dgamma : dbeta).sum([0]) : nil)
      }
      return gradients
    }
  }

  /// x (N,C,...): every channel of every sample to mean 0 and variance 1, then gamma (C) x + beta (C).
  package static func instanceNorm(_ x: Tensor, gamma: Tensor?, beta: Tensor?, epsilon: Double = 1e-5) throws(Failure) -> Tensor
  {
    guard x.rank >= 3, x.shape[1] > 0, x.shape[2...].reduce(1, *) > 1 else {
      throw Failure(
        .shapeMismatch,
        "instance_norm: input \(Shape.text(x.shape)) must be (batch, channels, ...) with more than one value per channel")
    }
    return try groupNorm(x, groups: x.shape[1], gamma: gamma, beta: beta, epsilon: epsilon, op: "instance_norm")
  }
}
