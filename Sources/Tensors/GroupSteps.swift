package import Core
package import TensorKernels

/// One optimizer step for all parameters of a group, in place: one call from a script instead of one per parameter.
///
/// Each parameter has a step count of its own (a 0-dim i64 tensor), as in PyTorch: one that got its first gradient late
/// starts its bias corrections then. Parameters without gradient stay as they are. All is checked before anything moves.
package enum GroupSteps {
  /// Adam or AdamW; see `Kernels.adam`.
  package static func adam(_ parameters: [Tensor], steps: [Tensor], m: [Tensor], v: [Tensor], _ o: AdamOptions) throws(Failure)
  {
    for move in try moves("adam", parameters, steps, [m, v], lr: o.lr) {
      let (p, g, m, v) = (move.parameter, move.gradient, move.states[0], move.states[1])
      Kernels.adam(p.dtype, p.count, o, step: move.step, p: p.pointer, g: g.pointer, m: m.pointer, v: v.pointer)
      move.done()
    }
  }

  /// SGD; with momentum there is one `velocity` for each parameter, else none.
  package static func sgd(_ parameters: [Tensor], steps: [Tensor], velocity: [Tensor], _ o: SGDOptions) throws(Failure) {
    for move in try moves("sgd", parameters, steps, velocity.isEmpty ? [] : [velocity], lr: o.lr) {
      let (p, g, speed) = (move.parameter, move.gradient, move.states.first)
      Kernels.sgd(p.dtype, p.count, o, first: move.step == 1, p: p.pointer, g: g.pointer, velocity: speed?.pointer)
      move.done()
    }
  }

  /// RMSprop; `mean` for the centered form and `velocity` for momentum, else none. See `Kernels.rmsprop`.
  package static func rmsprop(
    _ parameters: [Tensor], steps: [Tensor], square: [Tensor], mean: [Tensor], velocity: [Tensor], _ o: RMSpropOptions
  ) throws(Failure) {
    let states = [square] + (mean.isEmpty ? [] : [mean]) + (velocity.isEmpty ? [] : [velocity])
    for move in try moves("rmsprop", parameters, steps, states, lr: o.lr) {
      let (p, g, square) = (move.parameter, move.gradient, move.states[0])
      let first = mean.isEmpty ? nil : move.states[1]
      let speed = velocity.isEmpty ? nil : move.states[move.states.count - 1]
      Kernels.rmsprop(
        p.dtype, p.count, o, p: p.pointer, g: g.pointer, square: square.pointer, mean: first?.pointer, velocity: speed?.pointer)
      move.done()
    }
  }

  /// Adagrad; see `Kernels.adagrad`.
  package static func adagrad(_ parameters: [Tensor], steps: [Tensor], sum: [Tensor], _ o: AdagradOptions) throws(Failure) {
    for move in try moves("adagrad", parameters, steps, [sum], lr: o.lr) {
      let (p, g, sum) = (move.parameter, move.gradient, move.states[0])
      Kernels.adagrad(p.dtype, p.count, o, step: move.step, p: p.pointer, g: g.pointer, sum: sum.pointer)
      move.done()
    }
  }

  /// averages += weight (values - averages), pair by pair.
  package static func approach(_ averages: [Tensor], _ values: [Tensor], weight: Double) throws(Failure) {
    guard averages.count == values.count else {
      throw Failure(.shapeMismatch, "ema: \(averages.count) averages for \(values.count) parameters")
    }
    for (average, value) in zip(averages, values) {
      guard average.dtype.isFloat, average.isContiguous, value.isContiguous, average.dtype == value.dtype,
        average.shape == value.shape
      else {
        throw Failure(
          .shapeMismatch,
          "ema: an average \(average.dtype) \(Shape.text(average.shape)) does not fit a parameter \(value.dtype) \(Shape.text(value.shape))"
        )
      }
    }
    for (average, value) in zip(averages, values) {
      Kernels.approach(average.dtype, average.count, weight: weight, average: average.pointer, value: value.pointer)
      average.storage.changed()
    }
  }

  /// A parameter that has a gradient, with what its step needs.
  private struct Move {
    let parameter, gradient, count: Tensor
    let states: [Tensor]
    /// The number of this step, from 1.
    let step: Int

    func done() {
      count.pointer.assumingMemoryBound(to: Int64.self).pointee = Int64(step)
      for t in [parameter, count] + states { t.storage.changed() }
    }
  }

  private static func moves(
    _ op: String, _ parameters: [Tensor], _ steps: [Tensor], _ states: [[Tensor]], lr: Double
  ) throws(Failure) -> [Move] {
    try Cancellation.check()
    guard lr.isFinite, lr >= 0 else {
      throw Failure(.invalidArgument, "\(op): lr must be a finite number that is not negative, got \(lr)")
    }
    for list in [steps] + states where list.count != parameters.count {
      throw Failure(.shapeMismatch, "\(op): \(list.count) states for \(parameters.count) parameters")
    }
    var out: [Move] = []
    out.reserveCapacity(parameters.count)
    for (i, parameter) in parameters.enumerated() {
      let own = states.map { $0[i] }
      guard let gradient = try parameter.checkState(op, own) else { continue }
      let count = steps[i]
      guard count.dtype == .i64, count.count == 1 else {
        throw Failure(.shapeMismatch, "\(op): the step count of parameter \(i + 1) must be one i64")
      }
      let before = try count.integerItem()
      guard before >= 0, before < 1 << 53 else {
        throw Failure(.invalidArgument, "\(op): steps count from 1, parameter \(i + 1) has made \(before)")
      }
      out.append(Move(parameter: parameter, gradient: gradient, count: count, states: own, step: Int(before) + 1))
    }
    return out
  }
}

extension Tensor {
  /// Cuts every element of the gradients of `parameters` to -most...most; NaN stays.
  package static func clipGradientValue(_ parameters: [Tensor], most: Double) throws(Failure) {
    guard most >= 0 else {
      throw Failure(.invalidArgument, "clip_grad_value: the bound must be a number that is not negative, got \(most)")
    }
    for p in parameters { p.grad = try p.grad?.clamped(-most, most) }
  }
}
