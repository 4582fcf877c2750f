import Core
import Foundation
import ONNX
import TensorGraph
import TensorKernels
import Tensors
import Testing

/// Files made by onnx.helper and PyTorch's exporter give what onnxruntime gives (Tests/golden/make_onnx_golden.py).
@Suite struct GoldenTests {
  struct Case: CustomStringConvertible, Sendable {
    let description: String
    let file: [UInt8]
    let shape: [Int], outShape: [Int]
    let dtype: DType
    let input: [Double], output: [Double]

    init(_ json: JSONValue) throws {
      func list(_ name: String) throws -> [Double] { try #require(json[name]?.arrayValue).compactMap(\.doubleValue) }
      description = json["name"]?.stringValue ?? ""
      file = [UInt8](try #require(Data(base64Encoded: json["file"]?.stringValue ?? "")))
      shape = try list("shape").map { Int($0) }
      outShape = try list("out_shape").map { Int($0) }
      dtype = try #require(DType(name: json["dtype"]?.stringValue ?? ""))
      input = try list("input")
      output = try list("output")
    }
  }

  static let cases: [Case] = {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    guard let data = FileManager.default.contents(atPath: root + "/Tests/golden/onnx_golden.json"),
      let all = try? JSONValue(parsing: [UInt8](data)).arrayValue
    else { return [] }
    return all.compactMap { try? Case($0) }
  }()

  @Test func allCasesAreThere() { #expect(GoldenTests.cases.count >= 160) }

  @Test(arguments: cases) func same(_ test: Case) throws {
    let graph = try test.file.withUnsafeBytes { try Graph.decodedONNX($0) }
    let x = try Tensor.from(test.input, test.shape, test.dtype)
    try expect(try graph.run(x), test)
    // The compiled graph, and the graph after another round through a file of our own.
    if test.dtype == .f32 { try expect(try CompiledGraph(graph).run(x), test) }
    if graph.nodes.contains(where: { if case .pad(_, .circular, _) = $0.op { true } else { false } }) { return }
    let again = try graph.encodedONNX().withUnsafeBytes { try Graph.decodedONNX($0) }
    try expect(try again.run(x), test)
  }

  private func expect(_ y: Tensor, _ test: Case) throws {
    try #require(y.shape == test.outShape)
    let (found, largest) = (try y.values(), test.output.reduce(1) { max($0, abs($1)) })
    for (a, b) in zip(found, test.output) { #expect(abs(a - b) <= 2e-5 * largest, "\(a) is not \(b)") }
  }

  @Test func geluFromPyTorchIsOneOp() throws {
    let test = try #require(GoldenTests.cases.first { $0.description == "PyTorch, attention, opset 17" })
    let graph = try test.file.withUnsafeBytes { try Graph.decodedONNX($0) }
    let names = graph.nodes.map(\.op.name)
    #expect(names.contains("gelu") && names.contains("layer_norm") && !names.contains("exp"), "\(names)")
    #expect(names.filter { $0 == "linear" }.count == 4, "\(names)")
  }

  @Test func aBatchThatAFileFixesIsFreeHere() throws {
    for name in [
      "PyTorch, attention, one batch", "PyTorch, convolutions, one batch", "a batch that is fixed",
      "Reshape with the batch in the shape",
    ] {
      let test = try #require(GoldenTests.cases.first { $0.description == name })
      let graph = try test.file.withUnsafeBytes { try Graph.decodedONNX($0) }
      let x = try Tensor.from(test.input, test.shape, test.dtype)
      let y = try graph.run(Tensor.cat([x, x, x]))
      try expect(try y.sliced(0, from: test.outShape[0], to: 2 * test.outShape[0]), test)
    }
  }
}
