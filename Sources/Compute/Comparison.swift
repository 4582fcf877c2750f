package import Columnar
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The comparison operators.
package enum ComparisonOperator: String, Sendable, Hashable, CaseIterable {
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="

  /// The operator with its sides exchanged: `a < b` is `b > a`.
  package var mirrored: ComparisonOperator {
    switch self {
    case .equal, .notEqual: self
    case .less: .greater
    case .lessOrEqual: .greaterOrEqual
    case .greater: .less
    case .greaterOrEqual: .lessOrEqual
    }
  }
}

/// Comparisons of numbers, strings and binaries (by bytes), bools, dates, times and timestamps. Null where an operand
/// is null. NaN is unequal to everything, itself included (IEEE 754).
package enum Comparison {
  /// - Throws: `TYPE_MISMATCH` for types that do not meet.
  package static func apply(_ op: ComparisonOperator, _ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    let rows = [a, b].rowsToCompute(a.count)
    guard let type = comparable(a.type, b.type) else {
      throw Failure(.typeMismatch, "\(a.type) \(op.rawValue) \(b.type) is not possible")
    }
    let result: Column
    if type == .null || a.isNullConstant || b.isNullConstant {
      result = try Column.nulls(.bool, count: rows)
    } else {
      let x = a.with(try Cast.cast(a.column, to: type))
      let y = b.with(try Cast.cast(b.column, to: type))
      result = try compare(op, x, y, rows, type)
    }
    return [a, b].areConstant ? Operand(constant: result, count: a.count) : Operand(result)
  }

  /// The type in which two types are compared; nil when they are not comparable.
  package static func comparable(_ a: DataType, _ b: DataType) -> DataType? {
    // uint64 and signed integers are compared as f64: no integer type holds both.
    if a.isInteger, b.isInteger, a.isSignedInteger != b.isSignedInteger, a == .uint64 || b == .uint64 { return .float64 }
    guard let type = Promotion.common(a, b) else { return nil }
    switch type {
    case .float16: return .float32
    case .list, .largeList, .fixedSizeList, .structure, .map, .dictionary, .decimal256: return nil
    default: return type
    }
  }

  private static func compare(_ op: ComparisonOperator, _ a: Operand, _ b: Operand, _ n: Int, _ type: DataType)
    throws(Failure) -> Column
  {
    let valid = try Validity.intersection([a, b], n)
    switch type.storage {
    case .int8: return try numbers(op, a, b, n, valid, Int8.self)
    case .int16: return try numbers(op, a, b, n, valid, Int16.self)
    case .int32: return try numbers(op, a, b, n, valid, Int32.self)
    case .int64: return try numbers(op, a, b, n, valid, Int64.self)
    case .uint8: return try numbers(op, a, b, n, valid, UInt8.self)
    case .uint16: return try numbers(op, a, b, n, valid, UInt16.self)
    case .uint32: return try numbers(op, a, b, n, valid, UInt32.self)
    case .uint64: return try numbers(op, a, b, n, valid, UInt64.self)
    case .float32: return try numbers(op, a, b, n, valid, Float.self)
    case .float64: return try numbers(op, a, b, n, valid, Double.self)
    case .bool:
      let (x, y) = (a.column, b.column)
      let (s, t) = (a.step, b.step)
      return try ordered(op, n, valid) { (x.bool($0 &* s) ? 1 : 0) - (y.bool($0 &* t) ? 1 : 0) }
    case .utf8, .largeUtf8, .binary, .largeBinary, .fixedSizeBinary:
      return try bytes(op, a, b, n, valid)
    case .decimal128(_, let scale):
      guard case .decimal128(_, scale) = b.type else { return try Column.nulls(.bool, count: n) }
      let (x, y) = (a.pointer(Int128.self), b.pointer(Int128.self))
      let (s, t) = (a.step, b.step)
      return try ordered(op, n, valid) { x[$0 &* s] < y[$0 &* t] ? -1 : x[$0 &* s] == y[$0 &* t] ? 0 : 1 }
    default: throw Failure(.typeMismatch, "\(type) values cannot be compared")
    }
  }

  private static func numbers<T: Number>(
    _ op: ComparisonOperator, _ a: Operand, _ b: Operand, _ n: Int, _ valid: Buffer?, _: T.Type
  ) throws(Failure) -> Column {
    let (x, y) = (a.pointer(T.self), b.pointer(T.self))
    if b.isConstant {
      let r = y[0]
      let s = a.step
      switch op {
      case .equal: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] == r }
      case .notEqual: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] != r }
      case .less: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] < r }
      case .lessOrEqual: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] <= r }
      case .greater: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] > r }
      case .greaterOrEqual: return try Validity.boolColumn(n, validity: valid) { x[$0 &* s] >= r }
      }
    }
    if a.isConstant { return try numbers(op.mirrored, b, a, n, valid, T.self) }
    switch op {
    case .equal: return try Validity.boolColumn(n, validity: valid) { x[$0] == y[$0] }
    case .notEqual: return try Validity.boolColumn(n, validity: valid) { x[$0] != y[$0] }
    case .less: return try Validity.boolColumn(n, validity: valid) { x[$0] < y[$0] }
    case .lessOrEqual: return try Validity.boolColumn(n, validity: valid) { x[$0] <= y[$0] }
    case .greater: return try Validity.boolColumn(n, validity: valid) { x[$0] > y[$0] }
    case .greaterOrEqual: return try Validity.boolColumn(n, validity: valid) { x[$0] >= y[$0] }
    }
  }

  private static func bytes(_ op: ComparisonOperator, _ a: Operand, _ b: Operand, _ n: Int, _ valid: Buffer?) throws(Failure)
    -> Column
  {
    let (x, y) = (ByteRows(a.column), ByteRows(b.column))
    let (s, t) = (a.step, b.step)
    if op == .equal || op == .notEqual {
      let wanted = op == .equal
      return try Validity.boolColumn(n, validity: valid) { x.equal($0 &* s, y, $0 &* t) == wanted }
    }
    return try ordered(op, n, valid) { x.compare($0 &* s, y, $0 &* t) }
  }

  @inline(__always)
  private static func ordered(_ op: ComparisonOperator, _ n: Int, _ valid: Buffer?, _ order: (Int) -> Int) throws(Failure)
    -> Column
  {
    switch op {
    case .equal: return try Validity.boolColumn(n, validity: valid) { order($0) == 0 }
    case .notEqual: return try Validity.boolColumn(n, validity: valid) { order($0) != 0 }
    case .less: return try Validity.boolColumn(n, validity: valid) { order($0) < 0 }
    case .lessOrEqual: return try Validity.boolColumn(n, validity: valid) { order($0) <= 0 }
    case .greater: return try Validity.boolColumn(n, validity: valid) { order($0) > 0 }
    case .greaterOrEqual: return try Validity.boolColumn(n, validity: valid) { order($0) >= 0 }
    }
  }
}

