import Core
import ONNX
import TensorGraph
import TensorKernels
import Tensors
import TestSupport
import Testing

/// A small graph for each op, written and read again: the same results for random input, and for another batch.
@Suite struct RoundTripTests {
  struct Case: CustomStringConvertible, Sendable {
    let description: String
    let shape: [Int]
    var dtype: DType = .f32
    var low = -2.0
    let build: @Sendable (inout Graph) throws -> Graph.Value
    init(
      _ name: String, _ shape: [Int], _ dtype: DType = .f32, low: Double = -2,
      _ build: @escaping @Sendable (inout Graph) throws -> Graph.Value
    ) { (description, self.shape, self.dtype, self.low, self.build) = (name, shape, dtype, low, build) }
  }

  static func weight(_ graph: inout Graph, _ name: String, _ shape: [Int], low: Double = -1) throws -> Graph.Value {
    graph.add(constant: try RandomNumbers.alone { try Tensor.uniform(shape, low: low, high: 1, .f32) }, name: name)
  }
  static func op(_ op: GraphOp, _ shape: [Int], _ dtype: DType = .f32, low: Double = -2, note: String = "") -> Case {
    Case(op.name + note, shape, dtype, low: low) { $0.add(op, [0]) }
  }
  static func conv(_ name: String, _ x: [Int], _ w: [Int], bias: Bool, _ set: @escaping @Sendable (inout ConvOptions) -> Void)
    -> Case
  {
    Case(name, x) { g in
      var options = ConvOptions()
      set(&options)
      var inputs = [0, try weight(&g, "w", w)]
      if bias { inputs.append(try weight(&g, "b", [w[0]])) }
      return g.add(.conv2d(options), inputs)
    }
  }

