package import Columnar
package import Core

/// Names of leaf types in Lance schemas: `int64`, `timestamp:us:UTC`, `fixed_size_list:float:784`.
///
/// Lists, structs and maps are told by a schema's nesting, see `LanceSchema`. Source: `docs/formats/lance-file.md`.
package enum LogicalType {
  private static let plain: [(name: String, type: DataType)] = [
    ("null", .null), ("bool", .bool), ("int8", .int8), ("int16", .int16), ("int32", .int32), ("int64", .int64),
    ("uint8", .uint8), ("uint16", .uint16), ("uint32", .uint32), ("uint64", .uint64), ("halffloat", .float16),
    ("float", .float32), ("double", .float64), ("string", .utf8), ("binary", .binary), ("large_string", .largeUtf8),
    ("large_binary", .largeBinary), ("date32:day", .date32), ("date64:ms", .date64),
  ]

  /// The name of a leaf type. A dictionary is stored as its value type.
  /// - Throws: `UNSUPPORTED` for types that Lance cannot store as a leaf.
  package static func name(of type: DataType) throws(Failure) -> String {
    if let known = plain.first(where: { $0.type == type }) { return known.name }
    switch type {
    case .fixedSizeBinary(let width): return "fixed_size_binary:\(width)"
    case .time32(let unit): return "time32:\(unit.rawValue)"
    case .time64(let unit): return "time64:\(unit.rawValue)"
    case .timestamp(let unit, let zone): return "timestamp:\(unit.rawValue):\(zone ?? "-")"
    case .duration(let unit): return "duration:\(unit.rawValue)"
    case .decimal128(let precision, let scale): return "decimal:128:\(precision):\(scale)"
    case .decimal256(let precision, let scale): return "decimal:256:\(precision):\(scale)"
    case .dictionary(_, let value): return try name(of: value)
    case .fixedSizeList(let item, let size):
      var element = item.type
      while case .fixedSizeList(let inner, _) = element { element = inner.type }
      guard element.bitWidth != nil, size > 0 else {
        throw Failure(.unsupported, "\(type) cannot be stored: the items of a fixed-size list must be numbers, at least one")
      }
      return "fixed_size_list:\(try name(of: item.type)):\(size)"
    default: throw Failure(.unsupported, "\(type) is no leaf type")
    }
  }

  /// The type that `name` stands for. A dictionary type (`dict:...`) is read as its value type.
  /// - Throws: `UNSUPPORTED` naming the type.
  package static func leaf(_ name: String) throws(Failure) -> DataType {
    if let known = plain.first(where: { $0.name == name }) { return known.type }
    let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    func unknown() -> Failure { Failure(.unsupported, "columns of the Lance type '\(name)' are not supported") }
    func unit(_ at: Int, _ allowed: [TimeUnit]) throws(Failure) -> TimeUnit {
      guard at < parts.count, let unit = TimeUnit(rawValue: parts[at]), allowed.contains(unit) else { throw unknown() }
      return unit
    }
    switch parts[0] {
    case "fixed_size_binary":
      guard parts.count == 2, let width = Int(parts[1]), width > 0, width <= 1 << 30 else { throw unknown() }
      return .fixedSizeBinary(byteWidth: width)
    case "time32": return .time32(try unit(1, [.second, .millisecond]))
    case "time64": return .time64(try unit(1, [.microsecond, .nanosecond]))
    case "duration": return .duration(try unit(1, TimeUnit.allCases))
    case "timestamp":
      let zone = parts.dropFirst(2).joined(separator: ":")
      return .timestamp(try unit(1, TimeUnit.allCases), timeZone: zone.isEmpty || zone == "-" ? nil : zone)
    case "decimal":
      guard parts.count == 4, let precision = Int(parts[2]), let scale = Int(parts[3]) else { throw unknown() }
      if parts[1] == "128" { return .decimal128(precision: precision, scale: scale) }
      guard parts[1] == "256" else { throw unknown() }
      return .decimal256(precision: precision, scale: scale)
    case "dict":
      guard parts.count >= 4 else { throw unknown() }
      return try leaf(parts[1..<parts.count - 2].joined(separator: ":"))
    case "fixed_size_list":
      guard parts.count >= 3, let size = Int(parts[parts.count - 1]), size > 0, size <= 1 << 30 else { throw unknown() }
      let item = try leaf(parts[1..<parts.count - 1].joined(separator: ":"))
      guard LeafShape.elements(item, times: size) != nil else { throw unknown() }
      return .fixedSizeList(Field("item", item), size: size)
    default: throw unknown()
    }
  }
}

/// How the values of a leaf lie in memory: fixed-size lists are flattened to `factor` elements per row.
struct LeafShape: Sendable {
  enum Storage: Equatable { case null, fixed(bits: Int), variable(large: Bool) }
  /// The whole type of one row.
  let type: DataType
  /// Sizes of the fixed-size lists, outermost first; empty for other types.
  let sizes: [Int]
  let element: DataType
  /// Elements per row: the product of `sizes`.
  let factor: Int
  let storage: Storage

  /// - Throws: `UNSUPPORTED` when `type` is no leaf.
  init(_ type: DataType) throws(Failure) {
    self.type = type
    var sizes: [Int] = []
    var element = type
    var factor = 1
    while case .fixedSizeList(let item, let size) = element {
      let (product, overflow) = factor.multipliedReportingOverflow(by: size)
      guard size > 0, !overflow, product <= 1 << 32 else {
        throw Failure(.unsupported, "a fixed-size list of \(size) items is not supported")
      }
      sizes.append(size)
      factor = product
      element = item.type
    }
    self.sizes = sizes
    self.element = element
    self.factor = factor
    if case .null = element, sizes.isEmpty {
      storage = .null
    } else if let bits = element.bitWidth, bits > 0 {
      storage = .fixed(bits: bits)
    } else if element.isVariableWidth, sizes.isEmpty {
      storage = .variable(large: element.hasLargeOffsets)
    } else {
      throw Failure(.unsupported, "\(type) is not supported as one column of a Lance file")
    }
  }

  /// Bits of one row; nil for variable width.
  var bitsPerRow: Int? {
    if case .fixed(let bits) = storage { return bits * factor }
    return nil
  }

  /// Elements of one row of `size` items of `type`; nil when there are too many or `type` does not allow it.
  static func elements(_ type: DataType, times size: Int) -> Int? {
    guard let inner = try? LeafShape(type), inner.factor <= (1 << 32) / size, case .fixed = inner.storage else { return nil }
    return inner.factor * size
  }

  /// The column of `rows` rows over flat element memory; `validity` has one entry per fixed-size list, its items' bits.
  func column(rows: Int, buffers: [Buffer], validity: [Buffer?]) -> Column {
    guard storage != .null else { return Column(type: type, count: rows, buffers: []) }
    var types: [DataType] = [type]
    for _ in sizes { if case .fixedSizeList(let item, _) = types[types.count - 1] { types.append(item.type) } }
    var count = rows * factor
    var column = Column(type: element, count: count, validity: validity.last.flatMap { $0 }, buffers: buffers)
    for level in sizes.indices.reversed() {
      count /= sizes[level]
      column = Column(
        type: types[level], count: count, validity: level > 0 ? validity[level - 1] : nil, buffers: [], children: [column])
    }
    return column
  }
}
