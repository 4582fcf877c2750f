package import Columnar
import Core

/// Which type two operands meet in.
///
/// | operands | arithmetic and comparison in |
/// |---|---|
/// | integers of one signedness | the wider one |
/// | signed and unsigned | the smallest signed type that holds both; int64 for uint64 (values beyond it are an error) |
/// | f32 and f32, f16, or an integer of 8 or 16 bits | f32 |
/// | any other mix with a float | f64 |
/// | equal types | that type |
/// | date or timestamp of different units | the finer unit (comparison only) |
/// | string and large string, binary and large binary | the large one |
///
/// Integer overflow is an error that names row and values, never a silent wrap. `/` is true division: f32 when the
/// operands meet in f32, f64 otherwise. `//` and `%` floor, as in Lua; an integer divided by zero is null. `^` is f64, or
/// f32 among f32.
package enum Promotion {
  /// The type in which `a` and `b` meet; nil when they have none.
  package static func common(_ a: DataType, _ b: DataType) -> DataType? {
    if a == b { return a }
    if a == .null { return b }
    if b == .null { return a }
    if a.isInteger, b.isInteger { return integers(a, b) }
    if a.isNumeric, b.isNumeric {
      let narrow: Set<DataType> = [.float16, .float32, .int8, .int16, .uint8, .uint16]
      return narrow.contains(a) && narrow.contains(b) ? .float32 : .float64
    }
    if a.isString, b.isString { return .largeUtf8 }
    if a.isBinary, b.isBinary { return .largeBinary }
    switch (a, b) {
    case (.timestamp(let x, let zone), .timestamp(let y, let other)):
      return (zone == nil) == (other == nil) ? .timestamp(x.perSecond >= y.perSecond ? x : y, timeZone: zone) : nil
    case (.duration(let x), .duration(let y)): return .duration(x.perSecond >= y.perSecond ? x : y)
    case (.date32, .date64), (.date64, .date32): return .date64
    case (.dictionary(_, let value), _): return common(value, b)
    case (_, .dictionary(_, let value)): return common(a, value)
    case (.fixedSizeList(let f, let n), .fixedSizeList(let g, let m)):
      return n == m ? common(f.type, g.type).map { .vector($0, n) } : nil
    case (.list(let f), .list(let g)): return common(f.type, g.type).map { .list(Field("item", $0)) }
    default: return nil
    }
  }

  private static func integers(_ a: DataType, _ b: DataType) -> DataType {
    let (x, y) = (a.bitWidth ?? 64, b.bitWidth ?? 64)
    if a.isSignedInteger == b.isSignedInteger { return x >= y ? a : b }
    let (signed, unsigned) = a.isSignedInteger ? (x, y) : (y, x)
    switch max(signed, unsigned * 2) {
    case ...8: return .int8
    case ...16: return .int16
    case ...32: return .int32
    default: return .int64
    }
  }

  /// The result type of `a op b` on numbers, or on fixed-size lists of numbers (element by element); nil when it has none.
  package static func arithmetic(_ op: ArithmeticOperator, _ a: DataType, _ b: DataType) -> DataType? {
    switch (a, b) {
    case (.fixedSizeList(let f, let n), .fixedSizeList(let g, let m)):
      return n == m ? arithmetic(op, f.type, g.type).map { .vector($0, n) } : nil
    case (.fixedSizeList(let f, let n), _) where b.isNumeric || b == .null:
      return arithmetic(op, f.type, b).map { .vector($0, n) }
    case (_, .fixedSizeList(let f, let n)) where a.isNumeric || a == .null:
      return arithmetic(op, a, f.type).map { .vector($0, n) }
    case (.null, .null): return .null
    case (.null, _) where b.isNumeric: return arithmetic(op, b, b)
    case (_, .null) where a.isNumeric: return arithmetic(op, a, a)
    default: break
    }
    guard a.isNumeric, b.isNumeric, let meet = common(a, b) else { return nil }
    let type = meet == .float16 ? .float32 : meet
    switch op {
    case .add, .subtract, .multiply, .floorDivide, .modulo: return type
    case .divide, .power: return type == .float32 ? .float32 : .float64
    }
  }
}

/// The arithmetic operators, spelled as in Lua.
package enum ArithmeticOperator: String, Sendable, Hashable, CaseIterable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case floorDivide = "//"
  case modulo = "%"
  case power = "^"
}

/// A number type that kernels are compiled for.
protocol Number: BitwiseCopyable, Comparable, Sendable {
  static var dataType: DataType { get }
  var asDouble: Double { get }
}
extension Int8: Number { static var dataType: DataType { .int8 }; var asDouble: Double { Double(self) } }
extension Int16: Number { static var dataType: DataType { .int16 }; var asDouble: Double { Double(self) } }
extension Int32: Number { static var dataType: DataType { .int32 }; var asDouble: Double { Double(self) } }
extension Int64: Number { static var dataType: DataType { .int64 }; var asDouble: Double { Double(self) } }
extension UInt8: Number { static var dataType: DataType { .uint8 }; var asDouble: Double { Double(self) } }
extension UInt16: Number { static var dataType: DataType { .uint16 }; var asDouble: Double { Double(self) } }
extension UInt32: Number { static var dataType: DataType { .uint32 }; var asDouble: Double { Double(self) } }
extension UInt64: Number { static var dataType: DataType { .uint64 }; var asDouble: Double { Double(self) } }
extension Float: Number { static var dataType: DataType { .float32 }; var asDouble: Double { Double(self) } }
extension Double: Number { static var dataType: DataType { .float64 }; var asDouble: Double { self } }

extension DataType {
  /// The integer type that holds this type's values (dates, times and timestamps are integers with a unit).
  var storage: DataType {
    switch self {
    case .date32, .time32: .int32
    case .date64, .time64, .timestamp, .duration: .int64
    default: self
    }
  }
}

extension Column {
  /// The same buffers read as another type of equal layout.
  func reinterpreted(_ type: DataType) -> Column {
    type == self.type
      ? self
      : Column(
        type: type, count: count, offset: offset, validity: validity, buffers: buffers, children: children,
        nullCount: nullCount)
  }
}
