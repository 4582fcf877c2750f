import Core
import Foundation
import ONNX
import TensorGraph
import TensorKernels
import Tensors
import TestSupport
import Testing

/// Writes protobuf messages field by field, also wrong ones.
struct Wire {
  var bytes: [UInt8] = []
  static func varint(_ value: UInt64) -> [UInt8] {
    var (left, out) = (value, [UInt8]())
    repeat {
      out.append(UInt8(left & 0x7F) | (left > 0x7F ? 0x80 : 0))
      left >>= 7
    } while left > 0
    return out
  }
  func int(_ field: Int, _ value: Int64) -> Wire {
    Wire(bytes: bytes + Wire.varint(UInt64(field << 3)) + Wire.varint(UInt64(bitPattern: value)))
  }
  func part(_ field: Int, _ part: [UInt8]) -> Wire {
    Wire(bytes: bytes + Wire.varint(UInt64(field << 3 | 2)) + Wire.varint(UInt64(part.count)) + part)
  }
  func text(_ field: Int, _ text: String) -> Wire { part(field, Array(text.utf8)) }
  func message(_ field: Int, _ message: Wire) -> Wire { part(field, message.bytes) }

  static func node(
    _ op: String, _ inputs: [String], _ outputs: [String], _ attributes: [Wire] = [], name: String = "", domain: String = ""
  )
    -> Wire
  {
    var wire = Wire()
    for input in inputs { wire = wire.text(1, input) }
    for output in outputs { wire = wire.text(2, output) }
    wire = wire.text(3, name).text(4, op).text(7, domain)
    for attribute in attributes { wire = wire.message(5, attribute) }
    return wire
  }
  static func ints(_ name: String, _ values: [Int64]) -> Wire {
    values.reduce(Wire().text(1, name).int(20, 7)) { $0.int(8, $1) }
  }
  static func tensor(_ name: String, _ dims: [Int64], type: Int64 = 1, raw: [UInt8] = []) -> Wire {
    dims.reduce(Wire().text(8, name).int(2, type).part(9, raw)) { $0.int(1, $1) }
  }
  /// A list of 64-bit integers.
  static func list(_ name: String, _ values: [Int64]) -> Wire {
    tensor(
      name, [Int64(values.count)], type: 7,
      raw: values.flatMap { v in (0..<8).map { UInt8(truncatingIfNeeded: v >> ($0 * 8)) } })
  }
  static func value(_ name: String, _ dims: [Int64], type: Int64 = 1) -> Wire {
    let shape = dims.reduce(Wire()) { $0.message(1, $1 == 0 ? Wire().text(2, "n") : Wire().int(1, $1)) }
    return Wire().text(1, name).message(2, Wire().message(1, Wire().int(1, type).message(2, shape)))
  }
  static func graph(
    _ nodes: [Wire], _ tensors: [Wire] = [], inputs: [Wire] = [value("x", [0, 4])], outputs: [Wire] = [value("y", [0, 4])]
  ) -> Wire {
    var wire = Wire()
    for node in nodes { wire = wire.message(1, node) }
    for tensor in tensors { wire = wire.message(5, tensor) }
    for input in inputs { wire = wire.message(11, input) }
    for output in outputs { wire = wire.message(12, output) }
    return wire
  }
  static func model(_ graph: Wire, opset: Int64 = 17) -> [UInt8] {
    Wire().int(1, 8).message(7, graph).message(8, Wire().int(2, opset)).bytes
  }
}

@Suite(.serialized) struct DamageTests {
  private func error(_ graph: Wire, opset: Int64 = 17) -> String { error(Wire.model(graph, opset: opset)) }
  private func error(_ bytes: [UInt8]) -> String {
    do {
      _ = try bytes.withUnsafeBytes { try Graph.decodedONNX($0) }
      return "no error"
    } catch { return (error as? Failure).map { "\($0.code): \($0.message)" } ?? "\(error)" }
  }
  private func has(_ text: String, _ graph: Wire, opset: Int64 = 17, _ place: SourceLocation = #_sourceLocation) {
    let found = error(graph, opset: opset)
    #expect(found.contains(text), "\(found)", sourceLocation: place)
  }

