/// Distances of one query to the rows of a matrix: x (count, dim) row major, q (dim), out (count; Float).
///
/// One pass over x with sixteen lanes in flight per row, so that it runs at the speed of memory. The order of additions depends on
/// `dim` only. Rows need the alignment of an element, no more. Serial: callers split the rows.
extension Kernels {
  /// out[i] = sum over j of (x[i, j] - q[j])^2.
  package static func squaredDistances(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, query q: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = squaredDistance(x + i * dim, q, dim) }
  }

  /// The same in Double.
  package static func squaredDistances(
    _ x: UnsafePointer<Double>, count: Int, dim: Int, query q: UnsafePointer<Double>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = Float(squaredDistance(x + i * dim, q, dim)) }
  }

  /// out[i] = sum over j of x[i, j] * q[j].
  package static func dots(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, query q: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = dotProduct(x + i * dim, q, dim) }
  }

  /// The same in Double.
  package static func dots(
    _ x: UnsafePointer<Double>, count: Int, dim: Int, query q: UnsafePointer<Double>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = Float(dotProduct(x + i * dim, q, dim)) }
  }

  /// out[i] = x[i] . q / |x[i]|; 0 for a row of zeros. Divide by |q| for the cosine.
  package static func projections(
    _ x: UnsafePointer<Float>, count: Int, dim: Int, query q: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = projection(x + i * dim, q, dim) }
  }

  /// The same in Double.
  package static func projections(
    _ x: UnsafePointer<Double>, count: Int, dim: Int, query q: UnsafePointer<Double>, out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { out[i] = Float(projection(x + i * dim, q, dim)) }
  }

  /// out[i] = sum over j of x[i, j]^2.
  package static func squaredNorms(_ x: UnsafePointer<Float>, count: Int, dim: Int, out: UnsafeMutablePointer<Float>) {
    for i in 0..<count { out[i] = dotProduct(x + i * dim, x + i * dim, dim) }
  }

  /// How many of `values` lie at or below `limit`; their places, ascending, in `places` (room for `count`). NaN never does.
  package static func places(
    atMost limit: Float, _ values: UnsafePointer<Float>, count: Int, places: UnsafeMutablePointer<Int32>
  ) -> Int {
    var found = 0
    var i = 0
    let bound = SIMD16<Float>(repeating: limit)
    while i + 16 <= count {
      let block = UnsafeRawPointer(values + i).loadUnaligned(as: SIMD16<Float>.self)
      if any(block .<= bound) {
        for lane in 0..<16 where values[i + lane] <= limit {
          places[found] = Int32(truncatingIfNeeded: i + lane)
          found += 1
        }
      }
      i += 16
    }
    while i < count {
      if values[i] <= limit {
        places[found] = Int32(truncatingIfNeeded: i)
        found += 1
      }
      i += 1
    }
    return found
  }
}

@inline(__always)
private func lanes<T: SIMDScalar>(_ p: UnsafePointer<T>) -> SIMD8<T> {
  UnsafeRawPointer(p).loadUnaligned(as: SIMD8<T>.self)
}

@inline(__always)
private func squaredDistance<T: BinaryFloatingPoint & SIMDScalar>(_ x: UnsafePointer<T>, _ q: UnsafePointer<T>, _ dim: Int) -> T
{
  var (a, b) = (SIMD8<T>(), SIMD8<T>())
  var (c, d) = (SIMD8<T>(), SIMD8<T>())
  var j = 0
  while j + 32 <= dim {
    let (s, t) = (lanes(x + j) - lanes(q + j), lanes(x + j + 8) - lanes(q + j + 8))
    let (u, v) = (lanes(x + j + 16) - lanes(q + j + 16), lanes(x + j + 24) - lanes(q + j + 24))
    a += s * s
    b += t * t
    c += u * u
    d += v * v
    j += 32
  }
  while j + 8 <= dim {
    let s = lanes(x + j) - lanes(q + j)
    a += s * s
    j += 8
  }
  var sum = ((a + b) + (c + d)).sum()
  while j < dim {
    let s = x[j] - q[j]
    sum += s * s
    j += 1
  }
  return sum
}

@inline(__always)
private func dotProduct<T: BinaryFloatingPoint & SIMDScalar>(_ x: UnsafePointer<T>, _ q: UnsafePointer<T>, _ dim: Int) -> T {
  var (a, b) = (SIMD8<T>(), SIMD8<T>())
  var (c, d) = (SIMD8<T>(), SIMD8<T>())
  var j = 0
  while j + 32 <= dim {
    a += lanes(x + j) * lanes(q + j)
    b += lanes(x + j + 8) * lanes(q + j + 8)
    c += lanes(x + j + 16) * lanes(q + j + 16)
    d += lanes(x + j + 24) * lanes(q + j + 24)
    j += 32
  }
  while j + 8 <= dim {
    a += lanes(x + j) * lanes(q + j)
    j += 8
  }
  var sum = ((a + b) + (c + d)).sum()
  while j < dim {
    sum += x[j] * q[j]
    j += 1
  }
  return sum
}

@inline(__always)
private func projection<T: BinaryFloatingPoint & SIMDScalar>(_ x: UnsafePointer<T>, _ q: UnsafePointer<T>, _ dim: Int) -> T {
  var (a, b) = (SIMD8<T>(), SIMD8<T>())
  var (s, t) = (SIMD8<T>(), SIMD8<T>())
  var j = 0
  while j + 16 <= dim {
    let (u, v) = (lanes(x + j), lanes(x + j + 8))
    a += u * lanes(q + j)
    b += v * lanes(q + j + 8)
    s += u * u
    t += v * v
    j += 16
  }
  var (dot, square) = ((a + b).sum(), (s + t).sum())
  while j < dim {
    dot += x[j] * q[j]
    square += x[j] * x[j]
    j += 1
  }
  return square > 0 ? dot / square.squareRoot() : 0
}
