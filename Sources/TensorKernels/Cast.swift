import Core

/// Conversion between element types. Floats to integers round towards zero, saturate at the ends and turn NaN into 0;
/// anything to bool asks "not zero"; integers to narrower integers saturate.
extension Kernels {
  /// out (type `to`) = a (type `from`). `loop` strides: out, a.
  package static func cast(
    from: DType, to: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) {
    switch from {
    case .bool, .u8: castFrom(typed(a, UInt8.self), to, loop, out)
    case .i32: castFrom(typed(a, Int32.self), to, loop, out)
    case .i64: castFrom(typed(a, Int64.self), to, loop, out)
    case .f32: castReal(typed(a, Float.self), to, loop, out)
    case .f64: castReal(typed(a, Double.self), to, loop, out)
    }
  }

  /// Fills `count` elements with `value`.
  package static func fill(_ type: DType, _ count: Int, out: UnsafeMutableRawPointer, value: Double) {
    switch type {
    case .bool: fillLoop(count, typed(out), UInt8(value == 0 ? 0 : 1))
    case .u8: fillLoop(count, typed(out), UInt8(saturating: value))
    case .i32: fillLoop(count, typed(out), Int32(saturating: value))
    case .i64: fillLoop(count, typed(out), Int64(saturating: value))
    case .f32: fillLoop(count, typed(out), Float(value))
    case .f64: fillLoop(count, typed(out), value)
    }
  }

  /// Fills `count` elements with a whole number; an i64 keeps all bits, narrower integers saturate.
  package static func fill(_ type: DType, _ count: Int, out: UnsafeMutableRawPointer, integer value: Int64) {
    switch type {
    case .bool: fillLoop(count, typed(out), UInt8(value == 0 ? 0 : 1))
    case .u8: fillLoop(count, typed(out), UInt8(clamping: value))
    case .i32: fillLoop(count, typed(out), Int32(clamping: value))
    case .i64: fillLoop(count, typed(out), value)
    case .f32: fillLoop(count, typed(out), Float(value))
    case .f64: fillLoop(count, typed(out), Double(value))
    }
  }

  /// One element as a Double (i64 beyond 2^53 rounds).
  package static func load(_ type: DType, _ p: UnsafeRawPointer, _ index: Int) -> Double {
    switch type {
    case .bool, .u8: Double(typed(p, UInt8.self)[index])
    case .i32: Double(typed(p, Int32.self)[index])
    case .i64: Double(typed(p, Int64.self)[index])
    case .f32: Double(typed(p, Float.self)[index])
    case .f64: typed(p, Double.self)[index]
    }
  }

  /// One element from a Double.
  package static func store(_ type: DType, _ p: UnsafeMutableRawPointer, _ index: Int, _ value: Double) {
    fill(type, 1, out: p + index * type.size, value: value)
  }
}

private func fillLoop<T: BitwiseCopyable>(_ count: Int, _ out: UnsafeMutablePointer<T>, _ value: T) {
  nonisolated(unsafe) let out = out
  Parallel.forEach(count: count, grain: 65536) { range in for i in range { out[i] = value } }
}

private func castFrom<T: Element & FixedWidthInteger>(
  _ a: UnsafePointer<T>, _ to: DType, _ loop: StridedLoop, _ out: UnsafeMutableRawPointer
) {
  switch to {
  case .bool: unaryLoop(loop, typed(out, UInt8.self), a) { $0 == 0 ? 0 : 1 }
  case .u8: unaryLoop(loop, typed(out, UInt8.self), a) { UInt8(clamping: $0) }
  case .i32: unaryLoop(loop, typed(out, Int32.self), a) { Int32(clamping: $0) }
  case .i64: unaryLoop(loop, typed(out, Int64.self), a) { Int64($0) }
  case .f32: unaryLoop(loop, typed(out, Float.self), a) { Float($0) }
  case .f64: unaryLoop(loop, typed(out, Double.self), a) { Double($0) }
  }
}

private func castReal<T: Real>(_ a: UnsafePointer<T>, _ to: DType, _ loop: StridedLoop, _ out: UnsafeMutableRawPointer) {
  switch to {
  case .bool: unaryLoop(loop, typed(out, UInt8.self), a) { $0 == 0 ? 0 : 1 }
  case .u8: unaryLoop(loop, typed(out, UInt8.self), a) { UInt8(saturating: Double($0)) }
  case .i32: unaryLoop(loop, typed(out, Int32.self), a) { Int32(saturating: Double($0)) }
  case .i64: unaryLoop(loop, typed(out, Int64.self), a) { Int64(saturating: Double($0)) }
  case .f32: unaryLoop(loop, typed(out, Float.self), a) { Float($0) }
  case .f64: unaryLoop(loop, typed(out, Double.self), a) { Double($0) }
  }
}
