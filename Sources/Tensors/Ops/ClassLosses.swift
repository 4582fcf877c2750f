package import Core
import TensorKernels

/// Class losses beyond rows of logits: pixels, ids that do not count, probabilities as targets.
extension Tensor {
  /// Cross entropy of logits (N,C,d1,...) against class ids (N,d1,...) from 0, or against probabilities of the logits' shape.
  ///
  /// Targets equal to `ignored` count nothing, also in the mean's divisor, which is the sum of the targets' weights.
  package static func crossEntropy(
    _ logits: Tensor, classes targets: Tensor, weight: Tensor?, ignored: Int64?, smoothing: Double, reduction: Reduction
  ) throws(Failure) -> Tensor {
    let op = "cross_entropy"
    if targets.dtype.isFloat {
      return try softCrossEntropy(op, logits, targets, weight, smoothing, reduction)
    }
    if ignored == nil, logits.rank <= 2 {
      return try crossEntropy(logits, targets, weight: weight, smoothing: smoothing, reduction: reduction)
    }
    let classes = try placeClasses(op, logits, targets, weight)
    guard smoothing >= 0, smoothing <= 1 else {
      throw Failure(.invalidArgument, "\(op): label_smoothing must be in 0..1, not \(smoothing)")
    }
    let (type, shape) = (logits.dtype, logits.shape)
    let batch = logits.rank == 1 ? 1 : shape[0]
    let s = PlaneEntropy(
      batch: batch, classes: classes, places: targets.count / max(1, batch), smoothing: smoothing, ignored: ignored)
    let (x, ids) = (try logits.detached().contiguous(), try targets.ownPositions())
    let weights = try weight?.detached().cast(type).contiguous()
    let (loss, norm, lse) = (
      try empty(targets.shape, type, op: op), try empty(targets.shape, type, op: op), try empty(targets.shape, type, op: op)
    )
    let idPointer = UnsafePointer(ids.pointer.assumingMemoryBound(to: Int64.self))
    let bad = Kernels.planeEntropy(
      type, s, x: x.pointer, targets: idPointer, weight: weights?.pointer, loss: loss.pointer, norm: norm.pointer,
      lse: lse.pointer)
    if bad >= 0 {
      throw Failure(.invalidArgument, "\(op): class id \(idPointer[bad]) at place \(bad + 1) is not in 0..\(classes - 1)")
    }
    let divisor = reduction == .mean ? try norm.sum().item() : 1
    let out =
      switch reduction {
      case .none: loss
      case .sum: try loss.sum()
      case .mean: try loss.sum().div(scalar(divisor, type))
      }
    return out.recorded(op, [logits], saving: [x, ids, lse] + (weights.map { [$0] } ?? [])) { (g, saved, _) throws(Failure) in
      let (gradient, dx) = (try g.contiguous(), try empty(shape, type, op: op))
      let ids = saved[1]
      Kernels.planeEntropyBackward(
        type, s, x: saved[0].pointer, targets: UnsafePointer(ids.pointer.assumingMemoryBound(to: Int64.self)),
        weight: saved.count > 3 ? saved[3].pointer : nil, lse: saved[2].pointer, g: gradient.pointer,
        gStride: reduction == .none ? 1 : 0, scale: 1 / divisor, dx: dx.pointer)
      return [dx]
    }
  }

  /// Negative log-likelihood of log-probabilities (N,C,d1,...) against class ids (N,d1,...) from 0.
  package static func nll(
    _ logp: Tensor, classes targets: Tensor, weight: Tensor?, ignored: Int64?, reduction: Reduction
  ) throws(Failure) -> Tensor {
    if ignored == nil, logp.rank <= 2 { return try nll(logp, targets, weight: weight, reduction: reduction) }
    return try perPlace("nll", logp, targets, weight, ignored, reduction) { (rows, ids) throws(Failure) in
      try nll(rows, ids, weight: weight, reduction: ignored == nil ? reduction : .none)
    }
  }

