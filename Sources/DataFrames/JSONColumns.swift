package import Columnar
import Compute
package import Core

/// Columns from JSON-like values: rows of scripts and of JSON lines.
package enum JSONColumns {
  /// The type that holds all of `values` (nil and null are null): Int64, Float64 for any fraction, Boolean, String, lists of
  /// these. Null for nothing but nulls.
  /// - Throws: `TYPE_MISMATCH` with `details["row"]` when two values have no common type.
  package static func type(of values: [JSONValue?]) throws(Failure) -> DataType {
    var type = DataType.null
    for (i, value) in values.enumerated() {
      guard let value, let next = try typeOf(value, row: i) else { continue }
      guard let meet = merge(type, next) else {
        throw rowFailure("\(shown(value)) is \(next), where the values before are \(type)", i)
      }
      type = meet
    }
    return type
  }

  private static func merge(_ a: DataType, _ b: DataType) -> DataType? {
    if a == .null || a == b { return b }
    if b == .null { return a }
    if a.isNumeric, b.isNumeric { return Promotion.common(a, b) }
    if case .list(let f) = a, case .list(let g) = b { return merge(f.type, g.type).map { .list(Field("item", $0)) } }
    return nil
  }

  private static func typeOf(_ value: JSONValue, row: Int) throws(Failure) -> DataType? {
    switch value {
    case .null: return nil
    case .bool: return .bool
    case .int: return .int64
    case .double: return .float64
    case .string: return .utf8
    case .array(let items):
      var inner = DataType.null
      for item in items {
        guard let next = try typeOf(item, row: row) else { continue }
        guard let meet = merge(inner, next) else {
          throw rowFailure("a list holds \(inner) and \(next) values", row)
        }
        inner = meet
      }
      return .list(Field("item", inner))
    case .object: throw rowFailure("an object has no column type; schema = { NAME = \"string\" } keeps it as JSON text", row)
    }
  }

  /// `values` as a column of `type`.
  /// - Throws: `TYPE_MISMATCH` with `details["row"]` (from 1) for a value that does not fit.
  package static func column(_ values: [JSONValue?], _ type: DataType) throws(Failure) -> Column {
    switch type {
    case .null: return try Column.nulls(.null, count: values.count)
    case .bool:
      var out: [Bool?] = []
      for (i, value) in values.enumerated() {
        switch value {
        case nil, .null: out.append(nil)
        case .bool(let b): out.append(b)
        case let other?: throw misfit(other, type, i)
        }
      }
      return try .bool(out)
    case .utf8, .largeUtf8:
      var out: [String?] = []
      for (i, value) in values.enumerated() {
        switch value {
        case nil, .null: out.append(nil)
        case .string(let s): out.append(s)
        // A structure that is asked for as a string is kept as its JSON text.
        case .object(let object)?: out.append(JSONValue.object(object).text())
        case .array(let items)?: out.append(JSONValue.array(items).text())
        case let other?: throw misfit(other, type, i)
        }
      }
      return try .utf8(out, type: type)
    case .binary, .largeBinary:
      return try Cast.cast(try column(values, .utf8), to: type)
    case .date32, .date64, .timestamp:
      if values.contains(where: { if case .string? = $0 { true } else { false } }) {
        return try Cast.cast(try column(values, .utf8), to: type == .date64 ? .date32 : type)
      }
      return try Cast.cast(try column(values, .int64), to: type == .date32 ? .int32 : .int64)
    case _ where type.isInteger || type == .time64(.microsecond):
      var out: [Int64?] = []
      for (i, value) in values.enumerated() {
        switch value {
        case nil, .null: out.append(nil)
        case let other?:
          guard let whole = other.intValue else { throw misfit(other, type, i) }
          out.append(whole)
        }
      }
      return try Cast.cast(try .int64(out), to: type)
    case _ where type.isFloat:
      var out: [Double?] = []
      for (i, value) in values.enumerated() {
        switch value {
        case nil, .null: out.append(nil)
        case let other?:
          guard let number = other.doubleValue else { throw misfit(other, type, i) }
          out.append(number)
        }
      }
      return try Cast.cast(try .float64(out), to: type)
    case .list(let item), .largeList(let item):
      var (flat, lengths): ([JSONValue?], [Int?]) = ([], [])
      for (i, value) in values.enumerated() {
        switch value {
        case nil, .null: lengths.append(nil)
        case .array(let items):
          flat += items
          lengths.append(items.count)
        case let other?: throw misfit(other, type, i)
        }
      }
      return try Column.list(try column(flat, item.type), lengths: lengths, large: type.hasLargeOffsets)
    case .fixedSizeList(let item, _):
      return try Cast.cast(try column(values, .list(item)), to: type)
    default: throw Failure(.unsupported, "\(type) columns cannot be made from values; cast them afterwards")
    }
  }

  private static func misfit(_ value: JSONValue, _ type: DataType, _ row: Int) -> Failure {
    rowFailure("\(shown(value)) is not \(type)", row)
  }

  private static func shown(_ value: JSONValue) -> String {
    let text = value.text()
    return text.utf8.count > 60 ? text.prefix(60) + "..." : text
  }

  private static func rowFailure(_ message: String, _ row: Int) -> Failure {
    Failure(.typeMismatch, message, place: "row \(row + 1)", details: ["row": .int(Int64(row + 1))])
  }
}
