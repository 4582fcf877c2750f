import Core

/// Softmax, log-softmax and cross entropy over rows (rows, classes), the largest value subtracted first.
extension Kernels {
  /// y = softmax(x) or log-softmax(x) along each row.
  package static func softmax(
    _ type: DType, log: Bool, rows: Int, classes: Int, x: UnsafeRawPointer, y: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      softmaxRows(log, rows, classes, typed(x, Float.self), typed(y))
    } else {
      softmaxRows(log, rows, classes, typed(x, Double.self), typed(y))
    }
  }

  /// dx from dy and y: softmax y (dy - sum(dy y)), log-softmax dy - e^y sum(dy).
  package static func softmaxBackward(
    _ type: DType, log: Bool, rows: Int, classes: Int, y: UnsafeRawPointer, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      softmaxRowsBackward(log, rows, classes, typed(y, Float.self), typed(dy), typed(dx))
    } else {
      softmaxRowsBackward(log, rows, classes, typed(y, Double.self), typed(dy), typed(dx))
    }
  }

  /// Cross entropy of class ids: loss_i = w_t ((1 - s) (-logp_t) ) + s / K sum_k w_k (-logp_k), t = target_i.
  ///
  /// `logp` (rows, classes) is log-softmax; `loss` (rows) and `norm` (rows: w_t, what "mean" divides by) are written.
  /// - Returns: the row of the first target outside 0 ..< classes, or -1.
  package static func crossEntropy(
    _ type: DType, rows: Int, classes: Int, logp: UnsafeRawPointer, targets: UnsafeRawPointer, weight: UnsafeRawPointer?,
    smoothing: Double, loss: UnsafeMutableRawPointer, norm: UnsafeMutableRawPointer
  ) -> Int {
    if type == .f32 {
      return entropyRows(
        rows, classes, typed(logp, Float.self), typed(targets), weight.map { typed($0) }, Float(smoothing), typed(loss),
        typed(norm))
    }
    return entropyRows(
      rows, classes, typed(logp, Double.self), typed(targets), weight.map { typed($0) }, smoothing, typed(loss), typed(norm))
  }

  /// dx of cross entropy on logits: scale_i times (softmax(x) * total weight - target weights), scale_i = g_i / divisor.
  package static func crossEntropyBackward(
    _ type: DType, rows: Int, classes: Int, logp: UnsafeRawPointer, targets: UnsafeRawPointer, weight: UnsafeRawPointer?,
    smoothing: Double, g: UnsafeRawPointer, gStride: Int, scale: Double, dx: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      entropyBackward(
        rows, classes, typed(logp, Float.self), typed(targets), weight.map { typed($0) }, Float(smoothing), typed(g), gStride,
        Float(scale), typed(dx))
    } else {
      entropyBackward(
        rows, classes, typed(logp, Double.self), typed(targets), weight.map { typed($0) }, smoothing, typed(g), gStride, scale,
        typed(dx))
    }
  }
}

private func softmaxRows<T: Real>(
  _ log: Bool, _ rows: Int, _ classes: Int, _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (x, y) = (x, y)
  Parallel.forEach(count: rows, grain: max(1, 4096 / max(1, classes))) { range in
    for row in range {
      let (p, q) = (x + row * classes, y + row * classes)
      var top = -T.infinity
      for i in 0..<classes { top = T.larger(p[i], top) }
      if top == -T.infinity { top = 0 }  // a row of -inf gives NaN, not inf - inf here
      if log {
        var sum: T = 0
        for i in 0..<classes { sum += T.exponential(p[i] - top) }
        let total = T.logarithm(sum) + top
        for i in 0..<classes { q[i] = p[i] - total }
      } else {
        var sum: T = 0
        for i in 0..<classes {
          let e = T.exponential(p[i] - top)
          q[i] = e
          sum += e
        }
        for i in 0..<classes { q[i] /= sum }
      }
    }
  }
}

private func softmaxRowsBackward<T: Real>(
  _ log: Bool, _ rows: Int, _ classes: Int, _ y: UnsafePointer<T>, _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>
) {
  nonisolated(unsafe) let (y, dy, dx) = (y, dy, dx)
  Parallel.forEach(count: rows, grain: max(1, 4096 / max(1, classes))) { range in
    for row in range {
      let (p, g, d) = (y + row * classes, dy + row * classes, dx + row * classes)
      var sum: T = 0
      if log {
        for i in 0..<classes { sum += g[i] }
        for i in 0..<classes { d[i] = g[i] - T.exponential(p[i]) * sum }
      } else {
        for i in 0..<classes { sum += g[i] * p[i] }
        for i in 0..<classes { d[i] = p[i] * (g[i] - sum) }
      }
    }
  }
}

private func entropyRows<T: Real>(
  _ rows: Int, _ classes: Int, _ logp: UnsafePointer<T>, _ targets: UnsafePointer<Int64>, _ weight: UnsafePointer<T>?,
  _ smoothing: T, _ loss: UnsafeMutablePointer<T>, _ norm: UnsafeMutablePointer<T>
) -> Int {
  for row in 0..<rows {
    guard targets[row] >= 0, targets[row] < Int64(classes) else { return row }
    let t = Int(targets[row])
    let p = logp + row * classes
    let w = weight?[t] ?? 1
    var value = -(1 - smoothing) * w * p[t]
    if smoothing > 0 {
      var sum: T = 0
      for k in 0..<classes { sum += (weight?[k] ?? 1) * p[k] }
      value -= smoothing / T(classes) * sum
    }
    loss[row] = value
    norm[row] = w
  }
  return -1
}

private func entropyBackward<T: Real>(
  _ rows: Int, _ classes: Int, _ logp: UnsafePointer<T>, _ targets: UnsafePointer<Int64>, _ weight: UnsafePointer<T>?,
  _ smoothing: T, _ g: UnsafePointer<T>, _ gStride: Int, _ scale: T, _ dx: UnsafeMutablePointer<T>
) {
  let share = smoothing / T(classes)
  var allWeights: T = 0
  for k in 0..<classes { allWeights += weight?[k] ?? 1 }
  let sum = allWeights
  nonisolated(unsafe) let (logp, targets, weight, g, dx) = (logp, targets, weight, g, dx)
  Parallel.forEach(count: rows, grain: max(1, 4096 / max(1, classes))) { range in
    for row in range {
      let t = Int(targets[row])
      let (p, d) = (logp + row * classes, dx + row * classes)
      let factor = g[row * gStride] * scale
      let targetWeight = (1 - smoothing) * (weight?[t] ?? 1)
      let total = targetWeight + share * sum
      for k in 0..<classes {
        d[k] = factor * (T.exponential(p[k]) * total - share * (weight?[k] ?? 1))
      }
      d[t] -= factor * targetWeight
    }
  }
}
