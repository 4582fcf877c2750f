package import Core
import Glibc

/// One change of a picture (channels, height, width), at random within what it says. Coordinates are pixels, y goes down; a picture is
/// turned and zoomed around its middle.
package enum ImageStep: Sendable, Equatable {
  /// Turned by degrees against the clock, zoomed by a factor, moved by fractions of pixels; bilinear, `fill` from outside.
  case warp(
    degrees: ClosedRange<Double>, zoom: ClosedRange<Double>, down: ClosedRange<Double>, right: ClosedRange<Double>, fill: Float)
  /// Moved by whole pixels, at most so many either way.
  case shift(down: Int, right: Int, fill: Float)
  /// Mirrored with probability `p`: left and right, or top and bottom.
  case flip(horizontal: Bool, p: Double)
  /// A part of this size, after `padding` pixels of `fill` were put around.
  case crop(height: Int, width: Int, padding: Int, fill: Float)
  /// With probability `p` a rectangle of a share of the area, height / width within `ratio`, set to `value`.
  case erase(p: Double, area: ClosedRange<Double>, ratio: ClosedRange<Double>, value: Float)
  /// (x - mean) / deviation of each channel; one of each counts for all channels.
  case normalize(mean: [Float], deviation: [Float])
}

/// The steps that every picture of a batch goes through. Picture number n of a training always gets the random numbers of counter n, so
/// that results depend neither on threads nor on the size of batches.
package struct ImagePlan: Sendable {
  package let channels: Int
  package let height: Int
  package let width: Int
  package let steps: [ImageStep]
  /// The size after the last step.
  package let outHeight: Int
  package let outWidth: Int
  /// Floats of the largest picture on the way.
  let most: Int
  /// Extents of pictures at most, each of the three; their product stays below 2^48.
  package static let largest = 1 << 15

  /// - Throws: `INVALID_ARGUMENT` for a step that cannot be done on pictures of this size.
  package init(channels: Int, height: Int, width: Int, steps: [ImageStep]) throws(Failure) {
    var (h, w) = (height, width)
    var most = 0
    for (name, extent) in [("channels", channels), ("rows", height), ("columns", width)] {
      guard extent >= 1, extent <= ImagePlan.largest else {
        throw Failure(.invalidArgument, "augment: pictures of \(extent) \(name); 1 to \(ImagePlan.largest) are possible")
      }
    }
    most = channels * h * w
    for step in steps {
      switch step {
      case .crop(let height, let width, let padding, _):
        guard height >= 1, width >= 1, padding >= 0, padding <= ImagePlan.largest, height <= h + 2 * padding,
          width <= w + 2 * padding, height <= ImagePlan.largest, width <= ImagePlan.largest
        else {
          throw Failure(
            .invalidArgument,
            "augment.crop: \(height) x \(width) cannot be cut from \(h) x \(w) pixels with a padding of \(padding)")
        }
        (h, w) = (height, width)
      case .normalize(let mean, let deviation):
        for (name, values) in [("mean", mean), ("std", deviation)] where values.count != 1 && values.count != channels {
          throw Failure(
            .invalidArgument, "augment.normalize: \(name) has \(values.count) values, pictures have \(channels) channels")
        }
      default: break
      }
      most = max(most, channels * h * w)
    }
    (self.channels, self.height, self.width, self.steps) = (channels, height, width, steps)
    (outHeight, outWidth, self.most) = (h, w, most)
  }

  /// Bytes of work space that `apply` needs.
  package var scratchBytes: Int { 2 * most * 4 }

  /// One picture of u8 or f32 through all steps into `out` (f32). `number`: of the picture in the training.
  package func apply(
    _ type: DType, _ source: UnsafeRawPointer, number: UInt64, seed: UInt64, out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawPointer
  ) {
    var here = scratch.assumingMemoryBound(to: Float.self)
    var there = here + most
    let count = channels * height * width
    if type == .u8 {
      let bytes = typed(source, UInt8.self)
      for i in 0..<count { here[i] = Float(bytes[i]) }
    } else {
      here.update(from: typed(source, Float.self), count: count)
    }
    var (h, w) = (height, width)
    for (at, step) in steps.enumerated() {
      var random = PictureRandom(seed: seed, step: at, number: number)
      switch step {
      case .normalize(let mean, let deviation): normalize(here, h * w, mean, deviation)
      case .erase(let p, let area, let ratio, let value): erase(here, h, w, p, area, ratio, value, &random)
      case .flip(let horizontal, let p):
        if random.next() < p { flip(here, h, w, horizontal: horizontal) }
      case .shift(let down, let right, let fill):
        let (y, x) = (random.integer(below: 2 * down + 1) - down, random.integer(below: 2 * right + 1) - right)
        cut(from: here, h, w, to: there, h, w, top: -y, left: -x, fill: fill)
        swap(&here, &there)
      case .crop(let height, let width, let padding, let fill):
        let top = random.integer(below: h + 2 * padding - height + 1) - padding
        let left = random.integer(below: w + 2 * padding - width + 1) - padding
        cut(from: here, h, w, to: there, height, width, top: top, left: left, fill: fill)
        swap(&here, &there)
        (h, w) = (height, width)
      case .warp(let degrees, let zoom, let down, let right, let fill):
        let angle = random.next(in: degrees) * .pi / 180
        let factor = random.next(in: zoom)
        let (y, x) = (random.next(in: down), random.next(in: right))
        warp(from: here, to: there, h, w, angle: angle, zoom: factor, down: y, right: x, fill: fill)
        swap(&here, &there)
      }
    }
    out.update(from: here, count: channels * h * w)
  }

  private func normalize(_ x: UnsafeMutablePointer<Float>, _ area: Int, _ mean: [Float], _ deviation: [Float]) {
    for c in 0..<channels {
      let (m, d) = (mean[mean.count == 1 ? 0 : c], deviation[deviation.count == 1 ? 0 : c])
      let plane = x + c * area
      for i in 0..<area { plane[i] = (plane[i] - m) / d }
    }
  }

  private func flip(_ x: UnsafeMutablePointer<Float>, _ h: Int, _ w: Int, horizontal: Bool) {
    for c in 0..<channels {
      let plane = x + c * h * w
      if horizontal {
        for y in 0..<h {
          for i in 0..<w / 2 { (plane[y * w + i], plane[y * w + w - 1 - i]) = (plane[y * w + w - 1 - i], plane[y * w + i]) }
        }
      } else {
        for y in 0..<h / 2 {
          for i in 0..<w { (plane[y * w + i], plane[(h - 1 - y) * w + i]) = (plane[(h - 1 - y) * w + i], plane[y * w + i]) }
        }
      }
    }
  }

  /// out[y, x] = a[y + top, x + left], `fill` where that is outside.
  private func cut(
    from a: UnsafeMutablePointer<Float>, _ h: Int, _ w: Int, to out: UnsafeMutablePointer<Float>, _ outH: Int, _ outW: Int,
    top: Int, left: Int, fill: Float
  ) {
    let first = min(outW, max(0, -left))
    let end = max(first, min(outW, w - left))
    for c in 0..<channels {
      for y in 0..<outH {
        let row = out + (c * outH + y) * outW
        let from = y + top
        guard from >= 0, from < h, first < end else {
          row.update(repeating: fill, count: outW)
          continue
        }
        row.update(repeating: fill, count: first)
        (row + first).update(from: a + (c * h + from) * w + first + left, count: end - first)
        (row + end).update(repeating: fill, count: outW - end)
      }
    }
  }

  private func erase(
    _ x: UnsafeMutablePointer<Float>, _ h: Int, _ w: Int, _ p: Double, _ area: ClosedRange<Double>,
    _ ratio: ClosedRange<Double>,
    _ value: Float, _ random: inout PictureRandom
  ) {
    guard random.next() < p else { return }
    let size = random.next(in: area) * Double(h * w)
    let shape = exp(random.next(in: log(ratio.lowerBound)...log(ratio.upperBound)))
    let height = min(h, max(1, Int((size * shape).squareRoot().rounded())))
    let width = min(w, max(1, Int((size / shape).squareRoot().rounded())))
    let (top, left) = (random.integer(below: h - height + 1), random.integer(below: w - width + 1))
    for c in 0..<channels {
      for y in top..<top + height { (x + (c * h + y) * w + left).update(repeating: value, count: width) }
    }
  }

  /// out[y, x] = a at the place that was turned, zoomed and moved to (y, x).
  private func warp(
    from a: UnsafeMutablePointer<Float>, to out: UnsafeMutablePointer<Float>, _ h: Int, _ w: Int, angle: Double, zoom: Double,
    down: Double, right: Double, fill: Float
  ) {
    let (middleY, middleX) = (Double(h - 1) / 2, Double(w - 1) / 2)
    let (c, s) = (cos(angle) / zoom, sin(angle) / zoom)
    let area = h * w
    for y in 0..<h {
      let dy = Double(y) - middleY - down
      for x in 0..<w {
        let dx = Double(x) - middleX - right
        let fromX = dx * c - dy * s + middleX
        let fromY = dx * s + dy * c + middleY
        let target = out + y * w + x
        // Also false for NaN.
        guard fromX > -1, fromX < Double(w), fromY > -1, fromY < Double(h) else {
          for channel in 0..<channels { target[channel * area] = fill }
          continue
        }
        let (floorX, floorY) = (fromX.rounded(.down), fromY.rounded(.down))
        let (x0, y0) = (Int(floorX), Int(floorY))
        let (u, v) = (Float(fromX - floorX), Float(fromY - floorY))
        let (leftIn, rightIn, topIn, bottomIn) = (x0 >= 0, x0 + 1 < w, y0 >= 0, y0 + 1 < h)
        for channel in 0..<channels {
          let plane = a + channel * area + y0 * w + x0
          let p00 = leftIn && topIn ? plane[0] : fill
          let p01 = rightIn && topIn ? plane[1] : fill
          let p10 = leftIn && bottomIn ? plane[w] : fill
          let p11 = rightIn && bottomIn ? plane[w + 1] : fill
          target[channel * area] = (p00 * (1 - u) + p01 * u) * (1 - v) + (p10 * (1 - u) + p11 * u) * v
        }
      }
    }
  }
}

/// The random numbers of one step on one picture: eight counters of its own.
struct PictureRandom {
  private let generator: Philox
  private let start: UInt64
  private var used = 0
  private var bits = SIMD4<UInt32>.zero

  init(seed: UInt64, step: Int, number: UInt64) {
    // Steps of one training have keys of their own; SplitMix64's mixing keeps near seeds apart.
    var z = seed &+ UInt64(step + 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    generator = Philox(seed: z ^ (z >> 31))
    start = number &* 8
  }

  /// In 0 ..< 1.
  mutating func next() -> Double {
    if used % 4 == 0 { bits = generator.block(start &+ UInt64(used / 4)) }
    defer { used += 1 }
    return Double(bits[used % 4]) * 0x1p-32
  }
  mutating func next(in range: ClosedRange<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * next()
  }
  /// In 0 ..< count.
  mutating func integer(below count: Int) -> Int { min(count - 1, Int(next() * Double(count))) }
}