  @Test func graphs() {
    let relu = Wire.node("Relu", ["x"], ["y"])
    has("no error", Wire.graph([relu]))
    has(
      "CORRUPT_DATA: onnx: the graph goes in a circle: node 1, Add 'a'; node 2, Relu",
      Wire.graph([Wire.node("Add", ["x", "z"], ["y"], name: "a"), Wire.node("Relu", ["y"], ["z"])]))
    has("CORRUPT_DATA: onnx: the graph goes in a circle: node 1, Relu", Wire.graph([Wire.node("Relu", ["y"], ["y"])]))
    has("CORRUPT_DATA: onnx: node 1, Add reads 'q', which nothing makes", Wire.graph([Wire.node("Add", ["x", "q"], ["y"])]))
    has("CORRUPT_DATA: onnx: node 2, Relu makes 'y', which is there already", Wire.graph([relu, relu]))
    has("makes 'x', which is there already", Wire.graph([Wire.node("Relu", ["x"], ["x"]), relu]))
    has("CORRUPT_DATA: onnx: nothing makes the output 'y'", Wire.graph([]))
    // Out of order.
    has(
      "no error",
      Wire.graph([Wire.node("Relu", ["a"], ["y"]), Wire.node("Tanh", ["b"], ["a"]), Wire.node("Exp", ["x"], ["b"])]))
    has(
      "UNSUPPORTED: onnx: the graph has 2 inputs ('x', 'z'); one is",
      Wire.graph([relu], inputs: [Wire.value("x", [0, 4]), Wire.value("z", [0, 4])]))
    has("UNSUPPORTED: onnx: the graph has 0 inputs ()", Wire.graph([relu], inputs: []))
    has(
      "UNSUPPORTED: onnx: the graph has 2 outputs ('y', 'x'); one is",
      Wire.graph([relu], outputs: [Wire.value("y", [0, 4]), Wire.value("x", [0, 4])]))
    has(
      "UNSUPPORTED: onnx: operators that are not known here: Loop (node 1, 3); other.Thing (node 2)",
      Wire.graph([
        Wire.node("Loop", ["x"], ["a"]), Wire.node("Thing", ["a"], ["b"], domain: "other"), Wire.node("Loop", ["b"], ["y"]),
      ]))
    has(
      "UNSUPPORTED: onnx: node 1, Relu: attributes that are not known here: axis",
      Wire.graph([Wire.node("Relu", ["x"], ["y"], [Wire.ints("axis", [1])])]))
    has("CORRUPT_DATA: onnx: node 1, Add 'sum': input 2 is missing", Wire.graph([Wire.node("Add", ["x"], ["y"], name: "sum")]))
    has("its output 2, 'y', cannot be had here", Wire.graph([Wire.node("Dropout", ["x"], ["a", "y"])]))
    has("input 'x' is (n, n), which leaves more open than the batch", Wire.graph([relu], inputs: [Wire.value("x", [0, 0])]))
  }

  @Test func files() {
    let relu = Wire.graph([Wire.node("Relu", ["x"], ["y"])])
    has("UNSUPPORTED: onnx: the file uses operators of version 6; 7 to 21 are known", relu, opset: 6)
    has("UNSUPPORTED: onnx: the file uses operators of version 22; 7 to 21 are known", relu, opset: 22)
    #expect(error(Wire().message(7, relu).bytes).contains("does not say which version"))
    #expect(error([]) == "CORRUPT_DATA: onnx: the file holds no graph")
    #expect(error([1, 2, 3, 255]).contains("CORRUPT_DATA: onnx: this is no ONNX file, or a damaged one"))
    // Millions of empty nodes in a few bytes each.
    let bomb = Wire().part(7, [UInt8](repeating: 0, count: 0) + (0..<600_000).flatMap { _ in [UInt8(0x0A), 0] })
    #expect(error(bomb.bytes).contains("UNSUPPORTED: onnx: the file holds more than 500000"))
  }

