import Core

/// Cross entropy of logits (N,C,S) against class ids (N,S): classes are planes, so the loops run along places, in blocks of 512 that are
/// spread over the cores. Nothing of the size of the logits is kept: backward makes the probabilities again from lse = log(sum(e^x)).
package struct PlaneEntropy: Sendable {
  package var batch, classes, places: Int
  package var smoothing: Double
  /// Targets that do not count.
  package var ignored: Int64?

  package init(batch: Int, classes: Int, places: Int, smoothing: Double, ignored: Int64?) {
    (self.batch, self.classes, self.places) = (batch, classes, places)
    (self.smoothing, self.ignored) = (smoothing, ignored)
  }
  static let block = 512
  var blocks: Int { (places + PlaneEntropy.block - 1) / PlaneEntropy.block }
  var grain: Int { max(1, 16384 / max(1, min(places, PlaneEntropy.block) * classes)) }

  /// Calls `body(sample, first place, places)` for every block.
  func run(_ body: (Int, Int, Int) -> Void) {
    nonisolated(unsafe) let body = body
    Parallel.forEach(count: batch * blocks, grain: grain) { range in
      for i in range {
        let from = i % blocks * PlaneEntropy.block
        body(i / blocks, from, min(PlaneEntropy.block, places - from))
      }
    }
  }
}

extension Kernels {
  /// loss = w_t (1 - s) (lse - x_t) + s / C sum_k w_k (lse - x_k), t the target; `norm`: w_t. Both 0 where the target is ignored.
  /// - Returns: the first place in `targets` of an id outside 0 ..< classes that is not ignored, or -1; then nothing was written.
  package static func planeEntropy(
    _ type: DType, _ s: PlaneEntropy, x: UnsafeRawPointer, targets: UnsafePointer<Int64>, weight: UnsafeRawPointer?,
    loss: UnsafeMutableRawPointer, norm: UnsafeMutableRawPointer, lse: UnsafeMutableRawPointer
  ) -> Int {
    for i in 0..<s.batch * s.places where targets[i] < 0 || targets[i] >= Int64(s.classes) {
      if targets[i] != s.ignored { return i }
    }
    if type == .f32 {
      forward(s, typed(x, Float.self), targets, weight.map { typed($0) }, typed(loss), typed(norm), typed(lse))
    } else {
      forward(s, typed(x, Double.self), targets, weight.map { typed($0) }, typed(loss), typed(norm), typed(lse))
    }
    return -1
  }

  /// dx = g scale (softmax(x) total - target weights); g has one number (`gStride` 0) or one per place (1).
  package static func planeEntropyBackward(
    _ type: DType, _ s: PlaneEntropy, x: UnsafeRawPointer, targets: UnsafePointer<Int64>, weight: UnsafeRawPointer?,
    lse: UnsafeRawPointer, g: UnsafeRawPointer, gStride: Int, scale: Double, dx: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      backward(
        s, typed(x, Float.self), targets, weight.map { typed($0) }, typed(lse), typed(g), gStride, Float(scale), typed(dx))
    } else {
      backward(s, typed(x, Double.self), targets, weight.map { typed($0) }, typed(lse), typed(g), gStride, scale, typed(dx))
    }
  }
}

private func forward<T: Real>(
  _ s: PlaneEntropy, _ x: UnsafePointer<T>, _ targets: UnsafePointer<Int64>, _ weight: UnsafePointer<T>?,
  _ loss: UnsafeMutablePointer<T>, _ norm: UnsafeMutablePointer<T>, _ lse: UnsafeMutablePointer<T>
) {
  var all: T = 0
  for k in 0..<s.classes { all += weight?[k] ?? 1 }
  let (total, share, main) = (all, T(s.smoothing) / T(max(1, s.classes)), T(1 - s.smoothing))
  nonisolated(unsafe) let (x, targets, weight, loss, norm, lse) = (x, targets, weight, loss, norm, lse)
  s.run { sample, from, count in
    let logits = x + sample * s.classes * s.places + from
    withUnsafeTemporaryAllocation(of: T.self, capacity: 3 * PlaneEntropy.block) { work in
      guard let top = work.baseAddress else { return }
      let (sum, spread) = (top + PlaneEntropy.block, top + 2 * PlaneEntropy.block)
      for j in 0..<count { (top[j], sum[j], spread[j]) = (-T.infinity, 0, 0) }
      for k in 0..<s.classes {
        let row = logits + k * s.places
        for j in 0..<count { top[j] = row[j] > top[j] ? row[j] : top[j] }
      }
      for j in 0..<count where top[j] == -T.infinity { top[j] = 0 }
      for k in 0..<s.classes {
        let (row, w) = (logits + k * s.places, weight?[k] ?? 1)
        for j in 0..<count { sum[j] += T.exponential(row[j] - top[j]) }
        if share != 0 { for j in 0..<count { spread[j] += w * row[j] } }
      }
      let at = sample * s.places + from
      for j in 0..<count {
        let full = T.logarithm(sum[j]) + top[j]
        lse[at + j] = full
        if targets[at + j] == s.ignored {
          (loss[at + j], norm[at + j]) = (0, 0)
          continue
        }
        let t = Int(targets[at + j])
        let w = weight?[t] ?? 1
        var value = main * w * (full - logits[t * s.places + j])
        if share != 0 { value += share * (total * full - spread[j]) }
        (loss[at + j], norm[at + j]) = (value, w)
      }
    }
  }
}

private func backward<T: Real>(
  _ s: PlaneEntropy, _ x: UnsafePointer<T>, _ targets: UnsafePointer<Int64>, _ weight: UnsafePointer<T>?,
  _ lse: UnsafePointer<T>, _ g: UnsafePointer<T>, _ gStride: Int, _ scale: T, _ dx: UnsafeMutablePointer<T>
) {
  var all: T = 0
  for k in 0..<s.classes { all += weight?[k] ?? 1 }
  let (total, share, main) = (all, T(s.smoothing) / T(max(1, s.classes)), T(1 - s.smoothing))
  nonisolated(unsafe) let (x, targets, weight, lse, g, dx) = (x, targets, weight, lse, g, dx)
  s.run { sample, from, count in
    let (logits, out) = (x + sample * s.classes * s.places + from, dx + sample * s.classes * s.places + from)
    let at = sample * s.places + from
    withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * PlaneEntropy.block) { work in
      guard let factor = work.baseAddress else { return }
      let sums = factor + PlaneEntropy.block
      for j in 0..<count {
        let isIgnored = targets[at + j] == s.ignored
        factor[j] = isIgnored ? 0 : g[(at + j) * gStride] * scale
        sums[j] = isIgnored ? 0 : main * (weight?[Int(targets[at + j])] ?? 1) + share * total
      }
      for k in 0..<s.classes {
        let (row, d, part) = (logits + k * s.places, out + k * s.places, share * (weight?[k] ?? 1))
        for j in 0..<count { d[j] = factor[j] * (T.exponential(row[j] - lse[at + j]) * sums[j] - part) }
      }
      for j in 0..<count where targets[at + j] != s.ignored {
        let t = Int(targets[at + j])
        out[t * s.places + j] -= factor[j] * main * (weight?[t] ?? 1)
      }
    }
  }
}
