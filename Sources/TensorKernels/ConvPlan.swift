/// How a convolution is computed: the cheapest by `ConvCost`, which knows the shape only, so that results are the same bits everywhere
/// (docs/decisions/0007-convolution.md).
package enum ConvAlgorithm: String, Sendable, CaseIterable {
  /// F(4x4, 3x3): 36 products where the plain sum has 144.
  case winograd
  /// Sums in registers, for few channels on one side.
  case direct
  /// The image is the matrix: 1x1.
  case product
  /// A product with patches that are read from the padded image where they lie (implicit GEMM). Of results only.
  case implicit
  /// Patches laid out as a matrix (im2col), then a matrix product.
  case patches
}

/// The cheapest algorithm so far.
private struct Cheapest {
  private(set) var algorithm: ConvAlgorithm
  private var cost: Double

  init(_ algorithm: ConvAlgorithm, _ cost: Double) { (self.algorithm, self.cost) = (algorithm, cost) }

  mutating func consider(_ other: ConvAlgorithm, if isPossible: Bool, _ cost: @autoclosure () -> Double) {
    guard isPossible else { return }
    let found = cost()
    if found < self.cost { (algorithm, self.cost) = (other, found) }
  }

  /// The ways that only 3x3 kernels with stride 1 have, to `to` channels of h x w out of `from`.
  mutating func considerThree(_ s: ConvShape, from: Int, to: Int, _ h: Int, _ w: Int) {
    consider(.winograd, if: s.fitsWinograd, ConvCost.winograd(from: from, to: to, h, w))
    consider(.direct, if: s.isPlainThree && DirectConv.fits(outWidth: w), ConvCost.direct(from: from, to: to, h, w))
  }
}

extension ConvShape {
  /// Of the result.
  package func algorithm(_ type: DType) -> ConvAlgorithm {
    choose(type, .result) {
      $0.considerThree(self, from: inChannels, to: outChannels, outHeight, outWidth)
      $0.consider(.implicit, if: fitsImplicit, ConvCost(self).implicit())
    }
  }
  /// Of the gradient of the input, which is a convolution of the gradient with padding 2 - p.
  package func inputGradientAlgorithm(_ type: DType) -> ConvAlgorithm {
    choose(type, .inputGradient) { $0.considerThree(self, from: outChannels, to: inChannels, height, width) }
  }
  package func weightGradientAlgorithm(_ type: DType) -> ConvAlgorithm {
    choose(type, .weightGradient) {
      $0.consider(.winograd, if: fitsWinograd, ConvCost(self).winogradWeights())
      $0.consider(.direct, if: isPlainThree && DirectConv.fits(outWidth: outWidth), ConvCost(self).directWeights())
    }
  }

  @inline(__always)
  private func choose(_ type: DType, _ what: ConvCost.Patches, _ others: (inout Cheapest) -> Void) -> ConvAlgorithm {
    if isPointwise { return .product }
    guard type == .f32, groups == 1 else { return .patches }
    var best = Cheapest(.patches, ConvCost(self).patches(what))
    others(&best)
    return best.algorithm
  }

  /// One number of each pixel (1x1) is better laid out than sorted. The padded image is in memory, so padding is bounded by the image's size.
  package var fitsImplicit: Bool {
    groups == 1 && inChannels > 0 && kernelH * kernelW > 1 && outWidth >= 8 && outHeight > 0 && padH <= height + 16
      && padW <= width + 16
  }
  fileprivate var isPlainThree: Bool {
    kernelH == 3 && kernelW == 3 && strideH == 1 && strideW == 1 && dilationH == 1 && dilationW == 1 && groups == 1
      && padH == padW && padH <= 2 && inChannels > 0 && outChannels > 0
  }
  /// Lanes are channels.
  fileprivate var fitsWinograd: Bool { isPlainThree && min(inChannels, outChannels) >= 8 }

  /// Whether relu and max pooling by 2 x 2 can be done while a tile of results is in registers (`Kernels.conv2dMaxPool`).
  package func poolsInTiles(_ type: DType) -> Bool { algorithm(type) == .winograd && min(outHeight, outWidth) >= 2 }
  /// Of max pooling by 2 x 2 after this.
  var pool: PoolShape {
    PoolShape(
      planes: batch * outChannels, height: outHeight, width: outWidth, kernel: (2, 2), stride: (2, 2), padding: (0, 0),
      out: (outHeight / 2, outWidth / 2))
  }

  var winograd: WinogradConv {
    WinogradConv(
      batch: batch, inChannels: inChannels, height: height, width: width, outChannels: outChannels, pad: padH)
  }
  /// Of the gradient of the input.
  var turnedWinograd: WinogradConv {
    WinogradConv(
      batch: batch, inChannels: outChannels, height: outHeight, width: outWidth, outChannels: inChannels, pad: 2 - padH)
  }
  var direct: DirectConv {
    DirectConv(batch: batch, inChannels: inChannels, height: height, width: width, outChannels: outChannels, pad: padH)
  }
  var implicit: ImplicitConv { ImplicitConv(self) }
  var turnedDirect: DirectConv {
    DirectConv(
      batch: batch, inChannels: outChannels, height: outHeight, width: outWidth, outChannels: inChannels, pad: 2 - padH)
  }
  func weights(_ w: UnsafePointer<Float>) -> WinogradConv.Weights {
    WinogradConv.Weights(pointer: w, outStep: inChannels * 9, inStep: 9, isTurned: false)
  }
  func turnedWeights(_ w: UnsafePointer<Float>) -> WinogradConv.Weights {
    WinogradConv.Weights(pointer: w, outStep: 9, inStep: inChannels * 9, isTurned: true)
  }
}
