import Core
import TensorGraph
import TensorKernels
import Tensors

/// Functions of each element that are more than one op here: onnx.ai/onnx/operators/onnx__Elu.html and so on.
extension GraphReader {
  func sigmoid(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let y = try apply(.unary(.sigmoid), [x])
    y.sigmoid = x
    return [y]
  }

  /// erf(x), mostly a part of GELU, which `mul` puts together. Elsewhere by the formula 7.1.26 of Abramowitz and Stegun, Handbook of
  /// Mathematical Functions: 1 - (a1 t + ... + a5 t^5) e^(-x x) with t = 1 / (1 + p x) for x from 0; off by at most 1.5e-7.
  func erf(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard x.dtype.isFloat else { throw Failure(.unsupported, "erf of integers is not known here") }
    let size = try apply(.unary(.abs), [x])
    let t = try apply(.unary(.reciprocal), [try plus(try times(size, 0.3275911), 1)])
    var sum = try times(t, 1.061405429)
    for factor in [-1.453152027, 1.421413741, -0.284496736, 0.254829592] {
      sum = try apply(.binary(.mul), [try plus(sum, factor), t])
    }
    let bell = try apply(.unary(.exp), [try apply(.unary(.neg), [try apply(.unary(.square), [x])])])
    let upper = try plus(try apply(.unary(.neg), [try apply(.binary(.mul), [sum, bell])]), 1)
    let y = try apply(.binary(.mul), [try apply(.unary(.sign), [x]), upper])
    y.errorFunction = (x.base.item, x.base.factor, 1, false)
    return [y]
  }

  private func times(_ x: Item, _ factor: Double) throws(Failure) -> Item {
    try apply(.binary(.mul), [x, try scalar(factor, like: x)])
  }
  private func plus(_ x: Item, _ term: Double) throws(Failure) -> Item {
    try apply(.binary(.add), [x, try scalar(term, like: x)])
  }
  private func clamp(_ x: Item, _ low: Double, _ high: Double) throws(Failure) -> Item {
    try apply(.clamp(low: low, high: high), [x])
  }

  func gelu(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    switch try n.text("approximate", "none") {
    case "none": return [try apply(.unary(.gelu), [x])]
    case "tanh":
      // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
      let cube = try apply(.binary(.mul), [try apply(.unary(.square), [x]), x])
      let inner = try times(try apply(.binary(.add), [x, try times(cube, 0.044715)]), (2 / Double.pi).squareRoot())
      let half = try times(try plus(try apply(.unary(.tanh), [inner]), 1), 0.5)
      return [try apply(.binary(.mul), [x, half])]
    case let other: throw Failure(.corruptData, "approximate '\(other)' is neither none nor tanh")
    }
  }

  func leakyRelu(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, alpha) = (try n.input(0), try n.float("alpha", 0.01))
    return [try rectified(x, fixed(try Tensor.scalar(alpha, x.dtype)))]
  }
  func prelu(_ n: NodeView) throws(Failure) -> [Item] { [try rectified(try n.input(0), try n.input(1))] }

  /// max(x, 0) - slope max(-x, 0).
  private func rectified(_ x: Item, _ slope: Item) throws(Failure) -> Item {
    let below = try apply(.unary(.relu), [try apply(.unary(.neg), [x])])
    return try apply(.binary(.sub), [try apply(.unary(.relu), [x]), try apply(.binary(.mul), [below, slope])])
  }

  /// max(x, 0) + alpha (e^min(x, 0) - 1).
  func elu(_ n: NodeView) throws(Failure) -> [Item] { [try exponential(try n.input(0), try n.float("alpha", 1))] }
  func selu(_ n: NodeView) throws(Failure) -> [Item] {
    let alpha = try n.float("alpha", 1.67326319217681884765625)
    return [try times(try exponential(try n.input(0), alpha), try n.float("gamma", 1.05070102214813232421875))]
  }
  private func exponential(_ x: Item, _ alpha: Double) throws(Failure) -> Item {
    let below = try plus(try apply(.unary(.exp), [try clamp(x, -.infinity, 0)]), -1)
    return try apply(.binary(.add), [try apply(.unary(.relu), [x]), try times(below, alpha)])
  }

  func hardSigmoid(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, alpha, beta) = (try n.input(0), try n.float("alpha", 0.2), try n.float("beta", 0.5))
    return [try clamp(try plus(try times(x, alpha), beta), 0, 1)]
  }
  func hardSwish(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    return [try apply(.binary(.mul), [x, try clamp(try plus(try times(x, 1.0 / 6), 0.5), 0, 1)])]
  }
  func mish(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    return [try apply(.binary(.mul), [x, try apply(.unary(.tanh), [try apply(.unary(.softplus), [x])])])]
  }
  func softsign(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    return [try apply(.binary(.div), [x, try plus(try apply(.unary(.abs), [x]), 1)])]
  }

  /// Bounds are attributes, or since version 11 inputs; one left out is none.
  func clip(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    func bound(_ i: Int, _ name: String, _ otherwise: Double) throws(Failure) -> Double {
      if let given = try n.float(name) { return given }
      guard let item = n.optional(i) else { return otherwise }
      guard let number = try item.number() else {
        throw Failure(.unsupported, "the bound \(name) must be one number known beforehand, not \(Shape.text(item.shape))")
      }
      return number
    }
    let (low, high) = (try bound(1, "min", -.infinity), try bound(2, "max", .infinity))
    // With bounds the wrong way round all elements become the upper one there.
    return [try clamp(x, min(low, high), high)]
  }
}
