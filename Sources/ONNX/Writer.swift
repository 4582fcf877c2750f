package import Core
import Foundation
package import TensorGraph
import TensorKernels
import Tensors

extension Graph {
  /// The graph as an ONNX file: operators of version 17, the batch free ("batch"), weights under their names.
  /// - Throws: `UNSUPPORTED` with all ops that ONNX cannot hold.
  package func encodedONNX() throws(Failure) -> [UInt8] {
    var writer = try GraphWriter(self)
    return try ONNXFile.encode(writer.model())
  }
}

/// Writes a graph, node by node. What each op becomes stands in `Write*.swift`.
struct GraphWriter {
  let graph: Graph
  /// Of each value for batches of 2 and of 3: what differs depends on the batch. Twice the same where the graph has one batch only.
  private let known: [Graph.Value: (two: [Int], three: [Int], dtype: DType)]
  private var file = PBGraph()
  private var names: [Graph.Value: String] = [:]
  private var taken: Set<String> = []
  private var nextNode = 0

  init(_ graph: Graph) throws(Failure) {
    self.graph = graph
    var found: [Graph.Value: (two: [Int], three: [Int], dtype: DType)] = [:]
    func run(_ batch: Int, _ look: (Graph.Value, Tensor) -> Void) throws(Failure) {
      let shape = [batch] + graph.input.shape.dropFirst()
      let x = try Tensor.zeros(shape, graph.input.dtype)
      look(graph.input.value, x)
      _ = try GradMode.disabled { () throws(Failure) in try graph.run(x) { node, tensor in look(node.output, tensor) } }
    }
    do throws(Failure) {
      try run(2) { value, tensor in found[value] = (tensor.shape, [], tensor.dtype) }
      try run(3) { value, tensor in found[value]?.three = tensor.shape }
    } catch {
      guard error.code == .shapeMismatch || error.code == .invalidArgument else { throw error.context("onnx") }
      // A graph from a file whose batch is fixed in truth: it stays fixed.
      do throws(Failure) {
        try run(graph.input.shape[0]) { value, tensor in found[value] = (tensor.shape, tensor.shape, tensor.dtype) }
      } catch { throw error.context("onnx") }
    }
    for (value, constant) in graph.constants {
      found[value] = (constant.tensor.shape, constant.tensor.shape, constant.tensor.dtype)
    }
    known = found
  }

  mutating func model() throws(Failure) -> PBModel {
    names[graph.input.value] = fresh(graph.input.name.isEmpty ? "input" : graph.input.name)
    var bytes = 0
    for (value, constant) in graph.constants.sorted(by: { $0.key < $1.key }) {
      bytes += constant.tensor.byteCount
      guard bytes < 0x7FF0_0000 else {
        throw Failure(.unsupported, "onnx: the weights are more than the 2 GiB that an ONNX file of one piece can hold")
      }
      // Names of parameters are the file's; numbers that code made are nodes, so that a reader knows them apart.
      if let name = constant.name, !name.isEmpty {
        let own = fresh(name)
        names[value] = own
        file.initializer.append(try PBTensorData(constant.tensor, name: own))
      } else {
        names[value] = try self.constant(constant.tensor)
      }
    }
    var refused: [String] = []
    for (i, node) in graph.nodes.enumerated() {
      do throws(Failure) {
        let result = try write(node)
        names[node.output] = result
      } catch {
        guard error.code == .unsupported else { throw error.context("onnx: op \(i + 1), \(node.op.name)") }
        refused.append("op \(i + 1), \(node.op.name): \(error.message)")
        names[node.output] = fresh("refused")
      }
    }
    guard refused.isEmpty else {
      throw Failure(
        .unsupported, "onnx: \(refused.count) of \(graph.nodes.count) ops cannot be written: " + refused.joined(separator: "; ")
      )
    }
    let output = fresh("output")
    emit("Identity", [try name(graph.output)], output: output)
    file.name = "moonlake"
    file.input = [try info(names[graph.input.value] ?? "", graph.input.value)]
    file.output = [try info(output, graph.output)]
    var model = PBModel()
    model.irVersion = ONNXFile.irVersion
    model.producerName = "moonlake"
    var operators = PBOperatorSet()
    operators.version = ONNXFile.opset
    model.opsetImport = [operators]
    model.graph = file
    return model
  }

  // MARK: What ops are written with

