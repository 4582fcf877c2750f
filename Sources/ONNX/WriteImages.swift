import Core
import Foundation
import TensorGraph
import TensorKernels
import Tensors

/// Activations with settings, and layers that enlarge or surround images.
extension GraphWriter {
  /// `x` is of the result's type.
  mutating func activation(_ op: Activation, _ slope: Double, _ x: String, _ type: DType) throws(Failure) -> String {
    switch op {
    case .leakyRelu: return node("LeakyRelu", [x], [.float("alpha", slope)])
    case .elu: return node("Elu", [x], [.float("alpha", slope)])
    case .selu: return node("Selu", [x])
    // Mish itself came with version 18.
    case .mish: return node("Mul", [x, node("Tanh", [node("Softplus", [x])])])
    case .hardswish: return node("HardSwish", [x])
    case .hardsigmoid: return node("HardSigmoid", [x], [.float("alpha", 1.0 / 6), .float("beta", 0.5)])
    case .relu6: return try clip(x, 0, 6, type)
    case .softsign: return node("Softsign", [x])
    case .erf: return node("Erf", [x])
    case .logSigmoid: return node("Neg", [node("Softplus", [node("Neg", [x])])])
    case .geluTanh:
      // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
      let cube = node("Mul", [node("Mul", [node("Mul", [x, x]), x]), try scalar(0.044715, type)])
      let inner = node("Mul", [node("Add", [x, cube]), try scalar((2 / Double.pi).squareRoot(), type)])
      let half = node("Mul", [x, try scalar(0.5, type)])
      return node("Mul", [half, node("Add", [node("Tanh", [inner]), try scalar(1, type)])])
    }
  }

  /// ConvTranspose. Source: onnx.ai/onnx/operators/onnx__ConvTranspose.html.
  mutating func convTranspose(_ n: Graph.Node, _ o: ConvTransposeOptions, _ type: DType) throws(Failure) -> String {
    let inputs = try n.inputs.map { (value) throws(Failure) in try name(value, as: type) }
    return node(
      "ConvTranspose", inputs,
      [
        .ints("strides", [o.stride.0, o.stride.1]), .ints("pads", [o.padding.0, o.padding.1, o.padding.0, o.padding.1]),
        .ints("output_padding", [o.outputPadding.0, o.outputPadding.1]), .ints("dilations", [o.dilation.0, o.dilation.1]),
        .int("group", o.groups), .ints("kernel_shape", [try extent(n.inputs[1], 2), try extent(n.inputs[1], 3)]),
      ])
  }

  /// Groups become the channels of an InstanceNormalization; GroupNormalization itself came with version 18.
  mutating func groupNorm(_ n: Graph.Node, _ groups: Int, _ epsilon: Double) throws(Failure) -> String {
    let (x, gamma, beta) = (try name(n.inputs[0]), try name(n.inputs[1]), try name(n.inputs[2]))
    let type = try dtype(n.inputs[0])
    let (extents, isFree) = try shape(n.inputs[0])
    guard extents.count >= 2, !isFree.dropFirst().contains(true) else {
      throw Failure(.unsupported, "an extent other than the first depends on the batch")
    }
    if groups == extents[1], extents.count >= 3 {
      return node("InstanceNormalization", [x, gamma, beta], [.float("epsilon", epsilon)])
    }
    let (ones, zeros) = (try constant(try Tensor.full([groups], 1, type)), try constant(try Tensor.zeros([groups], type)))
    let grouped = node("Reshape", [x, try constant([0, groups, -1])])
    let normal = node("InstanceNormalization", [grouped, ones, zeros], [.float("epsilon", epsilon)])
    let back = node("Reshape", [normal, try constant([0] + extents.dropFirst())])
    // gamma and beta beside (N, C, ...).
    let per = try constant([extents[1]] + [Int](repeating: 1, count: extents.count - 2))
    return node("Add", [node("Mul", [back, node("Reshape", [gamma, per])]), node("Reshape", [beta, per])])
  }

  /// Pad. Source: onnx.ai/onnx/operators/onnx__Pad.html.
  mutating func pad(_ n: Graph.Node, _ amounts: [Int], _ mode: PadMode, _ value: Double, _ type: DType) throws(Failure)
    -> String
  {
    let rank = try shape(n.inputs[0]).extents.count
    var (front, behind) = ([Int](repeating: 0, count: rank), [Int](repeating: 0, count: rank))
    for i in 0..<amounts.count / 2 { (front[rank - 1 - i], behind[rank - 1 - i]) = (amounts[2 * i], amounts[2 * i + 1]) }
    let text: String
    switch mode {
    case .constant: text = "constant"
    case .reflect: text = "reflect"
    case .replicate: text = "edge"
    case .circular: throw Failure(.unsupported, "circular padding came with version 19 of the operators")
    }
    let pads = try constant(front + behind)
    let inputs = [try name(n.inputs[0], as: type), pads] + (mode == .constant ? [try scalar(value, type)] : [])
    return node("Pad", inputs, [.text("mode", text)])
  }

  /// Resize. Source: onnx.ai/onnx/operators/onnx__Resize.html.
  mutating func upsample(_ n: Graph.Node, _ size: [Int]?, _ scale: [Double]?, _ linear: Bool, _ alignsCorners: Bool)
    throws(Failure)
    -> String
  {
    let x = try name(n.inputs[0])
    let attributes: [PBAttribute] =
      linear
      ? [.text("mode", "linear"), .text("coordinate_transformation_mode", alignsCorners ? "align_corners" : "half_pixel")]
      : [.text("mode", "nearest"), .text("coordinate_transformation_mode", "asymmetric"), .text("nearest_mode", "floor")]
    if let scale {
      return node("Resize", [x, "", try constant(try Tensor.from([1, 1] + scale, nil, .f32))], attributes)
    }
    // Sizes name the batch too, which is read from the input.
    let lead = node("Slice", [node("Shape", [x]), try constant([0]), try constant([2])])
    let sizes = node("Concat", [lead, try constant(size ?? [])], [.int("axis", 0)])
    return node("Resize", [x, "", "", sizes], attributes)
  }
}

extension PBAttribute {
  static func text(_ name: String, _ value: String) -> PBAttribute {
    var a = PBAttribute()
    (a.name, a.type, a.s) = (name, 3, Data(value.utf8))
    return a
  }
}
