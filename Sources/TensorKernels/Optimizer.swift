import Core

/// Fused optimizer steps: one pass over parameter, gradient and state. Formulas as in PyTorch's documentation.
package struct AdamOptions: Sendable {
  package var lr, beta1, beta2, epsilon, weightDecay: Double
  /// AdamW: the decay shrinks the parameter itself instead of joining the gradient.
  package var decoupled: Bool
  package init(lr: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, decoupled: Bool) {
    (self.lr, self.beta1, self.beta2, self.epsilon) = (lr, beta1, beta2, epsilon)
    (self.weightDecay, self.decoupled) = (weightDecay, decoupled)
  }
}
package struct SGDOptions: Sendable {
  package var lr, momentum, dampening, weightDecay: Double
  package var nesterov: Bool
  package init(lr: Double, momentum: Double, dampening: Double, weightDecay: Double, nesterov: Bool) {
    (self.lr, self.momentum, self.dampening) = (lr, momentum, dampening)
    (self.weightDecay, self.nesterov) = (weightDecay, nesterov)
  }
}

extension Kernels {
  /// Step number `step` (from 1) of Adam on p with gradient g and moments m, v (all contiguous, `count` of `type`).
  package static func adam(
    _ type: DType, _ count: Int, _ o: AdamOptions, step: Int, p: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    m: UnsafeMutableRawPointer, v: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      adamLoop(count, o, step, typed(p, Float.self), typed(g), typed(m), typed(v))
    } else {
      adamLoop(count, o, step, typed(p, Double.self), typed(g), typed(m), typed(v))
    }
  }

  /// One SGD step; `velocity` may be nil without momentum. On the `first` step it becomes the gradient.
  package static func sgd(
    _ type: DType, _ count: Int, _ o: SGDOptions, first: Bool, p: UnsafeMutableRawPointer, g: UnsafeRawPointer,
    velocity: UnsafeMutableRawPointer?
  ) {
    if type == .f32 {
      sgdLoop(count, o, first, typed(p, Float.self), typed(g), velocity.map { typed($0) })
    } else {
      sgdLoop(count, o, first, typed(p, Double.self), typed(g), velocity.map { typed($0) })
    }
  }
}

private func adamLoop<T: Real>(
  _ count: Int, _ o: AdamOptions, _ step: Int, _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>,
  _ m: UnsafeMutablePointer<T>,
  _ v: UnsafeMutablePointer<T>
) {
  let (b1, b2, eps, decay) = (T(o.beta1), T(o.beta2), T(o.epsilon), T(o.weightDecay))
  let (c1, c2) = (T(1 - o.beta1), T(1 - o.beta2))
  let (power1, power2) = (Double.power(o.beta1, Double(step)), Double.power(o.beta2, Double(step)))
  let stepSize = T(o.lr / (1 - power1))
  let root = T(1 / (1 - power2).squareRoot())
  let joins = !o.decoupled && o.weightDecay != 0
  let shrink = o.decoupled ? T(1 - o.lr * o.weightDecay) : 1
  nonisolated(unsafe) let (p, g, m, v) = (p, g, m, v)
  Parallel.forEach(count: count, grain: 32768) { range in
    for i in range {
      let gradient = joins ? g[i] + decay * p[i] : g[i]
      let first = b1 * m[i] + c1 * gradient
      let second = b2 * v[i] + c2 * (gradient * gradient)
      m[i] = first
      v[i] = second
      p[i] = p[i] * shrink - stepSize * first / (second.squareRoot() * root + eps)
    }
  }
}

private func sgdLoop<T: Real>(
  _ count: Int, _ o: SGDOptions, _ first: Bool, _ p: UnsafeMutablePointer<T>, _ g: UnsafePointer<T>,
  _ velocity: UnsafeMutablePointer<T>?
) {
  let (lr, momentum, rest, decay) = (T(o.lr), T(o.momentum), T(1 - o.dampening), T(o.weightDecay))
  nonisolated(unsafe) let (p, g, velocity) = (p, g, velocity)
  Parallel.forEach(count: count, grain: 32768) { range in
    if let velocity {
      for i in range {
        let gradient = g[i] + decay * p[i]
        let speed = first ? gradient : momentum * velocity[i] + rest * gradient
        velocity[i] = speed
        p[i] -= lr * (o.nesterov ? gradient + momentum * speed : speed)
      }
    } else {
      for i in range { p[i] -= lr * (g[i] + decay * p[i]) }
    }
  }
}