  static let layers: [Case] = [
    conv("conv2d", [2, 3, 9, 8], [4, 3, 3, 3], bias: true) { _ in },
    conv("conv2d, all settings", [2, 4, 9, 8], [6, 2, 3, 2], bias: false) {
      ($0.stride, $0.padding, $0.dilation, $0.groups) = ((2, 1), (1, 2), (1, 2), 2)
    },
    Case("linear", [3, 5]) { g in g.add(.linear, [0, try weight(&g, "w", [4, 5]), try weight(&g, "b", [4])]) },
    Case("linear without bias", [3, 5]) { g in g.add(.linear, [0, try weight(&g, "w", [4, 5])]) },
    Case("linear of 3 dims", [3, 2, 5]) { g in g.add(.linear, [0, try weight(&g, "w", [4, 5]), try weight(&g, "b", [4])]) },
    Case("matmul with itself", [2, 3, 3]) { g in g.add(.matmul, [0, 0]) },
    Case("matmul, constant on the left", [2, 3, 3]) { g in g.add(.matmul, [try weight(&g, "w", [4, 3]), 0]) },
    Case("batch_norm", [2, 3, 4, 5]) { g in
      let statistics = try (weight(&g, "mean", [3]), weight(&g, "variance", [3], low: 0.1))
      return try g.add(
        .batchNorm(epsilon: 1e-3), [0, statistics.0, statistics.1, weight(&g, "gamma", [3]), weight(&g, "beta", [3])])
    },
    Case("layer_norm", [2, 3, 4, 5]) { g in
      try g.add(.layerNorm(shape: [4, 5], epsilon: 1e-4), [0, weight(&g, "gamma", [4, 5]), weight(&g, "beta", [4, 5])])
    },
    Case("embedding", [3, 2], .i64) { g in g.add(.embedding, [try weight(&g, "table", [7, 4]), 0]) },
    Case("embedding by u8", [3, 2], .u8) { g in g.add(.embedding, [try weight(&g, "table", [7, 4]), 0]) },
    op(.maxPool2d(kernel: [3, 2], stride: [2, 1], padding: [1, 0]), [2, 3, 8, 7]),
    op(.averagePool2d(kernel: [3, 3], stride: [2, 2], padding: [1, 1]), [2, 3, 8, 7]),
    op(.adaptiveAveragePool2d(out: [1, 1]), [2, 3, 5, 7], note: " to one"),
    op(.adaptiveAveragePool2d(out: [2, 3]), [2, 3, 8, 6], note: " evenly"),
    op(.softmax(dim: 1, isLog: false), [2, 5, 3]), op(.softmax(dim: 2, isLog: true), [2, 5, 3]),
  ]
  static let views: [Case] = [
    op(.reshape([-1, 6]), [4, 2, 3]), op(.reshape([-1, 3, 2]), [4, 2, 3], note: " open"),
    op(.flatten(from: 1, to: 2), [4, 2, 3]),
    op(.flatten(from: 0, to: 1), [4, 2, 3], note: " batch"), op(.flatten(from: 2, to: 3), [4, 2, 3, 5], note: " last"),
    op(.flatten(from: 1, to: 2), [4, 2, 3, 5], note: " inner"),
    Case("flatten before the batch", [4, 2, 3, 5]) { g in g.add(.flatten(from: 0, to: 1), [g.add(.permute([1, 2, 0, 3]), [0])])
    },
    op(.permute([2, 0, 1]), [4, 2, 3]), op(.expand([-1, 5, 3]), [4, 1, 3]),
    op(.unsqueeze(1), [4, 2]), op(.squeeze([1, 3]), [4, 1, 3, 1]), op(.slice(dim: 1, from: 1, to: 6, step: 2), [3, 7]),
    op(.slice(dim: 2, from: 2, to: nil, step: 1), [3, 1, 7], note: " to the end"), op(.select(dim: 1, index: 2), [4, 3, 2]),
    Case("cat", [2, 3]) { g in g.add(.cat(dim: 1), [0, g.add(.unary(.neg), [0]), 0]) },
    op(.sum(dims: [1, 2], keepDims: true), [2, 3, 4]), op(.sum(dims: [2], keepDims: false), [2, 3, 4], note: " without dim"),
    op(.sum(dims: [1], keepDims: false), [2, 3], .i32, note: " of integers"),
    op(.cast(.i32), [2, 3]), op(.cast(.f64), [2, 3], note: " to f64"), op(.clamp(low: -0.5, high: 1), [2, 3]),
    op(.clamp(low: -.infinity, high: 1), [2, 3], note: " above"), op(.clamp(low: 0, high: .infinity), [2, 3], note: " below"),
    Case("the input itself", [2, 3]) { _ in 0 },
    Case("a constant", [2, 3]) { g in try weight(&g, "w", [3]) },
    Case("names that are taken", [2, 3]) { g in
      let (a, b) = (try weight(&g, "input", [3]), try weight(&g, "output", [3]))
      return g.add(.binary(.add), [g.add(.binary(.mul), [0, a]), b])
    },
  ]
  static let images: [Case] = [
    Case("conv_transpose2d", [2, 4, 5, 6]) { g in
      var options = ConvTransposeOptions()
      (options.stride, options.padding, options.outputPadding, options.dilation, options.groups) = (
        (2, 3), (1, 0), (1, 2), (1, 2), 2
      )
      return try g.add(.convTranspose2d(options), [0, weight(&g, "w", [4, 3, 3, 2]), weight(&g, "b", [6])])
    },
    Case("group_norm", [2, 6, 3, 4]) { g in
      try g.add(.groupNorm(groups: 3, epsilon: 1e-4), [0, weight(&g, "gamma", [6]), weight(&g, "beta", [6])])
    },
    Case("instance norm", [2, 6, 3, 4]) { g in
      try g.add(.groupNorm(groups: 6, epsilon: 1e-4), [0, weight(&g, "gamma", [6]), weight(&g, "beta", [6])])
    },
    op(.pad([1, 2, 0, 3], mode: .constant, value: 0.5), [2, 3, 4, 5]),
    op(.pad([-1, 2], mode: .constant, value: 0), [2, 3, 4, 5], note: " that cuts"),
    op(.pad([1, 2, 3, 0], mode: .reflect, value: 0), [2, 3, 4, 5], note: " reflect"),
    op(.pad([1, 2, 3, 0], mode: .replicate, value: 0), [2, 3, 4, 5], note: " replicate"),
    op(.upsample(size: nil, scale: [2, 3], linear: false, alignsCorners: false), [2, 3, 4, 5], note: " nearest"),
    op(.upsample(size: [7, 3], scale: nil, linear: false, alignsCorners: false), [2, 3, 4, 5], note: " to a size"),
    op(.upsample(size: [7, 9], scale: nil, linear: true, alignsCorners: false), [2, 3, 4, 5], note: " linear to a size"),
    op(.upsample(size: nil, scale: [2, 1.5], linear: true, alignsCorners: false), [2, 3, 4, 5], note: " linear"),
    op(.upsample(size: nil, scale: [2, 2], linear: true, alignsCorners: true), [2, 3, 4, 5], note: " corners"),
    op(.upsample(size: nil, scale: [2], linear: true, alignsCorners: false), [2, 3, 5], note: " of rows"),
  ]
  static let math: [Case] =
    Activation.allCases.map { o in op(.activation(o, slope: 0.2), [3, 4]) }
    + UnaryOp.allCases.map { o in
      op(.unary(o), [3, 4], low: [.log, .log1p, .sqrt, .rsqrt, .reciprocal].contains(o) ? 0.1 : -2)
    }
    + BinaryOp.allCases.map { o in
      Case("\(o.rawValue) with a weight", [3, 4], low: o == .pow ? 0.1 : -2) { g in
        g.add(.binary(o), [0, try weight(&g, "w", [4])])
      }
    }
    + BinaryOp.allCases.map { o in
      Case("\(o.rawValue) of integers", [3, 4], .i64) { g in
        g.add(.binary(o), [0, g.add(constant: try Tensor.from([2, -3, 4, 5], nil, .i64))])
      }
    } + [
      Case("mixed types", [3, 4], .i32) { g in g.add(.binary(.add), [0, try weight(&g, "w", [4])]) },
      Case("gelu of a product", [3, 4]) { g in
        g.add(.unary(.gelu), [g.add(.binary(.mul), [0, g.add(constant: try Tensor.scalar(0.7))])])
      },
    ]

