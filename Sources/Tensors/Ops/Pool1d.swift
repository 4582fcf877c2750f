package import Core
import TensorKernels

/// Pooling over lines (N,C,L), which are images of height 1, and adaptive maxima.
extension Tensor {
  private func needLine(_ op: String) throws(Failure) {
    guard rank == 2 || rank == 3 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) must be (batch, channels, length)")
    }
  }

  /// The largest of each window of `kernel`; padding never wins.
  package func maxPool1d(kernel: Int, stride: Int, padding: Int = 0) throws(Failure) -> Tensor {
    try needLine("max_pool1d")
    return try Tensor.asLines("max_pool1d", "max_pool2d") { () throws(Failure) in
      try unsqueezed(rank - 1).maxPool2d(kernel: (1, kernel), stride: (1, stride), padding: (0, padding)).squeezed(rank - 1)
    }
  }

  /// The mean of each window of `kernel`; padding counts as zeros.
  package func averagePool1d(kernel: Int, stride: Int, padding: Int = 0) throws(Failure) -> Tensor {
    try needLine("avg_pool1d")
    return try Tensor.asLines("avg_pool1d", "avg_pool2d") { () throws(Failure) in
      try unsqueezed(rank - 1).averagePool2d(kernel: (1, kernel), stride: (1, stride), padding: (0, padding)).squeezed(rank - 1)
    }
  }

  /// Means over as even windows as possible: (N,C,L) -> (N,C,size).
  package func adaptiveAveragePool1d(size: Int) throws(Failure) -> Tensor {
    try needLine("adaptive_avg_pool1d")
    return try Tensor.asLines("adaptive_avg_pool1d", "adaptive_avg_pool2d") { () throws(Failure) in
      try unsqueezed(rank - 1).adaptiveAveragePool2d(out: (1, size)).squeezed(rank - 1)
    }
  }

  /// Maxima over as even windows as possible: (N,C,L) -> (N,C,size).
  package func adaptiveMaxPool1d(size: Int) throws(Failure) -> Tensor {
    try needLine("adaptive_max_pool1d")
    return try Tensor.asLines("adaptive_max_pool1d", "adaptive_max_pool2d") { () throws(Failure) in
      try unsqueezed(rank - 1).adaptiveMaxPool2d(out: (1, size)).squeezed(rank - 1)
    }
  }

  /// Maxima over as even windows as possible, so that the result is (..., out.0, out.1): window i is
  /// floor(i H / H') ..< ceil((i + 1) H / H').
  package func adaptiveMaxPool2d(out size: (Int, Int)) throws(Failure) -> Tensor {
    let op = "adaptive_max_pool2d"
    guard rank == 3 || rank == 4 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) must be (batch, channels, height, width)")
    }
    try needFloat(op)
    let (h, w) = (shape[rank - 2], shape[rank - 1])
    guard h > 0, w > 0, h < 1 << 31, w < 1 << 31, h * w < 1 << 31 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) has no pixels, or too many")
    }
    guard size.0 >= 1, size.1 >= 1, size.0 < 1 << 31, size.1 < 1 << 31 else {
      throw Failure(.invalidArgument, "\(op): the size must be at least 1 and below 2^31")
    }
    let s = PoolShape(
      planes: shape.dropLast(2).reduce(1, *), height: h, width: w, kernel: (1, 1), stride: (1, 1), padding: (0, 0), out: size,
      isAdaptive: true)
    let (type, old) = (dtype, shape)
    let source = try detached().contiguous()
    let out = try Tensor.empty(Array(shape.dropLast(2)) + [size.0, size.1], type, op: op)
    let wanted = GradMode.isEnabled && tracksGradient
    let positions = wanted ? try Tensor.empty(out.shape, s.positionType(type), op: op) : nil
    Kernels.maxPool(type, s, x: source.pointer, y: out.pointer, positions: positions?.pointer)
    guard let positions else { return out }
    return out.recorded(op, [self], saving: [positions]) { (g, saved, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.empty(old, type, op: op))
      Kernels.maxPoolBackward(type, s, dy: dy.pointer, positions: saved[0].pointer, dx: dx.pointer)
      return [dx]
    }
  }
}