  @Test func weights() {
    let add = [Wire.node("Add", ["x", "w"], ["y"])]
    has(
      "CORRUPT_DATA: onnx: initializer 'w' (4) of float needs 16 bytes, 8 are there",
      Wire.graph(add, [Wire.tensor("w", [4], raw: [UInt8](repeating: 0, count: 8))]))
    has("CORRUPT_DATA: onnx: initializer 'w' (4) needs 4 elements, 0 are there", Wire.graph(add, [Wire.tensor("w", [4])]))
    has(
      "CORRUPT_DATA: onnx: initializer 'w': onnx: shape (9223372036854775807, 4) has too many elements",
      Wire.graph(add, [Wire.tensor("w", [.max, 4])]))
    has(
      "CORRUPT_DATA: onnx: initializer 'w': onnx: shape (-1) has a negative extent", Wire.graph(add, [Wire.tensor("w", [-1])]))
    has("needs 1099511627776 elements, 0 are there", Wire.graph(add, [Wire.tensor("w", [1 << 40])]))
    has("UNSUPPORTED: onnx: initializer 'w' is of string", Wire.graph(add, [Wire.tensor("w", [4], type: 8)]))
    has("UNSUPPORTED: onnx: initializer 'w' is of type 17", Wire.graph(add, [Wire.tensor("w", [4], type: 17)]))
    let outside = Wire.tensor("w", [4]).message(13, Wire().text(1, "location").text(2, "../../etc/passwd")).int(14, 1)
    has(
      "UNSUPPORTED: onnx: initializer 'w' lies in another file, '../../etc/passwd'; other files are not opened",
      Wire.graph(add, [outside]))
    let w = Wire.tensor("w", [1], raw: [0, 0, 128, 63])
    has("there are two initializers 'w'", Wire.graph(add, [w, w]))
    has("sparse initializer 'w'", Wire.graph(add).message(15, Wire().message(1, w)))
    has(
      "UNSUPPORTED: onnx: initializer 'w' holds 18446744073709551615, which is too large for i64",
      Wire.graph(add, [Wire.tensor("w", [1], type: 13, raw: [UInt8](repeating: 255, count: 8))]))
  }

