import Core
import LuaHost
import Tensors

/// `tensor.from_torch`.
extension TensorFaces {
  static let foreign: [Fn] = [
    Fn(
      "from_torch", "fun(bytes: string): any",
      "What a file of torch.save (.pt, .pth) holds: tensors, numbers, strings, and tables for dicts and lists, as nested there. Runs nothing of it; anything else in the file is an error that names it. f16 and bf16 become f32."
    ) { call in
      try push(call, try call.withBytes(1) { try TorchFile.decode($0) })
    }
  ]

  /// Nested at most as deep as `TorchFile` allows. None is left out of a dict and `json.null` in a list.
  private static func push(_ call: borrowing Call, _ value: TorchValue) throws -> Int32 {
    switch value {
    case .none: return call.pushNil()
    case .bool(let flag): return call.push(flag)
    case .integer(let number): return call.push(number)
    case .float(let number): return call.push(number)
    case .text(let text): return call.push(text)
    case .tensor(let tensor): return try call.push(tensor)
    case .list(let elements):
      return try call.pushTable(array: elements.count) { t in
        for (i, element) in elements.enumerated() {
          if case .none = element {
            t.set(i + 1) { $0.push(JSONValue.null) }
          } else {
            try t.set(i + 1) { try push($0, element) }
          }
        }
      }
    case .dict(let pairs):
      return try call.pushTable(fields: pairs.count) { t in
        for (key, element) in pairs {
          switch key {
          case .text(let name): try t.set(name) { try push($0, element) }
          case .integer(let number): try t.set(Int(number)) { try push($0, element) }
          }
        }
      }
    }
  }
}
