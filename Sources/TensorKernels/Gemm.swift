import COpenBLAS
package import Core
import Glibc

/// Matrix products. C (m,n) = alpha * op(A) (m,k) * op(B) (k,n) + beta * C, row major.
///
/// OpenBLAS does one tile on one thread; the tiles are ours and depend on the shape only, so 1 and 2 threads give the
/// same bits. (Measured single-threaded on Zen 4: 95-105 of 113 GFLOP/s for the shapes of small CNNs.)
extension Float: Real {
  @inline(__always) static func gemm(
    _ transA: Bool, _ transB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float, _ a: UnsafePointer<Float>, _ lda: Int,
    _ b: UnsafePointer<Float>, _ ldb: Int, _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    _ = BLAS.singleThreaded
    cblas_sgemm(
      CblasRowMajor, transA ? CblasTrans : CblasNoTrans, transB ? CblasTrans : CblasNoTrans, blasint(m), blasint(n),
      blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
  }
  static func addBias(_ row: UnsafeMutablePointer<Float>, _ count: Int, _ b: Float, relu: Bool) {
    if relu {
      for i in 0..<count {
        let v = row[i] + b
        row[i] = v < 0 ? 0 : v
      }
    } else {
      for i in 0..<count { row[i] += b }
    }
  }
  @inline(__always) static func exponential(_ x: Float) -> Float { expf(x) }
  @inline(__always) static func logarithm(_ x: Float) -> Float { logf(x) }
  @inline(__always) static func hyperbolicTangent(_ x: Float) -> Float { tanhf(x) }
  @inline(__always) static func errorFunction(_ x: Float) -> Float { erff(x) }
  @inline(__always) static func power(_ x: Float, _ y: Float) -> Float { powf(x, y) }
  @inline(__always) static func sine(_ x: Float) -> Float { sinf(x) }
  @inline(__always) static func cosine(_ x: Float) -> Float { cosf(x) }
  @inline(__always) static func log1plus(_ x: Float) -> Float { log1pf(x) }
}

extension Double: Real {
  @inline(__always) static func gemm(
    _ transA: Bool, _ transB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Double, _ a: UnsafePointer<Double>, _ lda: Int,
    _ b: UnsafePointer<Double>, _ ldb: Int, _ beta: Double, _ c: UnsafeMutablePointer<Double>, _ ldc: Int
  ) {
    _ = BLAS.singleThreaded
    cblas_dgemm(
      CblasRowMajor, transA ? CblasTrans : CblasNoTrans, transB ? CblasTrans : CblasNoTrans, blasint(m), blasint(n),
      blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
  }
  static func addBias(_ row: UnsafeMutablePointer<Double>, _ count: Int, _ b: Double, relu: Bool) {
    if relu {
      for i in 0..<count {
        let v = row[i] + b
        row[i] = v < 0 ? 0 : v
      }
    } else {
      for i in 0..<count { row[i] += b }
    }
  }
  @inline(__always) static func exponential(_ x: Double) -> Double { exp(x) }
  @inline(__always) static func logarithm(_ x: Double) -> Double { log(x) }
  @inline(__always) static func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
  @inline(__always) static func errorFunction(_ x: Double) -> Double { erf(x) }
  @inline(__always) static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
  @inline(__always) static func sine(_ x: Double) -> Double { sin(x) }
  @inline(__always) static func cosine(_ x: Double) -> Double { cos(x) }
  @inline(__always) static func log1plus(_ x: Double) -> Double { log1p(x) }
}

enum BLAS {
  /// Evaluated once, before the first product.
  static let singleThreaded: Bool = {
    openblas_set_num_threads(1)
    return true
  }()
  /// The largest extent OpenBLAS takes (32-bit `blasint`).
  static let limit = Int(Int32.max)
}

extension Kernels {
  /// One product; `a`, `b`, `c` are float arrays of `type`, row major, leading dimensions in elements.
  package static func gemm(
    _ type: DType, transA: Bool, transB: Bool, m: Int, n: Int, k: Int, alpha: Double = 1, a: UnsafeRawPointer, lda: Int,
    b: UnsafeRawPointer, ldb: Int, beta: Double = 0, c: UnsafeMutableRawPointer, ldc: Int
  ) throws(Failure) {
    guard max(m, n, k) < BLAS.limit, max(lda, ldb, ldc) < BLAS.limit else {
      throw Failure(.unsupported, "a matrix product of \(m) x \(k) by \(k) x \(n) is larger than OpenBLAS takes")
    }
    if type == .f32, !transA, transB, alpha == 1, beta == 0 || beta == 1, m <= FewRows.most, m > 0, n > 0, k > 0 {
      FewRows.product(
        m, n, k, a.assumingMemoryBound(to: Float.self), lda, b.assumingMemoryBound(to: Float.self), ldb,
        c.assumingMemoryBound(to: Float.self), ldc, adds: beta == 1)
    } else if type == .f32 {
      tiledGemm(
        transA, transB, m, n, k, Float(alpha), a.assumingMemoryBound(to: Float.self), lda,
        b.assumingMemoryBound(to: Float.self), ldb, Float(beta), c.assumingMemoryBound(to: Float.self), ldc)
    } else {
      tiledGemm(
        transA, transB, m, n, k, alpha, a.assumingMemoryBound(to: Double.self), lda, b.assumingMemoryBound(to: Double.self),
        ldb, beta, c.assumingMemoryBound(to: Double.self), ldc)
    }
  }

