import Core

/// A 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3): docs/decisions/0007-convolution.md.
///
/// Tiles are numbered through the whole batch. A chunk of tiles is transformed, multiplied and transformed back by one thread
/// while it is in the cache:
///
///     V [36][tile][channel]       transformed inputs of a chunk
///     U [36][panel][channel][16]  transformed weights of all output channels, in the order in which the product reads them
///     M [36][tile][16]            products of a chunk for one panel of 16 output channels (the last may have 8)
struct WinogradConv {
  let batch, inChannels, height, width, outChannels, pad: Int
  let outHeight, outWidth: Int
  private let tilesPerRow, tilesPerImage, tiles: Int

  init(batch: Int, inChannels: Int, height: Int, width: Int, outChannels: Int, pad: Int) {
    (self.batch, self.inChannels, self.height, self.width) = (batch, inChannels, height, width)
    (self.outChannels, self.pad) = (outChannels, pad)
    (outHeight, outWidth) = (height + 2 * pad - 2, width + 2 * pad - 2)
    tilesPerRow = (outWidth + 3) / 4
    tilesPerImage = (outHeight + 3) / 4 * tilesPerRow
    tiles = batch * tilesPerImage
  }

  /// Where the weight of an output and an input channel lies: `weights + out * outStep + in * inStep`, nine numbers.
  struct Weights {
    let pointer: UnsafePointer<Float>
    let outStep, inStep: Int
    /// Turned by 180 degrees: the gradient of the input is a convolution with the turned weights.
    let isTurned: Bool

    typealias Taps = (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)

