import Core

/// Element by element with broadcasting (stride 0) and any strides. Where rows are contiguous the loops vectorise.

package enum BinaryOp: String, CaseIterable, Sendable {
  case add, sub, mul, div, floordiv, mod, pow, maximum, minimum
}
package enum CompareOp: String, CaseIterable, Sendable { case eq, ne, lt, le, gt, ge }
package enum LogicOp: String, CaseIterable, Sendable { case and, or, xor }
package enum UnaryOp: String, CaseIterable, Sendable {
  case neg, abs, sign, square, exp, log, log1p, sqrt, rsqrt, reciprocal, tanh, sigmoid, relu, gelu, silu, sin, cos, floor, ceil
  case round, softplus
}

extension Kernels {
  /// out = a op b. All three of `type`; `div` and `pow` only for floats. `loop` strides: out, a, b.
  package static func binary(
    _ op: BinaryOp, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer, b: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: integerBinary(op, loop, typed(out, UInt8.self), typed(a), typed(b))
    case .i32: integerBinary(op, loop, typed(out, Int32.self), typed(a), typed(b))
    case .i64: integerBinary(op, loop, typed(out, Int64.self), typed(a), typed(b))
    case .f32: realBinary(op, loop, typed(out, Float.self), typed(a), typed(b))
    case .f64: realBinary(op, loop, typed(out, Double.self), typed(a), typed(b))
    }
  }

  /// out (bool) = a op b, a and b of `type`. `loop` strides: out, a, b.
  package static func compare(
    _ op: CompareOp, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer, b: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: comparison(op, loop, typed(out), typed(a, UInt8.self), typed(b))
    case .i32: comparison(op, loop, typed(out), typed(a, Int32.self), typed(b))
    case .i64: comparison(op, loop, typed(out), typed(a, Int64.self), typed(b))
    case .f32: comparison(op, loop, typed(out), typed(a, Float.self), typed(b))
    case .f64: comparison(op, loop, typed(out), typed(a, Double.self), typed(b))
    }
  }

  /// out = a op b on bools (0 or 1). `loop` strides: out, a, b.
  package static func logic(
    _ op: LogicOp, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer, b: UnsafeRawPointer
  ) {
    let (o, x, y): (UnsafeMutablePointer<UInt8>, UnsafePointer<UInt8>, UnsafePointer<UInt8>) = (typed(out), typed(a), typed(b))
    switch op {
    case .and: binaryLoop(loop, o, x, y) { $0 & $1 }
    case .or: binaryLoop(loop, o, x, y) { $0 | $1 }
    case .xor: binaryLoop(loop, o, x, y) { $0 ^ $1 }
    }
  }

  /// out = op(a). Integers take neg, abs, sign, square, relu; floats all. `loop` strides: out, a.
  package static func unary(
    _ op: UnaryOp, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: integerUnary(op, loop, typed(out, UInt8.self), typed(a))
    case .i32: integerUnary(op, loop, typed(out, Int32.self), typed(a))
    case .i64: integerUnary(op, loop, typed(out, Int64.self), typed(a))
    case .f32: realUnary(op, loop, typed(out, Float.self), typed(a))
    case .f64: realUnary(op, loop, typed(out, Double.self), typed(a))
    }
  }

  /// out = g * op'(.), where `saved` is op's output for exp, sqrt, rsqrt, reciprocal, tanh, sigmoid and relu
  /// (`UnaryOp.savesOutput`) and its input for the others. `loop` strides: out, g, saved.
  package static func unaryGradient(
    _ op: UnaryOp, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    saved: UnsafeRawPointer
  ) {
    if type == .f32 {
      realUnaryGradient(op, loop, typed(out, Float.self), typed(g), typed(saved))
    } else {
      realUnaryGradient(op, loop, typed(out, Double.self), typed(g), typed(saved))
    }
  }

  /// out = min(max(a, low), high); NaN stays NaN. `loop` strides: out, a.
  package static func clamp(
    _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer, low: Double, high: Double
  ) {
    switch type {
    case .bool, .u8: clampLoop(loop, typed(out, UInt8.self), typed(a), low, high)
    case .i32: clampLoop(loop, typed(out, Int32.self), typed(a), low, high)
    case .i64: clampLoop(loop, typed(out, Int64.self), typed(a), low, high)
    case .f32: clampLoop(loop, typed(out, Float.self), typed(a), low, high)
    case .f64: clampLoop(loop, typed(out, Double.self), typed(a), low, high)
    }
  }

  /// out = condition ? a : b. `size`: bytes of one element. `loop` strides: out, condition, a, b.
  package static func select(
    size: Int, _ loop: StridedLoop, out: UnsafeMutableRawPointer, condition: UnsafeRawPointer, a: UnsafeRawPointer,
    b: UnsafeRawPointer
  ) {
    switch size {
    case 1: selectLoop(loop, typed(out, UInt8.self), typed(condition), typed(a), typed(b))
    case 4: selectLoop(loop, typed(out, UInt32.self), typed(condition), typed(a), typed(b))
    default: selectLoop(loop, typed(out, UInt64.self), typed(condition), typed(a), typed(b))
    }
  }

  /// out = a, same type. `loop` strides: out, a.
  package static func copy(size: Int, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer) {
    switch size {
    case 1: unaryLoop(loop, typed(out, UInt8.self), typed(a)) { $0 }
    case 4: unaryLoop(loop, typed(out, UInt32.self), typed(a)) { $0 }
    default: unaryLoop(loop, typed(out, UInt64.self), typed(a)) { $0 }
    }
  }

  /// True when an integer array (strides as in `loop`: a) holds a zero: the divisor check.
  package static func holdsZero(_ type: DType, _ count: Int, a: UnsafeRawPointer) -> Bool {
    func scan<T: Element>(_ p: UnsafePointer<T>) -> Bool {
      for i in 0..<count where p[i] == T.zero { return true }
      return false
    }
    switch type {
    case .bool, .u8: return scan(typed(a, UInt8.self))
    case .i32: return scan(typed(a, Int32.self))
    case .i64: return scan(typed(a, Int64.self))
    case .f32, .f64: return false
    }
  }
}

