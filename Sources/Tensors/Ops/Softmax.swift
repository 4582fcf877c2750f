package import Core
import TensorKernels

/// How a loss over a batch becomes one number.
package enum Reduction: String, CaseIterable, Sendable { case mean, sum, none }

extension Tensor {
  /// Softmax (or its logarithm) along one dim.
  package func softmax(_ dim: Int, log: Bool = false) throws(Failure) -> Tensor {
    let op = log ? "log_softmax" : "softmax"
    try needFloat(op)
    let axis = try Shape.axis(dim, rank: rank, op: op)
    if axis != rank - 1 {
      return try transposed(axis, rank - 1).softmax(-1, log: log).transposed(axis, rank - 1)
        .traced(.softmax(dim: axis, isLog: log), [self])
    }
    let (type, classes) = (dtype, shape[axis])
    let rows = classes == 0 ? 0 : count / classes
    let source = try detached().contiguous()
    let out = try Tensor.empty(shape, type, op: op)
    Kernels.softmax(type, log: log, rows: rows, classes: classes, x: source.pointer, y: out.pointer)
    out.traced(.softmax(dim: axis, isLog: log), [self])
    return out.recorded(op, [self], saving: [out]) { (g, saved, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.empty(g.shape, type, op: op))
      Kernels.softmaxBackward(type, log: log, rows: rows, classes: classes, y: saved[0].pointer, dy: dy.pointer, dx: dx.pointer)
      return [dx]
    }
  }

  /// Cross entropy of logits (N, C) or (C) against class ids (N) or (); ids count from 0.
  ///
  /// `mean` divides by the sum of the targets' weights, as PyTorch does.
  package static func crossEntropy(
    _ logits: Tensor, _ targets: Tensor, weight: Tensor? = nil, smoothing: Double = 0, reduction: Reduction = .mean
  ) throws(Failure) -> Tensor {
    guard smoothing >= 0, smoothing <= 1 else {
      throw Failure(.invalidArgument, "cross_entropy: label_smoothing must be in 0..1, not \(smoothing)")
    }
    return try classLoss("cross_entropy", logits, targets, weight, smoothing, reduction, fromLogits: true)
  }

  /// Negative log-likelihood of log-probabilities (N, C) against class ids (N).
  package static func nll(_ logp: Tensor, _ targets: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean)
    throws(Failure) -> Tensor
  {
    try classLoss("nll", logp, targets, weight, 0, reduction, fromLogits: false)
  }

