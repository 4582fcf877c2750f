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
      throw Failure(.shapeMismatch, "\(op): \(channels) channels of input \(Shape.text(x.shape)) cannot be split into \(groups) groups")
    }
    for (name, t) in [("weight", gamma), ("bias", beta)] {
      guard let t else { continue }
      guard t.shape == [channels], t.dtype == x.dtype else {
        throw Failure(
          .shapeMismatch, "\(op): \(name) \(t.dtype) \(Shape.text(t.shape)) does not fit input \(x.dtype) \(Shape.text(x.shape))")
      }
    }
    if x.count == 0 { return x }
    // A group is a row for layer norm.
    let width = x.count / (x.shape[0] * groups)
    let rows = try x.reshaped([x.shape[0] * groups, width])
    var out = try layerNorm(rows, shape: [width], gamma: nil, beta: nil, epsilon: epsilon).reshaped(x.shape)
    let perChannel = [channels] + [Int](repeating: 1, count: x.rank - 2)
    if let gamma { out = try out.mul(gamma.reshaped(perChannel)) }
    if let beta { out = try out.add(beta.reshaped(perChannel)) }
    return out
  }

  /// x (N,C,...): every channel of every sample to mean 0 and variance 1, then gamma (C) x + beta (C).
  package static func instanceNorm(_ x: Tensor, gamma: Tensor?, beta: Tensor?, epsilon: Double = 1e-5) throws(Failure) -> Tensor {
    guard x.rank >= 3, x.shape[1] > 0, x.shape[2...].reduce(1, *) > 1 else {
      throw Failure(
        .shapeMismatch,
        "instance_norm: input \(Shape.text(x.shape)) must be (batch, channels, ...) with more than one value per channel")
    }
    return try groupNorm(x, groups: x.shape[1], gamma: gamma, beta: beta, epsilon: epsilon, op: "instance_norm")
  }
}
