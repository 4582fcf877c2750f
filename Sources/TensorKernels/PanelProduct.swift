/// The inner loops of matrix products whose operands lie in the order in which they are read: packed by whoever made them, so
/// that thin products (k of 8 to 64) do not pay for packing.
enum PanelProduct {
  /// Rows of a block of C, and columns: 12 registers of sums, 2 of B, one of A.
  static let rows = 6
  static let columns = 16

  /// C (6, 16) = A (6, k) B (k, 16); a row of A is `lda` apart, B is contiguous.
  @inline(__always)
  static func byRows(
    _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    var sums = Sums16()
    var b = b
    for l in 0..<k {
      sums.add(a + l, lda, load(b), load(b + 8))
      b += 16
    }
    sums.put(c, ldc)
  }

  /// C (6, 8) = A (6, k) B (k, 8), as `byRows`.
  @inline(__always)
  static func byRows8(
    _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    var sums = Sums8()
    var b = b
    for l in 0..<k {
      sums.add(a + l, lda, load(b))
      b += 8
    }
    sums.put(c, ldc)
  }

  /// C (6, 16) = A^T B, or C += A^T B, A (k, 6) with rows `lda` apart, B (k, 16) with rows `ldb` apart.
  @inline(__always)
  static func byColumns(
    _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, adds: Bool
  ) {
    var sums = Sums16()
    var (a, b) = (a, b)
    for _ in 0..<k {
      sums.add(a, 1, load(b), load(b + 8))
      a += lda
      b += ldb
    }
    if adds { sums.addInto(c, ldc) } else { sums.put(c, ldc) }
  }

  /// C (6, 8), as `byColumns`.
  @inline(__always)
  static func byColumns8(
    _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, adds: Bool
  ) {
    var sums = Sums8()
    var (a, b) = (a, b)
    for _ in 0..<k {
      sums.add(a, 1, load(b))
      a += lda
      b += ldb
    }
    if adds { sums.addInto(c, ldc) } else { sums.put(c, ldc) }
  }
}

/// Sums of 6 x 16 products.
struct Sums16 {
  var (c00, c01, c10, c11, c20, c21) = (lanes(0), lanes(0), lanes(0), lanes(0), lanes(0), lanes(0))
  var (c30, c31, c40, c41, c50, c51) = (lanes(0), lanes(0), lanes(0), lanes(0), lanes(0), lanes(0))

  /// Adds the products of a[0], a[step], ..., a[5 step] with 16 numbers.
  @inline(__always) mutating func add(_ a: UnsafePointer<Float>, _ step: Int, _ b0: Lanes, _ b1: Lanes) {
    var x = lanes(a[0])
    (c00, c01) = (c00.addingProduct(x, b0), c01.addingProduct(x, b1))
    x = lanes(a[step])
    (c10, c11) = (c10.addingProduct(x, b0), c11.addingProduct(x, b1))
    x = lanes(a[2 &* step])
    (c20, c21) = (c20.addingProduct(x, b0), c21.addingProduct(x, b1))
    x = lanes(a[3 &* step])
    (c30, c31) = (c30.addingProduct(x, b0), c31.addingProduct(x, b1))
    x = lanes(a[4 &* step])
    (c40, c41) = (c40.addingProduct(x, b0), c41.addingProduct(x, b1))
    x = lanes(a[5 &* step])
    (c50, c51) = (c50.addingProduct(x, b0), c51.addingProduct(x, b1))
  }

  /// The sums of each row.
  @inline(__always) func forEachRow(_ body: (_ row: Int, _ left: Lanes, _ right: Lanes) -> Void) {
    body(0, c00, c01)
    body(1, c10, c11)
    body(2, c20, c21)
    body(3, c30, c31)
    body(4, c40, c41)
    body(5, c50, c51)
  }

  @inline(__always) func put(_ c: UnsafeMutablePointer<Float>, _ ldc: Int) {
    store(c00, c)
    store(c01, c + 8)
    store(c10, c + ldc)
    store(c11, c + ldc + 8)
    store(c20, c + 2 &* ldc)
    store(c21, c + 2 &* ldc + 8)
    store(c30, c + 3 &* ldc)
    store(c31, c + 3 &* ldc + 8)
    store(c40, c + 4 &* ldc)
    store(c41, c + 4 &* ldc + 8)
    store(c50, c + 5 &* ldc)
    store(c51, c + 5 &* ldc + 8)
  }

  @inline(__always) mutating func addInto(_ c: UnsafeMutablePointer<Float>, _ ldc: Int) {
    (c00, c01) = (c00 + load(c), c01 + load(c + 8))
    (c10, c11) = (c10 + load(c + ldc), c11 + load(c + ldc + 8))
    (c20, c21) = (c20 + load(c + 2 &* ldc), c21 + load(c + 2 &* ldc + 8))
    (c30, c31) = (c30 + load(c + 3 &* ldc), c31 + load(c + 3 &* ldc + 8))
    (c40, c41) = (c40 + load(c + 4 &* ldc), c41 + load(c + 4 &* ldc + 8))
    (c50, c51) = (c50 + load(c + 5 &* ldc), c51 + load(c + 5 &* ldc + 8))
    put(c, ldc)
  }
}

/// Sums of 6 x 8 products.
private struct Sums8 {
  var (c0, c1, c2, c3, c4, c5) = (lanes(0), lanes(0), lanes(0), lanes(0), lanes(0), lanes(0))

  @inline(__always) mutating func add(_ a: UnsafePointer<Float>, _ step: Int, _ b: Lanes) {
    c0 = c0.addingProduct(lanes(a[0]), b)
    c1 = c1.addingProduct(lanes(a[step]), b)
    c2 = c2.addingProduct(lanes(a[2 &* step]), b)
    c3 = c3.addingProduct(lanes(a[3 &* step]), b)
    c4 = c4.addingProduct(lanes(a[4 &* step]), b)
    c5 = c5.addingProduct(lanes(a[5 &* step]), b)
  }

  @inline(__always) func put(_ c: UnsafeMutablePointer<Float>, _ ldc: Int) {
    store(c0, c)
    store(c1, c + ldc)
    store(c2, c + 2 &* ldc)
    store(c3, c + 3 &* ldc)
    store(c4, c + 4 &* ldc)
    store(c5, c + 5 &* ldc)
  }

  @inline(__always) mutating func addInto(_ c: UnsafeMutablePointer<Float>, _ ldc: Int) {
    c0 += load(c)
    c1 += load(c + ldc)
    c2 += load(c + 2 &* ldc)
    c3 += load(c + 3 &* ldc)
    c4 += load(c + 4 &* ldc)
    c5 += load(c + 5 &* ldc)
    put(c, ldc)
  }
}
