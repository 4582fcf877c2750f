import Core

/// A 3x3 convolution with stride 1 that has few channels on one side: sums run over pixels in registers, and nothing is laid out
/// in memory but padding.
struct DirectConv {
  let batch, inChannels, height, width, outChannels, pad: Int
  let outHeight, outWidth: Int

  init(batch: Int, inChannels: Int, height: Int, width: Int, outChannels: Int, pad: Int) {
    (self.batch, self.inChannels, self.height, self.width) = (batch, inChannels, height, width)
    (self.outChannels, self.pad) = (outChannels, pad)
    (outHeight, outWidth) = (height + 2 * pad - 2, width + 2 * pad - 2)
  }

  private var paddedWidth: Int { width + 2 * pad }
  private var paddedPlane: Int { (height + 2 * pad) * paddedWidth }
  /// Floats of an image with its padding.
  private var paddedFloats: Int { inChannels * paddedPlane }
  private var imagesPerBlock: Int { max(1, (batch + 15) / 16) }

  /// Rows are made of vectors of eight; the last one lies over the one before it.
  static func fits(outWidth: Int) -> Bool { outWidth >= 8 }

  // MARK: result

  /// y = conv(x, w) + bias, then relu if asked; x counts only where `mask` > 0.
  func forward(
    x: UnsafePointer<Float>, mask: UnsafePointer<Float>?, weights: WinogradConv.Weights, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, relu: Bool
  ) throws(Failure) {
    let buffer = try pack(weights)
    defer { BufferPool.give(buffer) }
    try forward(x: x, mask: mask, packed: typed(UnsafeRawPointer(buffer.pointer)), bias: bias, y: y, relu: relu)
  }

  /// `forward` with weights that `pack` has put in order.
  func forward(
    x: UnsafePointer<Float>, mask: UnsafePointer<Float>?, packed: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, relu: Bool
  ) throws(Failure) {
    nonisolated(unsafe) let w = packed
    let copies = pad > 0 || mask != nil
    let scratch = try Scratch(bytes: copies ? paddedFloats * 4 : 0, blocks: batch)
    nonisolated(unsafe) let (x, mask, bias, y) = (x, mask, bias, y)
    Parallel.forEach(count: batch, grain: imagesPerBlock) { images in
      scratch.use { raw in
        for image in images {
          let source = paddedImage(image, x, mask, copies ? raw : nil)
          var o = 0
          while o < outChannels {
            let target = y + (image * outChannels + o) * outHeight * outWidth
            if o + 4 <= outChannels {
              fourChannels(source, w + o * inChannels * 9, bias.map { $0 + o }, target, relu)
              o += 4
            } else {
              oneChannel(source, w + o * inChannels * 9, bias.map { $0[o] } ?? 0, target, relu)
              o += 1
            }
          }
        }
      }
    }
  }

  /// Weights in the order of reading: for four output channels [in][tap][4], for each of the rest [in][tap].
  func pack(_ weights: WinogradConv.Weights) throws(Failure) -> Buffer {
    let buffer = try BufferPool.take(byteCount: max(1, outChannels * inChannels * 9) * 4, zeroed: false)
    let target: UnsafeMutablePointer<Float> = typed(buffer.pointer)
    for o in 0..<outChannels {
      let first = o / 4 * 4
      let isInFour = first + 4 <= outChannels
      for c in 0..<inChannels {
        let source = weights.pointer + o * weights.outStep + c * weights.inStep
        for tap in 0..<9 {
          let value = source[weights.isTurned ? 8 - tap : tap]
          if isInFour {
            target[first * inChannels * 9 + (c * 9 + tap) * 4 + o - first] = value
          } else {
            target[(o * inChannels + c) * 9 + tap] = value
          }
        }
      }
    }
    return buffer
  }

  /// Image `image` of the batch: padded and masked in `memory`, or as it lies where that is nil.
  @inline(__always)
  private func paddedImage(
    _ image: Int, _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ memory: UnsafeMutableRawPointer?
  ) -> UnsafePointer<Float> {
    let offset = image * inChannels * height * width
    guard let memory else { return x + offset }
    let target: UnsafeMutablePointer<Float> = typed(memory)
    padded(x + offset, mask.map { $0 + offset }, target)
    return UnsafePointer(target)
  }

