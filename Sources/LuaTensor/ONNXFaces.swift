import Core
import LuaHost
import ONNX
import TensorGraph
import TensorKernels
import Tensors

extension LuaGraph {
  /// What ONNX files and imported networks need of a graph.
  static let exchange: [Fn] = [
    Fn(
      "to_onnx", "fun(self: Graph): string",
      "The bytes of an ONNX file (opset 17), the batch free. An error names all ops that ONNX cannot hold."
    ) { call in
      call.push(bytes: try call.object(1, as: LuaGraph.self).graph.encodedONNX())
    },
    Fn("shape", "fun(self: Graph): integer[]", "The shape of an input, batch first.") { call in
      call.push(try call.object(1, as: LuaGraph.self).graph.input.shape)
    },
    Fn(
      "weights", "fun(self: Graph): {name: string, tensor: Tensor, trains: boolean}[]",
      "The constants that have names, the graph's own memory: floats of at least one dim train, but for the statistics of batch norms."
    ) { call in
      let graph = try call.object(1, as: LuaGraph.self).graph
      let weights = graph.weights
      return try call.pushTable(array: weights.count) { list in
        for (i, weight) in weights.enumerated() {
          try list.set(i + 1) {
            try $0.pushTable(fields: 3) { row in
              row.set("name", weight.name)
              try row.set("tensor") { try $0.push(weight.tensor) }
              row.set("trains", weight.trains)
            }
          }
        }
      }
    },
    Fn(
      "run_with", "fun(self: Graph, x: Tensor, weights: table<string, Tensor>): Tensor",
      "As run, with other tensors for constants of these names."
    ) { call in
      var graph = try call.object(1, as: LuaGraph.self).graph
      var given: [String: Tensor] = [:]
      try call.forEachPair(3) { given[try call.string(-2)] = try call.tensor(-1) }
      for (value, constant) in graph.constants {
        guard let name = constant.name, let tensor = given[name] else { continue }
        guard tensor.shape == constant.tensor.shape else {
          throw call.bad(3, "'\(name)' must be \(Shape.text(constant.tensor.shape)), not \(Shape.text(tensor.shape))")
        }
        graph.constants[value]?.tensor = tensor
      }
      return try call.push(graph.run(call.tensor(2)))
    },
  ]
}

extension Graph {
  /// The constants with names, in the order in which nodes read them.
  fileprivate var weights: [(name: String, tensor: Tensor, trains: Bool)] {
    var seen: Set<Value> = []
    var statistics: Set<Value> = []
    for node in nodes {
      if case .batchNorm = node.op { statistics.formUnion(node.inputs[1...2]) }
    }
    var out: [(name: String, tensor: Tensor, trains: Bool)] = []
    for value in nodes.flatMap(\.inputs) + [output] where seen.insert(value).inserted {
      guard let constant = constants[value], let name = constant.name else { continue }
      let trains = constant.tensor.dtype.isFloat && constant.tensor.rank > 0 && !statistics.contains(value)
      out.append((name, constant.tensor, trains))
    }
    return out
  }
}

extension TensorFaces {
  /// In the module `tensor`.
  static let onnx: [Fn] = [
    Fn(
      "from_onnx", "fun(bytes: string, opts?: {shape?: integer[]}): Graph",
      "The graph of an ONNX file (opsets 7 to 21, one input, one output). shape: of an input, batch first, for files that leave more open than the batch."
    ) { call in
      let shape = try call.options(2, known: ["shape"]).integers("shape")
      return try call.push(object: LuaGraph(call.withBytes(1) { try Graph.decodedONNX($0, shape: shape) }))
    }
  ]
}
