package import Core
import TensorKernels

/// Transposed convolution: what conv2d's backward pass does to its input, as a forward pass.
package struct ConvTransposeOptions: Sendable {
  package var stride = (1, 1), padding = (0, 0), outputPadding = (0, 0), dilation = (1, 1)
  package var groups = 1
  package init() {}
}
extension ConvTransposeOptions: Equatable {
  package static func == (a: ConvTransposeOptions, b: ConvTransposeOptions) -> Bool {
    a.stride == b.stride && a.padding == b.padding && a.outputPadding == b.outputPadding && a.dilation == b.dilation
      && a.groups == b.groups
  }
}

extension Tensor {
  /// x (N,C,H,W), weight (C,O/groups,KH,KW), bias (O) -> (N,O,H',W'), H' = (H - 1) s - 2 p + d (k - 1) + output padding + 1:
  /// y[i s + r d - p] += x[i] w[r].
  package static func convTranspose2d(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor?, _ o: ConvTransposeOptions = ConvTransposeOptions()
  ) throws(Failure) -> Tensor {
    let op = "conv_transpose2d"
    guard x.rank == 4, weight.rank == 4 else {
      throw Failure(
        .shapeMismatch,
        "\(op): input \(Shape.text(x.shape)) and weight \(Shape.text(weight.shape)) must have 4 dims: "
          + "(batch, channels, height, width) and (in, out / groups, height, width)")
    }
    let s = try transposedShape(op, x, weight, bias, o)
    let type = try commonFloat(op, [x, weight, bias])
    let (x, weight, bias) = (try x.cast(type), try weight.cast(type), try bias?.cast(type))
    let (source, w) = (try x.detached().contiguous(), try weight.detached().contiguous())
    let out = try Tensor.empty([s.batch, s.inChannels, s.height, s.width], type, op: op)
    try Kernels.conv2dBackward(
      type, s, x: out.pointer, w: w.pointer, y: nil, dy: source.pointer, dx: out.pointer, dw: nil, dbias: nil)
    if let b = try bias?.detached().reshaped([s.inChannels, 1, 1]) {
      Kernels.binary(.add, type, loop(out.shape, out, out, b), out: out.pointer, a: out.pointer, b: b.pointer)
    }
    out.traced(.convTranspose2d(o), [x, weight, bias])
    return out.recorded(op, [x, weight] + (bias.map { [$0] } ?? []), saving: [source, w]) { (g, saved, needs) throws(Failure) in
      let dy = try g.contiguous()
      let dx = needs[0] ? try Tensor.empty(saved[0].shape, type, op: op) : nil
      let dw = needs[1] ? try Tensor.empty(saved[1].shape, type, op: op) : nil
      if let dx { try Kernels.conv2d(type, s, x: dy.pointer, w: saved[1].pointer, bias: nil, y: dx.pointer, relu: false) }
      if let dw {
        try Kernels.conv2dBackward(
          type, s, x: dy.pointer, w: saved[1].pointer, y: nil, dy: saved[0].pointer, dx: nil, dw: dw.pointer, dbias: nil)
      }
      return [dx, dw, needs.count > 2 && needs[2] ? try g.sum([0, 2, 3]) : nil]
    }
  }

