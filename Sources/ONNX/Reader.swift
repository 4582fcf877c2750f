import Core
import TensorGraph
import TensorKernels
import Tensors

/// Reads a file's nodes in the order in which they can run, and runs each on zeros as it goes: shapes are known everywhere, what does
/// not fit is found at its node, and what does not depend on the input (shapes of weights, computed sizes) is computed away.
///
/// All is run for two batch sizes, as in `Graph.traced`: what differs between the two depends on the batch. A file that fixes its
/// batch is read for that one, and for one more where that works, which frees the batch.
final class GraphReader {
  let file: PBGraph
  let opset: Int64
  /// The batch of each of the two runs.
  let batches: [Int]
  private(set) var graph: Graph
  private var items: [String: Item] = [:]
  /// Readers of each name that are still to come.
  private var readers: [String: Int] = [:]
  /// Readers of each name in all.
  private var totals: [String: Int] = [:]
  /// Whether the second batch stands for any other one of a file that fixes its batch.
  let freesBatch: Bool
  private var constantNames: Set<String> = []

  /// - Parameter input: its name, type and shape; the shape's batch is the one that the file fixes, or 1.
  init(_ file: PBGraph, opset: Int64, input: Graph.Input, batches: [Int], freesBatch: Bool) {
    (self.file, self.opset, self.batches, self.freesBatch) = (file, opset, batches, freesBatch)
    graph = Graph(input: input.name, shape: input.shape, dtype: input.dtype)
  }

  func read(_ order: [Int], initializers: [String: PBTensorData], output: String) throws(Failure) -> Graph {
    for i in order { for name in file.node[i].input where !name.isEmpty { readers[name, default: 0] += 1 } }
    readers[output, default: 0] += 1
    totals = readers
    var samples: [Tensor] = []
    for batch in batches { samples.append(try Tensor.zeros([batch] + graph.input.shape.dropFirst(), graph.input.dtype)) }
    items[graph.input.name] = Item(samples, value: graph.input.value)
    for (name, data) in initializers where readers[name] != nil {
      let tensor = try data.tensor("initializer '\(name)'")
      let item = Item(fixed: [tensor, tensor])
      item.constantName = name
      try item.checkSize()
      items[name] = item
    }
    for i in order {
      try Cancellation.check()
      try GradMode.disabled { () throws(Failure) in try read(i) }
    }
    guard let result = items[output] else { throw Failure(.corruptData, "onnx: nothing makes the output '\(output)'") }
    graph.output = try emit(result)
    graph.removeDeadNodes()
    return graph
  }

  private func read(_ i: Int) throws(Failure) {
    let node = file.node[i]
    let view = NodeView(node, number: i + 1, inputs: node.input.map { items[$0] })
    guard let rule = GraphReader.rule(node.opType) else {
      throw Failure(.unsupported, "onnx: \(view.place): this operator is not known")
    }
    let results: [Item]
    do throws(Failure) {
      for (k, name) in node.input.enumerated() where !name.isEmpty && view.inputs[k] == nil {
        throw Failure(.corruptData, "input '\(name)' is made by nothing")
      }
      results = try rule(self)(view)
      try view.checkAttributes()
      for item in results { try item.checkSize() }
    } catch {
      throw error.context("onnx: \(view.place)")
    }
    for (k, name) in node.output.enumerated() where !name.isEmpty && readers[name, default: 0] > 0 {
      guard k < results.count else {
        throw Failure(.unsupported, "onnx: \(view.place): its output \(k + 1), '\(name)', cannot be had here")
      }
      items[name] = results[k]
      results[k].names += 1
    }
    // Values are forgotten after their last reader.
    for name in node.input where !name.isEmpty {
      readers[name, default: 0] -= 1
      if readers[name, default: 0] <= 0 { items[name] = nil }
    }
  }

  /// Whether no other node of the file reads this input, under whatever name.
  func isReadOnce(_ name: String) -> Bool { totals[name] == 1 && items[name]?.names == 1 }

  // MARK: Making ops

  /// The result of an op: computed away when all inputs are fixed, else a node.
  func apply(_ op: GraphOp, _ inputs: [Item]) throws(Failure) -> Item { try apply(op, [op, op], inputs) }

  /// The same for an op whose settings differ between the two batches; `op` is what is right for both.
  func apply(_ op: GraphOp, _ ops: [GraphOp], _ inputs: [Item]) throws(Failure) -> Item {
    let isFixed = inputs.allSatisfy(\.isFixed)
    var samples: [Tensor] = []
    for (k, own) in ops.enumerated() {
      if k == 1, isFixed, own == ops[0], inputs.allSatisfy({ $0.samples[0] === $0.samples[1] }) {
        samples.append(samples[0])
      } else {
        samples.append(try own.apply(inputs.map { $0.samples[k] }))
      }
    }
    guard samples.allSatisfy({ $0.rank == samples[0].rank }) else {
      throw Failure(.unsupported, "the number of dims of the result depends on the batch")
    }
    if isFixed {
      let item = Item(fixed: samples)
      // A weight that only lies differently keeps its name.
      if let first = inputs.first, inputs.count == 1, op.isRelayout { item.constantName = first.constantName }
      return item
    }
    let values = try inputs.map { (item) throws(Failure) in try emit(item) }
    return Item(samples, value: graph.add(op, values))
  }

  /// Gives a node a further input, which was found out only later (a bias). It must be one of the last few.
  func append(input: Item, toNodeOf item: Item, _ samples: [Tensor]) throws(Failure) -> Item? {
    guard let value = item.value, let i = graph.nodes.suffix(8).lastIndex(where: { $0.output == value }) else { return nil }
    graph.nodes[i].inputs.append(try emit(input))
    return Item(samples, value: value)
  }
  /// The node that makes a value, if it is one of the last few.
  func node(of item: Item) -> Graph.Node? { item.value.flatMap { value in graph.nodes.suffix(8).last { $0.output == value } } }

  func fixed(_ tensor: Tensor) -> Item { Item(fixed: [tensor, tensor]) }
  func scalar(_ value: Double, like item: Item) throws(Failure) -> Item { fixed(try Tensor.scalar(value, item.dtype)) }

  /// The item as a value of the graph.
  func emit(_ item: Item) throws(Failure) -> Graph.Value {
    if let value = item.value { return value }
    guard try item.isSame() else {
      throw Failure(.unsupported, "a value computed from the size of the batch is used for something else than a shape")
    }
    var name = item.constantName
    if let wanted = name {
      var number = 2
      while let tried = name, !constantNames.insert(tried).inserted {
        name = "\(wanted).\(number)"
        number += 1
      }
    }
    // Memory of its own, so that it can be trained.
    let sample = item.samples[0]
    let value = graph.add(constant: sample.isView || !sample.isContiguous ? try sample.clone() : sample, name: name)
    item.value = value
    return value
  }
}

extension GraphOp {
  /// Whether the op only puts the same elements into another order or shape.
  fileprivate var isRelayout: Bool {
    switch self {
    case .reshape, .flatten, .permute, .unsqueeze, .squeeze, .cast: true
    default: false
    }
  }
}
