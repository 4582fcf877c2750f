import Core
package import LuaHost
package import TensorGraph
import TensorKernels
import Tensors

/// A `Graph` in Lua. The tensors of its constants are the network's own.
package final class LuaGraph: LuaObject {
  package let graph: Graph
  package init(_ graph: Graph) { self.graph = graph }

  package static let luaType = ObjectType(
    "Graph", "A network as ops in order, traced from running it.",
    [
      Fn("run", "fun(self: Graph, x: Tensor): Tensor", "The output for x (batch first, any batch), with gradients.") { call in
        try call.push(call.object(1, as: LuaGraph.self).graph.run(call.tensor(2)))
      },
      Fn(
        "compile", "fun(self: Graph): CompiledNetwork",
        "Made ready to run without gradients: batch norms folded, weights copied and packed, memory laid out."
      ) { call in
        try call.push(object: LuaCompiledNetwork(CompiledGraph(call.object(1, as: LuaGraph.self).graph)))
      },
      Fn("ops", "fun(self: Graph): string[]", "The names of the ops in the order in which they run.") { call in
        call.push(try call.object(1, as: LuaGraph.self).graph.nodes.map(\.op.name))
      },
    ] + exchange)
}

/// A `CompiledGraph` in Lua: called like the network that it was made of.
package final class LuaCompiledNetwork: LuaObject {
  let graph: CompiledGraph
  init(_ graph: CompiledGraph) { self.graph = graph }

  package static let luaType = ObjectType(
    "CompiledNetwork", "A network made ready to predict. Call it like the network; any batch, no gradients.",
    [
      Fn(
        "profile",
        "fun(self: CompiledNetwork, opts?: {batch?: integer, repeats?: integer}): {layer: string, kernel: string, shape: integer[], flop: integer, bytes: integer, seconds: number}[]",
        "What each step costs: medians of repeats (20) runs on zeros of batch (that of compile) rows."
      ) { call in
        let graph = try call.object(1, as: LuaCompiledNetwork.self).graph
        let options = try call.options(2, known: ["batch", "repeats"])
        let repeats = try options.integer("repeats") ?? 20
        guard (1...10_000).contains(repeats) else { throw call.bad(2, "repeats must be 1 to 10000, not \(repeats)") }
        let batch = try options.integer("batch") ?? graph.inputShape[0]
        guard batch >= 1 else { throw call.bad(2, "batch must be at least 1, not \(batch)") }
        let layers = try graph.profile(batch: batch, repeats: repeats)
        return call.pushTable(array: layers.count) { list in
          for (i, layer) in layers.enumerated() {
            list.set(i + 1) {
              $0.pushTable(fields: 6) { row in
                row.set("layer", layer.name)
                row.set("kernel", layer.kernel)
                row.set("shape") { $0.push(layer.shape) }
                row.set("flop", layer.operations)
                row.set("bytes", layer.bytes)
                row.set("seconds", layer.seconds)
              }
            }
          }
        }
      },
      Fn(
        "work_bytes", "fun(self: CompiledNetwork, batch?: integer): integer",
        "Bytes that a call works in, beside weights and result."
      ) {
        call in
        let graph = try call.object(1, as: LuaCompiledNetwork.self).graph
        let batch = try call.optionalInteger(2) ?? graph.inputShape[0]
        guard batch >= 1 else { throw call.bad(2, "batch must be at least 1, not \(batch)") }
        return call.push(try graph.workBytes(batch: batch))
      },
    ],
    metamethods: [
      Fn("__call", "fun(self: CompiledNetwork, x: Tensor): Tensor", "The output for x (batch first, any batch).") { call in
        try call.push(call.object(1, as: LuaCompiledNetwork.self).graph.run(call.tensor(2)))
      },
      Fn("__tostring", "fun(self: CompiledNetwork): string", "Shapes.") { call in
        let graph = try call.object(1, as: LuaCompiledNetwork.self).graph
        return call.push("CompiledNetwork(\(Shape.text(graph.inputShape)) -> \(Shape.text(graph.outputShape)))")
      },
    ])
}

extension TensorFaces {
  /// For LuaLib's nn only.
  static let graphs: [Fn] = [
    Fn(
      "trace",
      "fun(body: fun(x: Tensor): Tensor, shape: integer[], named: table<string, Tensor>, opts?: {dtype?: string}): Graph",
      "The graph of body, found by running it on random inputs of that shape."
    ) { call in
      let body = try call.function(1)
      let shape = try call.integers(2)
      var named: [(name: String, tensor: Tensor)] = []
      try call.forEachPair(3) { named.append((try call.string(-2), try call.tensor(-1))) }
      let type = try call.options(4).dtype() ?? .f32
      let graph = try Graph.traced(shape: shape, dtype: type, named: named) { x in
        try body.call(
          call, results: 1, arguments: { try $0.push(x) },
          read: { inner in
            guard let y = inner.objectIfPresent(1, as: Tensor.self) else {
              throw Failure(.notAGraph, "the network must give one Tensor, not \(inner.typeName(1))")
            }
            return y
          })
      }
      return try call.push(object: LuaGraph(graph))
    }
  ]
}
