package import Core

/// Images (planes, H, W) at another size (planes, OH, OW): each result pixel is one pixel, or a blend of two rows and two columns.
/// Planes are spread over the cores.
package struct ResampleShape: Sendable, Equatable {
  package var planes, height, width, outHeight, outWidth: Int
  /// Source pixels per result pixel.
  package var stepH, stepW: Double
  package var isLinear: Bool
  /// Linear only: the middles of the corner pixels stay in place.
  package var alignsCorners: Bool

  package init(
    planes: Int, height: Int, width: Int, out: (Int, Int), step: (Double, Double), isLinear: Bool, alignsCorners: Bool
  ) {
    (self.planes, self.height, self.width) = (planes, height, width)
    (outHeight, outWidth) = out
    (stepH, stepW) = step
    (self.isLinear, self.alignsCorners) = (isLinear, alignsCorners)
  }
}

/// Where a result row (or column) comes from: (1 - share) of `low` and `share` of `high`.
private struct Tap {
  var low: Int32, high: Int32
  var share: Double
}

private func taps(_ s: ResampleShape, rows: Bool, into out: UnsafeMutablePointer<Tap>) {
  let (extent, count, step) = rows ? (s.height, s.outHeight, s.stepH) : (s.width, s.outWidth, s.stepW)
  let last = Int32(extent - 1)
  for i in 0..<count {
    if !s.isLinear {
      // In single precision, as PyTorch does for every type: it decides which pixel is taken at exact borders.
      let at = (Float(i) * Float(step)).rounded(.down)
      let low = at >= Float(last) ? last : Int32(max(0, at))
      out[i] = Tap(low: low, high: low, share: 0)
      continue
    }
    let at = s.alignsCorners ? Double(i) * step : max(0, (Double(i) + 0.5) * step - 0.5)
    let low = at >= Double(last) ? last : Int32(at)
    out[i] = Tap(low: low, high: min(low + 1, last), share: low == last ? 0 : min(1, at - Double(low)))
  }
}

extension Kernels {
  /// y (planes, OH, OW) from x (planes, H, W); no extent is 0.
  package static func resample(_ type: DType, _ s: ResampleShape, x: UnsafeRawPointer, y: UnsafeMutableRawPointer)
    throws(Failure)
  {
    if type == .f32 {
      try resampleForward(s, typed(x, Float.self), typed(y))
    } else {
      try resampleForward(s, typed(x, Double.self), typed(y))
    }
  }

  /// dx from dy; overwritten.
  package static func resampleBackward(
    _ type: DType, _ s: ResampleShape, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer
  ) throws(Failure) {
    if type == .f32 {
      try resampleReverse(s, typed(dy, Float.self), typed(dx))
    } else {
      try resampleReverse(s, typed(dy, Double.self), typed(dx))
    }
  }
}

/// Gives the taps of rows and columns to `body`.
private func withTaps(
  _ s: ResampleShape, _ body: (UnsafePointer<Tap>, UnsafePointer<Tap>) throws(Failure) -> Void
) throws(Failure) {
  let memory = try BufferPool.take(byteCount: (s.outHeight + s.outWidth) * MemoryLayout<Tap>.stride, zeroed: false)
  defer { BufferPool.give(memory) }
  let rows = memory.pointer.assumingMemoryBound(to: Tap.self)
  let columns = rows + s.outHeight
  taps(s, rows: true, into: rows)
  taps(s, rows: false, into: columns)
  try body(rows, columns)
}

private func resampleForward<T: Real>(
  _ s: ResampleShape, _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>
) throws(Failure) {
  let grain = max(1, 16384 / (s.outHeight * s.outWidth))
  let scratch = try Scratch(bytes: s.width * MemoryLayout<T>.stride, blocks: (s.planes + grain - 1) / grain)
  try withTaps(s) { (rows, columns) throws(Failure) in
    nonisolated(unsafe) let (x, y, rows, columns) = (x, y, rows, columns)
    Parallel.forEach(count: s.planes, grain: grain) { planes in
      scratch.use { raw in
        let line: UnsafeMutablePointer<T> = typed(raw)
        for p in planes {
          let plane = x + p * s.height * s.width
          let target = y + p * s.outHeight * s.outWidth
          for i in 0..<s.outHeight {
            let out = target + i * s.outWidth
            let row = rows[i]
            var source = plane + Int(row.low) * s.width
            if row.share != 0 {
              let (below, b) = (plane + Int(row.high) * s.width, T(row.share))
              let a = 1 - b
              for c in 0..<s.width { line[c] = a * source[c] + b * below[c] }
              source = UnsafePointer(line)
            }
            if s.isLinear {
              for j in 0..<s.outWidth {
                let tap = columns[j]
                let b = T(tap.share)
                out[j] = (1 - b) * source[Int(tap.low)] + b * source[Int(tap.high)]
              }
            } else if i > 0, rows[i - 1].low == row.low {
              out.update(from: out - s.outWidth, count: s.outWidth)
            } else {
              for j in 0..<s.outWidth { out[j] = source[Int(columns[j].low)] }
            }
          }
        }
      }
    }
  }
}

private func resampleReverse<T: Real>(
  _ s: ResampleShape, _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>
) throws(Failure) {
  let grain = max(1, 16384 / (s.outHeight * s.outWidth))
  let scratch = try Scratch(bytes: s.width * MemoryLayout<T>.stride, blocks: (s.planes + grain - 1) / grain)
  try withTaps(s) { (rows, columns) throws(Failure) in
    nonisolated(unsafe) let (dy, dx, rows, columns) = (dy, dx, rows, columns)
    Parallel.forEach(count: s.planes, grain: grain) { planes in
      scratch.use { raw in
        let line: UnsafeMutablePointer<T> = typed(raw)
        for p in planes {
          let plane = dx + p * s.height * s.width
          let source = dy + p * s.outHeight * s.outWidth
          for i in 0..<s.height * s.width { plane[i] = 0 }
          for i in 0..<s.outHeight {
            let (g, row) = (source + i * s.outWidth, rows[i])
            for c in 0..<s.width { line[c] = 0 }
            for j in 0..<s.outWidth {
              let tap = columns[j]
              let b = T(tap.share)
              line[Int(tap.low)] += (1 - b) * g[j]
              if b != 0 { line[Int(tap.high)] += b * g[j] }
            }
            let (above, b) = (plane + Int(row.low) * s.width, T(row.share))
            let a = 1 - b
            for c in 0..<s.width { above[c] += a * line[c] }
            if b != 0 {
              let below = plane + Int(row.high) * s.width
              for c in 0..<s.width { below[c] += b * line[c] }
            }
          }
        }
      }
    }
  }
}
