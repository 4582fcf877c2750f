package import Core
package import TensorKernels

/// Element-wise ops: arithmetic with broadcasting, comparisons, functions, choice.
extension Tensor {
  // MARK: Arithmetic

  package func add(_ other: Tensor) throws(Failure) -> Tensor { try binary(.add, self, other) }
  package func sub(_ other: Tensor) throws(Failure) -> Tensor { try binary(.sub, self, other) }
  package func mul(_ other: Tensor) throws(Failure) -> Tensor { try binary(.mul, self, other) }
  /// True division: integers become f32 first.
  package func div(_ other: Tensor) throws(Failure) -> Tensor { try binary(.div, self, other) }
  package func mul(_ value: Double) throws(Failure) -> Tensor { try binary(.mul, self, Tensor.scalar(value, dtype)) }
  package func add(_ value: Double) throws(Failure) -> Tensor { try binary(.add, self, Tensor.scalar(value, dtype)) }

  /// a op b, broadcast, in the promoted type (`DType`); `div` and `pow` give floats, two bools count as i64.
  package static func binary(_ op: BinaryOp, _ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    try a.binary(op, a, b)
  }

  private func binary(_ op: BinaryOp, _ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    var type = max(a.dtype, b.dtype)
    if type == .bool { type = .i64 }
    if op == .div || op == .pow, !type.isFloat { type = .f32 }
    let (a, b) = (try a.cast(type), try b.cast(type))
    let shape = try Shape.broadcast(a.shape, b.shape, op: op.rawValue)
    if op == .floordiv || op == .mod, !type.isFloat {
      let divisor = try b.contiguous()
      if Kernels.holdsZero(type, divisor.count, a: divisor.pointer) {
        throw Failure(.invalidArgument, "\(op.rawValue): integer division by zero")
      }
    }
    let out = try Tensor.empty(shape, type, op: op.rawValue)
    Kernels.binary(op, type, Tensor.loop(shape, out, a, b), out: out.pointer, a: a.pointer, b: b.pointer)
    out.traced(.binary(op), [a, b])
    guard GradMode.isEnabled, a.tracksGradient || b.tracksGradient else { return out }
    let (sa, sb) = (a.shape, b.shape)
    switch op {
    case .add:
      return out.recorded("add", [a, b]) { (g, _, needs) throws(Failure) in
        [needs[0] ? try g.summed(to: sa) : nil, needs[1] ? try g.summed(to: sb) : nil]
      }
    case .sub:
      return out.recorded("sub", [a, b]) { (g, _, needs) throws(Failure) in
        [needs[0] ? try g.summed(to: sa) : nil, needs[1] ? try g.unary(.neg).summed(to: sb) : nil]
      }
    case .mul:
      return out.recorded("mul", [a, b], saving: [a, b]) { (g, saved, needs) throws(Failure) in
        [needs[0] ? try g.mul(saved[1]).summed(to: sa) : nil, needs[1] ? try g.mul(saved[0]).summed(to: sb) : nil]
      }
    case .div:
      return out.recorded("div", [a, b], saving: [b, out]) { (g, saved, needs) throws(Failure) in
        let first = try g.div(saved[0])
        return [
          needs[0] ? try first.summed(to: sa) : nil,
          needs[1] ? try first.mul(saved[1]).unary(.neg).summed(to: sb) : nil,
        ]
      }
    case .pow:
      return out.recorded("pow", [a, b], saving: [a, b, out]) { (g, saved, needs) throws(Failure) in
        var (da, db): (Tensor?, Tensor?) = (nil, nil)
        if needs[0] {
          // b a^(b-1), and 0 where b is 0 (0 * inf would be NaN).
          let slope = try saved[1].mul(Tensor.binary(.pow, saved[0], saved[1].add(-1)))
          let isZero = try Tensor.compare(.eq, saved[1], Tensor.scalar(0, type))
          da = try g.mul(Tensor.select(isZero, Tensor.scalar(0, type), slope)).summed(to: sa)
        }
        if needs[1] {
          let isPositive = try Tensor.compare(.gt, saved[0], Tensor.scalar(0, type))
          let slope = try saved[2].mul(saved[0].unary(.log))
          db = try g.mul(Tensor.select(isPositive, slope, Tensor.scalar(0, type))).summed(to: sb)
        }
        return [da, db]
      }
    case .maximum, .minimum:
      return out.recorded(op.rawValue, [a, b], saving: [a, b]) { (g, saved, needs) throws(Failure) in
        // Where both are equal each takes half, as in PyTorch.
        let half = try Tensor.compare(.eq, saved[0], saved[1]).cast(type).mul(0.5)
        func share(_ wins: CompareOp) throws(Failure) -> Tensor {
          try g.mul(Tensor.compare(wins, saved[0], saved[1]).cast(type).add(half))
        }
        return [
          needs[0] ? try share(op == .maximum ? .gt : .lt).summed(to: sa) : nil,
          needs[1] ? try share(op == .maximum ? .lt : .gt).summed(to: sb) : nil,
        ]
      }
    case .mod:
      return out.recorded("mod", [a, b], saving: [a, b]) { (g, saved, needs) throws(Failure) in
        [
          needs[0] ? try g.summed(to: sa) : nil,
          needs[1] ? try g.mul(Tensor.binary(.floordiv, saved[0], saved[1])).unary(.neg).summed(to: sb) : nil,
        ]
      }
    case .floordiv: return out  // a staircase: no gradient
    }
  }

