/// The unit of a time-like type.
package enum TimeUnit: String, Hashable, Sendable, CaseIterable {
  case second = "s"
  case millisecond = "ms"
  case microsecond = "us"
  case nanosecond = "ns"

  /// Ticks in one second.
  package var perSecond: Int64 {
    switch self {
    case .second: 1
    case .millisecond: 1_000
    case .microsecond: 1_000_000
    case .nanosecond: 1_000_000_000
    }
  }
}

/// The type of a column's values: Arrow's logical types, with their physical layout in `Column`.
package indirect enum DataType: Hashable, Sendable {
  case null
  case bool
  case int8, int16, int32, int64
  case uint8, uint16, uint32, uint64
  case float16, float32, float64
  case utf8, largeUtf8, binary, largeBinary
  case fixedSizeBinary(byteWidth: Int)
  case date32, date64
  case time32(TimeUnit), time64(TimeUnit)
  case timestamp(TimeUnit, timeZone: String?)
  case duration(TimeUnit)
  case decimal128(precision: Int, scale: Int)
  case decimal256(precision: Int, scale: Int)
  case list(Field)
  case largeList(Field)
  case fixedSizeList(Field, size: Int)
  case structure([Field])
  case map(entries: Field)
  case dictionary(index: DataType, value: DataType)

  /// Bits of one value in the values buffer; nil for types without one (variable-width and nested).
  package var bitWidth: Int? {
    switch self {
    case .bool: 1
    case .int8, .uint8: 8
    case .int16, .uint16, .float16: 16
    case .int32, .uint32, .float32, .date32, .time32: 32
    case .int64, .uint64, .float64, .date64, .time64, .timestamp, .duration: 64
    case .decimal128: 128
    case .decimal256: 256
    case .fixedSizeBinary(let width): width * 8
    case .dictionary(let index, _): index.bitWidth
    case .null, .utf8, .largeUtf8, .binary, .largeBinary, .list, .largeList, .fixedSizeList, .structure, .map: nil
    }
  }

  /// Bytes of one value; nil for bool, variable-width and nested types.
  package var byteWidth: Int? { bitWidth.flatMap { $0 % 8 == 0 ? $0 / 8 : nil } }

  package var isInteger: Bool {
    switch self {
    case .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64: true
    default: false
    }
  }
  package var isSignedInteger: Bool {
    switch self {
    case .int8, .int16, .int32, .int64: true
    default: false
    }
  }
  package var isFloat: Bool {
    switch self {
    case .float16, .float32, .float64: true
    default: false
    }
  }
  package var isNumeric: Bool { isInteger || isFloat }
  package var isString: Bool { self == .utf8 || self == .largeUtf8 }
  package var isBinary: Bool { self == .binary || self == .largeBinary }
  /// Strings and binaries: an offsets buffer and a data buffer.
  package var isVariableWidth: Bool { isString || isBinary }
  /// 64-bit instead of 32-bit offsets.
  package var hasLargeOffsets: Bool {
    switch self {
    case .largeUtf8, .largeBinary, .largeList: true
    default: false
    }
  }
  /// The types of nested values, in order.
  package var children: [Field] {
    switch self {
    case .list(let f), .largeList(let f), .fixedSizeList(let f, _), .map(let f): [f]
    case .structure(let fields): fields
    default: []
    }
  }

  /// A fixed-size list of non-null values, as vectors and images are.
  package static func vector(_ element: DataType, _ size: Int) -> DataType {
    .fixedSizeList(Field("item", element, isNullable: true), size: size)
  }
}

extension DataType: CustomStringConvertible {
  /// The name shown to users and in REST: `Int64`, `String`, `List[Float64]`, `FixedSizeList[Float32, 784]`.
  package var description: String {
    switch self {
    case .null: "Null"
    case .bool: "Boolean"
    case .int8: "Int8"
    case .int16: "Int16"
    case .int32: "Int32"
    case .int64: "Int64"
    case .uint8: "UInt8"
    case .uint16: "UInt16"
    case .uint32: "UInt32"
    case .uint64: "UInt64"
    case .float16: "Float16"
    case .float32: "Float32"
    case .float64: "Float64"
    case .utf8: "String"
    case .largeUtf8: "LargeString"
    case .binary: "Binary"
    case .largeBinary: "LargeBinary"
    case .fixedSizeBinary(let width): "FixedSizeBinary[\(width)]"
    case .date32: "Date"
    case .date64: "Date[ms]"
    case .time32(let unit), .time64(let unit): "Time[\(unit.rawValue)]"
    case .timestamp(let unit, let zone): "Timestamp[\(unit.rawValue)\(zone.map { ", " + $0 } ?? "")]"
    case .duration(let unit): "Duration[\(unit.rawValue)]"
    case .decimal128(let p, let s): "Decimal[\(p), \(s)]"
    case .decimal256(let p, let s): "Decimal256[\(p), \(s)]"
    case .list(let f): "List[\(f.type)]"
    case .largeList(let f): "LargeList[\(f.type)]"
    case .fixedSizeList(let f, let size): "FixedSizeList[\(f.type), \(size)]"
    case .structure(let fields): "Struct[\(fields.map { "\($0.name): \($0.type)" }.joined(separator: ", "))]"
    case .map(let entries): "Map[\(entries.type)]"
    case .dictionary(let index, let value): "Dictionary[\(index), \(value)]"
    }
  }
}

/// A named, typed member of a schema or of a nested type.
package struct Field: Hashable, Sendable {
  package var name: String
  package var type: DataType
  package var isNullable: Bool
  package var metadata: [String: String]

  package init(_ name: String, _ type: DataType, isNullable: Bool = true, metadata: [String: String] = [:]) {
    self.name = name
    self.type = type
    self.isNullable = isNullable
    self.metadata = metadata
  }
}