  /// The image with zeros around it.
  private func padded(_ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>) {
    for c in 0..<inChannels {
      let plane = out + c * paddedPlane
      for row in 0..<height + 2 * pad {
        let target = plane + row * paddedWidth
        guard row >= pad, row < height + pad else {
          for i in 0..<paddedWidth { target[i] = 0 }
          continue
        }
        let at = (c * height + row - pad) * width
        for i in 0..<pad { target[i] = 0 }
        let inner = target + pad
        if let mask {
          for i in 0..<width { inner[i] = mask[at + i] <= 0 ? 0 : x[at + i] }
        } else {
          for i in 0..<width { inner[i] = x[at + i] }
        }
        for i in 0..<pad { inner[width + i] = 0 }
      }
    }
  }

  /// Where the vectors of a row begin: 0, 8, ..., the last one so that it ends with the row.
  @inline(__always) private func start(_ vector: Int) -> Int { min(vector * 8, outWidth - 8) }

  @inline(never)
  private func fourChannels(
    _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ y: UnsafeMutablePointer<Float>,
    _ relu: Bool
  ) {
    let plane = outHeight * outWidth
    let b = bias.map { (lanes($0[0]), lanes($0[1]), lanes($0[2]), lanes($0[3])) } ?? (lanes(0), lanes(0), lanes(0), lanes(0))
    let vectors = (outWidth + 7) / 8
    for row in 0..<outHeight {
      var vector = 0
      while vector < vectors {
        let (p, q) = (start(vector), start(min(vector + 1, vectors - 1)))
        var (a0, a1, a2, a3) = b
        var (b0, b1, b2, b3) = b
        var weight = w
        for c in 0..<inChannels {
          let top = x + c &* paddedPlane + row &* paddedWidth
          for i in 0..<3 {
            let line = top + i &* paddedWidth
            for j in 0..<3 {
              let (u, v) = (load(line + p + j), load(line + q + j))
              var k = lanes(weight[0])
              (a0, b0) = (a0.addingProduct(k, u), b0.addingProduct(k, v))
              k = lanes(weight[1])
              (a1, b1) = (a1.addingProduct(k, u), b1.addingProduct(k, v))
              k = lanes(weight[2])
              (a2, b2) = (a2.addingProduct(k, u), b2.addingProduct(k, v))
              k = lanes(weight[3])
              (a3, b3) = (a3.addingProduct(k, u), b3.addingProduct(k, v))
              weight += 4
            }
          }
        }
        if relu {
          (a0, a1, a2, a3) = (a0.positive, a1.positive, a2.positive, a3.positive)
          (b0, b1, b2, b3) = (b0.positive, b1.positive, b2.positive, b3.positive)
        }
        let target = y + row * outWidth
        store(a0, target + p)
        store(a1, target + plane + p)
        store(a2, target + 2 * plane + p)
        store(a3, target + 3 * plane + p)
        store(b0, target + q)
        store(b1, target + plane + q)
        store(b2, target + 2 * plane + q)
        store(b3, target + 3 * plane + q)
        vector += 2
      }
    }
  }

  @inline(never)
  private func oneChannel(
    _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ bias: Float, _ y: UnsafeMutablePointer<Float>, _ relu: Bool
  ) {
    let vectors = (outWidth + 7) / 8
    for row in 0..<outHeight {
      var vector = 0
      while vector < vectors {
        let last = vectors - 1
        let (p0, p1) = (start(vector), start(min(vector + 1, last)))
        let (p2, p3) = (start(min(vector + 2, last)), start(min(vector + 3, last)))
        var (a, b, d, e) = (lanes(bias), lanes(bias), lanes(bias), lanes(bias))
        var weight = w
        for c in 0..<inChannels {
          let top = x + c &* paddedPlane + row &* paddedWidth
          for i in 0..<3 {
            let line = top + i &* paddedWidth
            for j in 0..<3 {
              let k = lanes(weight[0])
              a = a.addingProduct(k, load(line + p0 + j))
              b = b.addingProduct(k, load(line + p1 + j))
              d = d.addingProduct(k, load(line + p2 + j))
              e = e.addingProduct(k, load(line + p3 + j))
              weight += 1
            }
          }
        }
        if relu { (a, b, d, e) = (a.positive, b.positive, d.positive, e.positive) }
        let target = y + row * outWidth
        store(a, target + p0)
        store(b, target + p1)
        store(d, target + p2)
        store(e, target + p3)
        vector += 4
      }
    }
  }