extension UnaryOp {
  /// Whether the gradient is made from the output (true) or the input (false).
  package var savesOutput: Bool {
    switch self {
    case .exp, .sqrt, .rsqrt, .reciprocal, .tanh, .sigmoid, .relu: true
    default: false
    }
  }
  /// What integers can do.
  package var takesIntegers: Bool { [.neg, .abs, .sign, .square, .relu].contains(self) }
}

@inline(__always)
func unaryLoop<T: BitwiseCopyable, R: BitwiseCopyable>(
  _ loop: StridedLoop, _ out: UnsafeMutablePointer<R>, _ a: UnsafePointer<T>, _ f: (T) -> R
) {
  let step = loop.step
  nonisolated(unsafe) let (out, a, f) = (out, a, f)
  loop.run { offset, n in
    let (o, x) = (out + offset[0], a + offset[1])
    if step[0] == 1, step[1] == 1 {
      for i in 0..<n { o[i] = f(x[i]) }
    } else {
      let (so, sx) = (step[0], step[1])
      for i in 0..<n { o[i &* so] = f(x[i &* sx]) }
    }
  }
}

@inline(__always)
func binaryLoop<T: BitwiseCopyable, U: BitwiseCopyable, R: BitwiseCopyable>(
  _ loop: StridedLoop, _ out: UnsafeMutablePointer<R>, _ a: UnsafePointer<T>, _ b: UnsafePointer<U>, _ f: (T, U) -> R
) {
  let step = loop.step
  nonisolated(unsafe) let (out, a, b, f) = (out, a, b, f)
  loop.run { offset, n in
    let (o, x, y) = (out + offset[0], a + offset[1], b + offset[2])
    if step[0] == 1, step[1] == 1, step[2] == 1 {
      for i in 0..<n { o[i] = f(x[i], y[i]) }
    } else if step[0] == 1, step[1] == 1, step[2] == 0 {
      let second = y[0]
      for i in 0..<n { o[i] = f(x[i], second) }
    } else if step[0] == 1, step[1] == 0, step[2] == 1 {
      let first = x[0]
      for i in 0..<n { o[i] = f(first, y[i]) }
    } else {
      let (so, sx, sy) = (step[0], step[1], step[2])
      for i in 0..<n { o[i &* so] = f(x[i &* sx], y[i &* sy]) }
    }
  }
}