/// The bytes of a string or binary column's rows with pointers taken once. Valid while the column is alive.
struct ByteRows {
  let column: Column
  let data: UnsafePointer<UInt8>
  private let small: UnsafePointer<Int32>?
  private let large: UnsafePointer<Int64>?
  private let width: Int

  /// `column` is a string, binary or fixed-size binary column.
  init(_ column: Column) {
    self.column = column
    if case .fixedSizeBinary(let width) = column.type {
      self.width = width
      data = UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: UInt8.self) + column.offset * width)
      small = nil
      large = nil
    } else {
      width = 0
      data = UnsafePointer(column.buffers[1].pointer.assumingMemoryBound(to: UInt8.self))
      if column.type.hasLargeOffsets {
        large = UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: Int64.self) + column.offset)
        small = nil
      } else {
        small = UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: Int32.self) + column.offset)
        large = nil
      }
    }
  }

  /// Begin and length of row `i`.
  @inline(__always)
  func span(_ i: Int) -> (UnsafePointer<UInt8>, Int) {
    if let small { return (data + Int(small[i]), Int(small[i &+ 1] &- small[i])) }
    if let large { return (data + Int(large[i]), Int(large[i &+ 1] &- large[i])) }
    return (data + i &* width, width)
  }

  func bytes(_ i: Int) -> UnsafeBufferPointer<UInt8> {
    let (p, n) = span(i)
    return UnsafeBufferPointer(start: p, count: n)
  }

  @inline(__always)
  func equal(_ i: Int, _ other: ByteRows, _ j: Int) -> Bool {
    let (p, n) = span(i)
    let (q, m) = other.span(j)
    return n == m && (n == 0 || memcmp(p, q, n) == 0)
  }

  /// Negative, 0 or positive, by unsigned bytes; a prefix comes first.
  func compare(_ i: Int, _ other: ByteRows, _ j: Int) -> Int {
    let (p, n) = span(i)
    let (q, m) = other.span(j)
    let common = min(n, m)
    if common > 0 {
      let order = Int(memcmp(p, q, common))
      if order != 0 { return order }
    }
    return n - m
  }
}