  /// `count` products of one shape; matrix i starts `i * stride` elements on.
  package static func batchedGemm(
    _ type: DType, count: Int, transA: Bool, transB: Bool, m: Int, n: Int, k: Int, a: UnsafeRawPointer, lda: Int, strideA: Int,
    b: UnsafeRawPointer, ldb: Int, strideB: Int, c: UnsafeMutableRawPointer, ldc: Int, strideC: Int
  ) throws(Failure) {
    if count == 1 {
      return try gemm(type, transA: transA, transB: transB, m: m, n: n, k: k, a: a, lda: lda, b: b, ldb: ldb, c: c, ldc: ldc)
    }
    guard max(m, n, k) < BLAS.limit, max(lda, ldb, ldc) < BLAS.limit else {
      throw Failure(.unsupported, "a matrix product of \(m) x \(k) by \(k) x \(n) is larger than OpenBLAS takes")
    }
    let size = type.size
    let grain = max(1, 100_000 / max(1, m * n * k))
    nonisolated(unsafe) let (a, b, c) = (a, b, c)
    Parallel.forEach(count: count, grain: grain) { range in
      for i in range {
        let (pa, pb, pc) = (a + i * strideA * size, b + i * strideB * size, c + i * strideC * size)
        if type == .f32 {
          oneGemm(
            transA, transB, m, n, k, Float(1), pa.assumingMemoryBound(to: Float.self), lda,
            pb.assumingMemoryBound(to: Float.self), ldb, Float(0), pc.assumingMemoryBound(to: Float.self), ldc)
        } else {
          oneGemm(
            transA, transB, m, n, k, 1.0, pa.assumingMemoryBound(to: Double.self), lda,
            pb.assumingMemoryBound(to: Double.self), ldb, 0.0, pc.assumingMemoryBound(to: Double.self), ldc)
        }
      }
    }
  }

  /// The plain product, for tests.
  package static func gemmReference(
    transA: Bool, transB: Bool, m: Int, n: Int, k: Int, a: UnsafePointer<Float>, lda: Int, b: UnsafePointer<Float>, ldb: Int,
    c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for l in 0..<k {
          sum += Double(transA ? a[l * lda + i] : a[i * lda + l]) * Double(transB ? b[j * ldb + l] : b[l * ldb + j])
        }
        c[i * ldc + j] = Float(sum)
      }
    }
  }
}

/// `gemm` that also does empty products right (OpenBLAS leaves C alone for k = 0).
@inline(__always)
func oneGemm<T: Real>(
  _ transA: Bool, _ transB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: T, _ a: UnsafePointer<T>, _ lda: Int,
  _ b: UnsafePointer<T>, _ ldb: Int, _ beta: T, _ c: UnsafeMutablePointer<T>, _ ldc: Int
) {
  guard m > 0, n > 0 else { return }
  if k == 0 {
    for i in 0..<m { for j in 0..<n { c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j] } }
    return
  }
  T.gemm(transA, transB, m, n, k, alpha, a, max(1, lda), b, max(1, ldb), beta, c, max(1, ldc))
}

/// Splits C into column or row strips of about 2 MFLOP each, by shape only.
@inline(__always)
private func tiledGemm<T: Real>(
  _ transA: Bool, _ transB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: T, _ a: UnsafePointer<T>, _ lda: Int,
  _ b: UnsafePointer<T>, _ ldb: Int, _ beta: T, _ c: UnsafeMutablePointer<T>, _ ldc: Int
) {
  let work = Double(m) * Double(n) * Double(k)
  let byColumns = n >= m
  let extent = byColumns ? n : m
  let wanted = max(1, min(16, Int(min(work / 1e6, 1000)), extent / 32))
  if wanted <= 1 { return oneGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) }
  let strip = ((extent + wanted - 1) / wanted + 15) & ~15
  nonisolated(unsafe) let (a, b, c) = (a, b, c)
  Parallel.forEach(count: extent, grain: strip) { range in
    let (from, count) = (range.lowerBound, range.count)
    if byColumns {
      oneGemm(
        transA, transB, m, count, k, alpha, a, lda, transB ? b + from * ldb : b + from, ldb, beta, c + from, ldc)
    } else {
      oneGemm(
        transA, transB, count, n, k, alpha, transA ? a + from : a + from * lda, lda, b, ldb, beta, c + from * ldc, ldc)
    }
  }
}
