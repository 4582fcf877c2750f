import Core
import TensorKernels
import Tensors

/// Element-wise ops as operators, composed where ONNX has no single one.
extension GraphWriter {
  /// Both inputs are of the result's type. Sources: onnx.ai/onnx/operators/onnx__Add.html and its like.
  mutating func binary(_ op: BinaryOp, _ a: String, _ b: String, _ type: DType) throws(Failure) -> String {
    switch op {
    case .add: return node("Add", [a, b])
    case .sub: return node("Sub", [a, b])
    case .mul: return node("Mul", [a, b])
    case .div: return node("Div", [a, b])
    case .pow: return node("Pow", [a, b])
    case .maximum: return node("Max", [a, b])
    case .minimum: return node("Min", [a, b])
    case .mod:
      // The sign of the divisor: Mod does so for integers only.
      if !type.isFloat { return node("Mod", [a, b]) }
      let whole = node("Floor", [node("Div", [a, b])])
      return node("Sub", [a, node("Mul", [whole, b])])
    case .floordiv:
      if type.isFloat { return node("Floor", [node("Div", [a, b])]) }
      // Div of integers cuts towards zero: what is divided is made a multiple first.
      return node("Div", [node("Sub", [a, node("Mod", [a, b])]), b])
    }
  }

  mutating func unary(_ op: UnaryOp, _ x: String, _ type: DType) throws(Failure) -> String {
    switch op {
    case .neg: return node("Neg", [x])
    case .abs: return node("Abs", [x])
    case .sign: return node("Sign", [x])
    case .square: return node("Mul", [x, x])
    case .exp: return node("Exp", [x])
    case .log: return node("Log", [x])
    case .log1p: return node("Log", [node("Add", [x, try scalar(1, type)])])
    case .sqrt: return node("Sqrt", [x])
    case .rsqrt: return node("Reciprocal", [node("Sqrt", [x])])
    case .reciprocal: return node("Reciprocal", [x])
    case .tanh: return node("Tanh", [x])
    case .sigmoid: return node("Sigmoid", [x])
    case .relu: return node("Relu", [x])
    case .gelu:
      // x (1 + erf(x / sqrt 2)) / 2; Gelu itself came with version 20.
      let inner = node("Erf", [node("Div", [x, try scalar(2.0.squareRoot(), type)])])
      let product = node("Mul", [x, node("Add", [inner, try scalar(1, type)])])
      return node("Mul", [product, try scalar(0.5, type)])
    case .silu: return node("Mul", [x, node("Sigmoid", [x])])
    case .sin: return node("Sin", [x])
    case .cos: return node("Cos", [x])
    case .floor: return node("Floor", [x])
    case .ceil: return node("Ceil", [x])
    case .round: return node("Round", [x])
    case .softplus: return node("Softplus", [x])
    }
  }

  /// Clip; an infinite bound is left out. Source: onnx.ai/onnx/operators/onnx__Clip.html.
  mutating func clip(_ x: String, _ low: Double, _ high: Double, _ type: DType) throws(Failure) -> String {
    if low == -.infinity, high == .infinity { return x }
    let least = low == -.infinity ? "" : try scalar(low, type)
    return node("Clip", high == .infinity ? [x, least] : [x, least, try scalar(high, type)])
  }
}
