import Core

/// Max and average pooling over planes (N C, H, W) -> (N C, OH, OW). Planes are spread over the cores.
package struct PoolShape: Sendable, Equatable {
  package var planes, height, width, kernelH, kernelW, strideH, strideW, padH, padW, outHeight, outWidth: Int
  /// For adaptive pooling the window of output i is floor(i H / OH) ..< ceil((i + 1) H / OH).
  package var isAdaptive = false
  /// Whether an average counts padding as zeros.
  package var countsPadding = true

  package init(
    planes: Int, height: Int, width: Int, kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int), out: (Int, Int),
    isAdaptive: Bool = false
  ) {
    (self.planes, self.height, self.width, self.isAdaptive) = (planes, height, width, isAdaptive)
    (kernelH, kernelW) = kernel
    (strideH, strideW) = stride
    (padH, padW) = padding
    (outHeight, outWidth) = out
  }

  /// Windows along one dim; with `ceil` also one that hangs over the end, if it begins inside of the image or the padding before it.
  package static func windows(_ extent: Int, _ kernel: Int, _ stride: Int, _ padding: Int, ceil: Bool) -> Int {
    let room = extent + 2 * padding - kernel
    guard ceil else { return room / stride + 1 }
    let count = (room + stride - 1) / stride + 1
    return (count - 1) * stride >= extent + padding ? count - 1 : count
  }

  /// Windows of 2 x 2 side by side: the usual case.
  var isPlainTwo: Bool {
    !isAdaptive && kernelH == 2 && kernelW == 2 && strideH == 2 && strideW == 2 && padH == 0 && padW == 0
      && outHeight <= height / 2 && outWidth <= width / 2
  }
  /// Where maxima are found: i32 places in the plane, or u8 codes for windows of 2 x 2: 0 and 1 in the upper row, 2 and 3 below.
  package func positionType(_ type: DType) -> DType { hasCodes(type) ? .u8 : .i32 }
  func hasCodes(_ type: DType) -> Bool { type == .f32 && isPlainTwo }

  @inline(__always) func rows(_ i: Int) -> Range<Int> {
    if isAdaptive { return i * height / outHeight..<((i + 1) * height + outHeight - 1) / outHeight }
    let start = i * strideH - padH
    return max(0, start)..<max(0, min(height, start + kernelH))
  }
  @inline(__always) func columns(_ j: Int) -> Range<Int> {
    if isAdaptive { return j * width / outWidth..<((j + 1) * width + outWidth - 1) / outWidth }
    let start = j * strideW - padW
    return max(0, start)..<max(0, min(width, start + kernelW))
  }
  /// What an average divides by: the window with its padding, as PyTorch's `count_include_pad`.
  @inline(__always) func area(_ i: Int, _ j: Int) -> Int {
    if isAdaptive || !countsPadding { return rows(i).count * columns(j).count }
    let h = min(i * strideH - padH + kernelH, height + padH) - (i * strideH - padH)
    let w = min(j * strideW - padW + kernelW, width + padW) - (j * strideW - padW)
    return h * w
  }
}

extension Kernels {
  /// y = largest of each window; `positions` (`positionType`, like y): where in the plane it was, or nil when not wanted.
  package static func maxPool(
    _ type: DType, _ s: PoolShape, x: UnsafeRawPointer, y: UnsafeMutableRawPointer, positions: UnsafeMutableRawPointer?
  ) {
    if type == .f32 {
      if s.hasCodes(type) { return maxOfTwoByTwo(s, typed(x), typed(y), positions.map { typed($0) }) }
      maxForward(s, typed(x, Float.self), typed(y), positions.map { typed($0) })
    } else {
      maxForward(s, typed(x, Double.self), typed(y), positions.map { typed($0) })
    }
  }

  /// dx: each dy goes to the place its maximum came from.
  package static func maxPoolBackward(
    _ type: DType, _ s: PoolShape, dy: UnsafeRawPointer, positions: UnsafeRawPointer, dx: UnsafeMutableRawPointer
  ) {
    if s.hasCodes(type) {
      maxOfTwoByTwoBackward(s, typed(dy), typed(positions), typed(dx))
    } else if type == .f32 {
      maxBackward(s, typed(dy, Float.self), typed(positions), typed(dx))
    } else {
      maxBackward(s, typed(dy, Double.self), typed(positions), typed(dx))
    }
  }

