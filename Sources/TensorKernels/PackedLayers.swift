package import Core

/// A convolution whose weights were put in the order of its kernel once, for calls without gradients. f32.
///
/// Results are the bits of `Kernels.conv2d`. Several threads may call at once.
package final class PackedConv: Sendable {
  package enum Activation: Sendable { case none, relu, reluAndMaxPool }
  private let weights: Buffer
  private let bias: Buffer?
  /// Of any batch: weights are packed alike for all.
  private let algorithm: ConvAlgorithm

  /// - Parameters:
  ///   - s: the shape; the batch and the extents of images may be others when it runs, as long as the algorithm stays.
  ///   - w: (O, C/groups, KH, KW); bias: (O). Both are copied.
  package init(_ s: ConvShape, w: UnsafeRawPointer, bias: UnsafeRawPointer?) throws(Failure) {
    algorithm = s.algorithm(.f32)
    switch algorithm {
    case .winograd:
      weights = try Buffer(byteCount: s.winograd.transformedBytes, zeroed: false)
      s.winograd.transform(s.weights(typed(w)), typed(weights.pointer))
    case .direct: weights = try s.direct.pack(s.weights(typed(w)))
    case .implicit:
      weights = try Buffer(byteCount: s.implicit.packedBytes, zeroed: false)
      s.implicit.pack(typed(w), typed(weights.pointer))
    case .product, .patches:
      let bytes = s.outChannels * s.patch * 4
      weights = try Buffer(byteCount: bytes, zeroed: false)
      weights.pointer.copyMemory(from: w, byteCount: bytes)
    }
    if let bias {
      let copy = try Buffer(byteCount: s.outChannels * 4, zeroed: false)
      copy.pointer.copyMemory(from: bias, byteCount: s.outChannels * 4)
      self.bias = copy
    } else {
      self.bias = nil
    }
    // A transformation that was stopped has left a part of the weights out.
    try Cancellation.check()
  }

  /// Whether `s` is computed the way these weights lie.
  package func fits(_ s: ConvShape) -> Bool { s.algorithm(.f32) == algorithm }
  package var bytes: Int { weights.byteCount + (bias?.byteCount ?? 0) }

  /// y = activation(conv(x) + bias). `reluAndMaxPool` only for shapes that `poolsInTiles`.
  package func callAsFunction(_ s: ConvShape, x: UnsafeRawPointer, y: UnsafeMutableRawPointer, _ activation: Activation)
    throws(Failure)
  {
    let b = bias.map { UnsafeRawPointer($0.pointer) }
    let w: UnsafePointer<Float> = typed(UnsafeRawPointer(weights.pointer))
    switch algorithm {
    case .winograd:
      let finish: WinogradConv.Finish =
        switch activation {
        case .none: .plain
        case .relu: .relu
        case .reluAndMaxPool: .reluAndPool(codes: nil)
        }
      try s.winograd.forward(x: typed(x), mask: nil, transformed: w, bias: b.map { typed($0) }, y: typed(y), finish: finish)
    case .direct:
      try s.direct.forward(
        x: typed(x), mask: nil, packed: w, bias: b.map { typed($0) }, y: typed(y), relu: activation != .none)
    case .implicit:
      try s.implicit.forward(x: typed(x), packed: w, bias: b.map { typed($0) }, y: typed(y), relu: activation != .none)
    case .product, .patches:
      try Kernels.conv2d(.f32, s, x: x, w: weights.pointer, bias: b, y: y, relu: activation != .none, algorithm: algorithm)
    }
    withExtendedLifetime(self) {}
  }
}

extension Kernels {
  /// y (m, n) = x (m, k) w (n, k)' + bias, then relu if asked; row major and without gaps. f32.
  package static func linear(
    m: Int, n: Int, k: Int, x: UnsafeRawPointer, w: UnsafeRawPointer, bias: UnsafeRawPointer?, y: UnsafeMutableRawPointer,
    relu: Bool
  ) throws(Failure) {
    guard m > 0, n > 0 else { return }
    let target: UnsafeMutablePointer<Float> = typed(y)
    let offset: UnsafePointer<Float>? = bias.map { typed($0) }
    if m <= FewRows.most, k > 0 {
      return FewRows.product(m, n, k, typed(x), k, typed(w), k, target, n, finish: (offset, relu))
    }
    try gemm(.f32, transA: false, transB: true, m: m, n: n, k: k, a: x, lda: max(1, k), b: w, ldb: max(1, k), c: y, ldc: n)
    guard offset != nil || relu else { return }
    nonisolated(unsafe) let (target2, offset2) = (target, offset)
    Parallel.forEach(count: m, grain: max(1, 16384 / n)) { rows in
      for i in rows {
        let row = target2 + i * n
        if let offset2 { for j in 0..<n { row[j] += offset2[j] } }
        if relu { for j in 0..<n { row[j] = row[j] < 0 ? 0 : row[j] } }
      }
    }
  }
}
