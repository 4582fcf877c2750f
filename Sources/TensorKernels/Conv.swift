package import Core

/// 2-D convolution (cross-correlation), NCHW. x (N,C,H,W), w (O,C/G,KH,KW), y (N,O,OH,OW),
/// OH = (H + 2 PH - DH (KH - 1) - 1) / SH + 1.
///
/// `ConvPlan` chooses how. Here are the choice's consequences and the way that does for all shapes: one image at a time, its
/// patches are laid out as a matrix (C/G KH KW, OH OW) in work space that stays in the cache, and OpenBLAS multiplies. Images are
/// spread over the cores; the weight gradient sums blocks of images whose size depends on the batch only. Bias and relu are
/// applied while the result is still in the cache.
package struct ConvShape: Sendable, Equatable {
  package var batch, inChannels, height, width, outChannels, kernelH, kernelW: Int
  package var strideH = 1, strideW = 1, padH = 0, padW = 0, dilationH = 1, dilationW = 1, groups = 1

  package init(
    batch: Int, inChannels: Int, height: Int, width: Int, outChannels: Int, kernelH: Int, kernelW: Int,
    stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), dilation: (Int, Int) = (1, 1), groups: Int = 1
  ) {
    (self.batch, self.inChannels, self.height, self.width) = (batch, inChannels, height, width)
    (self.outChannels, self.kernelH, self.kernelW, self.groups) = (outChannels, kernelH, kernelW, groups)
    (strideH, strideW) = stride
    (padH, padW) = padding
    (dilationH, dilationW) = dilation
  }

  package var outHeight: Int { (height + 2 * padH - dilationH * (kernelH - 1) - 1) / strideH + 1 }
  package var outWidth: Int { (width + 2 * padW - dilationW * (kernelW - 1) - 1) / strideW + 1 }
  var patch: Int { inChannels / groups * kernelH * kernelW }
  var outPixels: Int { outHeight * outWidth }
  /// A 1x1 convolution without stride or padding needs no patches: the image is the matrix.
  var isPointwise: Bool {
    kernelH == 1 && kernelW == 1 && strideH == 1 && strideW == 1 && padH == 0 && padW == 0
  }
  /// The i of 0 ..< count with 0 <= i SW + offset < W, from `from` to before `to`.
  @inline(__always)
  func columnsInside(_ offset: Int, of count: Int) -> (from: Int, to: Int) {
    let from = min(count, max(0, (strideW - 1 - offset) / strideW))
    return (from, max(from, min(count, (width - 1 - offset + strideW) / strideW)))
  }
  /// Images per block: about eight blocks or more per core for usual batches, independent of the number of threads.
  var imagesPerBlock: Int { max(1, (batch + 15) / 16) }
}

extension Kernels {
  /// y = conv(x, w) + bias, then relu if asked.
  ///
  /// - Parameter algorithm: nil: the shape's own. Tests compare; one that does not do for the shape must not be asked for.
  package static func conv2d(
    _ type: DType, _ s: ConvShape, x: UnsafeRawPointer, w: UnsafeRawPointer, bias: UnsafeRawPointer?,
    y: UnsafeMutableRawPointer, relu: Bool, algorithm: ConvAlgorithm? = nil
  ) throws(Failure) {
    switch algorithm ?? s.algorithm(type) {
    case .winograd:
      return try s.winograd.forward(
        x: typed(x), mask: nil, weights: s.weights(typed(w)), bias: bias.map { typed($0) }, y: typed(y),
        finish: relu ? .relu : .plain)
    case .direct:
      return try s.direct.forward(
        x: typed(x), mask: nil, weights: s.weights(typed(w)), bias: bias.map { typed($0) }, y: typed(y), relu: relu)
    case .implicit:
      return try s.implicit.forward(x: typed(x), weights: typed(w), bias: bias.map { typed($0) }, y: typed(y), relu: relu)
    case .product, .patches: break
    }
    if type == .f32 {
      try forward(s, typed(x, Float.self), typed(w), bias.map { typed($0) }, typed(y), relu)
    } else {
      try forward(s, typed(x, Double.self), typed(w), bias.map { typed($0) }, typed(y), relu)
    }
  }

