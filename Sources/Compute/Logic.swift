import Columnar
package import Core

/// Three-valued (Kleene) logic on bool columns: `false & null` is false, `true | null` is true, other mixes with null are null.
package enum Logic {
  package static func and(_ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    try combine("&", a, b) { x, xv, y, yv in
      // value: both true; valid: both known, or one is a known false
      (x & y & xv & yv, (xv & yv) | (xv & ~x) | (yv & ~y))
    }
  }

  package static func or(_ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    try combine("|", a, b) { x, xv, y, yv in
      ((x & xv) | (y & yv), (xv & yv) | (xv & x) | (yv & y))
    }
  }

  package static func xor(_ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    try combine("xor", a, b) { x, xv, y, yv in (x ^ y, xv & yv) }
  }

  package static func not(_ a: Operand) throws(Failure) -> Operand {
    guard a.type == .bool || a.type == .null else { throw Failure(.typeMismatch, "~\(a.type) is not possible") }
    if a.type == .null { return a.with(try Column.nulls(.bool, count: a.column.count)) }
    let n = a.column.count
    let bits = try bits(a.column)
    let out = try Buffer(byteCount: Bitmap.byteCount(n))
    let (x, z) = (bits.values(of: UInt8.self), out.mutableValues(of: UInt8.self))
    for i in 0..<Bitmap.byteCount(n) { z[i] = ~x[i] }
    return a.with(Column(type: .bool, count: n, validity: try Validity.aligned(a.column), buffers: [out]))
  }

  /// The value bits at offset 0.
  static func bits(_ column: Column) throws(Failure) -> Buffer {
    if column.offset == 0 { return column.buffers[0] }
    let out = try Buffer(byteCount: Bitmap.byteCount(column.count))
    Bitmap.copy(column.buffers[0].pointer, column.offset, to: out.pointer, 0, count: column.count)
    return out
  }

  @inline(__always)
  private static func combine(
    _ name: String, _ a: Operand, _ b: Operand, _ f: (UInt8, UInt8, UInt8, UInt8) -> (UInt8, UInt8)
  ) throws(Failure) -> Operand {
    guard a.type == .bool || a.type == .null, b.type == .bool || b.type == .null else {
      throw Failure(.typeMismatch, "\(a.type) \(name) \(b.type) is not possible: both sides must be Boolean")
    }
    let n = [a, b].rowsToCompute(a.count)
    func parts(_ x: Operand) throws(Failure) -> (Buffer, Buffer?) {
      let column = x.type == .null ? try Column.nulls(.bool, count: x.column.count) : x.column
      let full = n == column.count ? column : try Operand(constant: column, count: n).expanded()
      return (try bits(full), try Validity.aligned(full))
    }
    let (x, xValid) = try parts(a)
    let (y, yValid) = try parts(b)
    let size = Bitmap.byteCount(n)
    let values = try Buffer(byteCount: size)
    let z = values.mutableValues(of: UInt8.self)
    let (p, q) = (x.values(of: UInt8.self), y.values(of: UInt8.self))
    var validity: Buffer?
    if xValid != nil || yValid != nil {
      let out = try Buffer(byteCount: size)
      let v = out.mutableValues(of: UInt8.self)
      let (s, t) = (xValid?.values(of: UInt8.self), yValid?.values(of: UInt8.self))
      for i in 0..<size { (z[i], v[i]) = f(p[i], s?[i] ?? 0xFF, q[i], t?[i] ?? 0xFF) }
      validity = out
    } else {
      for i in 0..<size { z[i] = f(p[i], 0xFF, q[i], 0xFF).0 }
    }
    let column = Column(type: .bool, count: n, validity: validity, buffers: [values])
    return [a, b].areConstant ? Operand(constant: column, count: a.count) : Operand(column)
  }
}

