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

  static func activation(_ op: Activation) -> Rule {
    { reader in { (n) throws(Failure) in [try reader.activation(op, try n.input(0))] } }
  }
  static func sloped(_ op: Activation, _ usual: Double) -> Rule {
    { reader in { (n) throws(Failure) in [try reader.activation(op, try n.input(0), slope: try n.float("alpha", usual))] } }
  }
  private func activation(_ op: Activation, _ x: Item, slope: Double = 0.01) throws(Failure) -> Item {
    try apply(.activation(op, slope: slope), [x])
  }

  /// erf(x): mostly a part of GELU, which `mul` puts together.
  func erf(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard x.dtype.isFloat else { throw Failure(.unsupported, "erf of integers is not known here") }
    let y = try activation(.erf, x)
    y.errorFunction = (x.base.item, x.base.factor, 1, false)
    return [y]
  }

  func gelu(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    switch try n.text("approximate", "none") {
    case "none": return [try apply(.unary(.gelu), [x])]
    case "tanh": return [try activation(.geluTanh, x)]
    case let other: throw Failure(.corruptData, "approximate '\(other)' is neither none nor tanh")
    }
  }

  /// max(x, 0) - slope max(-x, 0).
  func prelu(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, slope) = (try n.input(0), try n.input(1))
    let below = try apply(.unary(.relu), [try apply(.unary(.neg), [x])])
    return [try apply(.binary(.sub), [try apply(.unary(.relu), [x]), try apply(.binary(.mul), [below, slope])])]
  }

  func selu(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, alpha, gamma) = (try n.input(0), try n.float("alpha"), try n.float("gamma"))
    if alpha == nil, gamma == nil { return [try activation(.selu, x)] }
    let y = try activation(.elu, x, slope: alpha ?? 1.67326319217681884765625)
    return [try scaled(y, gamma ?? 1.05070102214813232421875)]
  }

  /// alpha x + beta, between 0 and 1.
  func hardSigmoid(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, alpha, beta) = (try n.input(0), try n.float("alpha", 0.2), try n.float("beta", 0.5))
    if abs(alpha - 1.0 / 6) < 1e-6, beta == 0.5 { return [try activation(.hardsigmoid, x)] }
    let line = try apply(.binary(.add), [try scaled(x, alpha), try scalar(beta, like: x)])
    return [try apply(.clamp(low: 0, high: 1), [line])]
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
    return [try apply(.clamp(low: min(low, high), high: high), [x])]
  }
}