  /// A node; gives the name of its result.
  mutating func node(_ op: String, _ inputs: [String], _ attributes: [PBAttribute] = []) -> String {
    let result = fresh("\(op.lowercased())_\(nextNode)")
    emit(op, inputs, attributes, output: result)
    return result
  }

  /// A constant of the ops' own.
  mutating func constant(_ tensor: Tensor) throws(Failure) -> String {
    let name = fresh("constant_\(nextNode)")
    var value = PBAttribute()
    value.name = "value"
    value.type = 4
    value.t = try PBTensorData(tensor, name: name)
    emit("Constant", [], [value], output: name)
    return name
  }
  mutating func constant(_ integers: [Int]) throws(Failure) -> String {
    try constant(Tensor.from(integers: integers.map { Int64($0) }, [integers.count]))
  }
  mutating func scalar(_ value: Double, _ type: DType) throws(Failure) -> String { try constant(Tensor.scalar(value, type)) }

  func name(_ value: Graph.Value) throws(Failure) -> String {
    guard let name = names[value] else { throw Failure(.internalError, "onnx: value \(value) is read before it is made") }
    return name
  }
  /// A value in another type where it is not of that type already.
  mutating func name(_ value: Graph.Value, as type: DType) throws(Failure) -> String {
    let (name, own) = (try name(value), try dtype(value))
    return own == type ? name : node("Cast", [name], [.int("to", Int(ElementType(type).rawValue))])
  }

  /// The shape for a batch of 2, and which extents depend on the batch.
  func shape(_ value: Graph.Value) throws(Failure) -> (extents: [Int], isFree: [Bool]) {
    guard let found = known[value], found.two.count == found.three.count else {
      throw Failure(.internalError, "onnx: the shape of value \(value) is not known")
    }
    return (found.two, zip(found.two, found.three).map { $0 != $1 })
  }
  /// An extent that must not depend on the batch.
  func extent(_ value: Graph.Value, _ dim: Int) throws(Failure) -> Int {
    let (extents, isFree) = try shape(value)
    guard extents.indices.contains(dim) else { throw Failure(.internalError, "onnx: value \(value) has no dim \(dim + 1)") }
    guard !isFree[dim] else { throw Failure(.unsupported, "dim \(dim + 1) depends on the batch") }
    return extents[dim]
  }
  func dtype(_ value: Graph.Value) throws(Failure) -> DType {
    guard let found = known[value] else { throw Failure(.internalError, "onnx: the type of value \(value) is not known") }
    return found.dtype
  }

  // MARK: -

  private mutating func emit(_ op: String, _ inputs: [String], _ attributes: [PBAttribute] = [], output: String) {
    var node = PBNode()
    (node.opType, node.input, node.output, node.attribute) = (op, inputs, [output], attributes)
    node.name = "\(op)_\(nextNode)"
    nextNode += 1
    file.node.append(node)
  }

  private mutating func fresh(_ wanted: String) -> String {
    var (name, number) = (wanted, 2)
    while !taken.insert(name).inserted {
      name = "\(wanted)_\(number)"
      number += 1
    }
    return name
  }

  private func info(_ name: String, _ value: Graph.Value) throws(Failure) -> PBValueInfo {
    guard let found = known[value] else { throw Failure(.internalError, "onnx: the type of value \(value) is not known") }
    var info = PBValueInfo()
    info.name = name
    info.type.tensorType.elemType = ElementType(found.dtype).rawValue
    info.type.tensorType.shape.dim = zip(found.two, found.three).map { two, three in
      var dim = PBDimension()
      if two == three { dim.dimValue = Int64(two) } else if two == 2, three == 3 { dim.dimParam = "batch" }
      return dim
    }
    return info
  }
}

extension PBAttribute {
  static func int(_ name: String, _ value: Int) -> PBAttribute {
    var a = PBAttribute()
    (a.name, a.type, a.i) = (name, 2, Int64(value))
    return a
  }
  static func ints(_ name: String, _ values: [Int]) -> PBAttribute {
    var a = PBAttribute()
    (a.name, a.type, a.ints) = (name, 7, values.map { Int64($0) })
    return a
  }
  static func float(_ name: String, _ value: Double) -> PBAttribute {
    var a = PBAttribute()
    (a.name, a.type, a.f) = (name, 1, Float(value))
    return a
  }
}
