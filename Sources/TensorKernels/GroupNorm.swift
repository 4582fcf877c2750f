import Core

/// Group normalization of x (N,C,S): each of `groups` groups of C / groups channels of a sample; statistics in Double, in a fixed order.
/// Groups are spread over the cores.
package struct GroupShape: Sendable {
  package var batch, channels, spatial, groups: Int
  package init(batch: Int, channels: Int, spatial: Int, groups: Int) {
    (self.batch, self.channels, self.spatial, self.groups) = (batch, channels, spatial, groups)
  }
  var perGroup: Int { channels / groups }
  var width: Int { channels / groups * spatial }
  var rows: Int { batch * groups }
  var grain: Int { max(1, 16384 / max(1, width)) }
}

extension Kernels {
  /// y = (x - mean) inverse gamma + beta; mean and inverse = 1 / sqrt(variance + epsilon) (N, groups) are written.
  package static func groupNorm(
    _ type: DType, _ s: GroupShape, epsilon: Double, x: UnsafeRawPointer, gamma: UnsafeRawPointer?, beta: UnsafeRawPointer?,
    mean: UnsafeMutableRawPointer, inverse: UnsafeMutableRawPointer, y: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      groupForward(
        s, epsilon, typed(x, Float.self), gamma.map { typed($0) }, beta.map { typed($0) }, typed(mean), typed(inverse), typed(y)
      )
    } else {
      groupForward(
        s, epsilon, typed(x, Double.self), gamma.map { typed($0) }, beta.map { typed($0) }, typed(mean), typed(inverse),
        typed(y))
    }
  }

  /// dx, and per sample and channel the sums of dy xhat and of dy: `dgamma` and `dbeta` (N,C), to be summed over N.
  package static func groupNormBackward(
    _ type: DType, _ s: GroupShape, x: UnsafeRawPointer, gamma: UnsafeRawPointer?, mean: UnsafeRawPointer,
    inverse: UnsafeRawPointer, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer, dgamma: UnsafeMutableRawPointer,
    dbeta: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      groupBackward(
        s, typed(x, Float.self), gamma.map { typed($0) }, typed(mean), typed(inverse), typed(dy), typed(dx), typed(dgamma),
        typed(dbeta))
    } else {
      groupBackward(
        s, typed(x, Double.self), gamma.map { typed($0) }, typed(mean), typed(inverse), typed(dy), typed(dx), typed(dgamma),
        typed(dbeta))
    }
  }
}

/// Sum of (p - m)^2; four sums side by side, for one would wait for itself.
@inline(__always)
private func squaredDistances<T: Real>(_ p: UnsafePointer<T>, _ n: Int, from m: Double) -> Double {
  var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
  var i = 0
  while i + 4 <= n {
    let (p0, p1, p2, p3) = (Double(p[i]) - m, Double(p[i + 1]) - m, Double(p[i + 2]) - m, Double(p[i + 3]) - m)
    a += p0 * p0
    b += p1 * p1
    c += p2 * p2
    d += p3 * p3
    i += 4
  }
  while i < n {
    a += (Double(p[i]) - m) * (Double(p[i]) - m)
    i += 1
  }
  return (a + c) + (b + d)
}

/// Sum of g (p - m), in the same way.
@inline(__always)
private func weightedDistances<T: Real>(_ g: UnsafePointer<T>, _ p: UnsafePointer<T>, _ n: Int, from m: Double) -> Double {
  var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
  var i = 0
  while i + 4 <= n {
    a += Double(g[i]) * (Double(p[i]) - m)
    b += Double(g[i + 1]) * (Double(p[i + 1]) - m)
    c += Double(g[i + 2]) * (Double(p[i + 2]) - m)
    d += Double(g[i + 3]) * (Double(p[i + 3]) - m)
    i += 4
  }
  while i < n {
    a += Double(g[i]) * (Double(p[i]) - m)
    i += 1
  }
  return (a + c) + (b + d)
}

private func groupForward<T: Real>(
  _ s: GroupShape, _ epsilon: Double, _ x: UnsafePointer<T>, _ gamma: UnsafePointer<T>?, _ beta: UnsafePointer<T>?,
  _ mean: UnsafeMutablePointer<T>, _ inverse: UnsafeMutablePointer<T>, _ y: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, beta, mean, inverse, y) = (x, gamma, beta, mean, inverse, y)
  Parallel.forEach(count: s.rows, grain: s.grain) { range in
    for row in range {
      let p = x + row * s.width
      let m = sumOfRow(p, s.width) / Double(s.width)
      let squares = squaredDistances(p, s.width, from: m)
      let inv = T(1 / (squares / Double(s.width) + epsilon).squareRoot())
      (mean[row], inverse[row]) = (T(m), inv)
      for c in 0..<s.perGroup {
        let channel = row % s.groups * s.perGroup + c
        let (scale, middle, shift) = (inv * (gamma?[channel] ?? 1), T(m), beta?[channel] ?? 0)
        let (source, out) = (p + c * s.spatial, y + row * s.width + c * s.spatial)
        for i in 0..<s.spatial { out[i] = (source[i] - middle) * scale + shift }
      }
    }
  }
}

private func groupBackward<T: Real>(
  _ s: GroupShape, _ x: UnsafePointer<T>, _ gamma: UnsafePointer<T>?, _ mean: UnsafePointer<T>, _ inverse: UnsafePointer<T>,
  _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>, _ dgamma: UnsafeMutablePointer<T>, _ dbeta: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, gamma, mean, inverse, dy, dx) = (x, gamma, mean, inverse, dy, dx)
  nonisolated(unsafe) let (dgamma, dbeta) = (dgamma, dbeta)
  Parallel.forEach(count: s.rows, grain: s.grain) { range in
    for row in range {
      let (m, inv) = (mean[row], inverse[row])
      var (sumG, sumGX) = (0.0, 0.0)
      for c in 0..<s.perGroup {
        let at = row * s.width + c * s.spatial
        let (p, g) = (x + at, dy + at)
        let a = sumOfRow(g, s.spatial)
        let b = weightedDistances(g, p, s.spatial, from: Double(m)) * Double(inv)
        let channel = row % s.groups * s.perGroup + c
        let place = row / s.groups * s.channels + channel
        (dbeta[place], dgamma[place]) = (T(a), T(b))
        let weight = Double(gamma?[channel] ?? 1)
        sumG += weight * a
        sumGX += weight * b
      }
      let (meanG, meanGX) = (T(sumG / Double(s.width)), T(sumGX / Double(s.width)))
      for c in 0..<s.perGroup {
        let at = row * s.width + c * s.spatial
        let (p, g, d) = (x + at, dy + at, dx + at)
        let weight = gamma?[row % s.groups * s.perGroup + c] ?? 1
        for i in 0..<s.spatial { d[i] = inv * (g[i] * weight - meanG - (p[i] - m) * inv * meanGX) }
      }
    }
  }
}
