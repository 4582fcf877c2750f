import Core

/// Activations with kinks or settings, element by element; the plain ones are in `UnaryOp`. `slope` is read by leaky_relu and elu.
package enum Activation: String, CaseIterable, Sendable {
  case leakyRelu = "leaky_relu"
  case elu, selu, mish, hardswish, hardsigmoid, relu6, softsign, erf
  case logSigmoid = "logsigmoid"
  case geluTanh = "gelu_tanh"
}

extension Kernels {
  /// out = op(a), floats. `loop` strides: out, a.
  package static func activation(
    _ op: Activation, slope: Double, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) {
    if type == .f32 {
      forward(op, Float(slope), loop, typed(out), typed(a))
    } else {
      forward(op, slope, loop, typed(out), typed(a))
    }
  }

  /// out = g * op'(x). `loop` strides: out, g, x.
  package static func activationGradient(
    _ op: Activation, slope: Double, _ type: DType, _ loop: StridedLoop, out: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    x: UnsafeRawPointer
  ) {
    if type == .f32 {
      gradient(op, Float(slope), loop, typed(out), typed(g), typed(x))
    } else {
      gradient(op, slope, loop, typed(out), typed(g), typed(x))
    }
  }
}

/// e^x - 1 for x <= 0, without the loss of digits near 0: 2 t / (1 - t), t = tanh(x / 2).
@inline(__always) private func exponentialMinusOne<T: Real>(_ x: T) -> T {
  let t = T.hyperbolicTangent(x / 2)
  return 2 * t / (1 - t)
}

/// log(1 + e^x).
@inline(__always) private func softplus<T: Real>(_ x: T) -> T {
  (x > 0 ? x : 0) + T.log1plus(T.exponential(-x.magnitude))
}

/// t = tanh(softplus(x)) = n / (n + 2) with n = e^x (e^x + 2), and its slope 4 (n + 1) / (n + 2)^2 e^x / (e^x + 1); 1 and 0 from 20 on,
/// where the rest is below rounding.
@inline(__always) private func mishFactor<T: Real>(_ x: T) -> (t: T, slope: T) {
  if x > 20 { return (1, 0) }
  let e = T.exponential(x)
  let n = e * (e + 2)
  return (n / (n + 2), 4 * (n + 1) / ((n + 2) * (n + 2)) * e / (e + 1))
}

/// Klambauer et al., Self-Normalizing Neural Networks (2017).
private let seluScale = 1.0507009873554804934193349852946
private let seluAlpha = 1.6732632423543772848170429916717

private func forward<T: Real>(
  _ op: Activation, _ slope: T, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) {
  switch op {
  case .leakyRelu: unaryLoop(loop, out, a) { $0 > 0 ? $0 : slope * $0 }
  case .elu: unaryLoop(loop, out, a) { $0 > 0 ? $0 : slope * exponentialMinusOne($0) }
  case .selu:
    let (scale, low) = (T(seluScale), T(seluScale * seluAlpha))
    unaryLoop(loop, out, a) { $0 > 0 ? scale * $0 : low * exponentialMinusOne($0) }
  case .mish: unaryLoop(loop, out, a) { $0 * mishFactor($0).t }
  case .hardswish: unaryLoop(loop, out, a) { $0 < -3 ? 0 : $0 > 3 ? $0 : $0 * ($0 + 3) / 6 }
  case .hardsigmoid: unaryLoop(loop, out, a) { $0 < -3 ? 0 : $0 > 3 ? 1 : ($0 + 3) / 6 }
  case .relu6: unaryLoop(loop, out, a) { $0 < 0 ? 0 : $0 > 6 ? 6 : $0 }
  case .softsign: unaryLoop(loop, out, a) { $0 / (1 + $0.magnitude) }
  case .erf: unaryLoop(loop, out, a) { T.errorFunction($0) }
  case .logSigmoid: unaryLoop(loop, out, a) { -softplus(-$0) }
  case .geluTanh: unaryLoop(loop, out, a) { $0 * (1 + T.hyperbolicTangent(geluInner($0))) / 2 }
  }
}

/// sqrt(2 / pi) (x + 0.044715 x^3).
@inline(__always) private func geluInner<T: Real>(_ x: T) -> T { T(0.7978845608028654) * (x + T(0.044715) * x * x * x) }

private func gradient<T: Real>(
  _ op: Activation, _ slope: T, _ loop: StridedLoop, _ out: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>,
  _ x: UnsafePointer<T>
) {
  switch op {
  case .leakyRelu: binaryLoop(loop, out, g, x) { g, x in x > 0 ? g : slope * g }
  case .elu: binaryLoop(loop, out, g, x) { g, x in x > 0 ? g : g * slope * T.exponential(x) }
  case .selu:
    let (scale, low) = (T(seluScale), T(seluScale * seluAlpha))
    binaryLoop(loop, out, g, x) { g, x in x > 0 ? g * scale : g * low * T.exponential(x) }
  case .mish:
    binaryLoop(loop, out, g, x) { g, x in
      let (t, slope) = mishFactor(x)
      return g * (t + x * slope)
    }
  case .hardswish: binaryLoop(loop, out, g, x) { g, x in x <= -3 ? 0 : x >= 3 ? g : g * (x / 3 + T(0.5)) }
  case .hardsigmoid: binaryLoop(loop, out, g, x) { g, x in x > -3 && x < 3 ? g / 6 : 0 }
  case .relu6: binaryLoop(loop, out, g, x) { g, x in x > 0 && x < 6 ? g : 0 }
  case .softsign:
    binaryLoop(loop, out, g, x) { g, x in
      let d = 1 + x.magnitude
      return g / (d * d)
    }
  case .erf: binaryLoop(loop, out, g, x) { g, x in g * T(1.1283791670955126) * T.exponential(-x * x) }
  case .logSigmoid: binaryLoop(loop, out, g, x) { g, x in g * sigmoid(-x) }
  case .geluTanh:
    binaryLoop(loop, out, g, x) { g, x in
      let t = T.hyperbolicTangent(geluInner(x))
      let inner = T(0.7978845608028654) * (1 + 3 * T(0.044715) * x * x)
      return g * (1 + t + x * (1 - t * t) * inner) / 2
    }
  }
}
