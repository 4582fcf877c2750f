import Columnar
import Core

/// Conversions among int8 ... uint64, float32 and float64, checked; see `Cast`.
enum NumberCast {
  /// `column` as the plain number type `target`; `shown` is the type named in a message.
  static func convert(_ column: Column, to target: DataType, _ lenient: Bool, shown: DataType) throws(Failure) -> Column {
    switch column.type {
    case .int8: return try integer(column, Int8.self, target, lenient, shown)
    case .int16: return try integer(column, Int16.self, target, lenient, shown)
    case .int32: return try integer(column, Int32.self, target, lenient, shown)
    case .int64: return try integer(column, Int64.self, target, lenient, shown)
    case .uint8: return try integer(column, UInt8.self, target, lenient, shown)
    case .uint16: return try integer(column, UInt16.self, target, lenient, shown)
    case .uint32: return try integer(column, UInt32.self, target, lenient, shown)
    case .uint64: return try integer(column, UInt64.self, target, lenient, shown)
    case .float32: return try float(column, Float.self, target, lenient, shown)
    case .float64: return try float(column, Double.self, target, lenient, shown)
    default: throw Failure(.typeMismatch, "\(column.type) cannot be cast to \(shown)")
    }
  }

  private static func integer<S: Number & FixedWidthInteger>(
    _ column: Column, _: S.Type, _ target: DataType, _ lenient: Bool, _ shown: DataType
  ) throws(Failure) -> Column {
    func to<D: Number & FixedWidthInteger>(_: D.Type) throws(Failure) -> Column {
      try checked(column, S.self, D.self, lenient, shown) {
        D(truncatingIfNeeded: $0)
      } fits: {
        S(truncatingIfNeeded: $1) == $0 && ($0 < 0) == ($1 < 0)
      }
    }
    switch target {
    case .int8: return try to(Int8.self)
    case .int16: return try to(Int16.self)
    case .int32: return try to(Int32.self)
    case .int64: return try to(Int64.self)
    case .uint8: return try to(UInt8.self)
    case .uint16: return try to(UInt16.self)
    case .uint32: return try to(UInt32.self)
    case .uint64: return try to(UInt64.self)
    case .float32: return try plain(column, S.self, Float.self) { Float($0) }
    case .float64: return try plain(column, S.self, Double.self) { Double($0) }
    default: throw Failure(.typeMismatch, "\(column.type) cannot be cast to \(shown)")
    }
  }

  private static func float<S: Number & BinaryFloatingPoint>(
    _ column: Column, _: S.Type, _ target: DataType, _ lenient: Bool, _ shown: DataType
  ) throws(Failure) -> Column {
    func to<D: Number & FixedWidthInteger>(_: D.Type) throws(Failure) -> Column {
      // -2^(n-1) and 2^n are exact in both float types, so these bounds are exact too.
      let low = D.isSigned ? S(D.min) : -1
      let high = S(sign: .plus, exponent: S.Exponent(D.isSigned ? D.bitWidth - 1 : D.bitWidth), significand: 1)
      return try checked(column, S.self, D.self, lenient, shown) { value in
        let cut = value.rounded(.towardZero)
        return cut >= (D.isSigned ? low : 0) && cut < high ? D(cut) : 0
      } fits: { value, _ in
        let cut = value.rounded(.towardZero)
        return cut >= (D.isSigned ? low : 0) && cut < high
      }
    }
    switch target {
    case .int8: return try to(Int8.self)
    case .int16: return try to(Int16.self)
    case .int32: return try to(Int32.self)
    case .int64: return try to(Int64.self)
    case .uint8: return try to(UInt8.self)
    case .uint16: return try to(UInt16.self)
    case .uint32: return try to(UInt32.self)
    case .uint64: return try to(UInt64.self)
    case .float32: return try plain(column, S.self, Float.self) { Float($0) }
    case .float64: return try plain(column, S.self, Double.self) { Double($0) }
    default: throw Failure(.typeMismatch, "\(column.type) cannot be cast to \(shown)")
    }
  }

  @inline(__always)
  private static func plain<S: Number, D: Number>(_ column: Column, _: S.Type, _: D.Type, _ f: (S) -> D) throws(Failure)
    -> Column
  {
    let n = column.count
    let out = try Buffer(byteCount: n * MemoryLayout<D>.stride, zeroed: false)
    let x = UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: S.self) + column.offset)
    let z = out.pointer.assumingMemoryBound(to: D.self)
    for i in 0..<n { z[i] = f(x[i]) }
    return Column(type: D.dataType, count: n, validity: try Validity.aligned(column), buffers: [out])
  }

  @inline(__always)
  private static func checked<S: Number, D: Number>(
    _ column: Column, _: S.Type, _: D.Type, _ lenient: Bool, _ shown: DataType, _ f: (S) -> D, fits: (S, D) -> Bool
  ) throws(Failure) -> Column {
    let n = column.count
    let out = try Buffer(byteCount: n * MemoryLayout<D>.stride, zeroed: false)
    let x = UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: S.self) + column.offset)
    let z = out.pointer.assumingMemoryBound(to: D.self)
    var good = true
    for i in 0..<n {
      let d = f(x[i])
      z[i] = d
      good = good && fits(x[i], d)
    }
    var validity = try Validity.aligned(column)
    if !good {
      let bits = try Bitmap.filled(n, true)
      for i in 0..<n {
        let isNull = validity.map { !Bitmap.get($0.pointer, i) } ?? false
        let fit = fits(x[i], z[i])
        if !fit, !isNull, !lenient {
          throw rowFailure(.invalidArgument, "\(x[i]) does not fit \(shown)", row: i)
        }
        if isNull || !fit { Bitmap.set(bits.pointer, i, false) }
      }
      validity = bits
    }
    return Column(type: D.dataType, count: n, validity: validity, buffers: [out])
  }
}
