/// The transforms of F(4x4, 3x3) with the points 0, 1, -1, 2, -2 (Lavin and Gray 2015, "Fast Algorithms for Convolutional
/// Neural Networks", section 4.2): Y = A' [ (G g G') * (B' d B) ] A for a tile d of 6x6 inputs, a kernel g of 3x3 and 4x4 results.
///
/// The gradient of the kernel is G' [ sum over tiles (B' d B) * (A dY A') ] G.
enum Winograd {
  /// Results per tile and side, inputs per tile and side, products per tile.
  static let tile = 4
  static let window = 6
  static let products = 36

  /// B' x: six inputs of a row or column.
  @inline(__always)
  static func input(_ x: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let four = lanes(4)
    let (x1, x2, x3, x4) = (x.1, x.2, x.3, x.4)
    let even = x4 - x2 * four  // of rows 1 and 2
    let odd = x3 - x1 * four
    let even2 = x4 - x2  // of rows 3 and 4
    let odd2 = (x3 - x1) * lanes(2)
    return (
      x.0 * four - x2 * lanes(5) + x4, even + odd, even - odd, even2 + odd2, even2 - odd2, x1 * four - x3 * lanes(5) + x.5
    )
  }

  /// A' m: six products of a row or column to four results.
  @inline(__always)
  static func output(_ m: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes) {
    let (sum, difference) = (m.1 + m.2, m.1 - m.2)
    let (sum2, difference2) = (m.3 + m.4, m.3 - m.4)
    return (
      m.0 + sum + sum2, difference + difference2 * lanes(2), sum + sum2 * lanes(4), difference + difference2 * lanes(8) + m.5
    )
  }

  /// A y: four gradients of results to six.
  @inline(__always)
  static func gradient(_ y: (Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let (even, odd) = (y.0 + y.2, y.1 + y.3)
    let (even2, odd2) = (y.0 + y.2 * lanes(4), y.1 * lanes(2) + y.3 * lanes(8))
    return (y.0, even + odd, even - odd, even2 + odd2, even2 - odd2, y.3)
  }

  /// G g: three weights to six.
  @inline(__always)
  static func kernel(_ g: (Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let sixth = lanes(-1.0 / 6)
    let outer = g.0 + g.2
    let outer4 = g.0 * lanes(1.0 / 24) + g.2 * lanes(1.0 / 6)
    let middle = g.1 * lanes(1.0 / 12)
    return (
      g.0 * lanes(0.25), (outer + g.1) * sixth, (outer - g.1) * sixth, outer4 + middle, outer4 - middle, g.2
    )
  }

  /// G' u: six sums to three gradients of weights.
  @inline(__always)
  static func kernelGradient(_ u: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes) {
    let sixth = lanes(-1.0 / 6)
    let (sum, difference) = ((u.1 + u.2) * sixth, (u.1 - u.2) * sixth)
    let (sum2, difference2) = (u.3 + u.4, u.3 - u.4)
    return (
      u.0 * lanes(0.25) + sum + sum2 * lanes(1.0 / 24), difference + difference2 * lanes(1.0 / 12),
      sum + sum2 * lanes(1.0 / 6) + u.5
    )
  }
}
