package import Core
package import TensorKernels
package import Tensors

extension Failure.Code {
  /// A network that cannot be written down as layers or ops.
  package static let notAGraph = Failure.Code("NOT_A_GRAPH")
}

extension Graph {
  /// The graph of `body`, found by running it with random inputs of two batch sizes: what differs between the two depends on the batch.
  ///
  /// A third batch then goes through both: a body that decides by values, or uses ops that cannot be told, is found out.
  /// - Parameters:
  ///   - shape: of an input, batch first.
  ///   - named: parameters and buffers; other tensors that `body` brings along become constants without a name.
  /// - Throws: `NOT_A_GRAPH` when `body` cannot be told as a graph.
  package static func traced(
    shape: [Int], dtype: DType = .f32, named: [(name: String, tensor: Tensor)], _ body: (Tensor) throws -> Tensor
  ) throws -> Graph {
    guard let batch = shape.first, batch >= 1, shape.allSatisfy({ $0 >= 1 }) else {
      throw Failure(.invalidArgument, "shape \(Shape.text(shape)) must have a batch, and extents of at least 1")
    }
    func input(_ rows: Int, isMixed: Bool = false) throws(Failure) -> Tensor {
      var own = shape
      own[0] = rows
      // Not from the script's random numbers, which go on as if nothing had been.
      let count = try Shape.count(own, op: "graph")
      let generator = Philox(seed: 0x9E37_79B9 &+ UInt64(rows))
      let values = try Tensor.empty(own, .f32, op: "graph")
      Kernels.uniform(.f32, count, generator, start: 0, low: -1, high: 1, out: values.pointer)
      if dtype.isFloat { return try values.cast(dtype) }
      // Ids: 0, which every table of vectors has; or 0 and 1 by chance.
      return isMixed ? try Tensor.compare(.gt, values, Tensor.scalar(0)).cast(dtype) : try Tensor.zeros(own, dtype)
    }
    let (two, others) = try record(input(2), named, shape, dtype, body)
    let (three, _) = try record(input(3), named, shape, dtype, body)
    var graph = try merged(two, three)
    graph.input.shape = shape
    var sample = try input(5)
    if !dtype.isFloat, let mixed = try? input(5, isMixed: true), (try? GradMode.disabled { try body(mixed.clone()) }) != nil {
      sample = mixed
    }
    let found = try GradMode.disabled { try graph.run(sample.clone()) }
    let version = sample.storage.version
    let wanted = try GradMode.disabled { try body(sample) }
    guard sample.storage.version == version else {
      throw Failure(.notAGraph, "the network changes its input in place, which a graph cannot hold; use a copy")
    }
    guard wanted.shape == found.shape, try isClose(wanted, found) else {
      throw Failure(
        .notAGraph,
        "the network gives other results than its ops one after the other: it decides by the values of its input, or uses an op "
          + "that a graph cannot hold" + (others.isEmpty ? "" : " (among these: \(others.sorted().joined(separator: ", ")))"))
    }
    return graph
  }

  private static func isClose(_ a: Tensor, _ b: Tensor) throws(Failure) -> Bool {
    let (x, y) = (try a.detached().cast(.f64), try b.detached().cast(.f64))
    guard x.count > 0 else { return true }
    let largest = try y.unary(.abs).extreme(largest: true).item()
    return try x.sub(y).unary(.abs).extreme(largest: true).item() <= 1e-4 * max(largest, 1e-3)
  }

  /// The graph of one run, and names of ops in it that it does not hold.
  private static func record(
    _ x: Tensor, _ named: [(name: String, tensor: Tensor)], _ shape: [Int], _ dtype: DType, _ body: (Tensor) throws -> Tensor
  ) throws -> (Graph, Set<String>) {
    let trace = Trace()
    let result = try GradMode.disabled { try trace.record { try body(x) } }
    var graph = Graph(input: "input", shape: shape, dtype: dtype)
    var names: [ObjectIdentifier: String] = [:]
    for (name, tensor) in named { names[ObjectIdentifier(tensor)] = name }
    var values: [ObjectIdentifier: Value] = [ObjectIdentifier(x): graph.input.value]
    func value(of tensor: Tensor) -> Value {
      let key = ObjectIdentifier(tensor)
      if let known = values[key] { return known }
      let made = graph.add(constant: tensor.detached(), name: names[key])
      values[key] = made
      return made
    }
    var told: Set<String> = []
    for event in trace.events {
      let inputs = event.inputs.compactMap { $0 }.map(value(of:))
      told.insert(event.op.name)
      values[ObjectIdentifier(event.output)] = graph.add(event.op, inputs)
    }
    graph.output = value(of: result)
    graph.removeDeadNodes()
    return (graph, trace.others.subtracting(told))
  }

  /// Two graphs of the same body for batches of 2 and 3, as one for any batch.
  private static func merged(_ two: Graph, _ three: Graph) throws -> Graph {
    guard two.nodes.count == three.nodes.count, two.output == three.output else {
      throw Failure(.notAGraph, "the network does other things for a batch of 2 than for one of 3")
    }
    var graph = two
    for i in two.nodes.indices {
      let (a, b) = (two.nodes[i], three.nodes[i])
      guard a.inputs == b.inputs else {
        throw Failure(.notAGraph, "op \(i + 1), \(a.op.name), takes other inputs for a batch of 2 than for one of 3")
      }
      if a.op == b.op { continue }
      switch (a.op, b.op) {
      case (.reshape(let x), .reshape(let y)):
        graph.nodes[i].op = .reshape(try free(x, y, "reshape"))
      case (.expand(let x), .expand(let y)):
        graph.nodes[i].op = .expand(try free(x, y, "expand"))
      default:
        throw Failure(.notAGraph, "op \(i + 1), \(a.op.name), has other settings for a batch of 2 than for one of 3")
      }
    }
    return graph
  }

  private static func free(_ x: [Int], _ y: [Int], _ op: String) throws -> [Int] {
    guard x.count == y.count, zip(x, y).filter({ $0 != $1 }).count == 1 else {
      throw Failure(.notAGraph, "\(op) to \(Shape.text(x)) and \(Shape.text(y)): more than one extent depends on the batch")
    }
    return zip(x, y).map { $0 == $1 ? $0 : -1 }
  }
}
