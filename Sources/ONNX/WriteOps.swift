import Core
import TensorGraph
import TensorKernels
import Tensors

/// What each op of a graph becomes. A new `GraphOp` is one more case here. Operators: onnx.ai/onnx/operators, as of version 17.
extension GraphWriter {
  /// The name of the node's result.
  /// - Throws: `UNSUPPORTED` saying why ONNX cannot hold it.
  mutating func write(_ node: Graph.Node) throws(Failure) -> String {
    let type = try dtype(node.output)
    /// An input in the result's type.
    func input(_ i: Int, _ writer: inout GraphWriter) throws(Failure) -> String {
      try writer.name(node.inputs[i], as: type)
    }
    switch node.op {
    case .conv2d(let options): return try conv(node, options, type)
    case .linear: return try linear(node, type)
    case .matmul: return self.node("MatMul", [try input(0, &self), try input(1, &self)])
    case .binary(let op): return try binary(op, try input(0, &self), try input(1, &self), type)
    case .unary(let op): return try unary(op, try input(0, &self), type)
    case .clamp(let low, let high): return try clip(try name(node.inputs[0]), low, high, type)
    case .softmax(let dim, let isLog):
      return self.node(isLog ? "LogSoftmax" : "Softmax", [try input(0, &self)], [.int("axis", dim)])
    case .maxPool2d(let kernel, let stride, let padding):
      return try pool("MaxPool", node, kernel, stride, padding)
    case .averagePool2d(let kernel, let stride, let padding):
      return try pool("AveragePool", node, kernel, stride, padding)
    case .adaptiveAveragePool2d(let out): return try adaptivePool(node, out)
    case .batchNorm(let epsilon):
      // The order there: x, scale, bias, mean, variance.
      let order = try [0, 3, 4, 1, 2].map { (i) throws(Failure) in try name(node.inputs[i]) }
      return self.node("BatchNormalization", order, [.float("epsilon", epsilon)])
    case .layerNorm(let shape, let epsilon):
      let inputs = try node.inputs.map { (value) throws(Failure) in try name(value) }
      return self.node("LayerNormalization", inputs, [.int("axis", -shape.count), .float("epsilon", epsilon)])
    case .embedding:
      let ids = try dtype(node.inputs[1]) == .i32 ? try name(node.inputs[1]) : try name(node.inputs[1], as: .i64)
      return self.node("Gather", [try name(node.inputs[0]), ids], [.int("axis", 0)])
    case .reshape, .flatten, .permute, .expand, .unsqueeze, .squeeze, .slice, .select:
      return try view(node.op, node.inputs[0])
    case .cat(let dim):
      let parts = try node.inputs.map { (value) throws(Failure) in try name(value, as: type) }
      return self.node("Concat", parts, [.int("axis", dim)])
    case .sum(let dims, let keepDims):
      let x = try input(0, &self)
      // No axes mean all of them there.
      if dims.isEmpty { return x }
      return self.node("ReduceSum", [x, try constant(dims)], [.int("keepdims", keepDims ? 1 : 0)])
    case .activation(let op, let slope): return try activation(op, slope, try input(0, &self), type)
    case .convTranspose2d(let options): return try convTranspose(node, options, type)
    case .groupNorm(let groups, let epsilon): return try groupNorm(node, groups, epsilon)
    case .pad(let amounts, let mode, let value): return try pad(node, amounts, mode, value, type)
    case .upsample(let size, let scale, let linear, let alignsCorners):
      return try upsample(node, size, scale, linear, alignsCorners)
    case .cast(let to): return self.node("Cast", [try name(node.inputs[0])], [.int("to", Int(ElementType(to).rawValue))])
    }
  }

  // MARK: Layers

  /// Conv. Source: onnx.ai/onnx/operators/onnx__Conv.html.
  private mutating func conv(_ node: Graph.Node, _ o: ConvOptions, _ type: DType) throws(Failure) -> String {
    let inputs = try node.inputs.map { (value) throws(Failure) in try name(value, as: type) }
    var y = self.node(
      "Conv", inputs,
      [
        .ints("strides", [o.stride.0, o.stride.1]), .ints("pads", [o.padding.0, o.padding.1, o.padding.0, o.padding.1]),
        .ints("dilations", [o.dilation.0, o.dilation.1]), .int("group", o.groups),
        .ints("kernel_shape", [try extent(node.inputs[1], 2), try extent(node.inputs[1], 3)]),
      ])
    if o.relu { y = self.node("Relu", [y]) }
    if o.maxPool { y = self.node("MaxPool", [y], [.ints("kernel_shape", [2, 2]), .ints("strides", [2, 2])]) }
    return y
  }

  /// Gemm for matrices, else MatMul and Add. Source: onnx.ai/onnx/operators/onnx__Gemm.html.
  private mutating func linear(_ node: Graph.Node, _ type: DType) throws(Failure) -> String {
    let inputs = try node.inputs.map { (value) throws(Failure) in try name(value, as: type) }
    if try shape(node.inputs[0]).extents.count == 2 { return self.node("Gemm", inputs, [.int("transB", 1)]) }
    let turned = self.node("Transpose", [inputs[1]], [.ints("perm", [1, 0])])
    let product = self.node("MatMul", [inputs[0], turned])
    return inputs.count > 2 ? self.node("Add", [product, inputs[2]]) : product
  }

  /// Source: onnx.ai/onnx/operators/onnx__MaxPool.html, onnx__AveragePool.html.
  private mutating func pool(_ op: String, _ node: Graph.Node, _ kernel: [Int], _ stride: [Int], _ padding: [Int])
    throws(Failure) -> String
  {
    guard try shape(node.inputs[0]).extents.count == 4 else {
      throw Failure(.unsupported, "the input must be (batch, channels, height, width)")
    }
    var attributes: [PBAttribute] = [
      .ints("kernel_shape", kernel), .ints("strides", stride), .ints("pads", padding + padding),
    ]
    if op == "AveragePool" { attributes.append(.int("count_include_pad", 1)) }
    return self.node(op, [try name(node.inputs[0])], attributes)
  }

  /// GlobalAveragePool, or AveragePool where the windows are all alike.
  private mutating func adaptivePool(_ node: Graph.Node, _ out: [Int]) throws(Failure) -> String {
    let x = try name(node.inputs[0])
    guard try shape(node.inputs[0]).extents.count == 4 else {
      throw Failure(.unsupported, "the input must be (batch, channels, height, width)")
    }
    if out == [1, 1] { return self.node("GlobalAveragePool", [x]) }
    let size = [try extent(node.inputs[0], 2), try extent(node.inputs[0], 3)]
    guard out.allSatisfy({ $0 >= 1 }), size[0] % out[0] == 0, size[1] % out[1] == 0 else {
      throw Failure(
        .unsupported,
        "\(size[0]) x \(size[1]) pixels do not divide evenly into \(out[0]) x \(out[1]), and ONNX has no uneven windows")
    }
    let kernel = [size[0] / out[0], size[1] / out[1]]
    return self.node("AveragePool", [x], [.ints("kernel_shape", kernel), .ints("strides", kernel)])
  }
}
