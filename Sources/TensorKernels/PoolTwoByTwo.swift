import Core

/// Max pooling of f32 by 2 x 2 side by side, eight results at a time. The plain reference is `maxForward`. NaN wins.
///
/// Codes say which of a window's four it was: 0 and 1 in the upper row, 2 and 3 below; 4: none, as relu made all of them zero.
func maxOfTwoByTwo(
  _ s: PoolShape, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ codes: UnsafeMutablePointer<UInt8>?
) {
  let (outHeight, outWidth, width) = (s.outHeight, s.outWidth, s.width)
  nonisolated(unsafe) let (x, y, codes) = (x, y, codes)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, s.height * width))) { planes in
    for p in planes {
      for i in 0..<outHeight {
        let upper = x + (p * s.height + 2 * i) * width
        let at = (p * outHeight + i) * outWidth
        maxOfRows(upper, upper + width, y + at, codes.map { $0 + at }, outWidth)
      }
    }
  }
}

/// dx: each dy at the place that its code says, zeros around it.
func maxOfTwoByTwoBackward(
  _ s: PoolShape, _ dy: UnsafePointer<Float>, _ codes: UnsafePointer<UInt8>, _ dx: UnsafeMutablePointer<Float>
) {
  let (outHeight, outWidth, width) = (s.outHeight, s.outWidth, s.width)
  nonisolated(unsafe) let (dy, codes, dx) = (dy, codes, dx)
  Parallel.forEach(count: s.planes, grain: max(1, 16384 / max(1, s.height * width))) { planes in
    for p in planes {
      let plane = dx + p * s.height * width
      for i in 0..<outHeight {
        let upper = plane + 2 * i * width
        let at = (p * outHeight + i) * outWidth
        spread(dy + at, codes + at, upper, upper + width, outWidth)
        if width > 2 * outWidth { (upper[width - 1], upper[2 * width - 1]) = (0, 0) }
      }
      for k in 2 * outHeight * width..<s.height * width { plane[k] = 0 }
    }
  }
}

/// Where the vector of eight results begins that follows `j` on: the last one lies over the one before it.
@inline(__always) private func next(_ j: Int, _ count: Int) -> Int { j &+ 16 <= count ? j &+ 8 : max(count - 8, j &+ 1) }

/// The largest of upper left, upper right, lower left and lower right, and its code; NaN wins.
@inline(__always)
func largestOfFour(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes) -> (Lanes, SIMD8<Int32>) {
  typealias Codes = SIMD8<Int32>
  let (right, lowerRight) = ((b .> a) .| (b .!= b), (d .> c) .| (d .!= d))
  let (top, bottom) = (a.replacing(with: b, where: right), c.replacing(with: d, where: lowerRight))
  let isBottom = (bottom .> top) .| (bottom .!= bottom)
  let topCode = Codes(repeating: 0).replacing(with: Codes(repeating: 1), where: right)
  let bottomCode = Codes(repeating: 2).replacing(with: Codes(repeating: 3), where: lowerRight)
  return (top.replacing(with: bottom, where: isBottom), topCode.replacing(with: bottomCode, where: isBottom))
}

@inline(never)
private func maxOfRows(
  _ upper: UnsafePointer<Float>, _ lower: UnsafePointer<Float>, _ row: UnsafeMutablePointer<Float>,
  _ codes: UnsafeMutablePointer<UInt8>?, _ count: Int
) {
  var j = 0
  while j + 8 <= count {
    @inline(__always) func pairs(_ p: UnsafePointer<Float>) -> (Lanes, Lanes) {
      let all = SIMD16(lowHalf: load(p + 2 &* j), highHalf: load(p + 2 &* j + 8))
      return (all.evenHalf, all.oddHalf)
    }
    let ((a, b), (c, d)) = (pairs(upper), pairs(lower))
    let (largest, code) = largestOfFour(a, b, c, d)
    store(largest, row + j)
    if let codes {
      UnsafeMutableRawPointer(codes + j).storeBytes(of: SIMD8<UInt8>(truncatingIfNeeded: code), as: SIMD8<UInt8>.self)
    }
    j = next(j, count)
  }
  guard count < 8 else { return }
  for j in 0..<count {
    var (best, code) = (upper[2 * j], UInt8(0))
    for (k, value) in [upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]].enumerated() where value > best || value.isNaN {
      (best, code) = (value, UInt8(k + 1))
    }
    row[j] = best
    codes?[j] = code
  }
}

@inline(never)
private func spread(
  _ dy: UnsafePointer<Float>, _ codes: UnsafePointer<UInt8>, _ upper: UnsafeMutablePointer<Float>,
  _ lower: UnsafeMutablePointer<Float>, _ count: Int
) {
  var j = 0
  while j + 8 <= count {
    let g = load(dy + j)
    let code = SIMD8<Int32>(truncatingIfNeeded: UnsafeRawPointer(codes + j).loadUnaligned(as: SIMD8<UInt8>.self))
    @inline(__always) func put(_ first: Int32, _ row: UnsafeMutablePointer<Float>) {
      var both = SIMD16<Float>()
      both.evenHalf = lanes(0).replacing(with: g, where: code .== SIMD8(repeating: first))
      both.oddHalf = lanes(0).replacing(with: g, where: code .== SIMD8(repeating: first + 1))
      store(both.lowHalf, row + 2 &* j)
      store(both.highHalf, row + 2 &* j + 8)
    }
    put(0, upper)
    put(2, lower)
    j = next(j, count)
  }
  guard count < 8 else { return }
  for j in 0..<count {
    (upper[2 * j], upper[2 * j + 1]) = (codes[j] == 0 ? dy[j] : 0, codes[j] == 1 ? dy[j] : 0)
    (lower[2 * j], lower[2 * j + 1]) = (codes[j] == 2 ? dy[j] : 0, codes[j] == 3 ? dy[j] : 0)
  }
}
