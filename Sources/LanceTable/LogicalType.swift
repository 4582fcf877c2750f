import Columnar
import Core

/// The texts that Lance uses for types (`Field.logical_type`), for types whose fields have no children of their own:
/// `int64`, `timestamp:us:UTC`, `decimal:128:10:2`, `fixed_size_list:float:784`, `dict:string:int32:false`.
/// Lists, structs and maps have child fields and are put together by `TableField`.
enum LogicalType {
  /// Name and type of what has no parameters.
  private static let plain: [(String, DataType)] = [
    ("null", .null), ("bool", .bool), ("int8", .int8), ("int16", .int16), ("int32", .int32), ("int64", .int64),
    ("uint8", .uint8), ("uint16", .uint16), ("uint32", .uint32), ("uint64", .uint64), ("halffloat", .float16),
    ("float", .float32), ("double", .float64), ("string", .utf8), ("binary", .binary), ("large_string", .largeUtf8),
    ("large_binary", .largeBinary), ("date32:day", .date32), ("date64:ms", .date64),
  ]
  private static let byName = Dictionary(uniqueKeysWithValues: plain)

  /// The type that `text` names; nil when it is none of the above.
  static func parse(_ text: String, depth: Int = 0) -> DataType? {
    if let type = byName[text] { return type }
    guard depth < 16, let colon = text.firstIndex(of: ":") else { return nil }
    let rest = text[text.index(after: colon)...]
    let parts = rest.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    func number(_ i: Int) -> Int? { i < parts.count ? Int(parts[i]) : nil }
    let unit = TimeUnit(rawValue: parts[0])
    switch text[..<colon] {
    case "fixed_size_binary":
      guard parts.count == 1, let width = number(0), width >= 0, width <= 1 << 24 else { return nil }
      return .fixedSizeBinary(byteWidth: width)
    case "time32":
      guard parts.count == 1, let unit, unit == .second || unit == .millisecond else { return nil }
      return .time32(unit)
    case "time64":
      guard parts.count == 1, let unit, unit == .microsecond || unit == .nanosecond else { return nil }
      return .time64(unit)
    case "duration": return parts.count == 1 ? unit.map { .duration($0) } : nil
    case "timestamp":
      // A zone such as +01:00 has a colon itself; `-` stands for none.
      guard let unit, parts.count >= 2 else { return nil }
      let zone = parts.dropFirst().joined(separator: ":")
      return .timestamp(unit, timeZone: zone == "-" ? nil : zone)
    case "decimal":
      guard parts.count == 3, let p = number(1), let s = number(2), p > 0, p <= 76, abs(s) <= 76 else { return nil }
      if parts[0] == "128" { return p <= 38 ? .decimal128(precision: p, scale: s) : nil }
      return parts[0] == "256" ? .decimal256(precision: p, scale: s) : nil
    case "fixed_size_list":
      guard parts.count >= 2, let size = number(parts.count - 1), size > 0, size <= 1 << 28,
        let element = parse(parts.dropLast().joined(separator: ":"), depth: depth + 1), !element.isVariableWidth
      else { return nil }
      return .vector(element, size)
    case "dict":
      guard parts.count >= 3, let index = parse(parts[parts.count - 2], depth: depth + 1), index.isInteger,
        let value = parse(parts.dropLast(2).joined(separator: ":"), depth: depth + 1)
      else { return nil }
      return .dictionary(index: index, value: value)
    default: return nil
    }
  }

  /// The text of `type`; nil when Lance has none for it (a fixed-size list of strings, say).
  static func text(_ type: DataType) -> String? {
    switch type {
    case .fixedSizeBinary(let width): return "fixed_size_binary:\(width)"
    case .time32(let unit): return "time32:\(unit.rawValue)"
    case .time64(let unit): return "time64:\(unit.rawValue)"
    case .duration(let unit): return "duration:\(unit.rawValue)"
    case .timestamp(let unit, let zone): return "timestamp:\(unit.rawValue):\(zone ?? "-")"
    case .decimal128(let p, let s): return "decimal:128:\(p):\(s)"
    case .decimal256(let p, let s): return "decimal:256:\(p):\(s)"
    case .fixedSizeList(let item, let size):
      guard !item.type.isVariableWidth, item.type.bitWidth != nil || item.type.children.count == 1 else { return nil }
      if case .dictionary = item.type { return nil }
      return text(item.type).map { "fixed_size_list:\($0):\(size)" }
    case .dictionary(let index, let value):
      guard let value = text(value), let index = text(index) else { return nil }
      return "dict:\(value):\(index):false"
    case .list(let item): return item.type.children.isEmpty || item.type.isListLike ? "list" : "list.struct"
    case .largeList(let item): return item.type.children.isEmpty || item.type.isListLike ? "large_list" : "large_list.struct"
    case .structure: return "struct"
    case .map: return "map"
    default: return plain.first { $0.1 == type }?.0
    }
  }
}

extension DataType {
  fileprivate var isListLike: Bool {
    switch self {
    case .list, .largeList, .fixedSizeList, .map: true
    default: false
    }
  }
}
