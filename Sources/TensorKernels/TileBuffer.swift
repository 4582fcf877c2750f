/// Loads, transforms and stores single tiles of eight channels; half-transformed values go through its memory.
struct TileBuffer {
  /// 8 channels x 6 rows x 8 columns (six are used) of a tile that hangs over an edge.
  let window: UnsafeMutablePointer<Float>
  private let half: UnsafeMutablePointer<Float>
  static let floats = 8 * 48 + 36 * 8

  init(_ memory: UnsafeMutablePointer<Float>) {
    window = memory
    half = memory + 8 * 48
  }

  /// Fills `window` with what is there of a tile whose first number would lie at `corner`; the rest is zero.
  ///
  /// - Parameters:
  ///   - rows: rows of the tile that exist; `columns` likewise.
  ///   - end: the numbers behind `x`, counted from `x`.
  func collect(
    _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ corner: Int, channels: Int, _ plane: Int, rows: Range<Int>,
    columns: Range<Int>, rowStep: Int, end: Int
  ) {
    let lane = SIMD8<Int32>(0, 1, 2, 3, 4, 5, 6, 7)
    let (from, to) = (Int32(truncatingIfNeeded: columns.lowerBound), Int32(truncatingIfNeeded: columns.upperBound))
    let outside = (lane .< SIMD8(repeating: from)) .| (lane .>= SIMD8(repeating: to))
    for k in 0..<8 {
      for r in 0..<6 {
        let target = window + k * 48 + r * 8
        guard k < channels, rows.contains(r) else {
          store(lanes(0), target)
          continue
        }
        let at = corner + k * plane + r * rowStep
        if at >= 0, at + 8 <= end {
          var values = load(x + at)
          if let mask { values = values.kept(wherePositive: load(mask + at)) }
          store(values.replacing(with: 0, where: outside), target)
        } else {
          for i in 0..<8 {
            let isThere = columns.contains(i) && (mask.map { $0[at + i] > 0 } ?? true)
            target[i] = isThere ? x[at + i] : 0
          }
        }
      }
    }
  }

  /// B' d B of a tile: 6 rows of 8 planes; product p goes to `out + p * step`.
  @inline(__always)
  func transform(_ x: UnsafePointer<Float>, _ plane: Int, _ row: Int, _ out: UnsafeMutablePointer<Float>, _ step: Int) {
    for r in 0..<6 {
      let p = x + r &* row
      putRow(
        r,
        (
          load(p), load(p + plane), load(p + 2 &* plane), load(p + 3 &* plane), load(p + 4 &* plane), load(p + 5 &* plane),
          load(p + 6 &* plane), load(p + 7 &* plane)
        ))
    }
    putColumns(out, step)
  }

  /// The same where `mask` > 0.
  @inline(__always)
  func transformMasked(
    _ x: UnsafePointer<Float>, _ mask: UnsafePointer<Float>, _ plane: Int, _ row: Int, _ out: UnsafeMutablePointer<Float>,
    _ step: Int
  ) {
    for r in 0..<6 {
      @inline(__always) func one(_ k: Int) -> Lanes {
        load(x + r &* row + k &* plane).kept(wherePositive: load(mask + r &* row + k &* plane))
      }
      putRow(r, (one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7)))
    }
    putColumns(out, step)
  }

  @inline(__always) private func putRow(_ r: Int, _ channels: EightLanes) {
    let t = transposed(channels)
    let v = Winograd.input((t.0, t.1, t.2, t.3, t.4, t.5))
    let target = half + r &* 48
    store(v.0, target)
    store(v.1, target + 8)
    store(v.2, target + 16)
    store(v.3, target + 24)
    store(v.4, target + 32)
    store(v.5, target + 40)
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

  /// A dY A' of a tile: 4 rows of 4 numbers of 8 planes; dy counts only where `mask` > 0.
  @inline(__always)
  func gradient(
    _ dy: UnsafePointer<Float>, _ mask: UnsafePointer<Float>?, _ plane: Int, _ row: Int, _ out: UnsafeMutablePointer<Float>,
    _ step: Int
  ) {
    for r in 0..<2 {
      // Two rows of four at a time.
      let at = 2 &* r &* row
      @inline(__always) func one(_ k: Int) -> Lanes {
        let p = dy + at + k &* plane
        let values = Lanes(lowHalf: load4(p), highHalf: load4(p + row))
        guard let mask else { return values }
        let m = mask + at + k &* plane
        return values.kept(wherePositive: Lanes(lowHalf: load4(m), highHalf: load4(m + row)))
      }
      let t = transposed((one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7)))
      put(Winograd.gradient((t.0, t.1, t.2, t.3)), half + 2 &* r &* 48, 8)
      put(Winograd.gradient((t.4, t.5, t.6, t.7)), half + (2 &* r &+ 1) &* 48, 8)
    }
    for j in 0..<6 {
      let s = half + j &* 8
      put(Winograd.gradient((load(s), load(s + 48), load(s + 96), load(s + 144))), out + j &* step, 6 &* step)
    }
  }

  /// A' m A + bias of eight channels, then relu if asked, to the parts of the tile that exist.
  @inline(__always)
  func output(
    _ m: UnsafePointer<Float>, _ step: Int, _ bias: Lanes, _ relu: Bool, _ y: UnsafeMutablePointer<Float>, _ plane: Int,
    _ row: Int, channels: Int, rows: Int, columns: Int
  ) {
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
    for r in 0..<2 {
      @inline(__always) func pixels(_ r: Int) -> (Lanes, Lanes, Lanes, Lanes) {
        let s = half + r &* 48
        let v = Winograd.output((load(s), load(s + 8), load(s + 16), load(s + 24), load(s + 32), load(s + 40)))
        let w = (v.0 + bias, v.1 + bias, v.2 + bias, v.3 + bias)
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
        put(t.0, 0)
        put(t.1, 1)
        put(t.2, 2)
        put(t.3, 3)
        put(t.4, 4)
        put(t.5, 5)
        put(t.6, 6)
        put(t.7, 7)
      } else {
        store(t.0, window)
        store(t.1, window + 8)
        store(t.2, window + 16)
        store(t.3, window + 24)
        store(t.4, window + 32)
        store(t.5, window + 40)
        store(t.6, window + 48)
        store(t.7, window + 56)
        for k in 0..<channels {
          for i in 0..<max(0, min(2, rows - 2 * r)) {
            for j in 0..<columns { target[k * plane + i * row + j] = window[k * 8 + i * 4 + j] }
          }
        }
      }
    }
  }
}