  /// Gradients of conv2d. `dy` is the gradient of y; with `relu`, `y` is the output and dy counts only where y > 0.
  /// Any of dx, dw, dbias may be nil; they are overwritten.
  package static func conv2dBackward(
    _ type: DType, _ s: ConvShape, x: UnsafeRawPointer, w: UnsafeRawPointer, y: UnsafeRawPointer?, dy: UnsafeRawPointer,
    dx: UnsafeMutableRawPointer?, dw: UnsafeMutableRawPointer?, dbias: UnsafeMutableRawPointer?,
    algorithm: ConvAlgorithm? = nil
  ) throws(Failure) {
    var (dx, dw, dbias) = (dx, dw, dbias)
    if let target = dx {
      switch algorithm ?? s.inputGradientAlgorithm(type) {
      case .winograd:
        try s.turnedWinograd.forward(
          x: typed(dy), mask: y.map { typed($0) }, weights: s.turnedWeights(typed(w)), bias: nil, y: typed(target),
          finish: .plain)
        dx = nil
      case .direct:
        try s.turnedDirect.forward(
          x: typed(dy), mask: y.map { typed($0) }, weights: s.turnedWeights(typed(w)), bias: nil, y: typed(target), relu: false)
        dx = nil
      case .product, .implicit, .patches: break
      }
    }
    if let target = dw {
      switch algorithm ?? s.weightGradientAlgorithm(type) {
      case .winograd:
        try s.winograd.weightGradient(
          x: typed(x), dy: typed(dy), mask: y.map { typed($0) }, dw: typed(target), dbias: dbias.map { typed($0) })
        (dw, dbias) = (nil, nil)
      case .direct:
        try s.direct.weightGradient(
          x: typed(x), dy: typed(dy), mask: y.map { typed($0) }, dw: typed(target), dbias: dbias.map { typed($0) })
        (dw, dbias) = (nil, nil)
      case .product, .implicit, .patches: break
      }
    }
    if dx == nil, dw == nil, dbias == nil { return }
    if type == .f32 {
      try backward(
        s, typed(x, Float.self), typed(w), y.map { typed($0) }, typed(dy), dx.map { typed($0) }, dw.map { typed($0) },
        dbias.map { typed($0) })
    } else {
      try backward(
        s, typed(x, Double.self), typed(w), y.map { typed($0) }, typed(dy), dx.map { typed($0) }, dw.map { typed($0) },
        dbias.map { typed($0) })
    }
  }

  /// y (N,O,OH/2,OW/2) = the largest of each 2 x 2 of relu(conv(x, w) + bias), without the convolution's own result in memory, for shapes
  /// that `poolsInTiles`. `codes` (u8, like y): where it was, for `conv2dMaxPoolBackward`; nil when not wanted.
  package static func conv2dMaxPool(
    _ s: ConvShape, x: UnsafeRawPointer, w: UnsafeRawPointer, bias: UnsafeRawPointer?, y: UnsafeMutableRawPointer,
    codes: UnsafeMutableRawPointer?
  ) throws(Failure) {
    try s.winograd.forward(
      x: typed(x), mask: nil, weights: s.weights(typed(w)), bias: bias.map { typed($0) }, y: typed(y),
      finish: .reluAndPool(codes: codes.map { typed($0) }))
  }

  /// Gradients of `conv2dMaxPool`; as `conv2dBackward`.
  package static func conv2dMaxPoolBackward(
    _ s: ConvShape, x: UnsafeRawPointer, w: UnsafeRawPointer, codes: UnsafeRawPointer, dy: UnsafeRawPointer,
    dx: UnsafeMutableRawPointer?, dw: UnsafeMutableRawPointer?, dbias: UnsafeMutableRawPointer?
  ) throws(Failure) {
    let full = try BufferPool.take(byteCount: s.batch * s.outChannels * s.outPixels * 4, zeroed: false)
    defer { BufferPool.give(full) }
    maxOfTwoByTwoBackward(s.pool, typed(dy), typed(codes), typed(full.pointer))
    try conv2dBackward(.f32, s, x: x, w: w, y: nil, dy: full.pointer, dx: dx, dw: dw, dbias: dbias)
  }
}

