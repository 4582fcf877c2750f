import Columnar
import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Strings to and from numbers, bools, dates and timestamps; see `Cast`.
enum TextCast {
  /// The text of every value: integers in decimal, floats in the shortest form that reads back equal, `true`/`false`,
  /// RFC 3339 dates and times.
  static func format(_ column: Column, _ target: DataType) throws(Failure) -> Column {
    var builder = ColumnBuilder(target, reserving: column.count * 8)
    for i in 0..<column.count {
      guard column.isValid(i) else {
        try builder.appendNull()
        continue
      }
      switch column.type {
      case .float32: try builder.append(string: column.values(of: Float.self)[i].description)
      case .float64: try builder.append(string: column.values(of: Double.self)[i].description)
      case .uint64: try builder.append(string: column.values(of: UInt64.self)[i].description)
      default:
        switch column.json(i) {
        case .string(let text): try builder.append(string: text)
        case let other: try builder.append(string: other.text())
        }
      }
    }
    return try builder.finish()
  }

  /// Values read from text; surrounding blanks are not accepted.
  static func parse(_ column: Column, _ target: DataType, _ lenient: Bool) throws(Failure) -> Column {
    if target == .bool { return try bools(column, lenient) }
    switch target {
    case .int8: return try numbers(column, target, lenient) { integer($0, Int8.self) }
    case .int16: return try numbers(column, target, lenient) { integer($0, Int16.self) }
    case .int32: return try numbers(column, target, lenient) { integer($0, Int32.self) }
    case .int64: return try numbers(column, target, lenient) { integer($0, Int64.self) }
    case .uint8: return try numbers(column, target, lenient) { integer($0, UInt8.self) }
    case .uint16: return try numbers(column, target, lenient) { integer($0, UInt16.self) }
    case .uint32: return try numbers(column, target, lenient) { integer($0, UInt32.self) }
    case .uint64: return try numbers(column, target, lenient) { integer($0, UInt64.self) }
    case .float32: return try numbers(column, target, lenient) { double($0).map { Float($0) } }
    case .float64: return try numbers(column, target, lenient) { double($0) }
    case .date32: return try numbers(column, target, lenient) { days($0) }
    case .timestamp(let unit, _): return try numbers(column, target, lenient) { ticks($0, unit) }
    default: throw Failure(.typeMismatch, "\(column.type) cannot be cast to \(target)")
    }
  }

  @inline(__always)
  private static func numbers<T: BitwiseCopyable & ExpressibleByIntegerLiteral>(
    _ column: Column, _ target: DataType, _ lenient: Bool, _ f: (UnsafeBufferPointer<UInt8>) -> T?
  ) throws(Failure) -> Column {
    let n = column.count
    let rows = ByteRows(column)
    let out = try Buffer(byteCount: n * MemoryLayout<T>.stride)
    let z = out.mutableValues(of: T.self)
    let bits = try Bitmap.filled(n, true)
    for i in 0..<n {
      if !column.isValid(i) {
        Bitmap.set(bits.pointer, i, false)
      } else if let value = f(rows.bytes(i)) {
        z[i] = value
      } else if lenient {
        Bitmap.set(bits.pointer, i, false)
      } else {
        throw unreadable(rows.bytes(i), target, i)
      }
    }
    return Column(type: target, count: n, validity: bits, buffers: [out])
  }

  private static func unreadable(_ bytes: UnsafeBufferPointer<UInt8>, _ target: DataType, _ row: Int) -> Failure {
    let text = String(decoding: bytes, as: UTF8.self)
    let shown = text.count > 40 ? text.prefix(40) + "..." : text[...]
    return rowFailure(.invalidArgument, "'\(shown)' cannot be read as \(target)", row: row)
  }

  private static func bools(_ column: Column, _ lenient: Bool) throws(Failure) -> Column {
    var builder = ColumnBuilder(.bool)
    let rows = ByteRows(column)
    for i in 0..<column.count {
      guard column.isValid(i) else {
        try builder.appendNull()
        continue
      }
      switch String(decoding: rows.bytes(i), as: UTF8.self) {
      case "true", "True", "TRUE": try builder.append(bool: true)
      case "false", "False", "FALSE": try builder.append(bool: false)
      default:
        guard lenient else { throw unreadable(rows.bytes(i), .bool, i) }
        try builder.appendNull()
      }
    }
    return try builder.finish()
  }

