import Core
import TensorKernels
import Tensors

/// What a compiled graph does for inputs of one shape: steps with fixed places in one block of memory.
///
/// Values whose lives do not overlap share memory. Reshapes are no steps at all: their result lies where their input does.
struct Plan {
  /// Where a value lies. Row major, without gaps.
  enum Place {
    case input, output
    /// Bytes from the start of the block.
    case block(Int)
    case constant(Tensor)
  }
  enum Work {
    case conv(PackedConv, ConvShape, PackedConv.Activation)
    case linear(weight: Tensor, bias: Tensor?, m: Int, n: Int, k: Int, relu: Bool)
    case maxPool(PoolShape)
    case averagePool(PoolShape)
    /// Several ops element by element in one pass.
    case chain(Chain)
    /// a op b, then relu over the second loop if there is one.
    case binary(BinaryOp, StridedLoop, relu: StridedLoop?)
    case unary(UnaryOp, StridedLoop)
    case softmax(isLog: Bool, rows: Int, classes: Int)
    /// By the op of tensors, which takes memory of its own.
    case op(GraphOp)
    /// To another place as it is.
    case copy
  }
  struct Operand {
    var place: Place
    var shape: [Int]
    var dtype: DType
    var bytes: Int { shape.reduce(dtype.size, *) }
  }
  struct Step {
    var work: Work
    /// As shown: "conv2d + relu".
    var name: String
    var inputs: [Operand]
    var output: Operand
    /// Multiplications and additions, by the plain formula.
    var operations: Int
    /// How it is computed.
    var kernel: String
    /// Of weights.
    var weightBytes = 0
  }

  var steps: [Step] = []
  /// Of the block.
  var bytes = 0
  var output: Operand
}

/// Turns a graph into a `Plan` for one shape of input.
struct Planner {
  let graph: Graph
  private let packed: PackedWeights
  let uses: [Int]
  private(set) var shapes: [(shape: [Int], dtype: DType)?]
  /// The value whose memory a value lies in: itself, or what it is another shape of.
  private var root: [Graph.Value]
  private var lastUse: [Int]
  private var places: [Plan.Place?]
  private var free: [(start: Int, end: Int)] = []
  private var plan: Plan

  static func plan(_ graph: Graph, for shape: [Int], _ packed: PackedWeights) throws(Failure) -> Plan {
    var planner = try Planner(graph, shape, packed)
    try planner.makeSteps()
    return planner.plan
  }

  private init(_ graph: Graph, _ shape: [Int], _ packed: PackedWeights) throws(Failure) {
    (self.graph, self.packed, uses) = (graph, packed, graph.useCounts)
    var found = [(shape: [Int], dtype: DType)?](repeating: nil, count: graph.valueCount)
    // One run by tensors tells every shape, and refuses what does not fit.
    let x = try Tensor.zeros(shape, graph.input.dtype)
    let result = try GradMode.disabled { () throws(Failure) in
      try graph.run(x) { node, tensor in found[node.output] = (tensor.shape, tensor.dtype) }
    }
    found[graph.input.value] = (shape, graph.input.dtype)
    for (value, constant) in graph.constants { found[value] = (constant.tensor.shape, constant.tensor.dtype) }
    shapes = found
    root = Array(0..<graph.valueCount)
    lastUse = [Int](repeating: -1, count: graph.valueCount)
    places = [Plan.Place?](repeating: nil, count: graph.valueCount)
    plan = Plan(output: Plan.Operand(place: .output, shape: result.shape, dtype: result.dtype))
    for node in graph.nodes where Planner.isReshape(node.op) { root[node.output] = root[node.inputs[0]] }
    for (i, node) in graph.nodes.enumerated() { for input in node.inputs { lastUse[root[input]] = i } }
    lastUse[root[graph.output]] = graph.nodes.count
    places[graph.input.value] = .input
    for (value, constant) in graph.constants { places[value] = .constant(try constant.tensor.contiguous()) }
  }

  private static func isReshape(_ op: GraphOp) -> Bool {
    switch op {
    case .reshape, .flatten, .unsqueeze, .squeeze: true
    default: false
    }
  }

  private func operand(_ value: Graph.Value) throws(Failure) -> Plan.Operand {
    guard let place = places[root[value]], let (shape, dtype) = shapes[value] else {
      throw Failure(.internalError, "compile: value \(value) has no place")
    }
    return Plan.Operand(place: place, shape: shape, dtype: dtype)
  }