private func forward<T: Real>(
  _ s: ConvShape, _ x: UnsafePointer<T>, _ w: UnsafePointer<T>, _ bias: UnsafePointer<T>?, _ y: UnsafeMutablePointer<T>,
  _ relu: Bool
) throws(Failure) {
  let (pixels, patch) = (s.outPixels, s.patch)
  let (groupIn, groupOut) = (s.inChannels / s.groups, s.outChannels / s.groups)
  let blocks = max(1, (s.batch + s.imagesPerBlock - 1) / s.imagesPerBlock)
  let scratch = try Scratch(bytes: s.isPointwise ? 0 : patch * pixels * MemoryLayout<T>.size, blocks: blocks)
  nonisolated(unsafe) let (x, w, y, bias) = (x, w, y, bias)
  Parallel.forEach(count: s.batch, grain: s.imagesPerBlock) { images in
    scratch.use { raw in
      let patches: UnsafeMutablePointer<T> = typed(raw)
      for image in images {
        for g in 0..<s.groups {
          let source = x + (image * s.inChannels + g * groupIn) * s.height * s.width
          let target = y + (image * s.outChannels + g * groupOut) * pixels
          if !s.isPointwise { unfold(s, source, patches) }
          oneGemm(
            false, false, groupOut, pixels, patch, T(1), w + g * groupOut * patch, patch,
            s.isPointwise ? source : UnsafePointer(patches), pixels, T(0), target, pixels)
          guard bias != nil || relu else { continue }
          for o in 0..<groupOut {
            let b = bias.map { $0[g * groupOut + o] } ?? 0
            T.addBias(target + o * pixels, pixels, b, relu: relu)
          }
        }
      }
    }
  }
}

private func backward<T: Real>(
  _ s: ConvShape, _ x: UnsafePointer<T>, _ w: UnsafePointer<T>, _ y: UnsafePointer<T>?, _ dy: UnsafePointer<T>,
  _ dx: UnsafeMutablePointer<T>?, _ dw: UnsafeMutablePointer<T>?, _ dbias: UnsafeMutablePointer<T>?
) throws(Failure) {
  let (pixels, patch) = (s.outPixels, s.patch)
  let (groupIn, groupOut) = (s.inChannels / s.groups, s.outChannels / s.groups)
  let weights = s.outChannels * patch
  let blocks = max(1, (s.batch + s.imagesPerBlock - 1) / s.imagesPerBlock)
  // Work space: patches, the masked gradient of one image. Partial sums: one (dw, dbias) pair per block.
  let maskedAt = (patch * pixels + 15) & ~15
  let scratch = try Scratch(bytes: (maskedAt + s.outChannels * pixels) * MemoryLayout<T>.size, blocks: blocks)
  let perBlock = weights + s.outChannels
  let wantsWeights = dw != nil || dbias != nil
  let partial = try BufferPool.take(byteCount: wantsWeights ? blocks * perBlock * MemoryLayout<T>.size : 0, zeroed: true)
  nonisolated(unsafe) let sums: UnsafeMutablePointer<T> = typed(partial.pointer)
  nonisolated(unsafe) let (x, w, y, dy, dx, dw, dbias) = (x, w, y, dy, dx, dw, dbias)
  Parallel.forEach(count: s.batch, grain: s.imagesPerBlock) { images in
    scratch.use { raw in
      let patches: UnsafeMutablePointer<T> = typed(raw)
      let masked = patches + maskedAt
      let blockSums = sums + (wantsWeights ? images.lowerBound / s.imagesPerBlock * perBlock : 0)
      for image in images {
        var gradient = dy + image * s.outChannels * pixels
        if let y {
          let out = y + image * s.outChannels * pixels
          for i in 0..<s.outChannels * pixels { masked[i] = out[i] <= 0 ? 0 : gradient[i] }
          gradient = UnsafePointer(masked)
        }
        if dbias != nil {
          for o in 0..<s.outChannels { blockSums[weights + o] += T(sumOfRow(gradient + o * pixels, pixels)) }
        }
        for g in 0..<s.groups {
          let source = x + (image * s.inChannels + g * groupIn) * s.height * s.width
          let local = gradient + g * groupOut * pixels
          if dw != nil {
            if !s.isPointwise { unfold(s, source, patches) }
            oneGemm(
              false, true, groupOut, patch, pixels, T(1), local, pixels,
              s.isPointwise ? source : UnsafePointer(patches), pixels, T(1), blockSums + g * groupOut * patch, patch)
          }
          if let dx {
            let target = dx + (image * s.inChannels + g * groupIn) * s.height * s.width
            if s.isPointwise {
              oneGemm(
                true, false, patch, pixels, groupOut, T(1), w + g * groupOut * patch, patch, local, pixels, T(0), target, pixels
              )
            } else {
              oneGemm(
                true, false, patch, pixels, groupOut, T(1), w + g * groupOut * patch, patch, local, pixels, T(0), patches,
                pixels)
              fold(s, UnsafePointer(patches), target)
            }
          }
        }
      }
    }
  }
  if wantsWeights {
    Parallel.forEach(count: perBlock, grain: 8192) { range in
      for block in 1..<max(1, blocks) {
        let row = sums + block * perBlock
        for i in range { sums[i] += row[i] }
      }
      for i in range {
        if i < weights { dw?[i] = sums[i] } else { dbias?[i - weights] = sums[i] }
      }
    }
  }
  BufferPool.give(partial)
}