  private static func classLoss(
    _ op: String, _ x: Tensor, _ targets: Tensor, _ weight: Tensor?, _ smoothing: Double, _ reduction: Reduction,
    fromLogits: Bool
  ) throws(Failure) -> Tensor {
    try x.needFloat(op)
    guard x.rank == 1 || x.rank == 2, targets.shape == Array(x.shape.dropLast()) else {
      throw Failure(
        .shapeMismatch,
        "\(op): logits \(Shape.text(x.shape)) and targets \(Shape.text(targets.shape)) do not fit: "
          + "(rows, classes) against (rows) class ids are needed")
    }
    guard !targets.dtype.isFloat, targets.dtype != .bool else {
      throw Failure(.typeMismatch, "\(op): targets must be integer class ids from 0, not \(targets.dtype)")
    }
    let (type, classes) = (x.dtype, x.shape[x.rank - 1])
    if let weight, weight.shape != [classes] {
      throw Failure(.shapeMismatch, "\(op): weight \(Shape.text(weight.shape)) does not fit \(classes) classes")
    }
    let rows = targets.count
    let logp = fromLogits ? try x.detached().softmax(-1, log: true) : try x.detached().contiguous()
    let ids = try targets.ownPositions()
    let weights = try weight?.detached().cast(type).contiguous()
    let loss = try Tensor.empty(targets.shape, type, op: op)
    let norm = try Tensor.empty(targets.shape, type, op: op)
    let bad = Kernels.crossEntropy(
      type, rows: rows, classes: classes, logp: logp.pointer, targets: ids.pointer, weight: weights?.pointer,
      smoothing: smoothing, loss: loss.pointer, norm: norm.pointer)
    if bad >= 0 {
      let id = ids.pointer.assumingMemoryBound(to: Int64.self)[bad]
      throw Failure(.invalidArgument, "\(op): class id \(id) in row \(bad + 1) is not in 0..\(classes - 1)")
    }
    let divisor = reduction == .mean ? try norm.sum().item() : 1
    let out: Tensor
    switch reduction {
    case .none: out = loss
    case .sum: out = try loss.sum()
    case .mean: out = try loss.sum().div(Tensor.scalar(divisor, type))
    }
    let saved = [logp, ids] + (weights.map { [$0] } ?? [])
    let shape = x.shape
    return out.recorded(op, [x], saving: saved) { (g, saved, _) throws(Failure) in
      let gradient = try g.contiguous()
      let dx = try Tensor.empty(shape, type, op: op, zeroed: !fromLogits)
      let w = saved.count > 2 ? saved[2] : nil
      if fromLogits {
        Kernels.crossEntropyBackward(
          type, rows: rows, classes: classes, logp: saved[0].pointer, targets: saved[1].pointer, weight: w?.pointer,
          smoothing: smoothing, g: gradient.pointer, gStride: reduction == .none ? 1 : 0, scale: 1 / divisor, dx: dx.pointer)
      } else {
        let ids = saved[1].pointer.assumingMemoryBound(to: Int64.self)
        for row in 0..<rows {
          let id = Int(ids[row])
          let scale = Kernels.load(type, gradient.pointer, reduction == .none ? row : 0) / divisor
          Kernels.store(type, dx.pointer, row * classes + id, -scale * (w.map { Kernels.load(type, $0.pointer, id) } ?? 1))
        }
      }
      return [dx]
    }
  }

  /// Sum, mean or nothing.
  func reducedLoss(_ reduction: Reduction) throws(Failure) -> Tensor {
    switch reduction {
    case .none: self
    case .sum: try sum()
    case .mean: try mean()
    }
  }

  private static func needSameShape(_ op: String, _ a: Tensor, _ b: Tensor) throws(Failure) {
    guard a.shape == b.shape else {
      throw Failure(
        .shapeMismatch, "\(op): prediction \(Shape.text(a.shape)) and target \(Shape.text(b.shape)) must have the same shape")
    }
    try a.needFloat(op)
  }

  /// (x - y)^2.
  package static func mse(_ x: Tensor, _ y: Tensor, reduction: Reduction = .mean) throws(Failure) -> Tensor {
    try needSameShape("mse", x, y)
    return try x.sub(y).unary(.square).reducedLoss(reduction)
  }
  /// |x - y|.
  package static func l1(_ x: Tensor, _ y: Tensor, reduction: Reduction = .mean) throws(Failure) -> Tensor {
    try needSameShape("l1", x, y)
    return try x.sub(y).unary(.abs).reducedLoss(reduction)
  }
  /// Quadratic within `delta`, linear outside: d = |x - y|; d^2 / 2 or delta (d - delta / 2).
  package static func huber(_ x: Tensor, _ y: Tensor, delta: Double = 1, reduction: Reduction = .mean) throws(Failure) -> Tensor
  {
    try needSameShape("huber", x, y)
    guard delta > 0 else { throw Failure(.invalidArgument, "huber: delta must be above 0, not \(delta)") }
    let d = try x.sub(y).unary(.abs)
    let near = try d.clamped(0, delta)  // near^2 / 2 + delta (d - near)
    return try near.unary(.square).mul(0.5).add(d.sub(near).mul(delta)).reducedLoss(reduction)
  }
  /// Binary cross entropy of logits x against probabilities y: max(x, 0) - x y + log(1 + e^-|x|).
  package static func bceWithLogits(_ x: Tensor, _ y: Tensor, reduction: Reduction = .mean) throws(Failure) -> Tensor {
    try needSameShape("bce_with_logits", x, y)
    return try x.unary(.softplus).sub(x.mul(y)).reducedLoss(reduction)
  }
}