private func integerBinary<T: Element & FixedWidthInteger>(
  _ op: BinaryOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>, _ b: UnsafePointer<T>
) {
  switch op {
  case .add: binaryLoop(loop, out, a, b) { T.plus($0, $1) }
  case .sub: binaryLoop(loop, out, a, b) { T.minus($0, $1) }
  case .mul: binaryLoop(loop, out, a, b) { T.times($0, $1) }
  case .floordiv: binaryLoop(loop, out, a, b) { T.floorDivide($0, $1) }
  case .mod: binaryLoop(loop, out, a, b) { T.modulo($0, $1) }
  case .maximum: binaryLoop(loop, out, a, b) { T.larger($0, $1) }
  case .minimum: binaryLoop(loop, out, a, b) { T.smaller($0, $1) }
  case .div, .pow: preconditionFailure("div and pow work on floats")
  }
}

private func realBinary<T: Real>(
  _ op: BinaryOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>, _ b: UnsafePointer<T>
) {
  switch op {
  case .add: binaryLoop(loop, out, a, b) { $0 + $1 }
  case .sub: binaryLoop(loop, out, a, b) { $0 - $1 }
  case .mul: binaryLoop(loop, out, a, b) { $0 * $1 }
  case .div: binaryLoop(loop, out, a, b) { $0 / $1 }
  case .floordiv: binaryLoop(loop, out, a, b) { T.floorDivide($0, $1) }
  case .mod: binaryLoop(loop, out, a, b) { T.modulo($0, $1) }
  case .pow: binaryLoop(loop, out, a, b) { T.power($0, $1) }
  case .maximum: binaryLoop(loop, out, a, b) { T.larger($0, $1) }
  case .minimum: binaryLoop(loop, out, a, b) { T.smaller($0, $1) }
  }
}

private func comparison<T: Element>(
  _ op: CompareOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<UInt8>, _ a: UnsafePointer<T>, _ b: UnsafePointer<T>
) {
  switch op {
  case .eq: binaryLoop(loop, out, a, b) { $0 == $1 ? 1 : 0 }
  case .ne: binaryLoop(loop, out, a, b) { $0 != $1 ? 1 : 0 }
  case .lt: binaryLoop(loop, out, a, b) { $0 < $1 ? 1 : 0 }
  case .le: binaryLoop(loop, out, a, b) { $0 <= $1 ? 1 : 0 }
  case .gt: binaryLoop(loop, out, a, b) { $0 > $1 ? 1 : 0 }
  case .ge: binaryLoop(loop, out, a, b) { $0 >= $1 ? 1 : 0 }
  }
}

private func integerUnary<T: Element>(
  _ op: UnaryOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) {
  switch op {
  case .neg: unaryLoop(loop, out, a) { T.negate($0) }
  case .abs: unaryLoop(loop, out, a) { T.absolute($0) }
  case .sign: unaryLoop(loop, out, a) { $0 > T.zero ? T.one : $0 < T.zero ? T.negate(T.one) : T.zero }
  case .square: unaryLoop(loop, out, a) { T.times($0, $0) }
  case .relu: unaryLoop(loop, out, a) { T.larger($0, T.zero) }
  default: preconditionFailure("\(op) works on floats")
  }
}

private func realUnary<T: Real>(
  _ op: UnaryOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) {
  let rootHalf = T(0.5).squareRoot()
  switch op {
  case .neg: unaryLoop(loop, out, a) { -$0 }
  case .abs: unaryLoop(loop, out, a) { $0.magnitude }
  case .sign: unaryLoop(loop, out, a) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0.isNaN ? $0 : 0 }
  case .square: unaryLoop(loop, out, a) { $0 * $0 }
  case .exp: unaryLoop(loop, out, a) { T.exponential($0) }
  case .log: unaryLoop(loop, out, a) { T.logarithm($0) }
  case .log1p: unaryLoop(loop, out, a) { T.log1plus($0) }
  case .sqrt: unaryLoop(loop, out, a) { $0.squareRoot() }
  case .rsqrt: unaryLoop(loop, out, a) { 1 / $0.squareRoot() }
  case .reciprocal: unaryLoop(loop, out, a) { 1 / $0 }
  case .tanh: unaryLoop(loop, out, a) { T.hyperbolicTangent($0) }
  case .sigmoid: unaryLoop(loop, out, a) { sigmoid($0) }
  case .relu: unaryLoop(loop, out, a) { $0 < 0 ? 0 : $0 }
  case .gelu: unaryLoop(loop, out, a) { $0 * T(0.5) * (1 + T.errorFunction($0 * rootHalf)) }
  case .silu: unaryLoop(loop, out, a) { $0 * sigmoid($0) }
  case .sin: unaryLoop(loop, out, a) { T.sine($0) }
  case .cos: unaryLoop(loop, out, a) { T.cosine($0) }
  case .floor: unaryLoop(loop, out, a) { $0.rounded(.down) }
  case .ceil: unaryLoop(loop, out, a) { $0.rounded(.up) }
  case .round: unaryLoop(loop, out, a) { $0.rounded(.toNearestOrEven) }
  case .softplus: unaryLoop(loop, out, a) { ($0 > 0 ? $0 : 0) + T.log1plus(T.exponential(-$0.magnitude)) }
  }
}