  private mutating func makeSteps() throws(Failure) {
    var i = 0
    while i < graph.nodes.count {
      let node = graph.nodes[i]
      if Planner.isReshape(node.op) {
        release(i, node.inputs)
        i += 1
        continue
      }
      // Nodes that run in one step with this one: the only reader of each, right after it.
      func next(_ from: Int, _ matches: (GraphOp) -> Bool) -> Graph.Node? {
        let at = from + 1
        guard at < graph.nodes.count, matches(graph.nodes[at].op), graph.nodes[at].inputs == [graph.nodes[from].output],
          uses[graph.nodes[from].output] == 1
        else { return nil }
        return graph.nodes[at]
      }
      let relu = next(i) { $0 == .unary(.relu) }
      let isTwoByTwo: (GraphOp) -> Bool = { $0 == .maxPool2d(kernel: [2, 2], stride: [2, 2], padding: [0, 0]) }
      let pool = relu == nil ? nil : next(i + 1, isTwoByTwo)
      let taken = try step(i, node, relu, pool)
      for k in i..<i + taken { release(k, graph.nodes[k].inputs) }
      i += taken
    }
    // What the graph gives must be memory of its own.
    let result = try operand(graph.output)
    if case .output = result.place { return }
    plan.steps.append(
      Plan.Step(work: .copy, name: "copy", inputs: [result], output: plan.output, operations: 0, kernel: "copy"))
  }

  /// The step of the chain of elements that begins with node `i`; how many nodes it did, nil when there is no chain.
  private mutating func chainStep(_ i: Int) throws(Failure) -> Int? {
    guard let chain = chain(from: i), let count = shapes[graph.nodes[i].output]?.shape.reduce(1, *) else { return nil }
    try append(
      .chain(Chain(chain.links, count: count)), chain.names.joined(separator: " + "),
      inputs: try chain.values.map { (value) throws(Failure) in try operand(value) },
      giving: graph.nodes[i + chain.links.count - 1].output, operations: count * chain.links.count, kernel: "elements")
    return chain.links.count
  }

  /// The step of node `i`; how many nodes it did.
  private mutating func step(_ i: Int, _ node: Graph.Node, _ relu: Graph.Node?, _ pool: Graph.Node?) throws(Failure) -> Int {
    if let taken = try chainStep(i) { return taken }
    let inputs = try node.inputs.map { (value) throws(Failure) in try operand(value) }
    let isPlain = inputs.allSatisfy { $0.dtype == .f32 }
    var (work, kernel, name, operations, weightBytes, taken) = (Plan.Work.op(node.op), "tensors", node.op.name, 0, 0, 1)
    let count = shapes[node.output].map { $0.shape.reduce(1, *) } ?? 0
    switch node.op {
    case .conv2d(let options):
      guard isPlain, let (conv, shape) = try packed.conv(node, options, inputs[0].shape, graph) else { break }
      let pools = pool != nil && shape.poolsInTiles(.f32)
      taken = relu == nil ? 1 : pools ? 3 : 2
      work = .conv(conv, shape, relu == nil ? .none : pools ? .reluAndMaxPool : .relu)
      kernel = shape.algorithm(.f32).rawValue
      operations = 2 * count * shape.inChannels / shape.groups * shape.kernelH * shape.kernelW
      weightBytes = conv.bytes
    case .linear:
      guard isPlain, let weight = graph.constants[node.inputs[1]]?.tensor else { break }
      let bias = node.inputs.count > 2 ? graph.constants[node.inputs[2]]?.tensor : nil
      if node.inputs.count > 2, bias == nil { break }
      let (n, k) = (weight.shape[0], weight.shape[1])
      let m = n == 0 ? 0 : count / n
      taken = relu == nil ? 1 : 2
      work = .linear(weight: try weight.contiguous(), bias: try bias?.contiguous(), m: m, n: n, k: k, relu: relu != nil)
      kernel = m <= 3 ? "rows" : "gemm"
      operations = 2 * count * k
      weightBytes = weight.byteCount
    case .maxPool2d(let k, let s, let p), .averagePool2d(let k, let s, let p):
      guard isPlain, inputs[0].shape.count == 4 else { break }
      let (h, w) = (inputs[0].shape[2], inputs[0].shape[3])
      guard let out = shapes[node.output]?.shape else { break }
      let shape = PoolShape(
        planes: inputs[0].shape[0] * inputs[0].shape[1], height: h, width: w, kernel: (k[0], k[1]), stride: (s[0], s[1]),
        padding: (p[0], p[1]), out: (out[2], out[3]))
      if case .maxPool2d = node.op { work = .maxPool(shape) } else { work = .averagePool(shape) }
      (kernel, operations) = ("windows", count * k[0] * k[1])
    case .binary(let op):
      guard isPlain, let out = shapes[node.output]?.shape else { break }
      func strides(_ shape: [Int]) -> [Int] {
        let own = Shape.strides(shape)
        let extra = out.count - shape.count
        return out.indices.map { d in d < extra || shape[d - extra] != out[d] ? 0 : own[d - extra] }
      }
      taken = relu == nil ? 1 : 2
      let loop = StridedLoop(shape: out, [Shape.strides(out), strides(inputs[0].shape), strides(inputs[1].shape)])
      work = .binary(op, loop, relu: relu == nil ? nil : StridedLoop(shape: [count], [[1], [1]]))
      (kernel, operations) = ("elements", count)
    case .unary(let op):
      guard isPlain else { break }
      work = .unary(op, StridedLoop(shape: [count], [[1], [1]]))
      (kernel, operations) = ("elements", count)
    case .softmax(let dim, let isLog):
      guard isPlain, dim == inputs[0].shape.count - 1, let classes = inputs[0].shape.last, classes > 0 else { break }
      work = .softmax(isLog: isLog, rows: count / classes, classes: classes)
      (kernel, operations) = ("rows", 4 * count)
    default: break
    }
    if taken > 1 { name += " + relu" }
    if taken > 2 { name += " + max_pool2d" }
    try append(
      work, name, inputs: inputs, giving: graph.nodes[i + taken - 1].output, operations: operations, kernel: kernel,
      weightBytes: weightBytes)
    return taken
  }

