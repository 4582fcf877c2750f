package import Core
import TensorKernels

/// Convolution and pooling, NCHW.
package struct ConvOptions: Sendable {
  package var stride = (1, 1), padding = (0, 0), dilation = (1, 1)
  package var groups = 1
  /// max(y, 0) while y is in the cache.
  package var relu = false
  /// After relu, the largest of each 2 x 2 side by side; without the convolution's own result in memory where its algorithm can.
  package var maxPool = false
  package init() {}
}

extension Tensor {
  /// x (N,C,H,W), weight (O,C/groups,KH,KW), bias (O) -> (N,O,H',W'), H' = (H + 2p - d (k - 1) - 1) / s + 1.
  package static func conv2d(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?, _ o: ConvOptions = ConvOptions()) throws(Failure)
    -> Tensor
  {
    guard x.rank == 4, weight.rank == 4 else {
      throw Failure(
        .shapeMismatch,
        "conv2d: input \(Shape.text(x.shape)) and weight \(Shape.text(weight.shape)) must have 4 dims: "
          + "(batch, channels, height, width) and (out, in, height, width)")
    }
    let small = [o.stride.0, o.stride.1, o.dilation.0, o.dilation.1, o.groups]
    guard small.allSatisfy({ $0 >= 1 && $0 < 1 << 20 }), min(o.padding.0, o.padding.1) >= 0,
      max(o.padding.0, o.padding.1) < 1 << 20
    else {
      throw Failure(.invalidArgument, "conv2d: stride, dilation and groups must be 1 to 2^20 - 1 and padding 0 to 2^20 - 1")
    }
    guard weight.shape[1] < 1 << 40, x.shape[1] == weight.shape[1] * o.groups, weight.shape[0] % o.groups == 0,
      weight.shape[2] > 0, weight.shape[3] > 0
    else {
      throw Failure(
        .shapeMismatch,
        "conv2d: input \(Shape.text(x.shape)) does not fit weight \(Shape.text(weight.shape)): \(x.shape[1]) channels against "
          + "\(weight.shape[1]) x \(o.groups) groups")
    }
    if let bias, bias.shape != [weight.shape[0]] {
      throw Failure(.shapeMismatch, "conv2d: bias \(Shape.text(bias.shape)) does not fit weight \(Shape.text(weight.shape))")
    }
    guard max(x.shape[2], x.shape[3], weight.shape[2], weight.shape[3]) < 1 << 31 else {
      throw Failure(.unsupported, "conv2d: input \(Shape.text(x.shape)) is too large")
    }
    let s = ConvShape(
      batch: x.shape[0], inChannels: x.shape[1], height: x.shape[2], width: x.shape[3], outChannels: weight.shape[0],
      kernelH: weight.shape[2], kernelW: weight.shape[3], stride: o.stride, padding: o.padding, dilation: o.dilation,
      groups: o.groups)
    guard x.shape[2] + 2 * o.padding.0 > o.dilation.0 * (s.kernelH - 1),
      x.shape[3] + 2 * o.padding.1 > o.dilation.1 * (s.kernelW - 1)
    else {
      throw Failure(
        .shapeMismatch,
        "conv2d: input \(Shape.text(x.shape)) with padding \(o.padding.0), \(o.padding.1) is smaller than the kernel "
          + "\(s.kernelH) x \(s.kernelW)")
    }
    // The patch matrix of one image must be a size OpenBLAS and memory can hold.
    _ = try Shape.count([weight.shape[1], s.kernelH, s.kernelW, s.outHeight, s.outWidth], op: "conv2d")
    guard s.outHeight * s.outWidth < 1 << 31, weight.shape[1] * s.kernelH * s.kernelW < 1 << 31 else {
      throw Failure(.unsupported, "conv2d: input \(Shape.text(x.shape)) is too large")
    }
    let type = try commonFloat("conv2d", [x, weight, bias])
    let (x, weight, bias) = (try x.cast(type), try weight.cast(type), try bias?.cast(type))
    let (source, w) = (try x.detached().contiguous(), try weight.detached().contiguous())
    let b = try bias?.detached().contiguous()
    if o.maxPool { return try conv2dMaxPool(s, type, [x, weight] + (bias.map { [$0] } ?? []), source, w, b, o) }
    let out = try Tensor.empty([s.batch, s.outChannels, s.outHeight, s.outWidth], type, op: "conv2d")
    try Kernels.conv2d(type, s, x: source.pointer, w: w.pointer, bias: b?.pointer, y: out.pointer, relu: o.relu)
    let relu = o.relu
    out.tracedConvolution(o, [x, weight, bias])
    return out.recorded("conv2d", [x, weight] + (bias.map { [$0] } ?? []), saving: [source, w] + (relu ? [out] : [])) {
      (g, saved, needs) throws(Failure) in
      let dy = try g.contiguous()
      let dx = needs[0] ? try Tensor.empty(saved[0].shape, type, op: "conv2d") : nil
      let dw = needs[1] ? try Tensor.empty(saved[1].shape, type, op: "conv2d") : nil
      let db = needs.count > 2 && needs[2] ? try Tensor.empty([s.outChannels], type, op: "conv2d") : nil
      try Kernels.conv2dBackward(
        type, s, x: saved[0].pointer, w: saved[1].pointer, y: relu ? saved[2].pointer : nil, dy: dy.pointer, dx: dx?.pointer,
        dw: dw?.pointer, dbias: db?.pointer)
      return [dx, dw, db]
    }
  }

