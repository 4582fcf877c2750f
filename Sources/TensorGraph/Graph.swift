package import Core
package import TensorKernels
package import Tensors

/// A network as nodes in the order in which they run: what `net:compile` runs, `explain` prints and ONNX files hold.
///
/// Values are numbered. A value is an input, a constant (weights, statistics) or the output of one node.
package struct Graph {
  package typealias Value = Int
  package struct Node {
    package var op: GraphOp
    package var inputs: [Value]
    package var output: Value
    package init(_ op: GraphOp, _ inputs: [Value], _ output: Value) {
      (self.op, self.inputs, self.output) = (op, inputs, output)
    }
  }
  package struct Input {
    package var name: String
    package var value: Value
    /// Of an example; the first extent is the batch and may be another when the graph runs.
    package var shape: [Int]
    package var dtype: DType
  }
  package struct Constant {
    /// Of the parameter or buffer; nil for a number that the network's code made.
    package var name: String?
    package var tensor: Tensor
  }

  package var input: Input
  package var nodes: [Node] = []
  package var constants: [Value: Constant] = [:]
  package var output: Value
  package private(set) var valueCount = 0

  package init(input name: String, shape: [Int], dtype: DType) {
    input = Input(name: name, value: 0, shape: shape, dtype: dtype)
    output = 0
    valueCount = 1
  }

  package mutating func makeValue() -> Value {
    valueCount += 1
    return valueCount - 1
  }
  package mutating func add(_ op: GraphOp, _ inputs: [Value]) -> Value {
    let value = makeValue()
    nodes.append(Node(op, inputs, value))
    return value
  }
  package mutating func add(constant tensor: Tensor, name: String? = nil) -> Value {
    let value = makeValue()
    constants[value] = Constant(name: name, tensor: tensor)
    return value
  }

  /// How many nodes read each value; the graph's output counts once.
  package var useCounts: [Int] {
    var counts = [Int](repeating: 0, count: valueCount)
    for node in nodes { for input in node.inputs { counts[input] += 1 } }
    counts[output] += 1
    return counts
  }

  /// Without nodes and constants whose results nobody reads.
  package mutating func removeDeadNodes() {
    var isNeeded = [Bool](repeating: false, count: valueCount)
    isNeeded[output] = true
    var kept: [Node] = []
    for node in nodes.reversed() where isNeeded[node.output] {
      kept.append(node)
      for input in node.inputs { isNeeded[input] = true }
    }
    nodes = kept.reversed()
    constants = constants.filter { isNeeded[$0.key] }
  }
}

// MARK: - Running by tensors

extension Graph {
  /// The output for `x`, by the ops of `Tensors`: the reference for `CompiledGraph`, and what gives gradients.
  /// - Parameter look: is shown every node and its result.
  package func run(_ x: Tensor, _ look: (Node, Tensor) -> Void = { _, _ in }) throws(Failure) -> Tensor {
    guard x.rank == input.shape.count, x.shape.dropFirst() == input.shape.dropFirst() else {
      throw Failure(
        .shapeMismatch,
        "graph: input \(Shape.text(x.shape)) does not fit \(Shape.text(input.shape)), whose first extent alone is free")
    }
    var values = [Tensor?](repeating: nil, count: valueCount)
    values[input.value] = try x.cast(input.dtype)
    for (value, constant) in constants { values[value] = constant.tensor }
    // Memory of a value is given back after its last use.
    var left = useCounts
    for node in nodes {
      var inputs: [Tensor] = []
      for value in node.inputs {
        guard let tensor = values[value] else {
          throw Failure(.internalError, "graph: value \(value) is read before it is made")
        }
        inputs.append(tensor)
      }
      let result = try node.op.apply(inputs)
      look(node, result)
      values[node.output] = result
      for value in node.inputs {
        left[value] -= 1
        if left[value] == 0 { values[value] = nil }
      }
    }
    guard let result = values[output] else { throw Failure(.internalError, "graph: the output is not made by any node") }
    return result
  }
}