  /// `[+-]?[0-9]+` that fits `T`; nil for anything else.
  @inline(__always)
  static func integer<T: FixedWidthInteger>(_ bytes: UnsafeBufferPointer<UInt8>, _: T.Type) -> T? {
    guard let first = bytes.first else { return nil }
    let negative = first == UInt8(ascii: "-")
    let start = negative || first == UInt8(ascii: "+") ? 1 : 0
    guard start < bytes.count else { return nil }
    var value: T = 0
    for i in start..<bytes.count {
      let digit = bytes[i] &- 48
      guard digit <= 9 else { return nil }
      let (m, o) = value.multipliedReportingOverflow(by: 10)
      let (s, p) = negative ? m.subtractingReportingOverflow(T(digit)) : m.addingReportingOverflow(T(digit))
      if o || p { return nil }
      value = s
    }
    return value
  }

  /// A decimal number as in JSON or C, also `inf`, `nan`; nil for anything else (hexadecimal too).
  static func double(_ bytes: UnsafeBufferPointer<UInt8>) -> Double? {
    guard let first = bytes.first, first != 32, first != 9, bytes.count < 400 else { return nil }
    // Short plain decimals exactly: up to 15 digits and a power of ten up to 22 give a correctly rounded quotient.
    var mantissa: Int64 = 0
    var digits = 0
    var fraction = -1
    var i = first == UInt8(ascii: "-") || first == UInt8(ascii: "+") ? 1 : 0
    var simple = i < bytes.count
    while i < bytes.count {
      let c = bytes[i]
      if c &- 48 <= 9 {
        mantissa = mantissa &* 10 &+ Int64(c &- 48)
        digits += 1
        if fraction >= 0 { fraction += 1 }
      } else if c == UInt8(ascii: "."), fraction < 0 {
        fraction = 0
      } else {
        simple = false
        break
      }
      i += 1
    }
    if simple, digits > 0, digits <= 15 {
      let value = fraction > 0 ? Double(mantissa) / powers[fraction] : Double(mantissa)
      return first == UInt8(ascii: "-") ? -value : value
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if text.utf8.contains(where: { $0 == UInt8(ascii: "x") || $0 == UInt8(ascii: "X") || $0 == UInt8(ascii: "p") }) {
      return nil
    }
    return Double(text)
  }

  private static let powers: [Double] = [
    1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
  ]

  /// `YYYY-MM-DD` as days since 1970.
  static func days(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard bytes.count == 10, let instant = Instant(String(decoding: bytes, as: UTF8.self) + "T00:00:00Z"),
      Instant(seconds: instant.seconds).description.utf8.prefix(10).elementsEqual(bytes)
    else { return nil }
    return Int32(truncatingIfNeeded: instant.seconds / 86400 - (instant.seconds % 86400 < 0 ? 1 : 0))
  }

  /// `YYYY-MM-DD`, or date and time with `T` or a blank between and an optional `Z`, as ticks since 1970 in UTC.
  static func ticks(_ bytes: UnsafeBufferPointer<UInt8>, _ unit: TimeUnit) -> Int64? {
    guard bytes.count >= 10, bytes.count <= 30 else { return nil }
    var text = Array(bytes)
    if text.count == 10 { text += Array("T00:00:00".utf8) }
    if text.count > 10, text[10] == 32 { text[10] = UInt8(ascii: "T") }
    if text[text.count - 1] != UInt8(ascii: "Z") { text.append(UInt8(ascii: "Z")) }
    guard let instant = Instant(String(decoding: text, as: UTF8.self)),
      Instant(seconds: instant.seconds).description.utf8.prefix(10).elementsEqual(text[..<10])
    else { return nil }
    let (whole, overflow) = instant.seconds.multipliedReportingOverflow(by: unit.perSecond)
    return overflow ? nil : whole + Int64(instant.nanoseconds) / (1_000_000_000 / unit.perSecond)
  }
}
