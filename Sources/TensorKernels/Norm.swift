import Core

/// Batch and layer normalization; statistics in Double, in a fixed order.
extension Kernels {
  /// Batch norm of x (N,C,S): y = (x - mean_c) * inverse_c * gamma_c + beta_c, then max(y, 0) with `relu` (as `UnaryOp.relu`: NaN stays).
  ///
  /// With `training`, mean (C) and inverse = 1 / sqrt(variance + epsilon) (C) are computed from x and written, and
  /// variance (C, biased) too; otherwise they are read.
  package static func batchNorm(
    _ type: DType, batch: Int, channels: Int, spatial: Int, training: Bool, epsilon: Double, relu: Bool, x: UnsafeRawPointer,
    gamma: UnsafeRawPointer?, beta: UnsafeRawPointer?, mean: UnsafeMutableRawPointer, variance: UnsafeMutableRawPointer,
    inverse: UnsafeMutableRawPointer, y: UnsafeMutableRawPointer
  ) {
    func run<T: Real>(_: T.Type) {
      batchForward(
        batch, channels, spatial, training, epsilon, relu, typed(x, T.self), gamma.map { typed($0) }, beta.map { typed($0) },
        typed(mean), typed(variance), typed(inverse), typed(y))
    }
    if type == .f32 { run(Float.self) } else { run(Double.self) }
  }

  /// Gradients of batchNorm; with `training` through the statistics as well. dx, dgamma, dbeta are overwritten. With `relu`, dy counts only
  /// where y > 0, which is found out from x anew.
  package static func batchNormBackward(
    _ type: DType, batch: Int, channels: Int, spatial: Int, training: Bool, relu: Bool, x: UnsafeRawPointer,
    gamma: UnsafeRawPointer?, beta: UnsafeRawPointer?, mean: UnsafeRawPointer, inverse: UnsafeRawPointer,
    dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer, dgamma: UnsafeMutableRawPointer, dbeta: UnsafeMutableRawPointer
  ) {
    func run<T: Real>(_: T.Type) {
      batchBackward(
        batch, channels, spatial, training, relu, typed(x, T.self), gamma.map { typed($0) }, beta.map { typed($0) },
        typed(mean), typed(inverse), typed(dy), typed(dx), typed(dgamma), typed(dbeta))
    }
    if type == .f32 { run(Float.self) } else { run(Double.self) }
  }

  /// Layer norm of x (rows, width): y = (x - mean_r) * inverse_r * gamma + beta; mean and inverse (rows) are written.
  package static func layerNorm(
    _ type: DType, rows: Int, width: Int, epsilon: Double, x: UnsafeRawPointer, gamma: UnsafeRawPointer?,
    beta: UnsafeRawPointer?,
    mean: UnsafeMutableRawPointer, inverse: UnsafeMutableRawPointer, y: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      layerForward(
        rows, width, epsilon, typed(x, Float.self), gamma.map { typed($0) }, beta.map { typed($0) }, typed(mean),
        typed(inverse),
        typed(y))
    } else {
      layerForward(
        rows, width, epsilon, typed(x, Double.self), gamma.map { typed($0) }, beta.map { typed($0) }, typed(mean),
        typed(inverse),
        typed(y))
    }
  }

  /// dx of layerNorm, and xhat = (x - mean) * inverse for the gradient of gamma.
  package static func layerNormBackward(
    _ type: DType, rows: Int, width: Int, x: UnsafeRawPointer, gamma: UnsafeRawPointer?, mean: UnsafeRawPointer,
    inverse: UnsafeRawPointer, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer, xhat: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      layerBackward(
        rows, width, typed(x, Float.self), gamma.map { typed($0) }, typed(mean), typed(inverse), typed(dy), typed(dx),
        typed(xhat))
    } else {
      layerBackward(
        rows, width, typed(x, Double.self), gamma.map { typed($0) }, typed(mean), typed(inverse), typed(dy), typed(dx),
        typed(xhat)
      )
    }
  }
}

/// Sums of body(i) for i < count in Double: four of them, added at the end, so that additions do not wait for each other.
@inline(__always)
private func fourSums(_ count: Int, _ body: (Int) -> Double) -> Double {
  var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
  var i = 0
  while i &+ 4 <= count {
    a += body(i)
    b += body(i &+ 1)
    c += body(i &+ 2)
    d += body(i &+ 3)
    i &+= 4
  }
  while i < count {
    a += body(i)
    i &+= 1
  }
  return (a + c) + (b + d)
}

