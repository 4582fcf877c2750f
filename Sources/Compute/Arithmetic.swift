package import Columnar
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `+ - * / // % ^` on numbers, and element by element on fixed-size lists of numbers. Types: see `Promotion`.
package enum Arithmetic {
  /// `a op b`, row by row; null where an operand is null.
  /// - Throws: `TYPE_MISMATCH` for types that have no such operator, `INVALID_ARGUMENT` naming row and values on
  ///   integer overflow.
  package static func apply(_ op: ArithmeticOperator, _ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    guard let type = Promotion.arithmetic(op, a.type, b.type) else {
      throw Failure(.typeMismatch, "\(a.type) \(op.rawValue) \(b.type) is not possible")
    }
    let rows = [a, b].rowsToCompute(a.count)
    if case .fixedSizeList(_, let size) = type { return try lists(op, a, b, size: size, type: type) }
    let result: Column
    if type == .null {
      result = try Column.nulls(.null, count: rows)
    } else if a.isNullConstant || b.isNullConstant || a.type == .null || b.type == .null {
      result = try Column.nulls(type, count: rows)
    } else {
      let x = a.with(try Cast.cast(a.column, to: type))
      let y = b.with(try Cast.cast(b.column, to: type))
      result = try numbers(op, x, y, rows, type)
    }
    return [a, b].areConstant ? Operand(constant: result, count: a.count) : Operand(result)
  }

  private static func lists(_ op: ArithmeticOperator, _ a: Operand, _ b: Operand, size: Int, type: DataType) throws(Failure)
    -> Operand
  {
    let rows = [a, b].rowsToCompute(a.count)
    // One side per item: a vector's own items, a constant number as it is, anything else repeated.
    func items(_ x: Operand) throws(Failure) -> Operand {
      if case .fixedSizeList = x.type { return Operand(try x.expandedUnless(rows == 1 && x.isConstant).items()) }
      if x.isConstant { return Operand(constant: x.column, count: rows * size) }
      var indices: [Int32] = []
      indices.reserveCapacity(rows * size)
      for i in 0..<rows { for _ in 0..<size { indices.append(Int32(i)) } }
      return Operand(try x.column.take(indices))
    }
    do throws(Failure) {
      let flat = try apply(op, try items(a), try items(b)).expanded()
      let column = Column(
        type: .vector(flat.type, size), count: rows, validity: try Validity.intersection([a, b], rows), buffers: [],
        children: [flat])
      return [a, b].areConstant ? Operand(constant: column, count: a.count) : Operand(column)
    } catch {
      guard let item = error.details["row"]?.intValue else { throw error }
      var copy = error
      copy.message += " (element \((Int(item) - 1) % max(1, size) + 1) of the list)"
      let row = (Int(item) - 1) / max(1, size) + 1
      copy.place = "row \(row)"
      copy.details["row"] = .int(Int64(row))
      throw copy
    }
  }

  private static func numbers(_ op: ArithmeticOperator, _ a: Operand, _ b: Operand, _ n: Int, _ type: DataType) throws(Failure)
    -> Column
  {
    switch type {
    case .int8: return try integers(op, a, b, n, Int8.self)
    case .int16: return try integers(op, a, b, n, Int16.self)
    case .int32: return try integers(op, a, b, n, Int32.self)
    case .int64: return try integers(op, a, b, n, Int64.self)
    case .uint8: return try integers(op, a, b, n, UInt8.self)
    case .uint16: return try integers(op, a, b, n, UInt16.self)
    case .uint32: return try integers(op, a, b, n, UInt32.self)
    case .uint64: return try integers(op, a, b, n, UInt64.self)
    case .float32: return try floats(op, a, b, n, Float.self) { powf($0, $1) }
    default: return try floats(op, a, b, n, Double.self) { pow($0, $1) }
    }
  }

  @inline(__always)
  private static func floats<T: Number & BinaryFloatingPoint>(
    _ op: ArithmeticOperator, _ a: Operand, _ b: Operand, _ n: Int, _: T.Type, power: (T, T) -> T
  ) throws(Failure) -> Column {
    let out = try Buffer(byteCount: n * MemoryLayout<T>.stride, zeroed: false)
    let (x, y) = (a.pointer(T.self), b.pointer(T.self))
    let z = out.pointer.assumingMemoryBound(to: T.self)
    switch op {
    case .add: zip(x, a.step, y, b.step, z, n) { $0 + $1 }
    case .subtract: zip(x, a.step, y, b.step, z, n) { $0 - $1 }
    case .multiply: zip(x, a.step, y, b.step, z, n) { $0 * $1 }
    case .divide: zip(x, a.step, y, b.step, z, n) { $0 / $1 }
    case .floorDivide: zip(x, a.step, y, b.step, z, n) { ($0 / $1).rounded(.down) }
    case .modulo: zip(x, a.step, y, b.step, z, n) { floorModulo($0, $1) }
    case .power: zip(x, a.step, y, b.step, z, n, power)
    }
    return Column(type: T.dataType, count: n, validity: try Validity.intersection([a, b], n), buffers: [out])
  }

  /// Lua's `%`: the result has the sign of the divisor.
  @inline(__always)
  private static func floorModulo<T: BinaryFloatingPoint>(_ x: T, _ y: T) -> T {
    let r = x.truncatingRemainder(dividingBy: y)
    return r != 0 && (r < 0) != (y < 0) ? r + y : r
  }

  @inline(__always)
  private static func zip<T, R>(
    _ x: UnsafePointer<T>, _ xStep: Int, _ y: UnsafePointer<T>, _ yStep: Int, _ z: UnsafeMutablePointer<R>, _ n: Int,
    _ f: (T, T) -> R
  ) {
    guard n > 0 else { return }
    if xStep == 0 {
      let left = x[0]
      for i in 0..<n { z[i] = f(left, y[i &* yStep]) }
    } else if yStep == 0 {
      let right = y[0]
      for i in 0..<n { z[i] = f(x[i], right) }
    } else {
      for i in 0..<n { z[i] = f(x[i], y[i]) }
    }
  }

  private static func integers<T: Number & FixedWidthInteger>(
    _ op: ArithmeticOperator, _ a: Operand, _ b: Operand, _ n: Int, _: T.Type
  ) throws(Failure) -> Column {
    let out = try Buffer(byteCount: n * MemoryLayout<T>.stride, zeroed: false)
    let (x, y) = (a.pointer(T.self), b.pointer(T.self))
    let z = out.pointer.assumingMemoryBound(to: T.self)
    var validity = try Validity.intersection([a, b], n)
    var overflowed = false
    switch op {
    case .add: zip(x, a.step, y, b.step, z, n) { checked($0.addingReportingOverflow($1), &overflowed) }
    case .subtract: zip(x, a.step, y, b.step, z, n) { checked($0.subtractingReportingOverflow($1), &overflowed) }
    case .multiply: zip(x, a.step, y, b.step, z, n) { checked($0.multipliedReportingOverflow(by: $1), &overflowed) }
    case .floorDivide, .modulo, .divide, .power:
      var zeros = false
      for i in 0..<n {
        let (l, r) = (x[i &* a.step], y[i &* b.step])
        if r == 0 {
          zeros = true
          z[i] = 0
        } else if op == .modulo {
          let rest = l.remainderReportingOverflow(dividingBy: r).partialValue
          z[i] = rest != 0 && (rest < 0) != (r < 0) ? rest &+ r : rest
        } else {
          let (quotient, o) = l.dividedReportingOverflow(by: r)
          overflowed = overflowed || o
          let rest = o ? 0 : l.remainderReportingOverflow(dividingBy: r).partialValue
          z[i] = rest != 0 && (rest < 0) != (r < 0) ? quotient &- 1 : quotient
        }
      }
      if zeros {
        let bits = try Bitmap.filled(n, true)
        for i in 0..<n {
          if y[i &* b.step] == 0 || validity.map({ !Bitmap.get($0.pointer, i) }) ?? false { Bitmap.set(bits.pointer, i, false) }
        }
        validity = bits
      }
    }
    if overflowed { try reportOverflow(op, x, a.step, y, b.step, n, validity) }
    return Column(type: T.dataType, count: n, validity: validity, buffers: [out])
  }

  @inline(__always)
  private static func checked<T>(_ pair: (partialValue: T, overflow: Bool), _ overflowed: inout Bool) -> T {
    overflowed = overflowed || pair.overflow
    return pair.partialValue
  }

  /// Finds the first valid row that overflowed; the slots of null rows hold anything and do not count.
  private static func reportOverflow<T: Number & FixedWidthInteger>(
    _ op: ArithmeticOperator, _ x: UnsafePointer<T>, _ xStep: Int, _ y: UnsafePointer<T>, _ yStep: Int, _ n: Int,
    _ validity: Buffer?
  ) throws(Failure) {
    for i in 0..<n where validity.map({ Bitmap.get($0.pointer, i) }) ?? true {
      let (l, r) = (x[i * xStep], y[i * yStep])
      let over =
        switch op {
        case .add: l.addingReportingOverflow(r).overflow
        case .subtract: l.subtractingReportingOverflow(r).overflow
        case .multiply: l.multipliedReportingOverflow(by: r).overflow
        default: l.dividedReportingOverflow(by: r).overflow
        }
      if over {
        throw rowFailure(
          .invalidArgument, "\(l) \(op.rawValue) \(r) does not fit \(T.dataType); cast to a wider type first", row: i)
      }
    }
  }

  /// `-a`. Unsigned integers become the next wider signed type.
  package static func negate(_ a: Operand) throws(Failure) -> Operand {
    let zero: Column
    switch itemType(a.type) {
    case .float32: zero = try .float32([-1])
    case .float64, .float16: zero = try .float64([-1])
    case let t where t.isInteger: zero = try Column.make(.int8, [-1 as Int8])
    default: throw Failure(.typeMismatch, "-\(a.type) is not possible")
    }
    return try apply(.multiply, a, Operand(constant: zero, count: a.count))
  }

  /// The type of `-a`; nil when there is none.
  package static func negated(_ type: DataType) -> DataType? {
    let item = itemType(type)
    guard item.isNumeric else { return item == .null ? .null : nil }
    return Promotion.arithmetic(.multiply, type, item.isInteger ? .int8 : item == .float32 ? .float32 : .float64)
  }

  private static func itemType(_ type: DataType) -> DataType {
    if case .fixedSizeList(let f, _) = type { return f.type }
    return type
  }
}

extension Operand {
  func expandedUnless(_ keep: Bool) throws(Failure) -> Column { keep ? column : try expanded() }
}
