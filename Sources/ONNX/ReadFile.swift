package import Core
package import TensorGraph
import TensorKernels
import Tensors

extension Graph {
  /// The graph of an ONNX file with operators of version 7 to 21, one input and one output. The first extent of the input is the batch.
  /// - Parameter shape: of an input, batch first, for files that leave more than the batch open.
  /// - Throws: `CORRUPT_DATA`, or `UNSUPPORTED` with all operators that are not known.
  package static func decodedONNX(_ bytes: UnsafeRawBufferPointer, shape: [Int]? = nil) throws(Failure) -> Graph {
    let model = try ONNXFile.decode(bytes)
    guard model.hasGraph else { throw Failure(.corruptData, "onnx: the file holds no graph") }
    let sets = model.opsetImport.filter { $0.domain.isEmpty || $0.domain == "ai.onnx" }
    guard let opset = sets.map(\.version).max() else {
      throw Failure(.corruptData, "onnx: the file does not say which version of ONNX's operators it uses")
    }
    guard ONNXFile.opsets.contains(opset) else {
      throw Failure(
        .unsupported,
        "onnx: the file uses operators of version \(opset); \(ONNXFile.opsets.lowerBound) to \(ONNXFile.opsets.upperBound) are known "
          + "(onnx.version_converter changes it)")
    }
    let file = FileParts(model.graph)
    let initializers = try file.initializers()
    let (input, isFree) = try file.input(initializers, shape)
    let output = try file.output()
    let order = try file.order(from: output, known: Set(initializers.keys).union([input.name]))
    try file.checkOperators(order)
    func read(_ batches: [Int], freesBatch: Bool = false) throws(Failure) -> Graph {
      try GraphReader(model.graph, opset: opset, input: input, batches: batches, freesBatch: freesBatch)
        .read(order, initializers: initializers, output: output)
    }
    if isFree { return try read([2, 3]) }
    let batch = input.shape[0]
    // The batch that the file fixes becomes free if all works for one more just as well.
    do throws(Failure) { return try read([batch, batch + 1], freesBatch: true) } catch {
      if error.code == .cancelled || error.code == .memoryLimit || error.code == .timeout { throw error }
    }
    return try read([batch, batch])
  }
}

/// What a graph's message must hold before its nodes are read.
struct FileParts {
  let file: PBGraph
  init(_ file: PBGraph) { self.file = file }

  func initializers() throws(Failure) -> [String: PBTensorData] {
    guard file.sparseInitializer.isEmpty else {
      throw Failure(
        .unsupported, "onnx: sparse initializer '\(file.sparseInitializer[0].values.name)': sparse tensors are not known here")
    }
    var out: [String: PBTensorData] = [:]
    for data in file.initializer {
      guard !data.name.isEmpty, out.updateValue(data, forKey: data.name) == nil else {
        throw Failure(.corruptData, "onnx: there are two initializers '\(data.name)', or one without a name")
      }
    }
    return out
  }

  /// The one input, and whether the file leaves its batch open.
  func input(_ initializers: [String: PBTensorData], _ wanted: [Int]?) throws(Failure) -> (Graph.Input, isFree: Bool) {
    // Before version 4 of the format, initializers are inputs too.
    let inputs = file.input.filter { initializers[$0.name] == nil }
    guard inputs.count == 1, let only = inputs.first, !only.name.isEmpty else {
      throw Failure(
        .unsupported,
        "onnx: the graph has \(inputs.count) inputs (\(inputs.map { "'\($0.name)'" }.joined(separator: ", "))); one is what a network here has"
      )
    }
    let what = "onnx: input '\(only.name)'"
    let type = only.type.tensorType
    guard only.type.hasTensorType, let element = ElementType(rawValue: type.elemType) else {
      throw Failure(.unsupported, "\(what) is no tensor of a known type: \(ElementType.name(type.elemType))")
    }
    guard type.hasShape, (1...15).contains(type.shape.dim.count) else {
      throw Failure(.unsupported, "\(what) must have a shape of 1 to 15 dims, the batch first")
    }
    var shape = type.shape.dim.map { Int(clamping: max(0, $0.dimValue)) }
    var isFree = shape[0] == 0
    if let wanted {
      guard wanted.count == shape.count, wanted.allSatisfy({ $0 >= 1 }),
        zip(shape, wanted).dropFirst().allSatisfy({ $0 == 0 || $0 == $1 })
      else {
        throw Failure(.shapeMismatch, "\(what) is \(text(type.shape)); the shape \(Shape.text(wanted)) does not fit it")
      }
      isFree = isFree || wanted[0] != shape[0]
      shape = wanted
    }
    if shape[0] == 0 { shape[0] = 1 }
    guard !shape.contains(0) else {
      throw Failure(
        .unsupported,
        "\(what) is \(text(type.shape)), which leaves more open than the batch; pass the shape of an input, batch first")
    }
    do { _ = try Shape.count([3] + shape, op: what) } catch { throw Failure(.corruptData, "\(what): \(error.message)") }
    return (Graph(input: only.name, shape: shape, dtype: element.dtype).input, isFree)
  }