  // MARK: gradient of the weights

  /// dw (out, in, 3, 3) and dbias; dy counts only where `mask` > 0.
  func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, mask: UnsafePointer<Float>?, dw: UnsafeMutablePointer<Float>?,
    dbias: UnsafeMutablePointer<Float>?
  ) throws(Failure) {
    let weights = outChannels * inChannels * 9
    let perBlock = weights + outChannels
    let blocks = max(1, (batch + imagesPerBlock - 1) / imagesPerBlock)
    let sums = try BufferPool.take(byteCount: blocks * perBlock * 4, zeroed: true)
    defer { BufferPool.give(sums) }
    let copies = pad > 0
    let scratch = try Scratch(bytes: copies ? paddedFloats * 4 : 0, blocks: blocks)
    nonisolated(unsafe) let all: UnsafeMutablePointer<Float> = typed(sums.pointer)
    nonisolated(unsafe) let (x, dy, mask) = (x, dy, mask)
    Parallel.forEach(count: batch, grain: imagesPerBlock) { images in
      scratch.use { raw in
        let own = all + images.lowerBound / imagesPerBlock * perBlock
        for image in images {
          let source = paddedImage(image, x, nil, copies ? raw : nil)
          for o in 0..<outChannels {
            let offset = (image * outChannels + o) * outHeight * outWidth
            for c in 0..<inChannels {
              let sum = taps(
                source + c * paddedPlane, dy + offset, mask.map { $0 + offset }, own + (o * inChannels + c) * 9)
              if c == 0 { own[weights + o] += sum }
            }
          }
        }
      }
    }
    for block in 1..<max(1, blocks) { for i in 0..<perBlock { all[i] += all[block * perBlock + i] } }
    for i in 0..<weights { dw?[i] = all[i] }
    for o in 0..<outChannels { dbias?[o] = all[weights + o] }
  }

  /// Adds the gradients of the nine weights between an input plane and an output plane.
  /// - Returns: the sum of dy.
  @inline(never)
  private func taps(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ dw: UnsafeMutablePointer<Float>
  ) -> Float {
    let last = (outWidth - 1) / 8
    // The last vector of a row lies over the one before it: what was there already does not count again.
    let again = SIMD8<Int32>(0, 1, 2, 3, 4, 5, 6, 7) .< SIMD8(repeating: Int32(truncatingIfNeeded: last * 8 - start(last)))
    var (a, b, c, d, e) = (lanes(0), lanes(0), lanes(0), lanes(0), lanes(0))
    var (f, g, h, i, sum) = (a, a, a, a, a)
    for row in 0..<outHeight {
      let (line, gradients) = (x + row &* paddedWidth, row &* outWidth)
      for vector in 0...last {
        let at = start(vector)
        var y = load(dy + gradients + at)
        if let mask { y = y.kept(wherePositive: load(mask + gradients + at)) }
        if vector == last { y = y.replacing(with: 0, where: again) }
        sum += y
        let (p, q, r) = (line + at, line + at + paddedWidth, line + at + 2 &* paddedWidth)
        (a, b, c) = (a.addingProduct(y, load(p)), b.addingProduct(y, load(p + 1)), c.addingProduct(y, load(p + 2)))
        (d, e, f) = (d.addingProduct(y, load(q)), e.addingProduct(y, load(q + 1)), f.addingProduct(y, load(q + 2)))
        (g, h, i) = (g.addingProduct(y, load(r)), h.addingProduct(y, load(r + 1)), i.addingProduct(y, load(r + 2)))
      }
    }
    dw[0] += a.sum()
    dw[1] += b.sum()
    dw[2] += c.sum()
    dw[3] += d.sum()
    dw[4] += e.sum()
    dw[5] += f.sum()
    dw[6] += g.sum()
    dw[7] += h.sum()
    dw[8] += i.sum()
    return sum.sum()
  }
}