private func batchForward<T: Real>(
  _ batch: Int, _ channels: Int, _ spatial: Int, _ training: Bool, _ epsilon: Double, _ relu: Bool, _ x: UnsafePointer<T>,
  _ gamma: UnsafePointer<T>?, _ beta: UnsafePointer<T>?, _ mean: UnsafeMutablePointer<T>, _ variance: UnsafeMutablePointer<T>,
  _ inverse: UnsafeMutablePointer<T>, _ y: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, beta, mean, variance, inverse, y) = (x, gamma, beta, mean, variance, inverse, y)
  Parallel.forEach(count: channels, grain: max(1, 16384 / max(1, batch * spatial))) { range in
    for c in range {
      if training {
        var sum = 0.0
        for n in 0..<batch { sum += sumOfRow(x + (n * channels + c) * spatial, spatial) }
        let m = sum / Double(batch * spatial)
        var squares = 0.0
        for n in 0..<batch {
          let p = x + (n * channels + c) * spatial
          squares += fourSums(spatial) { i in
            let d = Double(p[i]) - m
            return d * d
          }
        }
        mean[c] = T(m)
        variance[c] = T(squares / Double(batch * spatial))
        inverse[c] = T(1 / (squares / Double(batch * spatial) + epsilon).squareRoot())
      }
      let scale = inverse[c] * (gamma?[c] ?? 1)
      let (m, shift) = (mean[c], beta?[c] ?? 0)
      for n in 0..<batch {
        let (p, q) = (x + (n * channels + c) * spatial, y + (n * channels + c) * spatial)
        if relu {
          for i in 0..<spatial {
            let value = (p[i] - m) * scale + shift
            q[i] = value < 0 ? 0 : value
          }
        } else {
          for i in 0..<spatial { q[i] = (p[i] - m) * scale + shift }
        }
      }
    }
  }
}

private func batchBackward<T: Real>(
  _ batch: Int, _ channels: Int, _ spatial: Int, _ training: Bool, _ relu: Bool, _ x: UnsafePointer<T>,
  _ gamma: UnsafePointer<T>?, _ beta: UnsafePointer<T>?, _ mean: UnsafePointer<T>, _ inverse: UnsafePointer<T>,
  _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>, _ dgamma: UnsafeMutablePointer<T>, _ dbeta: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, beta, mean, inverse) = (x, gamma, beta, mean, inverse)
  nonisolated(unsafe) let (dy, dx, dgamma, dbeta) = (dy, dx, dgamma, dbeta)
  Parallel.forEach(count: channels, grain: max(1, 16384 / max(1, batch * spatial))) { range in
    for c in range {
      let (m, inv) = (mean[c], inverse[c])
      let scale = inv * (gamma?[c] ?? 1)
      let shift = beta?[c] ?? 0
      /// `gradient(x, dy)` is dy, or 0 where relu let nothing through.
      @inline(__always) func channel(_ gradient: (T, T) -> T) {
        var (sumG, sumGX) = (0.0, 0.0)
        for n in 0..<batch {
          let (p, g) = (x + (n * channels + c) * spatial, dy + (n * channels + c) * spatial)
          sumG += fourSums(spatial) { Double(gradient(p[$0], g[$0])) }
          sumGX += fourSums(spatial) { Double(gradient(p[$0], g[$0])) * Double((p[$0] - m) * inv) }
        }
        dgamma[c] = T(sumGX)
        dbeta[c] = T(sumG)
        let count = Double(batch * spatial)
        let (meanG, meanGX) = training ? (T(sumG / count), T(sumGX / count)) : (0, 0)
        for n in 0..<batch {
          let at = (n * channels + c) * spatial
          let (p, g, d) = (x + at, dy + at, dx + at)
          for i in 0..<spatial { d[i] = scale * (gradient(p[i], g[i]) - meanG - (p[i] - m) * inv * meanGX) }
        }
      }
      if relu { channel { ($0 - m) * scale + shift > 0 ? $1 : 0 } } else { channel { $1 } }
    }
  }
}

private func layerForward<T: Real>(
  _ rows: Int, _ width: Int, _ epsilon: Double, _ x: UnsafePointer<T>, _ gamma: UnsafePointer<T>?, _ beta: UnsafePointer<T>?,
  _ mean: UnsafeMutablePointer<T>, _ inverse: UnsafeMutablePointer<T>, _ y: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, beta, mean, inverse, y) = (x, gamma, beta, mean, inverse, y)
  Parallel.forEach(count: rows, grain: max(1, 8192 / max(1, width))) { range in
    for row in range {
      let (p, q) = (x + row * width, y + row * width)
      let m = sumOfRow(p, width) / Double(width)
      var squares = 0.0
      for i in 0..<width {
        let d = Double(p[i]) - m
        squares += d * d
      }
      let inv = T(1 / (squares / Double(width) + epsilon).squareRoot())
      mean[row] = T(m)
      inverse[row] = inv
      for i in 0..<width { q[i] = (p[i] - T(m)) * inv * (gamma?[i] ?? 1) + (beta?[i] ?? 0) }
    }
  }
}

private func layerBackward<T: Real>(
  _ rows: Int, _ width: Int, _ x: UnsafePointer<T>, _ gamma: UnsafePointer<T>?, _ mean: UnsafePointer<T>,
  _ inverse: UnsafePointer<T>, _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>, _ xhat: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, mean, inverse, dy, dx, xhat) = (x, gamma, mean, inverse, dy, dx, xhat)
  Parallel.forEach(count: rows, grain: max(1, 8192 / max(1, width))) { range in
    for row in range {
      let (p, g, d, h) = (x + row * width, dy + row * width, dx + row * width, xhat + row * width)
      let (m, inv) = (mean[row], inverse[row])
      var (sumG, sumGX) = (0.0, 0.0)
      for i in 0..<width {
        let n = (p[i] - m) * inv
        let scaled = g[i] * (gamma?[i] ?? 1)
        h[i] = n
        sumG += Double(scaled)
        sumGX += Double(scaled) * Double(n)
      }
      let (meanG, meanGX) = (T(sumG / Double(width)), T(sumGX / Double(width)))
      for i in 0..<width { d[i] = inv * (g[i] * (gamma?[i] ?? 1) - meanG - h[i] * meanGX) }
    }
  }
}