  private func text(_ shape: PBTensorShape) -> String {
    let dims = shape.dim.map { $0.dimParam.isEmpty ? ($0.dimValue > 0 ? "\($0.dimValue)" : "?") : $0.dimParam }
    return "(" + dims.joined(separator: ", ") + ")"
  }

  func output() throws(Failure) -> String {
    guard file.output.count == 1, let only = file.output.first, !only.name.isEmpty else {
      throw Failure(
        .unsupported,
        "onnx: the graph has \(file.output.count) outputs (\(file.output.map { "'\($0.name)'" }.joined(separator: ", "))); one is what a network here has"
      )
    }
    return only.name
  }

  /// The nodes that the output needs, each behind those whose results it reads; the file's own order where that is such a one.
  func order(from output: String, known: Set<String>) throws(Failure) -> [Int] {
    var maker: [String: Int] = [:]
    for (i, node) in file.node.enumerated() {
      for name in node.output where !name.isEmpty {
        guard !known.contains(name), maker.updateValue(i, forKey: name) == nil else {
          throw Failure(.corruptData, "onnx: \(place(i)) makes '\(name)', which is there already")
        }
      }
    }
    guard known.contains(output) || maker[output] != nil else {
      throw Failure(.corruptData, "onnx: nothing makes the output '\(output)'")
    }
    var isNeeded = [Bool](repeating: false, count: file.node.count)
    var pending = maker[output].map { [$0] } ?? []
    for i in pending { isNeeded[i] = true }
    var waits = [Int](repeating: 0, count: file.node.count)
    var followers = [[Int]](repeating: [], count: file.node.count)
    while let i = pending.popLast() {
      for name in Set(file.node[i].input) where !name.isEmpty && !known.contains(name) {
        guard let from = maker[name] else {
          throw Failure(.corruptData, "onnx: \(place(i)) reads '\(name)', which nothing makes")
        }
        waits[i] += 1
        followers[from].append(i)
        if !isNeeded[from] {
          isNeeded[from] = true
          pending.append(from)
        }
      }
    }
    let needed = file.node.indices.filter { isNeeded[$0] }
    var ready = needed.filter { waits[$0] == 0 }
    var (order, at) = ([Int](), 0)
    while at < ready.count {
      let i = ready[at]
      at += 1
      order.append(i)
      for next in followers[i] {
        waits[next] -= 1
        if waits[next] == 0 { ready.append(next) }
      }
    }
    guard order.count == needed.count else {
      let stuck = needed.filter { waits[$0] > 0 }
      throw Failure(
        .corruptData,
        "onnx: the graph goes in a circle: \(stuck.prefix(4).map(place).joined(separator: "; "))\(stuck.count > 4 ? "; ..." : "")"
      )
    }
    // The file's own order, if it is right, keeps what belongs together side by side.
    return needed.allSatisfy { i in followers[i].allSatisfy { $0 > i } } ? needed : order
  }

  /// - Throws: `UNSUPPORTED` with all operators that have no rule here, and the nodes that have them.
  func checkOperators(_ order: [Int]) throws(Failure) {
    var unknown: [String: [Int]] = [:]
    for i in order {
      let node = file.node[i]
      let isOwn = node.domain.isEmpty || node.domain == "ai.onnx"
      if !isOwn || GraphReader.rule(node.opType) == nil {
        unknown[(isOwn ? "" : node.domain + ".") + node.opType, default: []].append(i + 1)
      }
    }
    guard unknown.isEmpty else {
      let list = unknown.sorted { $0.key < $1.key }.map { name, nodes in
        "\(name) (node \(nodes.sorted().prefix(3).map(String.init).joined(separator: ", "))\(nodes.count > 3 ? ", ..." : ""))"
      }
      throw Failure(.unsupported, "onnx: operators that are not known here: \(list.joined(separator: "; "))")
    }
  }

  private func place(_ i: Int) -> String {
    let node = file.node[i]
    return "node \(i + 1), \(node.opType)" + (node.name.isEmpty ? "" : " '\(node.name)'")
  }
}
