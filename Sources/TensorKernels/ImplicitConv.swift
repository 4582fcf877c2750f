import Core

/// A convolution of any kernel, stride and dilation as a product with patches that are never laid out (implicit GEMM): 16 pixels of six
/// output channels are summed in registers, and their inputs are read where they lie.
///
/// For that the image is copied once, with its padding, and the columns of each row sorted by their remainder after division by the stride:
/// neighbouring pixels of a result then read neighbouring numbers.
///
///     image   [channel][row + padding][column % stride][column / stride]
///     weights [panel of six output channels][input channel, kernel row, kernel column][6]
///
/// For shapes that `ConvShape.fitsImplicit`.
struct ImplicitConv {
  private let s: ConvShape
  private let columns, rowFloats, planeFloats: Int

  init(_ s: ConvShape) {
    self.s = s
    columns = (s.width + 2 * s.padW + s.strideW - 1) / s.strideW
    rowFloats = columns * s.strideW
    planeFloats = (s.height + 2 * s.padH) * rowFloats
  }

  private static let panel = PanelProduct.rows
  private var panels: Int { (s.outChannels + ImplicitConv.panel - 1) / ImplicitConv.panel }
  /// Vectors of eight pixels that a row of results is made of; the last one lies over the one before it.
  private var vectors: Int { (s.outWidth + 7) / 8 }
  @inline(__always) private func start(_ vector: Int) -> Int { min(vector &* 8, s.outWidth &- 8) }

  /// Bytes of the weights in their order.
  var packedBytes: Int { panels * s.patch * ImplicitConv.panel * 4 }

  /// Puts weights (O, C, KH, KW) in the order of reading; output channels that do not exist are zero.
  func pack(_ w: UnsafePointer<Float>, _ packed: UnsafeMutablePointer<Float>) {
    let (patch, width) = (s.patch, ImplicitConv.panel)
    for panel in 0..<panels {
      let target = packed + panel * patch * width
      for o in 0..<width {
        let channel = panel * width + o
        for k in 0..<patch { target[k * width + o] = channel < s.outChannels ? w[channel * patch + k] : 0 }
      }
    }
  }

  /// y = conv(x, w) + bias, then relu if asked.
  func forward(
    x: UnsafePointer<Float>, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?, y: UnsafeMutablePointer<Float>,
    relu: Bool
  ) throws(Failure) {
    let packed = try BufferPool.take(byteCount: packedBytes, zeroed: false)
    defer { BufferPool.give(packed) }
    pack(weights, typed(packed.pointer))
    try forward(x: x, packed: typed(UnsafeRawPointer(packed.pointer)), bias: bias, y: y, relu: relu)
  }

  /// `forward` with weights that `pack` has put in order.
  func forward(
    x: UnsafePointer<Float>, packed: UnsafePointer<Float>, bias: UnsafePointer<Float>?, y: UnsafeMutablePointer<Float>,
    relu: Bool
  ) throws(Failure) {
    guard s.batch > 0, s.outChannels > 0 else { return }
    // So many vectors read all weights once that the weights' way to the core does not count, and their inputs stay near.
    let vectorsPerGroup = 16
    let all = s.outHeight * vectors
    let groups = (all + vectorsPerGroup - 1) / vectorsPerGroup
    // Small batches are split as well, so that all cores are busy; by shape only.
    let parts = min(groups, max(1, 8 / s.batch))
    // Whole rows: the last vector of a row writes over the one before it.
    let vectorsPerPart = ((groups + parts - 1) / parts * vectorsPerGroup + vectors - 1) / vectors * vectors
    let offsets = self.offsets
    let scratch = try Scratch(bytes: s.inChannels * planeFloats * 4, blocks: s.batch * parts)
    nonisolated(unsafe) let (x, packed, bias, y) = (x, packed, bias, y)
    Parallel.forEach(count: s.batch * parts, grain: parts > 1 ? 1 : s.imagesPerBlock) { units in
      scratch.use { raw in
        let image: UnsafeMutablePointer<Float> = typed(raw)
        offsets.withUnsafeBufferPointer { offsets in
          guard let offsets = offsets.baseAddress else { return }
          for unit in units {
            let (n, part) = (unit / parts, unit % parts)
            let range = min(all, part * vectorsPerPart)..<min(all, (part + 1) * vectorsPerPart)
            if range.isEmpty { continue }
            sort(
              x + n * s.inChannels * s.height * s.width, image,
              for: range.lowerBound / vectors...(range.upperBound - 1) / vectors)
            let target = y + n * s.outChannels * s.outPixels
            for first in stride(from: range.lowerBound, to: range.upperBound, by: vectorsPerGroup) {
              let group = first..<min(range.upperBound, first + vectorsPerGroup)
              for panel in 0..<panels {
                multiply(
                  UnsafePointer(image), offsets, packed + panel * s.patch * ImplicitConv.panel, panel, group, bias, target, relu
                )
              }
            }
          }
        }
      }
    }
  }