/// Image (C/G,H,W) -> patches (C/G KH KW, OH OW); outside the image is 0.
@inline(__always)
private func unfold<T: Real>(_ s: ConvShape, _ image: UnsafePointer<T>, _ patches: UnsafeMutablePointer<T>) {
  let (oh, ow) = (s.outHeight, s.outWidth)
  var out = patches
  for c in 0..<s.inChannels / s.groups {
    let plane = image + c * s.height * s.width
    for kh in 0..<s.kernelH {
      for kw in 0..<s.kernelW {
        let offset = kw * s.dilationW - s.padW
        let (from, to) = s.columnsInside(offset, of: ow)
        for i in 0..<oh {
          let row = i * s.strideH + kh * s.dilationH - s.padH
          if row < 0 || row >= s.height {
            for j in 0..<ow { out[j] = 0 }
          } else {
            for j in 0..<from { out[j] = 0 }
            let source = plane + row * s.width + offset
            if s.strideW == 1 {
              for j in from..<to { out[j] = source[j] }
            } else {
              for j in from..<to { out[j] = source[j &* s.strideW] }
            }
            for j in to..<ow { out[j] = 0 }
          }
          out += ow
        }
      }
    }
  }
}

/// The reverse of `unfold`: adds patches back into the image.
@inline(__always)
private func fold<T: Real>(_ s: ConvShape, _ patches: UnsafePointer<T>, _ image: UnsafeMutablePointer<T>) {
  let (oh, ow) = (s.outHeight, s.outWidth)
  var source = patches
  for c in 0..<s.inChannels / s.groups {
    let plane = image + c * s.height * s.width
    for i in 0..<s.height * s.width { plane[i] = 0 }
    for kh in 0..<s.kernelH {
      for kw in 0..<s.kernelW {
        let offset = kw * s.dilationW - s.padW
        let (from, to) = s.columnsInside(offset, of: ow)
        for i in 0..<oh {
          let row = i * s.strideH + kh * s.dilationH - s.padH
          if row >= 0, row < s.height {
            let target = plane + row * s.width + offset
            if s.strideW == 1 {
              for j in from..<to { target[j] += source[j] }
            } else {
              for j in from..<to { target[j &* s.strideW] += source[j] }
            }
          }
          source += ow
        }
      }
    }
  }
}