  /// Every place as a row: (N,C,d1,...) -> (N d1 ..., C); for nll. `loss` has one number per row where some are ignored or `none` is asked for.
  private static func perPlace(
    _ op: String, _ x: Tensor, _ targets: Tensor, _ weight: Tensor?, _ ignored: Int64?, _ reduction: Reduction,
    _ loss: (Tensor, Tensor) throws(Failure) -> Tensor
  ) throws(Failure) -> Tensor {
    let count = try placeClasses(op, x, targets, weight)
    let isRow = x.rank == 1
    let last = isRow ? [0] : [0] + Array(2..<x.rank) + [1]
    let rows = try x.permuted(last).reshaped([targets.count, count])
    let ids = try targets.detached().cast(.i64).reshaped([targets.count])
    guard let ignored else {
      let out = try loss(rows, ids)
      return reduction == .none ? try out.reshaped(targets.shape) : out
    }
    let isIgnored = try compare(.eq, ids, scalar(integer: ignored, .i64))
    let zero = try scalar(0, x.dtype)
    let known = try select(isIgnored, scalar(integer: 0, .i64), ids)
    let each = try select(isIgnored, zero, loss(rows, known))
    switch reduction {
    case .none: return try each.reshaped(targets.shape)
    case .sum: return try each.sum()
    case .mean:
      let shares = if let weight { try weight.detached().cast(x.dtype).indexSelected(0, known) } else { try scalar(1, x.dtype) }
      return try each.sum().div(select(isIgnored, zero, shares).sum())
    }
  }

  /// The number of classes of x (N,C,d1,...), or (C), after a look at the targets (N,d1,...) and the weights (C).
  private static func placeClasses(_ op: String, _ x: Tensor, _ targets: Tensor, _ weight: Tensor?) throws(Failure) -> Int {
    try x.needFloat(op)
    guard x.rank >= 1, targets.shape == (x.rank == 1 ? [] : [x.shape[0]] + x.shape[2...]) else {
      throw Failure(
        .shapeMismatch,
        "\(op): logits \(Shape.text(x.shape)) and targets \(Shape.text(targets.shape)) do not fit: "
          + "(batch, classes, ...) against (batch, ...) class ids are needed")
    }
    guard !targets.dtype.isFloat, targets.dtype != .bool else {
      throw Failure(.typeMismatch, "\(op): targets must be integer class ids from 0, not \(targets.dtype)")
    }
    let count = x.shape[x.rank == 1 ? 0 : 1]
    if let weight, weight.shape != [count] {
      throw Failure(.shapeMismatch, "\(op): weight \(Shape.text(weight.shape)) does not fit \(count) classes")
    }
    return count
  }

  /// -sum(target weight log softmax(logits)) over the classes; the mean is over places, as in PyTorch.
  private static func softCrossEntropy(
    _ op: String, _ x: Tensor, _ targets: Tensor, _ weight: Tensor?, _ smoothing: Double, _ reduction: Reduction
  ) throws(Failure) -> Tensor {
    try x.needFloat(op)
    guard x.rank >= 1, x.shape == targets.shape, x.dtype == targets.dtype else {
      throw Failure(
        .shapeMismatch,
        "\(op): logits \(x.dtype) \(Shape.text(x.shape)) and probabilities \(targets.dtype) \(Shape.text(targets.shape)) must be of "
          + "one type and shape (class ids are integers)")
    }
    guard smoothing >= 0, smoothing <= 1 else {
      throw Failure(.invalidArgument, "\(op): label_smoothing must be in 0..1, not \(smoothing)")
    }
    let axis = x.rank == 1 ? 0 : 1
    let classes = x.shape[axis]
    var logp = try x.softmax(axis, log: true)
    if let weight {
      guard weight.shape == [classes] else {
        throw Failure(.shapeMismatch, "\(op): weight \(Shape.text(weight.shape)) does not fit \(classes) classes")
      }
      logp = try logp.mul(weight.detached().cast(x.dtype).reshaped([classes] + [Int](repeating: 1, count: x.rank - axis - 1)))
    }
    let smooth = smoothing == 0 ? targets : try targets.mul(1 - smoothing).add(smoothing / Double(max(1, classes)))
    let each = try smooth.mul(logp).sum([axis]).unary(.neg)
    return try each.reducedLoss(reduction)
  }

  private static func needOneShape(_ op: String, _ a: Tensor, _ b: Tensor) throws(Failure) {
    try a.needFloat(op)
    guard a.shape == b.shape else {
      throw Failure(
        .shapeMismatch, "\(op): prediction \(Shape.text(a.shape)) and target \(Shape.text(b.shape)) must have the same shape")
    }
  }

