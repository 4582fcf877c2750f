import Core

/// Fused steps of RMSprop and Adagrad, and the moving average of parameters. Formulas as in PyTorch's documentation.

/// RMSprop (Hinton, Coursera lecture 6e, 2012; centered: Graves 2013, arXiv 1308.0850).
package struct RMSpropOptions: Sendable {
  package var lr, alpha, epsilon, weightDecay, momentum: Double
  package init(lr: Double, alpha: Double, epsilon: Double, weightDecay: Double, momentum: Double) {
    (self.lr, self.alpha, self.epsilon) = (lr, alpha, epsilon)
    (self.weightDecay, self.momentum) = (weightDecay, momentum)
  }
}
/// Adagrad (Duchi, Hazan and Singer 2011).
package struct AdagradOptions: Sendable {
  package var lr, lrDecay, epsilon, weightDecay: Double
  package init(lr: Double, lrDecay: Double, epsilon: Double, weightDecay: Double) {
    (self.lr, self.lrDecay, self.epsilon, self.weightDecay) = (lr, lrDecay, epsilon, weightDecay)
  }
}

extension Kernels {
  /// square = alpha square + (1 - alpha) g^2; p -= lr g / (sqrt(square) + eps).
  ///
  /// With `mean` (centered) its square is taken off `square`; with `velocity` (momentum) the quotient is added to
  /// momentum times velocity, and p moves by that.
  package static func rmsprop(
    _ type: DType, _ count: Int, _ o: RMSpropOptions, p: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    square: UnsafeMutableRawPointer, mean: UnsafeMutableRawPointer?, velocity: UnsafeMutableRawPointer?
  ) {
    if type == .f32 {
      rmspropLoop(
        count, o, typed(p, Float.self), typed(g), typed(square), mean.map { typed($0) }, velocity.map { typed($0) })
    } else {
      rmspropLoop(
        count, o, typed(p, Double.self), typed(g), typed(square), mean.map { typed($0) }, velocity.map { typed($0) })
    }
  }

  /// Step number `step` (from 1): sum += g^2; p -= lr / (1 + (step - 1) lrDecay) g / (sqrt(sum) + eps).
  package static func adagrad(
    _ type: DType, _ count: Int, _ o: AdagradOptions, step: Int, p: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    sum: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      adagradLoop(count, o, step, typed(p, Float.self), typed(g), typed(sum))
    } else {
      adagradLoop(count, o, step, typed(p, Double.self), typed(g), typed(sum))
    }
  }

  /// average += weight (value - average).
  package static func approach(
    _ type: DType, _ count: Int, weight: Double, average: UnsafeMutableRawPointer, value: UnsafeRawPointer
  ) {
    if type == .f32 {
      approachLoop(count, Float(weight), typed(average), typed(value))
    } else {
      approachLoop(count, weight, typed(average), typed(value))
    }
  }
}

private func rmspropLoop<T: Real>(
  _ count: Int, _ o: RMSpropOptions, _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>, _ square: UnsafeMutablePointer<T>,
  _ mean: UnsafeMutablePointer<T>?, _ velocity: UnsafeMutablePointer<T>?
) {
  let (lr, alpha, rest, eps) = (T(o.lr), T(o.alpha), T(1 - o.alpha), T(o.epsilon))
  let (decay, momentum, joins) = (T(o.weightDecay), T(o.momentum), o.weightDecay != 0)
  nonisolated(unsafe) let (p, g, square, mean, velocity) = (p, g, square, mean, velocity)
  Parallel.forEach(count: count, grain: 32768) { range in
    for i in range {
      let gradient = joins ? g[i] + decay * p[i] : g[i]
      let second = alpha * square[i] + rest * (gradient * gradient)
      square[i] = second
      var spread = second
      if let mean {
        let first = mean[i] + rest * (gradient - mean[i])
        mean[i] = first
        // Rounding may take it below 0, where a root would be NaN; a NaN of the gradient stays one.
        spread = second - first * first
        spread = spread < 0 ? 0 : spread
      }
      let quotient = gradient / (spread.squareRoot() + eps)
      if let velocity {
        let speed = momentum * velocity[i] + quotient
        velocity[i] = speed
        p[i] -= lr * speed
      } else {
        p[i] -= lr * quotient
      }
    }
  }
}

private func adagradLoop<T: Real>(
  _ count: Int, _ o: AdagradOptions, _ step: Int, _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>,
  _ sum: UnsafeMutablePointer<T>
) {
  let rate = T(o.lr / (1 + Double(step - 1) * o.lrDecay))
  let (eps, decay, joins) = (T(o.epsilon), T(o.weightDecay), o.weightDecay != 0)
  nonisolated(unsafe) let (p, g, sum) = (p, g, sum)
  Parallel.forEach(count: count, grain: 32768) { range in
    for i in range {
      let gradient = joins ? g[i] + decay * p[i] : g[i]
      let total = sum[i] + gradient * gradient
      sum[i] = total
      p[i] -= rate * (gradient / (total.squareRoot() + eps))
    }
  }
}

private func approachLoop<T: Real>(
  _ count: Int, _ weight: T, _ average: UnsafeMutablePointer<T>, _ value: UnsafePointer<T>
) {
  nonisolated(unsafe) let (average, value) = (average, value)
  Parallel.forEach(count: count, grain: 32768) { range in
    for i in range { average[i] += weight * (value[i] - average[i]) }
  }
}