  /// The convolution that goes the other way: from the result to x.
  private static func transposedShape(
    _ op: String, _ x: Tensor, _ weight: Tensor, _ bias: Tensor?, _ o: ConvTransposeOptions
  ) throws(Failure) -> ConvShape {
    let least1 = [o.stride.0, o.stride.1, o.dilation.0, o.dilation.1, o.groups]
    let least0 = [o.padding.0, o.padding.1, o.outputPadding.0, o.outputPadding.1]
    guard least1.allSatisfy({ $0 >= 1 && $0 < 1 << 20 }), least0.allSatisfy({ $0 >= 0 && $0 < 1 << 20 }) else {
      throw Failure(.invalidArgument, "\(op): stride, dilation and groups must be 1 to 2^20 - 1 and paddings 0 to 2^20 - 1")
    }
    guard o.outputPadding.0 < o.stride.0, o.outputPadding.1 < o.stride.1 else {
      throw Failure(
        .invalidArgument,
        "\(op): output_padding \(o.outputPadding.0), \(o.outputPadding.1) must be less than the stride \(o.stride.0), \(o.stride.1)"
      )
    }
    guard x.shape[1] == weight.shape[0], x.shape[1] % o.groups == 0, weight.shape[2] > 0, weight.shape[3] > 0 else {
      throw Failure(
        .shapeMismatch,
        "\(op): input \(Shape.text(x.shape)) does not fit weight \(Shape.text(weight.shape)) in \(o.groups) groups: "
          + "\(x.shape[1]) channels against \(weight.shape[0])")
    }
    guard max(x.shape[2], x.shape[3], weight.shape[2], weight.shape[3]) < 1 << 31, weight.shape[1] < 1 << 31 else {
      throw Failure(.unsupported, "\(op): input \(Shape.text(x.shape)) or weight \(Shape.text(weight.shape)) is too large")
    }
    let channels = weight.shape[1] * o.groups
    if let bias, bias.shape != [channels] {
      throw Failure(
        .shapeMismatch,
        "\(op): bias \(Shape.text(bias.shape)) does not fit weight \(Shape.text(weight.shape)) in \(o.groups) groups")
    }
    let (kh, kw) = (weight.shape[2], weight.shape[3])
    let h = (x.shape[2] - 1) * o.stride.0 - 2 * o.padding.0 + o.dilation.0 * (kh - 1) + o.outputPadding.0 + 1
    let w = (x.shape[3] - 1) * o.stride.1 - 2 * o.padding.1 + o.dilation.1 * (kw - 1) + o.outputPadding.1 + 1
    guard x.shape[2] > 0, x.shape[3] > 0, h > 0, w > 0 else {
      throw Failure(
        .shapeMismatch,
        "\(op): input \(Shape.text(x.shape)) with padding \(o.padding.0), \(o.padding.1) leaves no pixels: \(h) x \(w)")
    }
    // The patch matrix of one image must be a size OpenBLAS and memory can hold.
    _ = try Shape.count([weight.shape[1], kh, kw, x.shape[2], x.shape[3]], op: op)
    guard h < 1 << 31, w < 1 << 31, h * w < 1 << 31, x.shape[2] * x.shape[3] < 1 << 31, weight.shape[1] * kh * kw < 1 << 31
    else { throw Failure(.unsupported, "\(op): input \(Shape.text(x.shape)) is too large") }
    return ConvShape(
      batch: x.shape[0], inChannels: channels, height: h, width: w, outChannels: x.shape[1], kernelH: kh, kernelW: kw,
      stride: o.stride, padding: o.padding, dilation: o.dilation, groups: o.groups)
  }

  // MARK: One dim

  /// x (N,C,L), weight (O,C/groups,K), bias (O) -> (N,O,L'), L' = (L + 2p - d (k - 1) - 1) / s + 1.
  package static func conv1d(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor?, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
  ) throws(Failure) -> Tensor {
    try needLines("conv1d", x, weight, "(out, in / groups, length)")
    var o = ConvOptions()
    (o.stride, o.padding, o.dilation, o.groups) = ((1, stride), (0, padding), (1, dilation), groups)
    return try asLines("conv1d", "conv2d") { () throws(Failure) in
      try conv2d(x.unsqueezed(2), weight.unsqueezed(2), bias, o).squeezed(2)
    }
  }

  /// x (N,C,L), weight (C,O/groups,K), bias (O) -> (N,O,L'), L' = (L - 1) s - 2 p + d (k - 1) + output padding + 1.
  package static func convTranspose1d(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor?, stride: Int = 1, padding: Int = 0, outputPadding: Int = 0,
    dilation: Int = 1, groups: Int = 1
  ) throws(Failure) -> Tensor {
    try needLines("conv_transpose1d", x, weight, "(in, out / groups, length)")
    var o = ConvTransposeOptions()
    (o.stride, o.padding, o.dilation, o.groups) = ((1, stride), (0, padding), (1, dilation), groups)
    o.outputPadding = (0, outputPadding)
    return try asLines("conv_transpose1d", "conv_transpose2d") { () throws(Failure) in
      try convTranspose2d(x.unsqueezed(2), weight.unsqueezed(2), bias, o).squeezed(2)
    }
  }

  private static func needLines(_ op: String, _ x: Tensor, _ weight: Tensor, _ form: String) throws(Failure) {
    guard x.rank == 3, weight.rank == 3 else {
      throw Failure(
        .shapeMismatch,
        "\(op): input \(Shape.text(x.shape)) and weight \(Shape.text(weight.shape)) must have 3 dims: "
          + "(batch, channels, length) and \(form)")
    }
  }

  /// Lines are images of height 1: an error of the op over images says which op it stands for.
  static func asLines<R>(_ op: String, _ over: String, _ body: () throws(Failure) -> R) throws(Failure) -> R {
    do { return try body() } catch {
      throw error.context("\(op), as \(over) over images of height 1")
    }
  }
}
