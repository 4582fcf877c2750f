package import Columnar
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Numeric functions of one argument, and clip. Fixed-size lists go element by element.
package enum Math {
  package enum Function: String, Sendable, Hashable, CaseIterable {
    case abs, floor, ceil, sqrt, exp, log, log2, log10, sin, cos, tan, tanh, sign
  }

  /// The result type: integers stay integers under abs, floor, ceil and sign; everything else is f32 for f32, else f64.
  package static func resultType(_ f: Function, _ type: DataType) -> DataType? {
    if case .fixedSizeList(let item, let n) = type { return resultType(f, item.type).map { .vector($0, n) } }
    if type == .null { return .null }
    guard type.isNumeric else { return nil }
    switch f {
    case .abs, .floor, .ceil, .sign: return type == .float16 ? .float32 : type
    default: return type == .float32 || type == .float16 ? .float32 : .float64
    }
  }

  package static func apply(_ f: Function, _ a: Operand) throws(Failure) -> Operand {
    guard let type = resultType(f, a.type) else { throw Failure(.typeMismatch, "\(f.rawValue) needs a number, not \(a.type)") }
    return a.with(try overItems(a.column, type) { column, type throws(Failure) in try compute(f, column, type) })
  }

  /// Rounds half away from zero to `digits` decimals (negative: tens, hundreds). Integers with
  /// `digits >= 0` stay as they are.
  package static func round(_ a: Operand, digits: Int) throws(Failure) -> Operand {
    guard (-18...18).contains(digits) else {
      throw Failure(.invalidArgument, "round: \(digits) digits; -18 to 18 are possible")
    }
    guard let type = resultType(.abs, a.type) else { throw Failure(.typeMismatch, "round needs a number, not \(a.type)") }
    let scale = pow(10.0, Double(Swift.abs(digits)))
    func one(_ x: Double) -> Double {
      let y = digits >= 0 ? (x * scale).rounded() / scale : (x / scale).rounded() * scale
      return y.isFinite ? y : x
    }
    return a.with(
      try overItems(a.column, type) { column, type throws(Failure) in
        if type.isInteger {
          if digits >= 0 { return column }
          let wide = try map(try Cast.cast(column, to: .float64), Double.self, one)
          return try Cast.cast(wide, to: type)
        }
        let c = try Cast.cast(column, to: type)
        return type == .float32 ? try map(c, Float.self) { Float(one(Double($0))) } : try map(c, Double.self, one)
      })
  }

  /// Values below `low` become `low`, above `high` become `high`; NaN stays NaN. The type is kept.
  package static func clip(_ a: Operand, low: Double?, high: Double?) throws(Failure) -> Operand {
    if let low, let high, !(low <= high) { throw Failure(.invalidArgument, "clip: \(low) to \(high) is an empty range") }
    guard let type = resultType(.abs, a.type) else { throw Failure(.typeMismatch, "clip needs a number, not \(a.type)") }
    return a.with(
      try overItems(a.column, type) { column, type throws(Failure) in
        let c = try Cast.cast(column, to: type)
        let (l, h) = (low ?? -.infinity, high ?? .infinity)
        switch type {
        case .float32: return try map(c, Float.self) { $0 < Float(l) ? Float(l) : $0 > Float(h) ? Float(h) : $0 }
        case .float64: return try map(c, Double.self) { $0 < l ? l : $0 > h ? h : $0 }
        case .int8: return try clipped(c, Int8.self, l, h)
        case .int16: return try clipped(c, Int16.self, l, h)
        case .int32: return try clipped(c, Int32.self, l, h)
        case .int64: return try clipped(c, Int64.self, l, h)
        case .uint8: return try clipped(c, UInt8.self, l, h)
        case .uint16: return try clipped(c, UInt16.self, l, h)
        case .uint32: return try clipped(c, UInt32.self, l, h)
        default: return try clipped(c, UInt64.self, l, h)
        }
      })
  }

  private static func clipped<T: Number & FixedWidthInteger>(_ c: Column, _: T.Type, _ low: Double, _ high: Double)
    throws(Failure) -> Column
  {
    // Bounds inwards to whole numbers of the type.
    func bound(_ x: Double, _ rule: FloatingPointRoundingRule) -> T {
      let y = x.rounded(rule)
      return y <= Double(T.min) ? T.min : y >= Double(T.max) ? T.max : T(y)
    }
    let (l, h) = (bound(low, .up), bound(high, .down))
    return try map(c, T.self) { $0 < l ? l : $0 > h ? h : $0 }
  }

  /// Runs `f` on a plain column, or on the items of a fixed-size list.
  static func overItems(
    _ column: Column, _ type: DataType, _ f: (Column, DataType) throws(Failure) -> Column
  ) throws(Failure) -> Column {
    if column.type == .null { return column }
    guard case .fixedSizeList(_, let size) = column.type, case .fixedSizeList(let item, _) = type else {
      return try f(column, type)
    }
    let items = try f(column.items(), item.type)
    return Column(
      type: .vector(items.type, size), count: column.count, validity: try Validity.aligned(column), buffers: [],
      children: [items])
  }

  @inline(__always)
  static func map<T: Number>(_ c: Column, _: T.Type, _ f: (T) -> T) throws(Failure) -> Column {
    let out = try Buffer(byteCount: c.count * MemoryLayout<T>.stride, zeroed: false)
    let x = UnsafePointer(c.buffers[0].pointer.assumingMemoryBound(to: T.self) + c.offset)
    let z = out.pointer.assumingMemoryBound(to: T.self)
    for i in 0..<c.count { z[i] = f(x[i]) }
    return Column(type: T.dataType, count: c.count, validity: try Validity.aligned(c), buffers: [out])
  }

  private static func compute(_ f: Function, _ column: Column, _ type: DataType) throws(Failure) -> Column {
    let c = try Cast.cast(column, to: type)
    switch type {
    case .float32: return try float32(f, c)
    case .float64: return try float64(f, c)
    case .int8: return try integer(f, c, Int8.self)
    case .int16: return try integer(f, c, Int16.self)
    case .int32: return try integer(f, c, Int32.self)
    case .int64: return try integer(f, c, Int64.self)
    default: return f == .sign ? try Comparison.sign(unsigned: c) : c
    }
  }

  private static func integer<T: Number & FixedWidthInteger>(_ f: Function, _ c: Column, _: T.Type) throws(Failure) -> Column {
    switch f {
    case .abs:
      let x = c.values(of: T.self)
      for i in 0..<c.count where x[i] == T.min && c.isValid(i) {
        throw rowFailure(.invalidArgument, "abs(\(x[i])) does not fit \(T.dataType); cast to a wider type first", row: i)
      }
      return try map(c, T.self) { $0 < 0 ? 0 &- $0 : $0 }
    case .sign: return try map(c, T.self) { $0.signum() }
    default: return c
    }
  }

  private static func float64(_ f: Function, _ c: Column) throws(Failure) -> Column {
    switch f {
    case .abs: return try map(c, Double.self) { Swift.abs($0) }
    case .floor: return try map(c, Double.self) { $0.rounded(.down) }
    case .ceil: return try map(c, Double.self) { $0.rounded(.up) }
    case .sqrt: return try map(c, Double.self) { $0.squareRoot() }
    case .exp: return try map(c, Double.self) { cExp($0) }
    case .log: return try map(c, Double.self) { cLog($0) }
    case .log2: return try map(c, Double.self) { cLog2($0) }
    case .log10: return try map(c, Double.self) { cLog10($0) }
    case .sin: return try map(c, Double.self) { cSin($0) }
    case .cos: return try map(c, Double.self) { cCos($0) }
    case .tan: return try map(c, Double.self) { cTan($0) }
    case .tanh: return try map(c, Double.self) { cTanh($0) }
    case .sign: return try map(c, Double.self) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }
    }
  }

  private static func float32(_ f: Function, _ c: Column) throws(Failure) -> Column {
    switch f {
    case .abs: return try map(c, Float.self) { Swift.abs($0) }
    case .floor: return try map(c, Float.self) { $0.rounded(.down) }
    case .ceil: return try map(c, Float.self) { $0.rounded(.up) }
    case .sqrt: return try map(c, Float.self) { $0.squareRoot() }
    case .exp: return try map(c, Float.self) { expf($0) }
    case .log: return try map(c, Float.self) { logf($0) }
    case .log2: return try map(c, Float.self) { log2f($0) }
    case .log10: return try map(c, Float.self) { log10f($0) }
    case .sin: return try map(c, Float.self) { sinf($0) }
    case .cos: return try map(c, Float.self) { cosf($0) }
    case .tan: return try map(c, Float.self) { tanf($0) }
    case .tanh: return try map(c, Float.self) { tanhf($0) }
    case .sign: return try map(c, Float.self) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }
    }
  }
}

extension Comparison {
  /// 1 where an unsigned value is not 0, in its own type.
  static func sign(unsigned c: Column) throws(Failure) -> Column {
    try Cast.cast(try Cast.cast(c, to: .bool), to: c.type)
  }
}

// The C library's functions under names that the cases of `Math.Function` do not hide.
private func cExp(_ x: Double) -> Double { exp(x) }
private func cLog(_ x: Double) -> Double { log(x) }
private func cLog2(_ x: Double) -> Double { log2(x) }
private func cLog10(_ x: Double) -> Double { log10(x) }
private func cSin(_ x: Double) -> Double { sin(x) }
private func cCos(_ x: Double) -> Double { cos(x) }
private func cTan(_ x: Double) -> Double { tan(x) }
private func cTanh(_ x: Double) -> Double { tanh(x) }