  /// relu(conv2d) and its largest of 2 x 2, as one operation where that pays. `inputs`: x, weight, bias as given; `source`, `w`, `b`: as
  /// computed with.
  private static func conv2dMaxPool(
    _ s: ConvShape, _ type: DType, _ inputs: [Tensor], _ source: Tensor, _ w: Tensor, _ b: Tensor?, _ o: ConvOptions
  ) throws(Failure) -> Tensor {
    guard o.relu else { throw Failure(.invalidArgument, "conv2d: pooling is done after the activation 'relu' only") }
    guard s.poolsInTiles(type) else {
      var plain = o
      plain.maxPool = false
      return try conv2d(inputs[0], inputs[1], inputs.count > 2 ? inputs[2] : nil, plain).maxPool2d(
        kernel: (2, 2), stride: (2, 2))
    }
    let out = try Tensor.empty([s.batch, s.outChannels, s.outHeight / 2, s.outWidth / 2], type, op: "conv2d")
    let isTracked = GradMode.isEnabled && inputs.contains { $0.tracksGradient }
    let codes = isTracked ? try Tensor.empty(out.shape, .u8, op: "conv2d") : nil
    try Kernels.conv2dMaxPool(s, x: source.pointer, w: w.pointer, bias: b?.pointer, y: out.pointer, codes: codes?.pointer)
    out.tracedConvolution(o, inputs)
    guard let codes else { return out }
    return out.recorded("conv2d", inputs, saving: [source, w, codes]) { (g, saved, needs) throws(Failure) in
      let dy = try g.contiguous()
      let dx = needs[0] ? try Tensor.empty(saved[0].shape, type, op: "conv2d") : nil
      let dw = needs[1] ? try Tensor.empty(saved[1].shape, type, op: "conv2d") : nil
      let db = needs.count > 2 && needs[2] ? try Tensor.empty([s.outChannels], type, op: "conv2d") : nil
      try Kernels.conv2dMaxPoolBackward(
        s, x: saved[0].pointer, w: saved[1].pointer, codes: saved[2].pointer, dy: dy.pointer, dx: dx?.pointer, dw: dw?.pointer,
        dbias: db?.pointer)
      return [dx, dw, db]
    }
  }

  /// A trace sees the convolution, its activation and its pooling one after the other.
  private func tracedConvolution(_ o: ConvOptions, _ inputs: [Tensor?]) {
    guard let trace = Trace.current else { return }
    var plain = o
    (plain.relu, plain.maxPool) = (false, false)
    // Values between that nobody has: objects that only stand for them.
    let summed = o.relu ? detached() : self
    trace.note(.conv2d(plain), inputs, summed)
    guard o.relu else { return }
    let active = o.maxPool ? detached() : self
    trace.note(.unary(.relu), [summed], active)
    if o.maxPool { trace.note(.maxPool2d(kernel: [2, 2], stride: [2, 2], padding: [0, 0]), [active], self) }
  }

