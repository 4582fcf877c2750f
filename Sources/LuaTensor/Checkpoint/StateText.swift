import Core
import LuaHost
import Tensors

/// Nested Lua tables of numbers, strings, booleans and tensors as JSON and a list of tensors, and back to the same tables: integers
/// stay integers, floats keep their bits, strings their bytes.
///
///     true   7   "text"            booleans, integers, strings of UTF-8
///     {"float": "0.001"}           the shortest text that reads back equal; also inf, -inf, nan
///     {"bytes": "ff00"}            other strings, in hex
///     {"tensor": "net.0.weight"}   the tensor of that name
///     {"list": [..]}               a table with the keys 1..n
///     {"map": [[key, value], ..]}  any other; keys are integers and strings
enum StateText {
  /// Tables in tables at most; JSON nests three times as deep.
  static let depthLimit = 50
  /// Values in all tables together; tensors hold what is more.
  static let valueLimit = 1_000_000
  static let jsonLimits = JSONValue.Limits(depth: 4 * depthLimit)
}

/// Collects what a table holds.
struct StateWriter {
  private(set) var tensors: [(name: String, tensor: Tensor)] = []
  private var names: Set<String> = []
  private var count = 0

  /// The value at `index`; `path` is its place, for names of tensors and messages.
  mutating func value(_ call: borrowing Call, _ index: Int32, path: String, depth: Int = 0) throws -> JSONValue {
    count += 1
    guard count <= StateText.valueLimit else {
      throw Failure(
        .invalidArgument,
        "checkpoint: more than \(StateText.valueLimit) values in tables (at \(path)); put many numbers into a tensor")
    }
    if count % 4096 == 0 { try Cancellation.check() }
    if call.isBoolean(index) { return .bool(try call.boolean(index)) }
    if call.isFloat(index) { return ["float": .string(try call.number(index).description)] }
    if call.isNumber(index) { return .int(Int64(try call.integer(index))) }
    if call.isString(index) {
      let bytes = try call.bytes(index)
      if let text = String(validating: bytes, as: UTF8.self) { return .string(text) }
      return ["bytes": .string(bytes.map { hex($0) }.joined())]
    }
    if let tensor = call.objectIfPresent(index, as: Tensor.self) { return ["tensor": .string(add(tensor, path))] }
    guard call.isTable(index) else {
      throw Failure(
        .invalidArgument,
        "checkpoint: \(path) is a \(call.typeName(index)); numbers, strings, booleans, tensors and tables of them can be saved")
    }
    guard depth < StateText.depthLimit else {
      throw Failure(
        .invalidArgument, "checkpoint: \(path) is nested deeper than \(StateText.depthLimit) tables; does it hold itself?")
    }
    return try table(call, index, path: path, depth: depth)
  }

  private mutating func table(_ call: borrowing Call, _ index: Int32, path: String, depth: Int) throws -> JSONValue {
    var positions: [(key: Int64, value: JSONValue)] = []
    var fields: [(key: String, value: JSONValue)] = []
    var copy = self
    try call.forEachPair(index) {
      if call.isInteger(-2), !call.isFloat(-2) {
        let key = Int64(try call.integer(-2))
        positions.append((key, try copy.value(call, -1, path: "\(path).\(key)", depth: depth + 1)))
      } else if call.isString(-2) {
        let key = try call.string(-2)
        fields.append((key, try copy.value(call, -1, path: path.isEmpty ? key : "\(path).\(key)", depth: depth + 1)))
      } else {
        throw Failure(
          .invalidArgument,
          "checkpoint: \(path) has the key \(call.describe(-2)) (\(call.typeName(-2))); keys must be strings or integers")
      }
    }
    self = copy
    positions.sort { $0.key < $1.key }
    if fields.isEmpty, positions.enumerated().allSatisfy({ $0.element.key == Int64($0.offset) + 1 }) {
      return ["list": .array(positions.map(\.value))]
    }
    fields.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    let pairs =
      positions.map { JSONValue.array([.int($0.key), $0.value]) } + fields.map { JSONValue.array([.string($0.key), $0.value]) }
    return ["map": .array(pairs)]
  }

  private mutating func add(_ tensor: Tensor, _ path: String) -> String {
    var name = path
    var number = 2
    while name.isEmpty || name == "__metadata__" || !names.insert(name).inserted {
      name = "\(path)#\(number)"
      number += 1
    }
    tensors.append((name, tensor))
    return name
  }
}

/// Makes Lua values again.
struct StateReader {
  let tensors: [String: Tensor]

  /// Pushes the value.
  /// - Throws: `CORRUPT_DATA` for JSON that no `StateWriter` wrote.
  func push(_ value: JSONValue, _ call: borrowing Call, depth: Int = 0) throws -> Int32 {
    func fail(_ why: String) -> Failure { Failure(.corruptData, "checkpoint: the state \(why)") }
    switch value {
    case .bool(let flag): return call.push(flag)
    case .int(let number): return call.push(number)
    case .string(let text): return call.push(text)
    case .null, .double, .array: throw fail("holds a \(value.kind) where there can be none")
    case .object(let object):
      guard object.count == 1, let kind = object.keys.first, let content = object.values.first, depth <= StateText.depthLimit
      else { throw fail("is not made as it should be") }
      switch kind {
      case "float":
        guard let text = content.stringValue, let number = Double(text) else { throw fail("holds a float that is none") }
        return call.push(number)
      case "bytes":
        guard let bytes = content.stringValue.flatMap(StateReader.bytes) else { throw fail("holds bytes that are not hex") }
        return call.push(bytes: bytes)
      case "tensor":
        guard let name = content.stringValue, let tensor = tensors[name] else {
          throw fail("names the tensor '\(content.stringValue ?? "?")', which the file does not hold")
        }
        return try call.push(tensor)
      case "list":
        guard let items = content.arrayValue else { throw fail("holds a list that is none") }
        return try call.pushTable(array: items.count) { t in
          for (i, item) in items.enumerated() { try t.set(i + 1) { try push(item, $0, depth: depth + 1) } }
        }
      case "map":
        guard let pairs = content.arrayValue else { throw fail("holds a table that is none") }
        return try call.pushTable(fields: pairs.count) { t in
          for pair in pairs {
            guard let both = pair.arrayValue, both.count == 2 else { throw fail("holds a table that is none") }
            switch both[0] {
            case .int(let key): try t.set(Int(key)) { try push(both[1], $0, depth: depth + 1) }
            case .string(let key): try t.set(key) { try push(both[1], $0, depth: depth + 1) }
            default: throw fail("has a key that is a \(both[0].kind)")
            }
          }
        }
      default: throw fail("holds a '\(kind)', which this version of Moonlake does not know")
      }
    }
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var out: [UInt8] = []
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[i...(i + 1)], as: UTF8.self), radix: 16) else { return nil }
      out.append(byte)
    }
    return out
  }
}