/// 1 / (1 + e^-x) without overflow on either side.
@inline(__always) func sigmoid<T: Real>(_ x: T) -> T {
  let e = T.exponential(-x.magnitude)
  return x >= 0 ? 1 / (1 + e) : e / (1 + e)
}

private func realUnaryGradient<T: Real>(
  _ op: UnaryOp, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ s: UnsafePointer<T>
) {
  let rootHalf = T(0.5).squareRoot()
  let density = T(0.3989422804014327)  // 1 / sqrt(2 pi)
  switch op {
  case .neg: binaryLoop(loop, out, g, s) { g, _ in -g }
  case .abs: binaryLoop(loop, out, g, s) { g, x in x > 0 ? g : x < 0 ? -g : 0 }
  case .sign, .floor, .ceil, .round: binaryLoop(loop, out, g, s) { _, _ in 0 }
  case .square: binaryLoop(loop, out, g, s) { g, x in 2 * g * x }
  case .exp: binaryLoop(loop, out, g, s) { g, y in g * y }
  case .log: binaryLoop(loop, out, g, s) { g, x in g / x }
  case .log1p: binaryLoop(loop, out, g, s) { g, x in g / (1 + x) }
  case .sqrt: binaryLoop(loop, out, g, s) { g, y in g / (2 * y) }
  case .rsqrt: binaryLoop(loop, out, g, s) { g, y in -g * y * y * y / 2 }
  case .reciprocal: binaryLoop(loop, out, g, s) { g, y in -g * y * y }
  case .tanh: binaryLoop(loop, out, g, s) { g, y in g * (1 - y * y) }
  case .sigmoid: binaryLoop(loop, out, g, s) { g, y in g * y * (1 - y) }
  case .relu: binaryLoop(loop, out, g, s) { g, y in y > 0 ? g : 0 }
  case .gelu:
    binaryLoop(loop, out, g, s) { g, x in
      g * (T(0.5) * (1 + T.errorFunction(x * rootHalf)) + x * density * T.exponential(-x * x / 2))
    }
  case .silu:
    binaryLoop(loop, out, g, s) { g, x in
      let y = sigmoid(x)
      return g * y * (1 + x * (1 - y))
    }
  case .sin: binaryLoop(loop, out, g, s) { g, x in g * T.cosine(x) }
  case .cos: binaryLoop(loop, out, g, s) { g, x in -g * T.sine(x) }
  case .softplus: binaryLoop(loop, out, g, s) { g, x in g * sigmoid(x) }
  }
}

private func clampLoop<T: Element>(
  _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>, _ low: Double, _ high: Double
) {
  let (low, high) = (T(saturating: low), T(saturating: high))
  unaryLoop(loop, out, a) { x in x < low ? low : x > high ? high : x }
}

private func selectLoop<T: BitwiseCopyable>(
  _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ condition: UnsafePointer<UInt8>, _ a: UnsafePointer<T>,
  _ b: UnsafePointer<T>
) {
  let step = loop.step
  nonisolated(unsafe) let (out, condition, a, b) = (out, condition, a, b)
  loop.run { offset, n in
    let (o, c, x, y) = (out + offset[0], condition + offset[1], a + offset[2], b + offset[3])
    for i in 0..<n { o[i &* step[0]] = c[i &* step[1]] != 0 ? x[i &* step[2]] : y[i &* step[3]] }
  }
}