  /// y = mean of each window.
  package static func averagePool(_ type: DType, _ s: PoolShape, x: UnsafeRawPointer, y: UnsafeMutableRawPointer) {
    if type == .f32 {
      averageForward(s, typed(x, Float.self), typed(y))
    } else {
      averageForward(s, typed(x, Double.self), typed(y))
    }
  }

  /// dx: each dy is spread evenly over its window.
  package static func averagePoolBackward(
    _ type: DType, _ s: PoolShape, dy: UnsafeRawPointer, dx: UnsafeMutableRawPointer
  ) {
    if type == .f32 {
      averageBackward(s, typed(dy, Float.self), typed(dx))
    } else {
      averageBackward(s, typed(dy, Double.self), typed(dx))
    }
  }
}

private func maxForward<T: Real>(
  _ s: PoolShape, _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>, _ positions: UnsafeMutablePointer<Int32>?
) {
  let outPixels = s.outHeight * s.outWidth
  nonisolated(unsafe) let (x, y, positions) = (x, y, positions)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, s.height * s.width))) { planes in
    for p in planes {
      let plane = x + p * s.height * s.width
      let out = y + p * outPixels
      let at = positions.map { $0 + p * outPixels }
      for i in 0..<s.outHeight {
        let rows = s.rows(i)
        for j in 0..<s.outWidth {
          let columns = s.columns(j)
          var best = -T.infinity
          var place = rows.lowerBound * s.width + columns.lowerBound
          for r in rows {
            for c in columns {
              let v = plane[r * s.width + c]
              if v > best || v.isNaN {
                best = v
                place = r * s.width + c
              }
            }
          }
          out[i * s.outWidth + j] = best
          at?[i * s.outWidth + j] = Int32(truncatingIfNeeded: place)
        }
      }
    }
  }
}

private func maxBackward<T: Real>(
  _ s: PoolShape, _ dy: UnsafePointer<T>, _ positions: UnsafePointer<Int32>, _ dx: UnsafeMutablePointer<T>
) {
  let outPixels = s.outHeight * s.outWidth
  let pixels = s.height * s.width
  nonisolated(unsafe) let (dy, positions, dx) = (dy, positions, dx)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, pixels))) { planes in
    for p in planes {
      let target = dx + p * pixels
      for i in 0..<pixels { target[i] = 0 }
      let (g, at) = (dy + p * outPixels, positions + p * outPixels)
      for i in 0..<outPixels { target[Int(at[i])] += g[i] }
    }
  }
}

private func averageForward<T: Real>(_ s: PoolShape, _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>) {
  let outPixels = s.outHeight * s.outWidth
  nonisolated(unsafe) let (x, y) = (x, y)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, s.height * s.width))) { planes in
    for p in planes {
      let plane = x + p * s.height * s.width
      for i in 0..<s.outHeight {
        for j in 0..<s.outWidth {
          var sum: T = 0
          for r in s.rows(i) { for c in s.columns(j) { sum += plane[r * s.width + c] } }
          y[p * outPixels + i * s.outWidth + j] = sum / T(s.area(i, j))
        }
      }
    }
  }
}

private func averageBackward<T: Real>(_ s: PoolShape, _ dy: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>) {
  let outPixels = s.outHeight * s.outWidth
  let pixels = s.height * s.width
  nonisolated(unsafe) let (dy, dx) = (dy, dx)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, pixels))) { planes in
    for p in planes {
      let target = dx + p * pixels
      for i in 0..<pixels { target[i] = 0 }
      for i in 0..<s.outHeight {
        for j in 0..<s.outWidth {
          let share = dy[p * outPixels + i * s.outWidth + j] / T(s.area(i, j))
          for r in s.rows(i) { for c in s.columns(j) { target[r * s.width + c] += share } }
        }
      }
    }
  }
}
