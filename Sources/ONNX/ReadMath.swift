import Core
import TensorGraph
import TensorKernels
import Tensors

/// Arithmetic and reductions: onnx.ai/onnx/operators/onnx__Add.html and so on.
extension GraphReader {
  static func unary(_ op: UnaryOp) -> Rule {
    { reader in { (n) throws(Failure) in [try reader.apply(.unary(op), [try n.input(0)])] } }
  }

  static func binary(_ op: BinaryOp) -> Rule {
    { reader in { (n) throws(Failure) in [try reader.apply(.binary(op), [try n.input(0), try n.input(1)])] } }
  }

  /// Max, Min and Sum take any number of inputs.
  static func several(_ op: BinaryOp) -> Rule {
    { reader in
      { (n) throws(Failure) in
        let all = try n.all()
        var result = all[0]
        for item in all.dropFirst() { result = try reader.apply(.binary(op), [result, item]) }
        return [result]
      }
    }
  }

  /// A bias right after a product becomes part of the layer. 1 + erf(x) is noted for GELU.
  func add(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    for (k, (product, bias)) in [(a, b), (b, a)].enumerated() {
      guard !product.isFixed, bias.isFixed, bias.rank == 1, product.rank >= 2, let node = node(of: product), node.op == .linear,
        node.inputs.count == 2, bias.dtype == product.dtype, isReadOnce(n.node.input[k]), try bias.isSame(),
        bias.shape[0] == product.shape[product.rank - 1]
      else { continue }
      var samples: [Tensor] = []
      for sample in product.samples { samples.append(try sample.add(bias.samples[0])) }
      if let joined = try append(input: bias, toNodeOf: product, samples) { return [joined] }
    }
    let result = try apply(.binary(.add), [a, b])
    for (x, one) in [(a, b), (b, a)] {
      if let e = x.errorFunction, !e.hasOne, try one.number() == 1 { result.errorFunction = (e.of, e.factor, 1, true) }
    }
    return [result]
  }

  /// x sigmoid(x) is SiLU, x (1 + erf(x / sqrt 2)) / 2 is GELU, in whatever order the factors stand.
  func mul(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    for (x, y) in [(a, b), (b, a)] {
      if let inner = y.sigmoid, inner === x { return [try apply(.unary(.silu), [x])] }
      if let e = y.errorFunction, e.hasOne, abs(e.factor - 0.5.squareRoot()) < 1e-5, x.base.item === e.of {
        let result = try apply(.unary(.gelu), [e.of])
        return [try scaled(result, 2 * e.scale * x.base.factor)]
      }
    }
    let result = try apply(.binary(.mul), [a, b])
    for (x, y) in [(a, b), (b, a)] {
      guard let factor = try y.number() else { continue }
      note(result, x, factor)
      // Twice a half is the thing itself.
      if let m = result.multiple, abs(m.factor - 1) < 1e-6, m.of.shape == result.shape { return [m.of] }
    }
    return [result]
  }

  func div(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    guard a.dtype.isFloat || b.dtype.isFloat else {
      // Integers are cut towards zero there and rounded down here: the same from 0 on, so the signs go another way.
      if try isFromZero(a), try isFromZero(b) { return [try apply(.binary(.floordiv), [a, b])] }
      let sizes = [try apply(.unary(.abs), [a]), try apply(.unary(.abs), [b])]
      let sign = try apply(.binary(.mul), [try apply(.unary(.sign), [a]), try apply(.unary(.sign), [b])])
      return [try apply(.binary(.mul), [try apply(.binary(.floordiv), sizes), sign])]
    }
    let result = try apply(.binary(.div), [a, b])
    if let divisor = try b.number(), divisor != 0 { note(result, a, 1 / divisor) }
    return [result]
  }
  private func isFromZero(_ item: Item) throws(Failure) -> Bool {
    guard item.isFixed else { return false }
    for sample in item.samples where sample.count > 0 {
      if try sample.detached().extreme(largest: false).item() < 0 { return false }
    }
    return true
  }

