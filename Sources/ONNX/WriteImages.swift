import Core
import TensorGraph
import TensorKernels
import Tensors

/// Layers of images at other sizes, and norms of one sample by itself.
extension GraphWriter {
  /// Source: onnx.ai/onnx/operators/onnx__ConvTranspose.html.
  mutating func convTranspose(_ node: Graph.Node, _ o: ConvTransposeOptions, _ type: DType) throws(Failure) -> String {
    let inputs = try node.inputs.map { (value) throws(Failure) in try name(value, as: type) }
    return self.node(
      "ConvTranspose", inputs,
      [
        .ints("strides", [o.stride.0, o.stride.1]), .ints("pads", [o.padding.0, o.padding.1, o.padding.0, o.padding.1]),
        .ints("dilations", [o.dilation.0, o.dilation.1]), .ints("output_padding", [o.outputPadding.0, o.outputPadding.1]),
        .int("group", o.groups), .ints("kernel_shape", [try extent(node.inputs[1], 2), try extent(node.inputs[1], 3)]),
      ])
  }

  /// InstanceNormalization of the groups as channels, then scale and shift; GroupNormalization came with version 18.
  mutating func groupNorm(_ node: Graph.Node, _ groups: Int, _ epsilon: Double, _ type: DType) throws(Failure) -> String {
    let inputs = try node.inputs.map { (value) throws(Failure) in try name(value) }
    let rank = try shape(node.inputs[0]).extents.count
    let channels = try extent(node.inputs[0], 1)
    let setting = PBAttribute.float("epsilon", epsilon)
    if groups == channels, rank >= 3 { return self.node("InstanceNormalization", inputs, [setting]) }
    var own = [0]
    for dim in 1..<rank { own.append(try extent(node.inputs[0], dim)) }
    let flat = self.node("Reshape", [inputs[0], try constant([0, groups, -1])])
    let (one, zero) = (try constant(Tensor.full([groups], 1, type)), try constant(Tensor.zeros([groups], type)))
    let normal = self.node("Reshape", [self.node("InstanceNormalization", [flat, one, zero], [setting]), try constant(own)])
    let perChannel = try constant([channels] + [Int](repeating: 1, count: rank - 2))
    let scaled = self.node("Mul", [normal, self.node("Reshape", [inputs[1], perChannel])])
    return self.node("Add", [scaled, self.node("Reshape", [inputs[2], perChannel])])
  }

  /// Source: onnx.ai/onnx/operators/onnx__Pad.html.
  mutating func pad(_ node: Graph.Node, _ amounts: [Int], _ mode: PadMode, _ value: Double, _ type: DType) throws(Failure)
    -> String
  {
    let x = try name(node.inputs[0])
    let rank = try shape(node.inputs[0]).extents.count
    let modes: [PadMode: String] = [.constant: "constant", .reflect: "reflect", .replicate: "edge"]
    guard let text = modes[mode] else {
      throw Failure(.unsupported, "mode '\(mode)' came with operators of version 19, version \(ONNXFile.opset) is written")
    }
    var pads = [Int](repeating: 0, count: 2 * rank)
    for i in 0..<min(rank, amounts.count / 2) {
      (pads[rank - 1 - i], pads[2 * rank - 1 - i]) = (amounts[2 * i], amounts[2 * i + 1])
    }
    var mode = PBAttribute()
    (mode.name, mode.type, mode.s) = ("mode", 3, text.data)
    return self.node("Pad", [x, try constant(pads)] + (text == "constant" ? [try scalar(value, type)] : []), [mode])
  }

  /// Resize, by factors, or to sizes behind those of batch and channels. Source: onnx.ai/onnx/operators/onnx__Resize.html.
  mutating func resize(_ node: Graph.Node, _ size: [Int]?, _ scale: [Double]?, isLinear: Bool, alignsCorners: Bool)
    throws(Failure)
    -> String
  {
    let x = try name(node.inputs[0])
    func text(_ name: String, _ value: String) -> PBAttribute {
      var a = PBAttribute()
      (a.name, a.type, a.s) = (name, 3, value.data)
      return a
    }
    var settings = [text("mode", isLinear ? "linear" : "nearest")]
    settings.append(
      text("coordinate_transformation_mode", alignsCorners ? "align_corners" : isLinear ? "half_pixel" : "asymmetric"))
    if !isLinear { settings.append(text("nearest_mode", "floor")) }
    if let scale { return self.node("Resize", [x, "", try constant(Tensor.from([1, 1] + scale, nil, .f32))], settings) }
    let lead = self.node("Slice", [self.node("Shape", [x]), try constant([0]), try constant([2]), try constant([0])])
    let sizes = self.node("Concat", [lead, try constant(size ?? [])], [.int("axis", 0)])
    return self.node("Resize", [x, "", "", sizes], settings)
  }
}