  static func loop(_ shape: [Int], _ out: Tensor, _ inputs: Tensor...) -> StridedLoop {
    StridedLoop(shape: shape, [out.strides] + inputs.map { $0.broadcastStrides(shape) })
  }

  /// Strides under a shape that this broadcasts to.
  func broadcastStrides(_ target: [Int]) -> [Int] {
    if shape == target { return strides }
    let extra = target.count - rank
    return target.indices.map { d in d < extra || shape[d - extra] != target[d] ? 0 : strides[d - extra] }
  }

  /// self = self op other, in this memory; the result must have this shape and type.
  package func apply(_ op: BinaryOp, _ other: Tensor) throws(Failure) {
    try checkInPlace("\(op.rawValue)_")
    let result = try GradMode.disabled { () throws(Failure) in try Tensor.binary(op, self, other) }
    guard result.shape == shape else {
      throw Failure(
        .shapeMismatch,
        "\(op.rawValue)_: the result's shape \(Shape.text(result.shape)) is not this tensor's \(Shape.text(shape))")
    }
    guard result.dtype == dtype else {
      throw Failure(.typeMismatch, "\(op.rawValue)_: the result is \(result.dtype), this tensor is \(dtype); cast first")
    }
    fill(from: result)
    storage.changed()
  }

  // MARK: Comparison and choice

  /// bool (as 0 and 1), broadcast, compared in the promoted type.
  package static func compare(_ op: CompareOp, _ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    let type = max(a.dtype, b.dtype)
    let (a, b) = (try a.detached().cast(type), try b.detached().cast(type))
    let shape = try Shape.broadcast(a.shape, b.shape, op: op.rawValue)
    let out = try Tensor.empty(shape, .bool, op: op.rawValue)
    Kernels.compare(op, type, loop(shape, out, a, b), out: out.pointer, a: a.pointer, b: b.pointer)
    return out
  }

  /// and, or, xor of bools.
  package static func logic(_ op: LogicOp, _ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    let (a, b) = (try a.detached().cast(.bool), try b.detached().cast(.bool))
    let shape = try Shape.broadcast(a.shape, b.shape, op: op.rawValue)
    let out = try Tensor.empty(shape, .bool, op: op.rawValue)
    Kernels.logic(op, loop(shape, out, a, b), out: out.pointer, a: a.pointer, b: b.pointer)
    return out
  }

  /// condition ? a : b, all broadcast.
  package static func select(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    guard condition.dtype == .bool else {
      throw Failure(.typeMismatch, "where: the condition must be bool, not \(condition.dtype)")
    }
    let type = max(a.dtype, b.dtype)
    let (a, b) = (try a.cast(type), try b.cast(type))
    let shape = try Shape.broadcast(condition.shape, Shape.broadcast(a.shape, b.shape, op: "where"), op: "where")
    let out = try Tensor.empty(shape, type, op: "where")
    Kernels.select(
      size: type.size, loop(shape, out, condition, a, b), out: out.pointer, condition: condition.pointer, a: a.pointer,
      b: b.pointer)
    let (sa, sb) = (a.shape, b.shape)
    return out.recorded("where", [a, b], saving: [condition]) { (g, saved, needs) throws(Failure) in
      let zero = try Tensor.scalar(0, type)
      return [
        needs[0] ? try select(saved[0], g, zero).summed(to: sa) : nil,
        needs[1] ? try select(saved[0], zero, g).summed(to: sb) : nil,
      ]
    }
  }

  // MARK: Functions

  /// op of each element. Integers take neg, abs, sign, square and relu; for the others they become f32.
  package func unary(_ op: UnaryOp) throws(Failure) -> Tensor {
    var source = self
    if dtype == .bool { source = try cast(op.takesIntegers ? .i64 : .f32) }
    if !source.dtype.isFloat, !op.takesIntegers { source = try source.cast(.f32) }
    let type = source.dtype
    let out = try Tensor.empty(shape, type, op: op.rawValue)
    Kernels.unary(op, type, Tensor.loop(shape, out, source), out: out.pointer, a: source.pointer)
    out.traced(.unary(op), [source])
    return out.recorded(op.rawValue, [source], saving: [op.savesOutput ? out : source]) { (g, saved, _) throws(Failure) in
      let d = try Tensor.empty(g.shape, type, op: op.rawValue)
      Kernels.unaryGradient(
        op, type, Tensor.loop(g.shape, d, g, saved[0]), out: d.pointer, g: g.pointer, saved: saved[0].pointer)
      return [d]
    }
  }

  /// Elements below `low` become `low`, above `high` become `high`; the gradient is 0 outside.
  package func clamped(_ low: Double, _ high: Double) throws(Failure) -> Tensor {
    guard low <= high else { throw Failure(.invalidArgument, "clamp: the lower bound \(low) is above the upper \(high)") }
    let type = dtype
    let out = try Tensor.empty(shape, type, op: "clamp")
    Kernels.clamp(type, Tensor.loop(shape, out, self), out: out.pointer, a: pointer, low: low, high: high)
    out.traced(.clamp(low: low, high: high), [self])
    return out.recorded("clamp", [self], saving: [self]) { (g, saved, _) throws(Failure) in
      let inside = try Tensor.logic(
        .and, Tensor.compare(.ge, saved[0], Tensor.scalar(low, type)), Tensor.compare(.le, saved[0], Tensor.scalar(high, type)))
      return [try Tensor.select(inside, g, Tensor.scalar(0, type))]
    }
  }
}