  /// `result` is `factor` times `x`.
  private func note(_ result: Item, _ x: Item, _ factor: Double) {
    guard !x.isFixed, factor.isFinite, result.shape == x.shape, result.dtype == x.dtype else { return }
    if let e = x.errorFunction {
      if e.hasOne { result.errorFunction = (e.of, e.factor, e.scale * factor, true) }
    } else {
      result.multiple = (x.base.item, x.base.factor * factor)
    }
  }
  func scaled(_ x: Item, _ factor: Double) throws(Failure) -> Item {
    if abs(factor - 1) < 1e-6 { return x }
    let result = try apply(.binary(.mul), [x, try scalar(factor, like: x)])
    note(result, x, factor)
    return result
  }

  func pow(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    guard a.dtype.isFloat else { throw Failure(.unsupported, "powers of integers are not known here") }
    if b.rank == 0 || b.shape == [1], a.rank >= b.rank {
      if try b.number() == 2 { return [try apply(.unary(.square), [a])] }
      if try b.number() == 0.5 { return [try apply(.unary(.sqrt), [a])] }
    }
    return [try apply(.binary(.pow), [a, b.dtype == a.dtype ? b : try apply(.cast(a.dtype), [b])])]
  }

  /// With `fmod` the sign is that of the first: x - y trunc(x / y).
  func mod(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    if try n.int("fmod", 0) == 0 {
      guard !a.dtype.isFloat, !b.dtype.isFloat else { throw Failure(.corruptData, "floats need fmod 1") }
      return [try apply(.binary(.mod), [a, b])]
    }
    guard a.dtype.isFloat, b.dtype.isFloat else { throw Failure(.unsupported, "fmod of integers is not known here") }
    let ratio = try apply(.binary(.div), [a, b])
    let whole = try apply(
      .binary(.mul), [try apply(.unary(.sign), [ratio]), try apply(.unary(.floor), [try apply(.unary(.abs), [ratio])])])
    return [try apply(.binary(.sub), [a, try apply(.binary(.mul), [whole, b])])]
  }

  /// Axes are an attribute, or since version 13 (ReduceMean: 18) an input.
  static func reduce(isMean: Bool) -> Rule {
    { reader in
      { (n) throws(Failure) in
        let x = try n.input(0)
        let keepDims = try n.int("keepdims", 1) != 0
        let rests = try n.int("noop_with_empty_axes", 0) != 0
        var axes = try n.ints("axes") ?? []
        if let given = n.optional(1) { axes = try given.integers("axes") }
        if axes.isEmpty {
          if rests { return [x] }
          axes = Array(0..<x.rank)
        }
        let dims = try GraphReader.axes(axes, rank: x.rank)
        guard x.dtype.isFloat || !isMean else { throw Failure(.unsupported, "the mean of integers is not known here") }
        if isMean { return [try reader.mean(x, dims, keepDims: keepDims)] }
        let sum = try reader.apply(.sum(dims: dims, keepDims: keepDims), [x])
        return [sum.dtype == x.dtype ? sum : try reader.apply(.cast(x.dtype), [sum])]
      }
    }
  }

  /// Different dims from 0, in order.
  static func axes(_ axes: [Int], rank: Int) throws(Failure) -> [Int] {
    var out: Set<Int> = []
    for axis in axes {
      guard out.insert(try Item.axis(axis, rank: rank)).inserted else {
        throw Failure(.corruptData, "axis \(axis) is given twice")
      }
    }
    return out.sorted()
  }

  func cast(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    _ = try (n.int("saturate"), n.text("round_mode", ""))
    let number = try n.int("to", 0)
    guard let type = ElementType(rawValue: Int32(clamping: number)) else {
      throw Failure(.unsupported, "a cast to \(ElementType.name(Int32(clamping: number))) is not known here")
    }
    return [type.dtype == x.dtype ? x : try apply(.cast(type.dtype), [x])]
  }
}
