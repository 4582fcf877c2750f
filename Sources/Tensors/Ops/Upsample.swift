package import Core
import TensorKernels

/// Images and lines at another size.
extension Tensor {
  /// x (N,C,H,W) -> (N,C,H',W'), or x (N,C,L) -> (N,C,L').
  ///
  /// Either `size` or `scale` is given, one number per dim; with `scale`, H' = floor(H scale). Nearest takes pixel floor(i H / H');
  /// linear blends the neighbours of (i + 0.5) H / H' - 0.5, or of i (H - 1) / (H' - 1) with `alignsCorners`.
  package func upsampled(size: [Int]?, scale: [Double]?, linear: Bool, alignsCorners: Bool = false) throws(Failure) -> Tensor {
    let op = "upsample"
    try needFloat(op)
    guard rank == 3 || rank == 4 else {
      throw Failure(
        .shapeMismatch,
        "\(op): input \(Shape.text(shape)) must be (batch, channels, height, width) or (batch, channels, length)")
    }
    guard linear || !alignsCorners else {
      throw Failure(.invalidArgument, "\(op): align_corners is for mode 'bilinear' and 'linear' only")
    }
    guard (size == nil) != (scale == nil) else { throw Failure(.invalidArgument, "\(op): either size or scale is needed") }
    let given = Array(shape[2...])
    guard size?.count ?? given.count == given.count, scale?.count ?? given.count == given.count else {
      throw Failure(
        .invalidArgument, "\(op): \(given.count) numbers are needed for the size or scale of input \(Shape.text(shape))")
    }
    guard given.allSatisfy({ $0 > 0 && $0 < 1 << 31 }) else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) has no pixels, or too many")
    }
    var (target, step) = ([Int](), [Double]())
    for (d, extent) in given.enumerated() {
      let wanted = size.map { Double($0[d]) } ?? (Double(extent) * (scale?[d] ?? 1)).rounded(.down)
      guard wanted >= 1, wanted < 0x1p31 else {
        throw Failure(
          .invalidArgument,
          "\(op): the size of dim \(d + 3) must be 1 to 2^31 - 1, not \(wanted), for input \(Shape.text(shape))")
      }
      target.append(Int(wanted))
      if alignsCorners {
        step.append(wanted > 1 ? Double(extent - 1) / (wanted - 1) : 0)
      } else {
        step.append(scale.map { 1 / $0[d] } ?? Double(extent) / wanted)
      }
    }
    let lead = Array(shape[..<2])
    let out = try Tensor.empty(lead + target, dtype, op: op)
    if out.count == 0 { return out }
    let s = ResampleShape(
      planes: lead[0] * lead[1], height: rank == 4 ? given[0] : 1, width: given[given.count - 1],
      out: (rank == 4 ? target[0] : 1, target[target.count - 1]), step: (rank == 4 ? step[0] : 1, step[step.count - 1]),
      isLinear: linear, alignsCorners: alignsCorners)
    let (type, old) = (dtype, shape)
    let source = try detached().contiguous()
    try Kernels.resample(type, s, x: source.pointer, y: out.pointer)
    out.traced(.upsample(size: size, scale: scale, linear: linear, alignsCorners: alignsCorners), [self])
    return out.recorded(op, [self]) { (g, _, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.empty(old, type, op: op))
      try Kernels.resampleBackward(type, s, dy: dy.pointer, dx: dx.pointer)
      return [dx]
    }
  }

  /// x (N, C r^2, H, W) -> (N, C, H r, W r): channels become pixels.
  package func pixelShuffled(_ r: Int) throws(Failure) -> Tensor {
    guard rank == 4, r >= 1, r < 1 << 14, max(shape[2], shape[3]) < 1 << 32, shape[1] % (r * r) == 0 else {
      throw Failure(
        .shapeMismatch, "pixel_shuffle: input \(Shape.text(shape)) must be (batch, channels * \(r)^2, height, width)")
    }
    let (n, c, h, w) = (shape[0], shape[1] / (r * r), shape[2], shape[3])
    return try reshaped([n, c, r, r, h, w]).permuted([0, 1, 4, 2, 5, 3]).reshaped([n, c, h * r, w * r])
  }

  /// x (N, C, H r, W r) -> (N, C r^2, H, W): the reverse of `pixelShuffled`.
  package func pixelUnshuffled(_ r: Int) throws(Failure) -> Tensor {
    guard rank == 4, r >= 1, r < 1 << 14, shape[1] < 1 << 32, shape[2] % r == 0, shape[3] % r == 0 else {
      throw Failure(
        .shapeMismatch, "pixel_unshuffle: input \(Shape.text(shape)) must be (batch, channels, height * \(r), width * \(r))")
    }
    let (n, c, h, w) = (shape[0], shape[1], shape[2] / r, shape[3] / r)
    return try reshaped([n, c, h, r, w, r]).permuted([0, 1, 3, 5, 2, 4]).reshaped([n, c * r * r, h, w])
  }
}
