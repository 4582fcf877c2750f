import Core
import Tensors

/// A node of a file: its inputs, and its attributes by name with their types checked. Attributes that nobody asked for are an error:
/// what is not understood must not be ignored.
final class NodeView {
  let node: PBNode
  /// For messages: "node 3, Conv 'stem'".
  let place: String
  let inputs: [Item?]
  private var attributes: [String: PBAttribute] = [:]
  private var asked: Set<String> = []

  init(_ node: PBNode, number: Int, inputs: [Item?]) {
    (self.node, self.inputs) = (node, inputs)
    place = "node \(number), \(node.opType)" + (node.name.isEmpty ? "" : " '\(node.name)'")
    for attribute in node.attribute { attributes[attribute.name] = attribute }
  }

  /// - Throws: `CORRUPT_DATA` when the input is left out.
  func input(_ i: Int) throws(Failure) -> Item {
    guard let item = optional(i) else {
      throw Failure(.corruptData, "input \(i + 1) is missing; \(inputs.count) are there")
    }
    return item
  }
  func optional(_ i: Int) -> Item? { inputs.indices.contains(i) ? inputs[i] : nil }
  /// All, none of them left out.
  func all() throws(Failure) -> [Item] {
    var out: [Item] = []
    for i in inputs.indices { out.append(try input(i)) }
    guard !out.isEmpty else { throw Failure(.corruptData, "no input is there") }
    return out
  }

  func int(_ name: String, _ otherwise: Int) throws(Failure) -> Int { try int(name) ?? otherwise }
  func int(_ name: String) throws(Failure) -> Int? { try attribute(name, 2, "an integer").map { Int($0.i) } }
  func ints(_ name: String) throws(Failure) -> [Int]? {
    try attribute(name, 7, "a list of integers").map { $0.ints.map { Int($0) } }
  }
  func float(_ name: String, _ otherwise: Double) throws(Failure) -> Double { try float(name) ?? otherwise }
  func float(_ name: String) throws(Failure) -> Double? { try attribute(name, 1, "a float").map { Double($0.f) } }
  func floats(_ name: String) throws(Failure) -> [Double]? {
    try attribute(name, 6, "a list of floats").map { $0.floats.map { Double($0) } }
  }
  func text(_ name: String, _ otherwise: String) throws(Failure) -> String {
    try attribute(name, 3, "a text").map { String(decoding: $0.s, as: UTF8.self) } ?? otherwise
  }
  func tensor(_ name: String) throws(Failure) -> Tensor? {
    guard let found = try attribute(name, 4, "a tensor") else { return nil }
    return try found.t.tensor("attribute '\(name)'")
  }

  /// An attribute that may have one value only, others meaning something that cannot be done here.
  func need(_ name: String, _ value: Int) throws(Failure) {
    let found = try int(name, value)
    guard found == value else { throw Failure(.unsupported, "\(name) \(found) is not known here, only \(value)") }
  }

  /// Types of attributes as in onnx/onnx.proto, AttributeProto.AttributeType.
  private func attribute(_ name: String, _ type: Int32, _ what: String) throws(Failure) -> PBAttribute? {
    asked.insert(name)
    guard let found = attributes[name] else { return nil }
    guard found.type == type || found.type == 0 else {
      throw Failure(.corruptData, "attribute '\(name)' must be \(what)")
    }
    return found
  }

  func checkAttributes() throws(Failure) {
    let unknown = attributes.keys.filter { !asked.contains($0) }.sorted()
    guard unknown.isEmpty else {
      throw Failure(.unsupported, "attributes that are not known here: \(unknown.joined(separator: ", "))")
    }
  }
}
