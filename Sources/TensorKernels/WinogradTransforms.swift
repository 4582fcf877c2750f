/// The transforms of F(4x4, 3x3) (Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.2):
/// Y = A' [ (G g G') * (B' d B) ] A for a tile d of 6x6 inputs, a kernel g of 3x3 and 4x4 results.
///
/// The points are 0, 3/4, -3/4, 3/2, -3/2 and infinity. With the usual 0, 1, -1, 2, -2 the numbers on the way are larger and the error is two to three
/// times as large (docs/decisions/0007-convolution.md). Their squares and products are exact.
///
/// The gradient of the kernel is G' [ sum over tiles (B' d B) * (A dY A') ] G.
enum Winograd {
  /// Results per tile and side, inputs per tile and side, products per tile.
  static let tile = 4
  static let window = 6
  static let products = 36

  @inline(__always) private static var p: Float { 0.75 }
  @inline(__always) private static var q: Float { 1.5 }
  /// 1 / the product of a point's distances from the others, for 0, p and q.
  @inline(__always) private static var weightOf0: Float { 1 / (p * p * q * q) }
  @inline(__always) private static var weightOfP: Float { 1 / (2 * p * p * (p * p - q * q)) }
  @inline(__always) private static var weightOfQ: Float { 1 / (2 * q * q * (q * q - p * p)) }

  /// B' x: six inputs of a row or column.
  @inline(__always)
  static func input(_ x: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let (minusP2, minusQ2) = (lanes(-p * p), lanes(-q * q))
    let (product, sum) = (lanes(p * p * q * q), lanes(-(p * p + q * q)))
    let (x1, x2, x3, x4) = (x.1, x.2, x.3, x.4)
    let even = x4.addingProduct(minusQ2, x2)  // of p and -p
    let odd = x3.addingProduct(minusQ2, x1) * lanes(p)
    let even2 = x4.addingProduct(minusP2, x2)  // of q and -q
    let odd2 = x3.addingProduct(minusP2, x1) * lanes(q)
    return (
      x4.addingProduct(sum, x2).addingProduct(product, x.0), even + odd, even - odd, even2 + odd2, even2 - odd2,
      x.5.addingProduct(sum, x3).addingProduct(product, x1)
    )
  }

  /// A' m: six products of a row or column to four results.
  @inline(__always)
  static func output(_ m: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes) {
    let (sum, difference) = (m.1 + m.2, m.1 - m.2)
    let (sum2, difference2) = (m.3 + m.4, m.3 - m.4)
    return (
      m.0 + sum + sum2, (difference * lanes(p)).addingProduct(lanes(q), difference2),
      (sum * lanes(p * p)).addingProduct(lanes(q * q), sum2),
      m.5.addingProduct(lanes(p * p * p), difference).addingProduct(lanes(q * q * q), difference2)
    )
  }

  /// A y: four gradients of results to six.
  @inline(__always)
  static func gradient(_ y: (Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let even = y.0.addingProduct(lanes(p * p), y.2)
    let odd = y.1.addingProduct(lanes(p * p), y.3) * lanes(p)
    let even2 = y.0.addingProduct(lanes(q * q), y.2)
    let odd2 = y.1.addingProduct(lanes(q * q), y.3) * lanes(q)
    return (y.0, even + odd, even - odd, even2 + odd2, even2 - odd2, y.3)
  }

  /// G g: three weights to six.
  @inline(__always)
  static func kernel(_ g: (Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes) {
    let outer = g.0.addingProduct(lanes(p * p), g.2) * lanes(weightOfP)
    let middle = g.1 * lanes(p * weightOfP)
    let outer2 = g.0.addingProduct(lanes(q * q), g.2) * lanes(weightOfQ)
    let middle2 = g.1 * lanes(q * weightOfQ)
    return (
      g.0 * lanes(weightOf0), outer + middle, outer - middle, outer2 + middle2, outer2 - middle2, g.2
    )
  }

  /// G' u: six sums to three gradients of weights.
  @inline(__always)
  static func kernelGradient(_ u: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) -> (Lanes, Lanes, Lanes) {
    let (sum, difference) = ((u.1 + u.2) * lanes(weightOfP), (u.1 - u.2) * lanes(weightOfP))
    let (sum2, difference2) = ((u.3 + u.4) * lanes(weightOfQ), (u.3 - u.4) * lanes(weightOfQ))
    return (
      (sum + sum2).addingProduct(lanes(weightOf0), u.0), (difference * lanes(p)).addingProduct(lanes(q), difference2),
      u.5.addingProduct(lanes(p * p), sum).addingProduct(lanes(q * q), sum2)
    )
  }
}
