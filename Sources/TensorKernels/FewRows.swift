import Core

/// C (m, n) = A (m, k) B', or C + A B', or relu(A B' + bias), with few rows of A, as in a prediction for one image: it reads B (n, k) once and does not pack it, which is
/// all the time that such a product takes.
enum FewRows {
  static let most = 3

  static func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int, adds: Bool = false,
    finish: (bias: UnsafePointer<Float>?, relu: Bool) = (nil, false)
  ) {
    nonisolated(unsafe) let (a, b, c, bias) = (a, b, c, finish.bias)
    let relu = finish.relu
    // Four rows of B at a time, about 100,000 products a block.
    let grain = max(1, 25_000 / (m * k)) * 4
    Parallel.forEach(count: n, grain: grain) { columns in
      for i in 0..<m {
        var j = columns.lowerBound
        while j + 4 <= columns.upperBound {
          let sums = fourDots(a + i * lda, b + j * ldb, ldb, k)
          let target = c + i * ldc + j
          var result = adds ? load4(target) + sums : sums
          if let bias { result += load4(bias + j) }
          store4(relu ? result.replacing(with: 0, where: result .< 0) : result, target)
          j += 4
        }
        while j < columns.upperBound {
          let sum = dot(a + i * lda, b + j * ldb, k)
          var result = adds ? c[i * ldc + j] + sum : sum
          if let bias { result += bias[j] }
          c[i * ldc + j] = relu && result < 0 ? 0 : result
          j += 1
        }
      }
    }
  }

  /// Products of x with four rows, `step` apart.
  @inline(never)
  private static func fourDots(_ x: UnsafePointer<Float>, _ rows: UnsafePointer<Float>, _ step: Int, _ k: Int) -> SIMD4<Float> {
    var (a0, b0, c0, d0) = (lanes(0), lanes(0), lanes(0), lanes(0))
    var (a1, b1, c1, d1) = (a0, a0, a0, a0)
    let (r1, r2, r3) = (rows + step, rows + 2 * step, rows + 3 * step)
    var l = 0
    while l + 16 <= k {
      let (x0, x1) = (load(x + l), load(x + l + 8))
      (a0, a1) = (a0.addingProduct(x0, load(rows + l)), a1.addingProduct(x1, load(rows + l + 8)))
      (b0, b1) = (b0.addingProduct(x0, load(r1 + l)), b1.addingProduct(x1, load(r1 + l + 8)))
      (c0, c1) = (c0.addingProduct(x0, load(r2 + l)), c1.addingProduct(x1, load(r2 + l + 8)))
      (d0, d1) = (d0.addingProduct(x0, load(r3 + l)), d1.addingProduct(x1, load(r3 + l + 8)))
      l += 16
    }
    var sums = SIMD4((a0 + a1).sum(), (b0 + b1).sum(), (c0 + c1).sum(), (d0 + d1).sum())
    while l < k {
      sums = sums.addingProduct(SIMD4(repeating: x[l]), SIMD4(rows[l], r1[l], r2[l], r3[l]))
      l += 1
    }
    return sums
  }

  private static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ k: Int) -> Float {
    var (a, b) = (lanes(0), lanes(0))
    var l = 0
    while l + 16 <= k {
      (a, b) = (a.addingProduct(load(x + l), load(y + l)), b.addingProduct(load(x + l + 8), load(y + l + 8)))
      l += 16
    }
    var sum = (a + b).sum()
    while l < k {
      sum.addProduct(x[l], y[l])
      l += 1
    }
    return sum
  }
}
