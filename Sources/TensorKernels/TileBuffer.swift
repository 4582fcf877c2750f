/// Transforms tiles of eight channels. A run of tiles side by side is first copied from the image, row by row as it lies in memory
/// (so that the next lines are fetched ahead), with zeros where the image ends; half-transformed values go through memory, too.
struct TileBuffer {
  /// Tiles of a run at most, rows of a window, floats of a row (two more than the run has, in whole registers).
  static let most = 16
  private static let rowStep = 4 * most + 8
  private static let plane = 6 * rowStep
  static let floats = 8 * plane + 36 * 8
  /// 8 channels x 6 rows.
  private let window: UnsafeMutablePointer<Float>
  private let half: UnsafeMutablePointer<Float>

  init(_ memory: UnsafeMutablePointer<Float>) {
    window = memory
    half = memory + 8 * TileBuffer.plane
  }

  /// Rows `top` to `top + rows` and columns `left` to `left + columns` of eight planes; zero outside of them and where `mask` <= 0.
  ///
  /// - Parameters:
  ///   - channels: planes that exist, at most 8.
  ///   - columns: at most 4 * most + 2.
  @inline(never)
  func collect(
    _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, channels: Int, height: Int, width: Int, top: Int, rows: Int,
    left: Int, columns: Int
  ) {
    let end = (columns + 7) & ~7
    let (from, to) = (min(columns, max(0, -left)), max(0, min(columns, width - left)))
    for k in 0..<8 {
      for r in 0..<rows {
        let target = window + k * TileBuffer.plane + r * TileBuffer.rowStep
        guard k < channels, top + r >= 0, top + r < height, from < to else {
          for i in stride(from: 0, to: end, by: 8) { store(lanes(0), target + i) }
          continue
        }
        if from > 0 { store(lanes(0), target) }
        for i in stride(from: to & ~7, to: end, by: 8) { store(lanes(0), target + i) }
        let at = (k * height + top + r) * width + left
        copy(x + at + from, mask.map { $0 + at + from }, target + from, to - from)
      }
    }
  }

  @inline(__always)
  private func copy(
    _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    guard count >= 8 else {
      for i in 0..<count { target[i] = mask.map { $0[i] <= 0 } ?? false ? 0 : x[i] }
      return
    }
    @inline(__always) func one(_ i: Int) {
      let values = load(x + i)
      store(mask.map { values.kept(wherePositive: load($0 + i)) } ?? values, target + i)
    }
    var i = 0
    while i < count - 8 {
      one(i)
      i += 8
    }
    one(count - 8)
  }