  /// Where the input of each weight lies, counted from that of the first.
  private var offsets: [Int] {
    var out: [Int] = []
    out.reserveCapacity(s.patch)
    for c in 0..<s.inChannels {
      for kh in 0..<s.kernelH {
        for kw in 0..<s.kernelW {
          let column = kw * s.dilationW
          out.append(
            c * planeFloats + kh * s.dilationH * rowFloats + column % s.strideW * columns + column / s.strideW)
        }
      }
    }
    return out
  }

  /// The rows of `x` that result rows `rows` need, padded and sorted.
  private func sort(_ x: UnsafePointer<Float>, _ image: UnsafeMutablePointer<Float>, for rows: ClosedRange<Int>) {
    let last = rows.upperBound * s.strideH + (s.kernelH - 1) * s.dilationH
    for c in 0..<s.inChannels {
      for row in rows.lowerBound * s.strideH...last {
        let target = image + c * planeFloats + row * rowFloats
        let sourceRow = row - s.padH
        guard sourceRow >= 0, sourceRow < s.height else {
          for i in 0..<rowFloats { target[i] = 0 }
          continue
        }
        let source = x + (c * s.height + sourceRow) * s.width
        for phase in 0..<s.strideW {
          let line = target + phase * columns
          let shift = phase - s.padW
          let (from, to) = s.columnsInside(shift, of: columns)
          for i in 0..<from { line[i] = 0 }
          switch s.strideW {
          case 1: for i in from..<to { line[i] = source[i &+ shift] }
          case 2: for i in from..<to { line[i] = source[2 &* i &+ shift] }
          default: for i in from..<to { line[i] = source[i &* s.strideW &+ shift] }
          }
          for i in to..<columns { line[i] = 0 }
        }
      }
    }
  }

  /// Six output channels of some vectors of pixels (counted row by row), two at a time.
  @inline(never)
  private func multiply(
    _ image: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>, _ weights: UnsafePointer<Float>, _ panel: Int,
    _ group: Range<Int>, _ bias: UnsafePointer<Float>?, _ y: UnsafeMutablePointer<Float>, _ relu: Bool
  ) {
    let patch = s.patch
    let firstChannel = panel * ImplicitConv.panel
    let channels = min(ImplicitConv.panel, s.outChannels - firstChannel)
    let (pixels, outWidth, vectors) = (s.outPixels, s.outWidth, vectors)
    let rowStep = s.strideH * rowFloats
    var vector = group.lowerBound
    while vector < group.upperBound {
      let other = min(vector + 1, group.upperBound - 1)
      let (row, column) = (vector / vectors, start(vector % vectors))
      let (row2, column2) = (other / vectors, start(other % vectors))
      let (p, q) = (image + row &* rowStep + column, image + row2 &* rowStep + column2)
      var sums = Sums16()
      var a = weights
      for k in 0..<patch {
        let offset = offsets[k]
        sums.add(a, 1, load(p + offset), load(q + offset))
        a += ImplicitConv.panel
      }
      let target = y + firstChannel * pixels
      sums.forEachRow { o, left, right in
        guard o < channels else { return }
        let b = lanes(bias.map { $0[firstChannel + o] } ?? 0)
        let (u, v) = (left + b, right + b)
        store(relu ? u.positive : u, target + o &* pixels + row &* outWidth + column)
        store(relu ? v.positive : v, target + o &* pixels + row2 &* outWidth + column2)
      }
      vector += 2
    }
  }
}