/// Tests for nulls and NaN, and ways to replace nulls. NaN is a value, not a null.
package enum Nulls {
  /// True where `a` is null (or, with `inverted`, where it is not). Never null itself.
  package static func isNull(_ a: Operand, inverted: Bool = false) throws(Failure) -> Operand {
    let c = a.column
    guard let valid = try Validity.aligned(c) else {
      return a.with(Column(type: .bool, count: c.count, buffers: [try Bitmap.filled(c.count, inverted)]))
    }
    if inverted { return a.with(Column(type: .bool, count: c.count, buffers: [valid])) }
    let out = try Buffer(byteCount: Bitmap.byteCount(c.count), zeroed: false)
    let (from, to) = (valid.values(of: UInt8.self), out.mutableValues(of: UInt8.self))
    for i in 0..<Bitmap.byteCount(c.count) { to[i] = ~from[i] }
    return a.with(Column(type: .bool, count: c.count, buffers: [out]))
  }

  /// True where `a` is NaN; null where it is null; integers never are.
  package static func isNaN(_ a: Operand) throws(Failure) -> Operand {
    try floatTest("is_nan", a, integers: false, { $0 != $0 }, { $0 != $0 })
  }

  /// True where `a` is neither NaN nor infinite; integers always are.
  package static func isFinite(_ a: Operand) throws(Failure) -> Operand {
    try floatTest("is_finite", a, integers: true, { $0.isFinite }, { $0.isFinite })
  }

  private static func floatTest(
    _ name: String, _ a: Operand, integers: Bool, _ f: (Float) -> Bool, _ d: (Double) -> Bool
  ) throws(Failure) -> Operand {
    let c = a.type == .float16 ? try Cast.cast(a.column, to: .float32) : a.column
    let valid = try Validity.aligned(c)
    switch c.type {
    case .float32:
      let x = c.values(of: Float.self)
      return a.with(try Validity.boolColumn(c.count, validity: valid) { f(x[$0]) })
    case .float64:
      let x = c.values(of: Double.self)
      return a.with(try Validity.boolColumn(c.count, validity: valid) { d(x[$0]) })
    case let t where t.isInteger: return a.with(try Validity.boolColumn(c.count, validity: valid) { _ in integers })
    case .null: return a.with(try Column.nulls(.bool, count: c.count))
    default: throw Failure(.typeMismatch, "\(name) needs a number, not \(c.type)")
    }
  }

  /// The first of `operands` that is not null, row by row. All have one type.
  package static func coalesce(_ operands: [Operand]) throws(Failure) -> Operand {
    guard let first = operands.first else { throw Failure(.invalidArgument, "coalesce needs at least one expression") }
    if operands.count == 1 || (!first.isConstant && first.column.nullCount == 0) { return first }
    if first.isConstant, first.column.isValid(0) { return first }
    let n = operands.rowsToCompute(first.count)
    return try Conditional.choose(operands, n, count: first.count) { i in
      operands.firstIndex { $0.isValid(i) } ?? 0
    }
  }
}

/// Row-wise choice among operands.
package enum Conditional {
  /// `when c1 then v1 ... otherwise v`, row by row: the value of the first condition that is true. All values have one type.
  package static func when(_ cases: [(condition: Operand, value: Operand)], otherwise: Operand) throws(Failure) -> Operand {
    for (condition, _) in cases where condition.type != .bool && condition.type != .null {
      throw Failure(.typeMismatch, "the condition of 'when' must be Boolean, not \(condition.type)")
    }
    let values = cases.map(\.value) + [otherwise]
    let n = (values + cases.map(\.condition)).rowsToCompute(otherwise.count)
    return try choose(values, n, count: otherwise.count) { i in
      for (k, c) in cases.enumerated() {
        let at = c.condition.isConstant ? 0 : i
        if c.condition.column.isValid(at), c.condition.column.bool(at) { return k }
      }
      return cases.count
    }
  }

  /// Row `i` of operand `pick(i)`.
  static func choose(_ values: [Operand], _ n: Int, count: Int, _ pick: (Int) -> Int) throws(Failure) -> Operand {
    let type = values[0].type
    for value in values where value.type != type {
      throw Failure(.typeMismatch, "the values are \(type) and \(value.type); cast them to one type")
    }
    // All sources behind each other, then one gather.
    var bases: [Int] = []
    var total = 0
    for value in values {
      bases.append(total)
      total += value.column.count
    }
    guard total <= Int(Int32.max) else { throw Failure(.memoryLimit, "\(total) rows are too many for one batch") }
    let all = try Column.concatenate(values.map(\.column), type: type)
    var indices: [Int32] = []
    indices.reserveCapacity(n)
    for i in 0..<n {
      let k = pick(i)
      indices.append(Int32(bases[k] + (values[k].isConstant ? 0 : i)))
    }
    let column = try all.take(indices)
    return n == 1 && count != 1 ? Operand(constant: column, count: count) : Operand(column)
  }
}