  private func poolShape(
    _ op: String, kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int), ceil: Bool = false
  ) throws(Failure) -> PoolShape {
    guard rank == 3 || rank == 4 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) must be (batch, channels, height, width)")
    }
    try needFloat(op)
    let (h, w) = (shape[rank - 2], shape[rank - 1])
    guard min(kernel.0, kernel.1, stride.0, stride.1) >= 1, max(kernel.0, kernel.1) < 1 << 20,
      max(stride.0, stride.1) < 1 << 20,
      min(padding.0, padding.1) >= 0, max(padding.0, padding.1) < 1 << 20
    else { throw Failure(.invalidArgument, "\(op): kernel and stride must be at least 1 and padding at least 0") }
    guard h > 0, w > 0, max(h, w) < 1 << 31 else {
      throw Failure(.shapeMismatch, "\(op): input \(Shape.text(shape)) has no pixels, or too many")
    }
    guard padding.0 * 2 <= kernel.0, padding.1 * 2 <= kernel.1 else {
      throw Failure(.invalidArgument, "\(op): padding must be at most half of the kernel")
    }
    guard h + 2 * padding.0 >= kernel.0, w + 2 * padding.1 >= kernel.1, h * w < 1 << 31 else {
      throw Failure(
        .shapeMismatch, "\(op): input \(Shape.text(shape)) is smaller than the window \(kernel.0) x \(kernel.1)")
    }
    return PoolShape(
      planes: shape.dropLast(2).reduce(1, *), height: h, width: w, kernel: kernel, stride: stride, padding: padding,
      out: (
        PoolShape.windows(h, kernel.0, stride.0, padding.0, ceil: ceil),
        PoolShape.windows(w, kernel.1, stride.1, padding.1, ceil: ceil)
      ))
  }

  /// The largest of each window; padding never wins. With `ceil`, a last window may hang over the edge.
  package func maxPool2d(
    kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int) = (0, 0), ceil: Bool = false
  ) throws(Failure) -> Tensor {
    let s = try poolShape("max_pool2d", kernel: kernel, stride: stride, padding: padding, ceil: ceil)
    let (type, lead) = (dtype, Array(shape.dropLast(2)))
    let source = try detached().contiguous()
    let out = try Tensor.empty(lead + [s.outHeight, s.outWidth], type, op: "max_pool2d")
    let wanted = GradMode.isEnabled && tracksGradient
    let positions = wanted ? try Tensor.empty(out.shape, s.positionType(type), op: "max_pool2d") : nil
    Kernels.maxPool(type, s, x: source.pointer, y: out.pointer, positions: positions?.pointer)
    if !ceil {
      out.traced(
        .maxPool2d(kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], padding: [padding.0, padding.1]), [self])
    }
    guard let positions else { return out }
    let old = shape
    return out.recorded("max_pool2d", [self], saving: [positions]) { (g, saved, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.empty(old, type, op: "max_pool2d"))
      Kernels.maxPoolBackward(type, s, dy: dy.pointer, positions: saved[0].pointer, dx: dx.pointer)
      return [dx]
    }
  }

  /// The mean of each window; padding counts as zeros, or not at all. With `ceil`, a last window may hang over the edge.
  package func averagePool2d(
    kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int) = (0, 0), ceil: Bool = false, countsPadding: Bool = true
  ) throws(Failure) -> Tensor {
    var s = try poolShape("avg_pool2d", kernel: kernel, stride: stride, padding: padding, ceil: ceil)
    s.countsPadding = countsPadding
    let out = try averaged(s, "avg_pool2d")
    if !ceil, countsPadding || padding == (0, 0) {
      out.traced(
        .averagePool2d(kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], padding: [padding.0, padding.1]), [self])
    }
    return out
  }

  /// Means over as even windows as possible, so that the result is (..., out.0, out.1).
  package func adaptiveAveragePool2d(out: (Int, Int)) throws(Failure) -> Tensor {
    var s = try poolShape("adaptive_avg_pool2d", kernel: (1, 1), stride: (1, 1), padding: (0, 0))
    guard out.0 >= 1, out.1 >= 1 else { throw Failure(.invalidArgument, "adaptive_avg_pool2d: the size must be at least 1") }
    (s.outHeight, s.outWidth, s.isAdaptive) = (out.0, out.1, true)
    return try averaged(s, "adaptive_avg_pool2d").traced(.adaptiveAveragePool2d(out: [out.0, out.1]), [self])
  }

  private func averaged(_ s: PoolShape, _ op: String) throws(Failure) -> Tensor {
    let (type, old) = (dtype, shape)
    let source = try detached().contiguous()
    let out = try Tensor.empty(Array(shape.dropLast(2)) + [s.outHeight, s.outWidth], type, op: op)
    Kernels.averagePool(type, s, x: source.pointer, y: out.pointer)
    return out.recorded(op, [self]) { (g, _, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.empty(old, type, op: op))
      Kernels.averagePoolBackward(type, s, dy: dy.pointer, dx: dx.pointer)
      return [dx]
    }
  }
}