    /// The nine numbers of output channels `o` to `o + count` (8 at most; zero beyond) and input channel `c`, row by row.
    @inline(__always)
    func taps(of o: Int, _ c: Int, count: Int) -> Taps {
      let source = pointer + o &* outStep + c &* inStep
      var last = lanes(0)
      let t: EightLanes
      if count == 8 {
        @inline(__always) func row(_ k: Int) -> Lanes { load(source + k &* outStep) }
        t = transposed((row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)))
        for k in 0..<8 { last[k] = source[k &* outStep + 8] }
      } else {
        @inline(__always) func tap(_ i: Int) -> Lanes {
          var values = lanes(0)
          for k in 0..<count { values[k] = source[k * outStep + i] }
          return values
        }
        t = (tap(0), tap(1), tap(2), tap(3), tap(4), tap(5), tap(6), tap(7))
        last = tap(8)
      }
      return isTurned ? (last, t.7, t.6, t.5, t.4, t.3, t.2, t.1, t.0) : (t.0, t.1, t.2, t.3, t.4, t.5, t.6, t.7, last)
    }
  }

  private var paddedIn: Int { (inChannels + 7) & ~7 }
  private var paddedOut: Int { (outChannels + 7) & ~7 }

  // MARK: result

  /// What becomes of a tile of results.
  enum Finish {
    case plain, relu
    /// relu, then the largest of each 2 x 2: y (out, outHeight / 2, outWidth / 2), and where it was (`maxOfTwoByTwo`).
    case reluAndPool(codes: UnsafeMutablePointer<UInt8>?)
  }

  /// y = finish(conv(x, w) + bias); x counts only where `mask` > 0.
  func forward(
    x: UnsafePointer<Float>, mask: UnsafePointer<Float>?, weights: Weights, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, finish: Finish
  ) throws(Failure) {
    guard tiles > 0, outChannels > 0 else { return }
    let transformed = try BufferPool.take(byteCount: transformedBytes, zeroed: false)
    defer { BufferPool.give(transformed) }
    transform(weights, typed(transformed.pointer))
    try forward(x: x, mask: mask, transformed: typed(UnsafeRawPointer(transformed.pointer)), bias: bias, y: y, finish: finish)
  }

  /// Bytes of U.
  var transformedBytes: Int { 36 * inChannels * paddedOut * 4 }

  /// `forward` with U = `transformed`, which `transform` has made.
  func forward(
    x: UnsafePointer<Float>, mask: UnsafePointer<Float>?, transformed: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, finish: Finish
  ) throws(Failure) {
    guard tiles > 0, outChannels > 0 else { return }
    nonisolated(unsafe) let u = transformed
    let panels = (outChannels + 15) / 16
    // At least eight pieces of work where the shape has them, so that small batches keep all cores busy. Every chunk reads all weights:
    // where these do not stay in a core's cache, the chunks are as large as can be and the panels are shared out.
    let share = transformedBytes > 2 << 20 ? tiles : (tiles + 7) / 8
    let chunk = min(48, max(6, (share + 5) / 6 * 6))
    let chunks = (tiles + chunk - 1) / chunk
    let groups = min(panels, max(1, 8 / chunks))
    let panelsPerGroup = (panels + groups - 1) / groups
    let stepV = chunk * paddedIn + 16  // not a power of two: 36 streams would share a line of the cache
    let stepM = chunk * 16 + 16
    let scratch = try Scratch(bytes: (36 * (stepV + stepM) + TileBuffer.floats) * 4, blocks: chunks * groups)
    nonisolated(unsafe) let (x, mask, y, bias, finish) = (x, mask, y, bias, finish)
    Parallel.forEach(count: chunks * groups, grain: 1) { units in
      scratch.use { raw in
        let v: UnsafeMutablePointer<Float> = typed(raw)
        let m = v + 36 * stepV
        let buffer = TileBuffer(m + 36 * stepM)
        for unit in units {
          let first = unit / groups * chunk
          let range = first..<min(tiles, first + chunk)
          transformInputs(x, mask, range, v, stepV, buffer)
          let rows = (range.count + 5) / 6 * 6
          for p in 0..<36 { zero(v + p * stepV + range.count * paddedIn, (rows - range.count) * paddedIn) }
          let from = unit % groups * panelsPerGroup
          for panel in from..<max(from, min(panels, from + panelsPerGroup)) {
            let isNarrow = paddedOut - panel * 16 < 16
            for p in 0..<36 {
              let b = u + (p * paddedOut + panel * 16) * inChannels
              var row = 0
              while row < rows {
                let a = UnsafePointer(v + p * stepV + row * paddedIn)
                if isNarrow {
                  PanelProduct.byRows8(inChannels, a, paddedIn, b, m + p * stepM + row * 16, 16)
                } else {
                  PanelProduct.byRows(inChannels, a, paddedIn, b, m + p * stepM + row * 16, 16)
                }
                row += 6
              }
            }
            for group in 0..<(isNarrow ? 1 : 2) where panel * 16 + group * 8 < outChannels {
              putOutputs(UnsafePointer(m + group * 8), stepM, range, panel * 16 + group * 8, bias, finish, y, buffer)
            }
          }
        }
      }
    }
  }

  /// U = G g G' for all pairs of channels. A thread goes along the input channels of a panel of output channels, as U lies in memory.
  func transform(_ weights: Weights, _ u: UnsafeMutablePointer<Float>) {
    nonisolated(unsafe) let (u, w) = (u, weights)
    let step = paddedOut * inChannels
    let (panels, run) = ((outChannels + 15) / 16, 32)
    let runs = (inChannels + run - 1) / run
    Parallel.forEach(count: panels * runs, grain: 1) { units in
      for unit in units {
        let first = unit / runs * 16
        let width = min(16, paddedOut - first)
        for c in unit % runs * run..<min(inChannels, (unit % runs + 1) * run) {
          for o in stride(from: first, to: first + width, by: 8) {
            let taps = w.taps(of: o, c, count: min(8, outChannels - o))
            WinogradConv.putTransformed(taps, u + first * inChannels + c * width + o - first, step)
          }
        }
      }
    }
  }

  /// The 36 products' weights from nine taps of eight output channels.
  @inline(__always)
  private static func putTransformed(_ taps: Weights.Taps, _ target: UnsafeMutablePointer<Float>, _ step: Int) {
    let a = Winograd.kernel((taps.0, taps.1, taps.2))
    let b = Winograd.kernel((taps.3, taps.4, taps.5))
    let d = Winograd.kernel((taps.6, taps.7, taps.8))
    @inline(__always) func put(_ column: Int, _ g: (Lanes, Lanes, Lanes)) {
      let k = Winograd.kernel(g)
      store(k.0, target + column * step)
      store(k.1, target + (6 + column) * step)
      store(k.2, target + (12 + column) * step)
      store(k.3, target + (18 + column) * step)
      store(k.4, target + (24 + column) * step)
      store(k.5, target + (30 + column) * step)
    }
    put(0, (a.0, b.0, d.0))
    put(1, (a.1, b.1, d.1))
    put(2, (a.2, b.2, d.2))
    put(3, (a.3, b.3, d.3))
    put(4, (a.4, b.4, d.4))
    put(5, (a.5, b.5, d.5))
  }

  /// Calls `body` for runs of tiles side by side: the image, the tile's row and column, how many, the place of the first in `range`.
  @inline(__always)
  private func forRuns(_ range: Range<Int>, _ body: (_ image: Int, _ top: Int, _ left: Int, _ count: Int, _ place: Int) -> Void)
  {
    var tile = range.lowerBound
    while tile < range.upperBound {
      let (image, inImage) = (tile / tilesPerImage, tile % tilesPerImage)
      let column = inImage % tilesPerRow
      let count = min(TileBuffer.most, tilesPerRow - column, range.upperBound - tile)
      body(image, inImage / tilesPerRow * 4, column * 4, count, tile - range.lowerBound)
      tile += count
    }
  }

  /// V of the tiles in `range`.
  private func transformInputs(
    _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ range: Range<Int>, _ v: UnsafeMutablePointer<Float>,
    _ step: Int,
    _ buffer: TileBuffer
  ) {
    forRuns(range) { image, top, left, count, place in
      for c in stride(from: 0, to: inChannels, by: 8) {
        let plane = (image * inChannels + c) * height * width
        buffer.collect(
          x + plane, mask.map { $0 + plane }, channels: min(8, inChannels - c), height: height, width: width, top: top - pad,
          rows: 6, left: left - pad, columns: 4 * count + 2)
        for tile in 0..<count { buffer.transform(tile, v + (place + tile) * paddedIn + c, step) }
      }
    }
  }

  /// Y = A' M A of eight output channels from `o` on.
  private func putOutputs(
    _ m: UnsafePointer<Float>, _ step: Int, _ range: Range<Int>, _ o: Int, _ bias: UnsafePointer<Float>?, _ finish: Finish,
    _ y: UnsafeMutablePointer<Float>, _ buffer: TileBuffer
  ) {
    let count = min(8, outChannels - o)
    var offset = lanes(0)
    if let bias { for k in 0..<count { offset[k] = bias[o + k] } }
    var isPooled = false
    var relu = false
    var codes: UnsafeMutablePointer<UInt8>?
    switch finish {
    case .plain: break
    case .relu: relu = true
    case .reluAndPool(let target): (isPooled, codes) = (true, target)
    }
    let (rows, columns) = isPooled ? (outHeight / 2, outWidth / 2) : (outHeight, outWidth)
    let side = isPooled ? 2 : 4
    for tile in range {
      let (image, inImage) = (tile / tilesPerImage, tile % tilesPerImage)
      let (top, left) = (inImage / tilesPerRow * side, inImage % tilesPerRow * side)
      let place = ((image * outChannels + o) * rows + top) * columns + left
      let products = m + (tile - range.lowerBound) * 16
      let (r, c) = (max(0, min(side, rows - top)), max(0, min(side, columns - left)))
      if isPooled {
        buffer.pooledOutput(
          products, step, offset, y + place, codes.map { $0 + place }, rows * columns, columns, channels: count, rows: r,
          columns: c)
      } else {
        buffer.output(
          products, step, offset, relu, y + place, rows * columns, columns, channels: count, rows: r, columns: c)
      }
    }
  }

  // MARK: gradient of the weights

  /// dw (out, in, 3, 3) and dbias of y = conv(x, w) + bias; dy counts only where `mask` > 0.
  func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, mask: UnsafePointer<Float>?, dw: UnsafeMutablePointer<Float>?,
    dbias: UnsafeMutablePointer<Float>?
  ) throws(Failure) {
    let outRows = (outChannels + 23) / 24 * 24
    let stepU = outRows * paddedIn
    let perBlock = 36 * stepU + outRows
    // Blocks of chunks have sums of their own; wide layers are split by output channels as well. By shape only.
    let chunk = 48
    let chunks = max(1, (tiles + chunk - 1) / chunk)
    let most = max(1, min(8, chunks, (32 << 20) / (perBlock * 4)))
    let chunksPerBlock = (chunks + most - 1) / most
    let blocks = (chunks + chunksPerBlock - 1) / chunksPerBlock
    let outBlocks = outRows / 24
    let groups = blocks >= 8 ? 1 : max(1, min(outBlocks, 4))
    let outBlocksPerGroup = (outBlocks + groups - 1) / groups
    let sums = try BufferPool.take(byteCount: blocks * perBlock * 4, zeroed: false)
    defer { BufferPool.give(sums) }
    let (stepV, stepD) = (chunk * paddedIn + 16, chunk * 24 + 16)
    let scratch = try Scratch(bytes: (36 * (stepV + stepD) + TileBuffer.floats) * 4, blocks: blocks * groups)
    nonisolated(unsafe) let (x, dy, mask) = (x, dy, mask)
    nonisolated(unsafe) let all: UnsafeMutablePointer<Float> = typed(sums.pointer)
    Parallel.forEach(count: blocks * groups, grain: 1) { units in
      scratch.use { raw in
        let v: UnsafeMutablePointer<Float> = typed(raw)
        let d = v + 36 * stepV
        let buffer = TileBuffer(d + 36 * stepD)
        for unit in units {
          let u = all + unit / groups * perBlock
          let from = unit / groups * chunksPerBlock
          let firstBlock = unit % groups * outBlocksPerGroup
          let endBlock = max(firstBlock, min(outBlocks, firstBlock + outBlocksPerGroup))
          zero(u + 36 * stepU + firstBlock * 24, (endBlock - firstBlock) * 24)
          for piece in from..<max(from, min(chunks, from + chunksPerBlock)) {
            if Cancellation.isRequested { return }
            let range = piece * chunk..<min(tiles, (piece + 1) * chunk)
            transformInputs(x, nil, range, v, stepV, buffer)
            for block in firstBlock..<endBlock {
              transformGradients(dy, mask, range, block * 24, d, stepD, u + 36 * stepU + block * 24, buffer)
              multiply(d, stepD, v, stepV, range.count, block * 24, u, stepU, adds: piece > from)
            }
          }
        }
      }
    }
    nonisolated(unsafe) let (dw, dbias) = (dw, dbias)
    Parallel.forEach(count: perBlock, grain: 16384) { range in
      for block in 1..<max(1, blocks) {
        let row = all + block * perBlock
        for i in range { all[i] += row[i] }
      }
    }
    if let dbias { for o in 0..<outChannels { dbias[o] = all[36 * stepU + o] } }
    guard let dw else { return }
    Parallel.forEach(count: outChannels, grain: max(1, 256 / inChannels)) { range in
      for o in range { putWeightGradient(UnsafePointer(all + o * paddedIn), stepU, dw + o * inChannels * 9) }
    }
  }

  /// U = D' V, or U += D' V, for output channels `o` to `o + 24`.
  private func multiply(
    _ d: UnsafeMutablePointer<Float>, _ stepD: Int, _ v: UnsafeMutablePointer<Float>, _ stepV: Int, _ count: Int, _ o: Int,
    _ u: UnsafeMutablePointer<Float>, _ stepU: Int, adds: Bool
  ) {
    let rows = min(24, outChannels - o)
    for p in 0..<36 {
      var c = 0
      while c < inChannels {
        let b = UnsafePointer(v + p * stepV + c)
        var row = 0
        while row < rows {
          let a = UnsafePointer(d + p * stepD + row)
          let target = u + p * stepU + (o + row) * paddedIn + c
          if c + 8 < inChannels {
            PanelProduct.byColumns(count, a, 24, b, paddedIn, target, paddedIn, adds: adds)
          } else {
            PanelProduct.byColumns8(count, a, 24, b, paddedIn, target, paddedIn, adds: adds)
          }
          row += 6
        }
        c += 16
      }
    }
  }

  /// A dY A' of 24 output channels from `o` on; those that do not exist are zero.
  private func transformGradients(
    _ dy: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ range: Range<Int>, _ o: Int, _ d: UnsafeMutablePointer<Float>,
    _ step: Int, _ sums: UnsafeMutablePointer<Float>, _ buffer: TileBuffer
  ) {
    forRuns(range) { image, top, left, count, place in
      for group in 0..<3 {
        let target = d + place * 24 + group * 8
        let channel = o + group * 8
        guard channel < outChannels else {
          for tile in 0..<count { for p in 0..<36 { store(lanes(0), target + tile * 24 + p * step) } }
          continue
        }
        let plane = (image * outChannels + channel) * outHeight * outWidth
        buffer.collect(
          dy + plane, mask.map { $0 + plane }, channels: min(8, outChannels - channel), height: outHeight, width: outWidth,
          top: top, rows: 4, left: left, columns: 4 * count)
        var sum = lanes(0)
        for tile in 0..<count { sum += buffer.gradient(tile, target + tile * 24, step) }
        store(load(sums + group * 8) + sum, sums + group * 8)
      }
    }
  }

  /// dw = G' U G of one output channel.
  private func putWeightGradient(_ u: UnsafePointer<Float>, _ step: Int, _ dw: UnsafeMutablePointer<Float>) {
    for c in stride(from: 0, to: inChannels, by: 8) {
      @inline(__always) func column(_ j: Int) -> (Lanes, Lanes, Lanes) {
        @inline(__always) func one(_ i: Int) -> Lanes { load(u + (i * 6 + j) * step + c) }
        return Winograd.kernelGradient((one(0), one(1), one(2), one(3), one(4), one(5)))
      }
      let columns = (column(0), column(1), column(2), column(3), column(4), column(5))
      @inline(__always) func put(_ row: Int, _ u: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) {
        let g = Winograd.kernelGradient(u)
        for k in 0..<min(8, inChannels - c) {
          let target = dw + (c + k) * 9 + row * 3
          (target[0], target[1], target[2]) = (g.0[k], g.1[k], g.2[k])
        }
      }
      put(0, (columns.0.0, columns.1.0, columns.2.0, columns.3.0, columns.4.0, columns.5.0))
      put(1, (columns.0.1, columns.1.1, columns.2.1, columns.3.1, columns.4.1, columns.5.1))
      put(2, (columns.0.2, columns.1.2, columns.2.2, columns.3.2, columns.4.2, columns.5.2))
    }
  }
}

@inline(__always) private func zero(_ p: UnsafeMutablePointer<Float>, _ count: Int) { for i in 0..<count { p[i] = 0 } }
