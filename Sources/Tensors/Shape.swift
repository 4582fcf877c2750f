package import Core

/// Shapes: checked sizes, broadcasting, dims. Messages count dims from 1, as users do; Swift code counts from 0 and takes
/// negative dims from the end.
package enum Shape {
  /// `(64, 10)`; `()` for a scalar.
  package static func text(_ shape: [Int]) -> String { "(" + shape.map(String.init).joined(separator: ", ") + ")" }

  /// Elements of a shape.
  /// - Throws: `INVALID_ARGUMENT` for a negative extent or a product beyond 2^48 elements.
  package static func count(_ shape: [Int], op: String) throws(Failure) -> Int {
    guard shape.count <= 16 else { throw Failure(.invalidArgument, "\(op): \(shape.count) dims; 16 are the most") }
    var total = 1
    for extent in shape {
      guard extent >= 0 else { throw Failure(.invalidArgument, "\(op): shape \(text(shape)) has a negative extent") }
      // Also where another extent is 0: products of some of the extents are computed with, whether there are elements or not.
      let (product, overflow) = total.multipliedReportingOverflow(by: max(1, extent))
      guard !overflow, product <= 1 << 48 else {
        throw Failure(.invalidArgument, "\(op): shape \(text(shape)) has too many elements")
      }
      total = product
    }
    return shape.contains(0) ? 0 : total
  }

  /// Row-major strides in elements.
  package static func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    var step = 1
    for d in shape.indices.reversed() {
      strides[d] = step
      // Without elements, strides may wrap around: nobody uses them.
      step = step &* max(1, shape[d])
    }
    return strides
  }

  /// The shape two shapes broadcast to: aligned at the end, extents equal or 1.
  package static func broadcast(_ a: [Int], _ b: [Int], op: String) throws(Failure) -> [Int] {
    if a == b { return a }
    let rank = max(a.count, b.count)
    var out = [Int](repeating: 1, count: rank)
    for d in 0..<rank {
      let x = d < rank - a.count ? 1 : a[d - (rank - a.count)]
      let y = d < rank - b.count ? 1 : b[d - (rank - b.count)]
      guard x == y || x == 1 || y == 1 else {
        throw Failure(
          .shapeMismatch, "\(op): shapes \(text(a)) and \(text(b)) do not broadcast: \(x) against \(y) in dim \(d - rank)")
      }
      out[d] = x == 1 ? y : x
    }
    return out
  }

  /// A dim counted from 0, or from the end when negative, as an index below `rank`.
  package static func axis(_ dim: Int, rank: Int, op: String) throws(Failure) -> Int {
    guard dim >= -rank, dim < rank else {
      let shown = dim >= 0 ? dim + 1 : dim
      throw Failure(
        .invalidArgument,
        rank == 0 ? "\(op): a scalar has no dim \(shown)" : "\(op): dim \(shown) is not in 1..\(rank) or -\(rank)..-1")
    }
    return dim < 0 ? dim + rank : dim
  }

  /// Several dims, each at most once; nil means all.
  package static func axes(_ dims: [Int]?, rank: Int, op: String) throws(Failure) -> [Int] {
    guard let dims else { return Array(0..<rank) }
    var out: [Int] = []
    for dim in dims {
      let axis = try axis(dim, rank: rank, op: op)
      guard !out.contains(axis) else { throw Failure(.invalidArgument, "\(op): dim \(axis + 1) is given twice") }
      out.append(axis)
    }
    return out.sorted()
  }
}