  /// B' d B of tile `tile` of the run; product p goes to `out + p * step`.
  @inline(__always)
  func transform(_ tile: Int, _ out: UnsafeMutablePointer<Float>, _ step: Int) {
    for r in 0..<6 {
      let p = window + tile &* 4 + r &* TileBuffer.rowStep
      @inline(__always) func one(_ k: Int) -> Lanes { load(p + k &* TileBuffer.plane) }
      putRow(r, (one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7)))
    }
    putColumns(out, step)
  }

  @inline(__always) private func putRow(_ r: Int, _ channels: EightLanes) {
    let t = transposed(channels)
    put(Winograd.input((t.0, t.1, t.2, t.3, t.4, t.5)), half + r &* 48, 8)
  }

  @inline(__always) private func putColumns(_ out: UnsafeMutablePointer<Float>, _ step: Int) {
    for j in 0..<6 {
      let s = half + j &* 8
      let v = Winograd.input((load(s), load(s + 48), load(s + 96), load(s + 144), load(s + 192), load(s + 240)))
      put(v, out + j &* step, 6 &* step)
    }
  }

  @inline(__always)
  private func put(_ v: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes), _ out: UnsafeMutablePointer<Float>, _ step: Int) {
    store(v.0, out)
    store(v.1, out + step)
    store(v.2, out + 2 &* step)
    store(v.3, out + 3 &* step)
    store(v.4, out + 4 &* step)
    store(v.5, out + 5 &* step)
  }

  /// A dY A' of tile `tile` of the run; gives the sum of dY.
  @inline(__always)
  func gradient(_ tile: Int, _ out: UnsafeMutablePointer<Float>, _ step: Int) -> Lanes {
    var sum = lanes(0)
    for r in 0..<2 {
      // Two rows of four at a time.
      let p = window + tile &* 4 + 2 &* r &* TileBuffer.rowStep
      @inline(__always) func one(_ k: Int) -> Lanes {
        Lanes(lowHalf: load4(p + k &* TileBuffer.plane), highHalf: load4(p + k &* TileBuffer.plane + TileBuffer.rowStep))
      }
      let t = transposed((one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7)))
      sum += ((t.0 + t.1) + (t.2 + t.3)) + ((t.4 + t.5) + (t.6 + t.7))
      put(Winograd.gradient((t.0, t.1, t.2, t.3)), half + 2 &* r &* 48, 8)
      put(Winograd.gradient((t.4, t.5, t.6, t.7)), half + (2 &* r &+ 1) &* 48, 8)
    }
    for j in 0..<6 {
      let s = half + j &* 8
      put(Winograd.gradient((load(s), load(s + 48), load(s + 96), load(s + 144))), out + j &* step, 6 &* step)
    }
    return sum
  }

  /// A' m of eight channels: the first half of a result.
  @inline(__always)
  private func halfOutput(_ m: UnsafePointer<Float>, _ step: Int) {
    for j in 0..<6 {
      let p = m + j &* step
      let v = Winograd.output(
        (
          load(p), load(p + 6 &* step), load(p + 12 &* step), load(p + 18 &* step), load(p + 24 &* step), load(p + 30 &* step)
        ))
      let target = half + j &* 8
      store(v.0, target)
      store(v.1, target + 48)
      store(v.2, target + 96)
      store(v.3, target + 144)
    }
  }

  /// The second half: row `r` of the tile, plus bias.
  @inline(__always)
  private func outputRow(_ r: Int, _ bias: Lanes) -> (Lanes, Lanes, Lanes, Lanes) {
    let s = half + r &* 48
    let v = Winograd.output((load(s), load(s + 8), load(s + 16), load(s + 24), load(s + 32), load(s + 40)))
    return (v.0 + bias, v.1 + bias, v.2 + bias, v.3 + bias)
  }

  /// A' m A + bias of eight channels, then relu if asked, to the parts of the tile that exist.
  @inline(__always)
  func output(
    _ m: UnsafePointer<Float>, _ step: Int, _ bias: Lanes, _ relu: Bool, _ y: UnsafeMutablePointer<Float>, _ plane: Int,
    _ row: Int, channels: Int, rows: Int, columns: Int
  ) {
    halfOutput(m, step)
    for r in 0..<2 {
      @inline(__always) func pixels(_ r: Int) -> (Lanes, Lanes, Lanes, Lanes) {
        let w = outputRow(r, bias)
        return relu ? (w.0.positive, w.1.positive, w.2.positive, w.3.positive) : w
      }
      let (a, b) = (pixels(2 &* r), pixels(2 &* r &+ 1))
      let t = transposed((a.0, a.1, a.2, a.3, b.0, b.1, b.2, b.3))
      let target = y + 2 &* r &* row
      if channels == 8, rows == 4, columns == 4 {
        @inline(__always) func put(_ v: Lanes, _ k: Int) {
          store4(v.lowHalf, target + k &* plane)
          store4(v.highHalf, target + k &* plane + row)
        }
        forEach(t, put)
      } else {
        forEach(t) { row, k in store(row, window + k &* 8) }
        for k in 0..<channels {
          for i in 0..<max(0, min(2, rows - 2 * r)) {
            for j in 0..<columns { target[k * plane + i * row + j] = window[k * 8 + i * 4 + j] }
          }
        }
      }
    }
  }

  /// The largest of each 2 x 2 of relu(A' m A + bias), of eight channels, and where it was (`maxOfTwoByTwo`).
  /// - Parameters: rows and columns of results that exist, at most two.
  @inline(__always)
  func pooledOutput(
    _ m: UnsafePointer<Float>, _ step: Int, _ bias: Lanes, _ y: UnsafeMutablePointer<Float>,
    _ codes: UnsafeMutablePointer<UInt8>?, _ plane: Int, _ row: Int, channels: Int, rows: Int, columns: Int
  ) {
    halfOutput(m, step)
    @inline(__always) func largest(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes) -> (Lanes, SIMD8<Int32>) {
      let (all, code) = largestOfFour(a, b, c, d)
      return (all.positive, code.replacing(with: SIMD8(repeating: 4), where: all .<= lanes(0)))
    }
    let (r0, r1, r2, r3) = (outputRow(0, bias), outputRow(1, bias), outputRow(2, bias), outputRow(3, bias))
    let (a, codeA) = largest(r0.0, r0.1, r1.0, r1.1)
    let (b, codeB) = largest(r0.2, r0.3, r1.2, r1.3)
    let (c, codeC) = largest(r2.0, r2.1, r3.0, r3.1)
    let (d, codeD) = largest(r2.2, r2.3, r3.2, r3.3)
    let t = transposed((a, b, c, d, a, b, c, d))
    let code = codeA | codeB &<< 8 | codeC &<< 16 | codeD &<< 24
    let isWhole = rows == 2 && columns == 2
    @inline(__always) func put(_ v: Lanes, _ k: Int) {
      guard k < channels else { return }
      let target = y + k &* plane
      let codeTarget = codes.map { $0 + k &* plane }
      let four = UInt32(truncatingIfNeeded: code[k])
      if isWhole {
        UnsafeMutableRawPointer(target).storeBytes(of: SIMD2(v[0], v[1]), as: SIMD2<Float>.self)
        UnsafeMutableRawPointer(target + row).storeBytes(of: SIMD2(v[2], v[3]), as: SIMD2<Float>.self)
        guard let codeTarget else { return }
        UnsafeMutableRawPointer(codeTarget).storeBytes(of: UInt16(truncatingIfNeeded: four), as: UInt16.self)
        UnsafeMutableRawPointer(codeTarget + row).storeBytes(of: UInt16(truncatingIfNeeded: four &>> 16), as: UInt16.self)
      } else {
        for i in 0..<rows {
          for j in 0..<columns {
            target[i * row + j] = v[i * 2 + j]
            codeTarget?[i * row + j] = UInt8(truncatingIfNeeded: four &>> UInt32(16 * i + 8 * j))
          }
        }
      }
    }
    forEach(t, put)
  }
}
