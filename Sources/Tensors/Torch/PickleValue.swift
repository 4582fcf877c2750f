import Core

/// What a pickle of `torch.save` may hold. Containers, tensors and storages are positions in lists of the machine, so that
/// nothing nests in memory: a thousand lists in each other are a thousand numbers.
enum PickleValue {
  case none
  case bool(Bool)
  case integer(Int64)
  case float(Double)
  case text(String)
  /// A list or a tuple: position in `lists`.
  case list(Int)
  /// Position in `dicts`.
  case dict(Int)
  case global(PickleGlobal)
  /// Position in `storages`.
  case storage(Int)
  /// Position in `tensors`.
  case tensor(Int)

  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .text: "str"
    case .list: "list"
    case .dict: "dict"
    case .global(let global): global.name
    case .storage: "storage"
    case .tensor: "tensor"
    }
  }
}

/// The names a pickle may use. There is no other way from a name to anything: reading never runs code of a file.
enum PickleGlobal: Equatable {
  case orderedDict, rebuildTensor, rebuildParameter
  case storage(TorchElement)

  static let known: [(String, PickleGlobal)] =
    [
      ("collections.OrderedDict", .orderedDict), ("torch._utils._rebuild_tensor_v2", .rebuildTensor),
      ("torch._utils._rebuild_parameter", .rebuildParameter),
    ] + TorchElement.allCases.map { ("torch.\($0.rawValue)Storage", .storage($0)) }

  init(module: String, name: String) throws(Failure) {
    guard let found = PickleGlobal.known.first(where: { $0.0 == "\(module).\(name)" })?.1 else {
      throw Failure(
        .unsupported,
        "from_torch: the file wants '\(module).\(name)', which is refused: only tensors, numbers, strings, lists and dicts are read, and nothing is run; save net.state_dict() instead of objects"
      )
    }
    self = found
  }

  var name: String { PickleGlobal.known.first { $0.1 == self }?.0 ?? "a global" }
}

/// The element types of PyTorch's storages that are read; 16-bit floats become f32.
enum TorchElement: String, CaseIterable {
  case float = "Float", double = "Double", half = "Half", bfloat16 = "BFloat16"
  case long = "Long", int = "Int", byte = "Byte", bool = "Bool"

  /// Bytes of one element in the file.
  var size: Int {
    switch self {
    case .byte, .bool: 1
    case .half, .bfloat16: 2
    case .float, .int: 4
    case .double, .long: 8
    }
  }
}

/// A storage that the pickle names: entry `data/<key>` of the archive.
struct PickleStorage {
  let element: TorchElement
  let key: String
  /// In elements.
  let count: Int
}

/// A tensor as the pickle describes it; not yet checked against its storage.
struct PickleTensor {
  let storage: Int
  let offset: Int
  let shape: [Int]
  let strides: [Int]
}