  @Test(arguments: layers + views + images + math) func same(_ test: Case) throws {
    var graph = Graph(input: "input", shape: test.shape, dtype: test.dtype)
    graph.output = try test.build(&graph)
    let bytes = try graph.encodedONNX()
    let again = try bytes.withUnsafeBytes { try Graph.decodedONNX($0) }
    #expect(again.input.shape.dropFirst() == graph.input.shape.dropFirst())
    #expect(again.input.dtype == graph.input.dtype)
    for batch in [test.shape[0], 1, 5] {
      let shape = [batch] + test.shape.dropFirst()
      let x = try RandomNumbers.alone {
        try test.dtype.isFloat
          ? Tensor.uniform(shape, low: test.low, high: 2, test.dtype) : Tensor.integers(shape, low: 0, high: 7).cast(test.dtype)
      }
      let (a, b) = (try graph.run(x), try again.run(x))
      try #require(a.shape == b.shape)
      #expect(a.dtype == b.dtype)
      let (p, q) = (try a.values(), try b.values())
      for (u, v) in zip(p, q) where !(u.isNaN && v.isNaN) && u != v {
        #expect(abs(u - v) <= 2e-5 * max(1, abs(u)), "\(u) \(v)")
      }
    }
    // Names of weights come back.
    let (before, after) = (Set(graph.constants.values.compactMap(\.name)), Set(again.constants.values.compactMap(\.name)))
    if !before.contains("input") { #expect(before == after) }
  }

  @Test func geluAndSiluAreOneOpAgain() throws {
    for op in [UnaryOp.gelu, .silu] {
      var graph = Graph(input: "x", shape: [2, 3], dtype: .f32)
      graph.output = graph.add(.unary(op), [0])
      let again = try graph.encodedONNX().withUnsafeBytes { try Graph.decodedONNX($0) }
      #expect(again.nodes.map(\.op) == [.unary(op)])
    }
  }

  @Test func linearOfManyDimsIsOneOpAgain() throws {
    var graph = Graph(input: "x", shape: [2, 3, 4], dtype: .f32)
    let (w, b) = (try RoundTripTests.weight(&graph, "w", [5, 4]), try RoundTripTests.weight(&graph, "b", [5]))
    graph.output = graph.add(.linear, [0, w, b])
    let again = try graph.encodedONNX().withUnsafeBytes { try Graph.decodedONNX($0) }
    #expect(again.nodes.map(\.op) == [.linear])
    #expect(again.constants.values.first { $0.name == "w" }?.tensor.shape == [5, 4])
  }

  @Test func allThatCannotGoIsListed() throws {
    var graph = Graph(input: "x", shape: [2, 3, 7, 7], dtype: .f32)
    let a = graph.add(.adaptiveAveragePool2d(out: [3, 3]), [0])
    graph.output = graph.add(.adaptiveAveragePool2d(out: [2, 2]), [graph.add(.unary(.relu), [a])])
    let found = message { _ = try graph.encodedONNX() }
    #expect(
      found == "onnx: 2 of 3 ops cannot be written: op 1, adaptive_avg_pool2d: 7 x 7 pixels do not divide evenly into 3 x 3, "
        + "and ONNX has no uneven windows; op 3, adaptive_avg_pool2d: 3 x 3 pixels do not divide evenly into 2 x 2, "
        + "and ONNX has no uneven windows")
  }
}

func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch { return (error as? Failure).map { "\($0.message)" } ?? "\(error)" }
}