  /// Adds a step, and finds a place for what it gives.
  private mutating func append(
    _ work: Plan.Work, _ name: String, inputs: [Plan.Operand], giving value: Graph.Value, operations: Int, kernel: String,
    weightBytes: Int = 0
  ) throws(Failure) {
    guard let (shape, dtype) = shapes[value] else { throw Failure(.internalError, "compile: value \(value) has no shape") }
    let bytes = shape.reduce(dtype.size, *)
    let place: Plan.Place = root[value] == root[graph.output] ? .output : .block(take(bytes))
    places[root[value]] = place
    let output = Plan.Operand(place: place, shape: shape, dtype: dtype)
    plan.steps.append(
      Plan.Step(
        work: work, name: name, inputs: inputs, output: output, operations: operations, kernel: kernel,
        weightBytes: weightBytes))
  }

  // MARK: Places in the block

  /// First fit.
  private mutating func take(_ bytes: Int) -> Int {
    let size = max(64, (bytes + 63) & ~63)
    if let i = free.firstIndex(where: { $0.end - $0.start >= size }) {
      let start = free[i].start
      free[i].start += size
      if free[i].start == free[i].end { free.remove(at: i) }
      return start
    }
    // The last gap may be at the end of the block, which can grow.
    if let last = free.last, last.end == plan.bytes {
      free.removeLast()
      plan.bytes = last.start + size
      return last.start
    }
    plan.bytes += size
    return plan.bytes - size
  }

  private mutating func release(_ i: Int, _ inputs: [Graph.Value]) {
    for value in Set(inputs.map { root[$0] }) where lastUse[value] == i {
      guard case .block(let start) = places[value], let (shape, dtype) = shapes[value] else { continue }
      let end = start + max(64, (shape.reduce(dtype.size, *) + 63) & ~63)
      free.append((start, end))
      free.sort { $0.start < $1.start }
      var joined: [(start: Int, end: Int)] = []
      for part in free {
        if let last = joined.last, last.end == part.start {
          joined[joined.count - 1].end = part.end
        } else {
          joined.append(part)
        }
      }
      free = joined
    }
  }
}

/// Weights in their kernels' order, one copy for all shapes that read them alike.
final class PackedWeights {
  private var known: [Graph.Value: [PackedConv]] = [:]

  func conv(_ node: Graph.Node, _ o: ConvOptions, _ x: [Int], _ graph: Graph) throws(Failure) -> (PackedConv, ConvShape)? {
    guard let w = graph.constants[node.inputs[1]]?.tensor, w.rank == 4, x.count == 4 else { return nil }
    let bias = node.inputs.count > 2 ? graph.constants[node.inputs[2]]?.tensor : nil
    if node.inputs.count > 2, bias == nil { return nil }
    let s = ConvShape(
      batch: x[0], inChannels: x[1], height: x[2], width: x[3], outChannels: w.shape[0], kernelH: w.shape[2],
      kernelW: w.shape[3], stride: o.stride, padding: o.padding, dilation: o.dilation, groups: o.groups)
    if let found = known[node.output]?.first(where: { $0.fits(s) }) { return (found, s) }
    let (source, offset) = (try w.contiguous(), try bias?.contiguous())
    let made = try PackedConv(s, w: source.pointer, bias: offset?.pointer)
    known[node.output, default: []].append(made)
    return (made, s)
  }
}