  @Test func sizesBeyondAllMeasure() {
    MemoryLimit.of(256 << 20) {
      let relu = Wire.node("Relu", ["x"], ["y"])
      has("too many elements", Wire.graph([relu], inputs: [Wire.value("x", [0, 1 << 48])]))
      has("MEMORY_LIMIT", Wire.graph([relu], inputs: [Wire.value("x", [1 << 36, 4])]))
      let huge = Wire.list("s", [1 << 40])
      has(
        "MEMORY_LIMIT",
        Wire.graph(
          [Wire.node("ConstantOfShape", ["s"], ["c"]), Wire.node("Add", ["x", "c"], ["y"])], [Wire.list("s", [1 << 31, 1, 4])]))
      has("too many elements", Wire.graph([Wire.node("Expand", ["x", "s"], ["y"])], [Wire.list("s", [.max, 1, 4])]))
      has("onnx: node 1, Expand: expand", Wire.graph([Wire.node("Expand", ["x", "s"], ["y"])], [huge]))
      has(
        "onnx: node 1, Pad: pad: amounts must be below 2^31",
        Wire.graph([Wire.node("Pad", ["x", "s"], ["y"])], [Wire.list("s", [0, 0, 0, 1 << 40])]))
      has("onnx: node 1, Pad", Wire.graph([Wire.node("Pad", ["x", "s"], ["y"])], [Wire.list("s", [0, 0, 0, .min])]))
      has(
        "no error",
        Wire.graph(
          [Wire.node("Slice", ["x", "a", "b", "c", "d"], ["y"])],
          [Wire.list("a", [.min]), Wire.list("b", [.max]), Wire.list("c", [1]), Wire.list("d", [.max])]))
      has(
        "step -9223372036854775808",
        Wire.graph(
          [Wire.node("Slice", ["x", "a", "b", "c", "d"], ["y"])],
          [Wire.list("a", [0]), Wire.list("b", [4]), Wire.list("c", [1]), Wire.list("d", [.min])]))
      has(
        "axis -9223372036854775808 is none of 2 dims",
        Wire.graph([Wire.node("Softmax", ["x"], ["y"], [Wire().text(1, "axis").int(20, 2).int(3, .min)])]))
      has("axis 9223372036854775807", Wire.graph([Wire.node("Unsqueeze", ["x", "a"], ["y"])], [Wire.list("a", [.max])]))
      has("too many elements", Wire.graph([Wire.node("Reshape", ["x", "a"], ["y"])], [Wire.list("a", [.max, -1])]))
      has(
        "Range",
        Wire.graph(
          [Wire.node("Range", ["a", "b", "c"], ["y"])], [Wire.list("a", [.min]), Wire.list("b", [.max]), Wire.list("c", [1])]))
      has(
        "Split",
        Wire.graph(
          [Wire.node("Split", ["x", "a"], ["y", "z"], [Wire().text(1, "axis").int(20, 2).int(3, 1)])],
          [Wire.list("a", [.max, .max])]))
      has(
        "Gather",
        Wire.graph(
          [Wire.node("Gather", ["x", "a"], ["y"], [Wire().text(1, "axis").int(20, 2).int(3, 1)])],
          [Wire.list("a", [.min, .max])])
      )
      for position in [Int64.min, .max] {
        let one = Wire.tensor("a", [], type: 7, raw: (0..<8).map { UInt8(truncatingIfNeeded: position >> ($0 * 8)) })
        has(
          "index ", Wire.graph([Wire.node("Gather", ["x", "a"], ["y"], [Wire().text(1, "axis").int(20, 2).int(3, 1)])], [one]))
      }
      has("must have 3 dims or more", Wire.graph([Wire.node("Resize", ["x", "", "", "a"], ["y"])], [Wire.list("a", [3, 4])]))
      has(
        "has an extent of 2^32 or more",
        Wire.graph([Wire.node("ConstantOfShape", ["s"], ["y"])], [Wire.list("s", [0, 1 << 48])]))
      let empty = [Wire.tensor("e", [0, 1 << 48, 1 << 48])]
      has("too many elements", Wire.graph([Wire.node("Flatten", ["e"], ["f"]), Wire.node("Add", ["x", "f"], ["y"])], empty))
      let image = [Wire.value("x", [0, 1, 4, 4])]
      let w = Wire.tensor("w", [1, 1, 2, 2], raw: [UInt8](repeating: 0, count: 16))
      for (name, list) in [
        ("strides", [0, 1]), ("strides", [.max, 1]), ("pads", [-1, 0, 0, 0]), ("pads", [.max, 0, 0, 0]),
        ("dilations", [0, .min]), ("kernel_shape", [.max, 1]),
      ] as [(String, [Int64])] {
        has(
          "onnx: node 1, Conv", Wire.graph([Wire.node("Conv", ["x", "w"], ["y"], [Wire.ints(name, list)])], [w], inputs: image))
      }
      has(
        "onnx: node 1, MaxPool",
        Wire.graph(
          [Wire.node("MaxPool", ["x"], ["y"], [Wire.ints("kernel_shape", [2, 2]), Wire.ints("pads", [1 << 20, 0, 0, 0])])],
          inputs: image))
      has(
        "onnx: node 1, AveragePool: kernel_shape is missing",
        Wire.graph([Wire.node("AveragePool", ["x"], ["y"])], inputs: image))
      has("onnx: node 1, Gemm", Wire.graph([Wire.node("Gemm", ["x", "w"], ["y"])], [w]))
      has(
        "onnx: node 1, BatchNormalization",
        Wire.graph([Wire.node("BatchNormalization", ["x", "w", "w", "w", "w"], ["y"])], [w]))
    }
  }

  /// Files with bytes flipped, cut off, moved and made of others: an error or a graph, never an end of the program.
  @Test func fuzz() throws {
    try MemoryLimit.of(256 << 20) {
      var state: UInt64 = 0x1234_5678
      func random(_ n: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(max(1, n)))
      }
      let files = GoldenTests.cases.map(\.file).filter { $0.count < 4000 }
      try #require(!files.isEmpty)
      var (graphs, errors) = (0, 0)
      let rounds = ProcessInfo.processInfo.environment["MOONLAKE_TEST_ALL"] == nil ? 20_000 : 1_000_000
      for round in 0..<rounds {
        var bytes = files[round % files.count]
        switch random(4) {
        case 0: bytes = Array(bytes[..<random(bytes.count)])
        case 1:
          let other = files[random(files.count)]
          bytes = Array(bytes[..<random(bytes.count)]) + other[random(other.count)...]
        default:
          for _ in 0...random(3) {
            bytes[random(bytes.count)] = random(2) == 0 ? UInt8(random(256)) : [0, 1, 255, 127][random(4)]
          }
        }
        if error(bytes) == "no error" { graphs += 1 } else { errors += 1 }
      }
      #expect(errors > 5000 && graphs > 100, "\(graphs) graphs, \(errors) errors")
    }
  }
}