  /// Kullback-Leibler divergence of log-probabilities x from the target y: y (log y - x), or e^y (y - x) with `logTarget`.
  /// `perRow` sums and divides by the first extent (PyTorch's "batchmean", which is the mathematical one).
  package static func klDivergence(
    _ x: Tensor, _ y: Tensor, logTarget: Bool = false, reduction: Reduction = .mean, perRow: Bool = false
  ) throws(Failure) -> Tensor {
    try needOneShape("kl_div", x, y)
    let each: Tensor
    if logTarget {
      each = try y.unary(.exp).mul(y.sub(x))
    } else {
      // y log y is 0 at 0, where the logarithm is not.
      let isPositive = try compare(.gt, y, scalar(0, y.dtype))
      each = try y.mul(select(isPositive, y, scalar(1, y.dtype)).unary(.log).sub(x))
    }
    if perRow { return try each.sum().div(scalar(Double(x.shape.first ?? 1), x.dtype)) }
    return try each.reducedLoss(reduction)
  }

  /// Binary cross entropy of probabilities x against y: -(y log x + (1 - y) log(1 - x)), logarithms held above -100.
  package static func bce(_ x: Tensor, _ y: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws(Failure)
    -> Tensor
  {
    let op = "bce"
    try needOneShape(op, x, y)
    guard x.dtype == y.dtype else {
      throw Failure(.typeMismatch, "\(op): prediction is \(x.dtype), target \(y.dtype); convert one with :to \"f32\"")
    }
    let type = x.dtype
    let outside = try logic(.or, compare(.lt, x, scalar(0, type)), compare(.gt, x, scalar(1, type)))
    if try outside.anyNonZero() {
      throw Failure(.invalidArgument, "\(op): predictions must be probabilities in 0..1; for logits use bce_with_logits")
    }
    func logs(_ x: Tensor) throws(Failure) -> (Tensor, Tensor) {
      (try x.unary(.log).clamped(-100, .infinity), try x.unary(.neg).add(1).unary(.log).clamped(-100, .infinity))
    }
    let raw = try GradMode.disabled { () throws(Failure) in
      let (log1, log0) = try logs(x.detached())
      return try y.detached().mul(log0.sub(log1)).sub(log0)
    }
    var each = raw.recorded(op, [x, y], saving: [x, y]) { (g, saved, needs) throws(Failure) in
      let (x, y) = (saved[0], saved[1])
      var (dx, dy): (Tensor?, Tensor?) = (nil, nil)
      if needs[0] {
        let spread = try x.mul(x.unary(.neg).add(1)).clamped(1e-12, .infinity)
        dx = try g.mul(x.sub(y)).div(spread)
      }
      if needs[1] {
        let (log1, log0) = try logs(x)
        dy = try g.mul(log0.sub(log1))
      }
      return [dx, dy]
    }
    if let weight { each = try weighted(op, each, weight) }
    return try each.reducedLoss(reduction)
  }

  private static func weighted(_ op: String, _ each: Tensor, _ weight: Tensor) throws(Failure) -> Tensor {
    guard try Shape.broadcast(each.shape, weight.shape, op: op) == each.shape else {
      throw Failure(.shapeMismatch, "\(op): weight \(Shape.text(weight.shape)) does not fit \(Shape.text(each.shape))")
    }
    return try each.mul(weight.cast(each.dtype))
  }

  /// Binary cross entropy of logits with weights: w (l (log(1 + e^-x)) + (1 - y) x) with l = 1 + (p - 1) y, p the weight of y = 1.
  package static func bceWithLogits(
    _ x: Tensor, _ y: Tensor, weight: Tensor?, positiveWeight: Tensor?, reduction: Reduction
  ) throws(Failure) -> Tensor {
    let op = "bce_with_logits"
    guard weight != nil || positiveWeight != nil else { return try bceWithLogits(x, y, reduction: reduction) }
    try needOneShape(op, x, y)
    var each: Tensor
    if let positiveWeight {
      let factor = try weighted(op, y, positiveWeight.cast(x.dtype).add(-1)).add(1)
      each = try y.unary(.neg).add(1).mul(x).add(factor.mul(x.unary(.neg).unary(.softplus)))
    } else {
      each = try x.unary(.softplus).sub(x.mul(y))
    }
    if let weight { each = try weighted(op, each, weight) }
    return try each.reducedLoss(reduction)
  }

  /// d^2 / (2 beta) for d = |x - y| below beta, else d - beta / 2: huber by beta. With beta 0, l1.
  package static func smoothL1(_ x: Tensor, _ y: Tensor, beta: Double = 1, reduction: Reduction = .mean) throws(Failure)
    -> Tensor
  {
    try needOneShape("smooth_l1", x, y)
    guard beta >= 0, beta.isFinite else {
      throw Failure(.invalidArgument, "smooth_l1: beta must be at least 0, not \(beta)")
    }
    return try beta == 0 ? l1(x, y, reduction: reduction) : huber(x, y, delta: beta, reduction: reduction).mul(1 / beta)
  }
}