extension GraphOp {
  /// The op on tensors. `inputs` as the op's case says.
  package func apply(_ x: [Tensor]) throws(Failure) -> Tensor {
    func optional(_ i: Int) -> Tensor? { i < x.count ? x[i] : nil }
    func pair(_ list: [Int]) -> (Int, Int) { (list[0], list[1]) }
    guard x.count >= inputCount.lowerBound, x.count <= inputCount.upperBound else {
      throw Failure(.invalidArgument, "\(name): \(x.count) inputs given, \(inputCount.lowerBound) expected")
    }
    switch self {
    case .conv2d(let options): return try Tensor.conv2d(x[0], x[1], optional(2), options)
    case .linear: return try Tensor.linear(x[0], x[1], optional(2))
    case .matmul: return try Tensor.matmul(x[0], x[1])
    case .binary(let op): return try Tensor.binary(op, x[0], x[1])
    case .unary(let op): return try x[0].unary(op)
    case .clamp(let low, let high): return try x[0].clamped(low, high)
    case .softmax(let dim, let isLog): return try x[0].softmax(dim, log: isLog)
    case .maxPool2d(let kernel, let stride, let padding):
      return try x[0].maxPool2d(kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
    case .averagePool2d(let kernel, let stride, let padding):
      return try x[0].averagePool2d(kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
    case .adaptiveAveragePool2d(let out): return try x[0].adaptiveAveragePool2d(out: pair(out))
    case .batchNorm(let epsilon):
      return try Tensor.batchNorm(
        x[0], gamma: x[3], beta: x[4], runningMean: x[1], runningVariance: x[2], training: false, epsilon: epsilon)
    case .layerNorm(let shape, let epsilon):
      return try Tensor.layerNorm(x[0], shape: shape, gamma: x[1], beta: x[2], epsilon: epsilon)
    case .embedding: return try Tensor.embedding(x[0], x[1])
    case .reshape(let shape): return try x[0].reshaped(shape)
    case .flatten(let from, let to): return try x[0].flattened(from: from, to: to)
    case .permute(let order): return try x[0].permuted(order)
    case .expand(let shape): return try x[0].expanded(shape)
    case .unsqueeze(let dim): return try x[0].unsqueezed(dim)
    case .squeeze(let dims):
      var out = x[0]
      for dim in dims.sorted(by: >) { out = try out.squeezed(dim) }
      return out
    case .slice(let dim, let from, let to, let step):
      let axis = try Shape.axis(dim, rank: x[0].rank, op: "slice")
      return try x[0].sliced(axis, from: from, to: to ?? x[0].shape[axis], step: step)
    case .select(let dim, let index): return try x[0].selected(dim, index)
    case .cat(let dim): return try Tensor.cat(x, dim)
    case .sum(let dims, let keepDims): return try x[0].sum(dims, keepDims: keepDims)
    case .cast(let type): return try x[0].cast(type)
    case .activation(let op, let slope): return try x[0].activated(op, slope: slope)
    case .convTranspose2d(let options): return try Tensor.convTranspose2d(x[0], x[1], optional(2), options)
    case .groupNorm(let groups, let epsilon):
      return try Tensor.groupNorm(x[0], groups: groups, gamma: x[1], beta: x[2], epsilon: epsilon)
    case .pad(let amounts, let mode, let value): return try x[0].padded(amounts, mode: mode, value: value)
    case .upsample(let size, let scale, let linear, let alignsCorners):
      return try x[0].upsampled(size: size, scale: scale, linear: linear, alignsCorners: alignsCorners)
    }
  }

  private var inputCount: ClosedRange<Int> {
    switch self {
    case .conv2d, .linear, .convTranspose2d: 2...3
    case .matmul, .binary, .embedding: 2...2
    case .batchNorm: 5...5
    case .layerNorm, .groupNorm: 3...3
    case .cat: 1...Int.max
    default: 1...1
    }
  }

  /// As users know it: "conv2d", "relu".
  package var name: String {
    switch self {
    case .binary(let op): op.rawValue
    case .unary(let op): op.rawValue
    case .softmax(_, let isLog): isLog ? "log_softmax" : "softmax"
    case .conv2d: "conv2d"
    case .linear: "linear"
    case .matmul: "matmul"
    case .clamp: "clamp"
    case .maxPool2d: "max_pool2d"
    case .averagePool2d: "avg_pool2d"
    case .adaptiveAveragePool2d: "adaptive_avg_pool2d"
    case .batchNorm: "batch_norm"
    case .layerNorm: "layer_norm"
    case .embedding: "embedding"
    case .reshape: "reshape"
    case .flatten: "flatten"
    case .permute: "permute"
    case .expand: "expand"
    case .unsqueeze: "unsqueeze"
    case .squeeze: "squeeze"
    case .slice: "slice"
    case .select: "select"
    case .cat: "cat"
    case .sum: "sum"
    case .cast: "cast"
    case .activation(let op, _): op.rawValue
    case .convTranspose2d: "conv_transpose2d"
    case .groupNorm: "group_norm"
    case .pad: "pad"
    case .upsample: "upsample"
    }
  }
}
