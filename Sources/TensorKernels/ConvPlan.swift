/// How a convolution is computed: by its shape alone, so that results are the same bits everywhere
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

extension ConvShape {
  /// Of the result.
  package func algorithm(_ type: DType) -> ConvAlgorithm {
    let chosen = weightGradientAlgorithm(type)
    return chosen == .patches && type == .f32 && fitsImplicit ? .implicit : chosen
  }
  /// One number of each pixel (1x1) is better laid out than sorted. The padded image is in memory, so padding is bounded by the image's size.
  package var fitsImplicit: Bool {
    groups == 1 && inChannels > 0 && kernelH * kernelW > 1 && outWidth >= 8 && outHeight > 0 && padH <= height + 16
      && padW <= width + 16
  }
  package func weightGradientAlgorithm(_ type: DType) -> ConvAlgorithm {
    choose(type, inChannels, outChannels, outHeight, outWidth)
  }
  /// Of the gradient of the input, which is a convolution of the gradient with padding 2 - p.
  package func inputGradientAlgorithm(_ type: DType) -> ConvAlgorithm {
    choose(type, outChannels, inChannels, height, width)
  }

  /// Whether relu and max pooling by 2 x 2 can be done while a tile of results is in registers (`Kernels.conv2dMaxPool`).
  package func poolsInTiles(_ type: DType) -> Bool { algorithm(type) == .winograd && min(outHeight, outWidth) >= 2 }
  /// Of max pooling by 2 x 2 after this.
  var pool: PoolShape {
    PoolShape(
      planes: batch * outChannels, height: outHeight, width: outWidth, kernel: (2, 2), stride: (2, 2), padding: (0, 0),
      out: (outHeight / 2, outWidth / 2))
  }

  private func choose(_ type: DType, _ from: Int, _ to: Int, _ h: Int, _ w: Int) -> ConvAlgorithm {
    if isPointwise { return .product }
    let isPlainThree =
      kernelH == 3 && kernelW == 3 && strideH == 1 && strideW == 1 && dilationH == 1 && dilationW == 1 && groups == 1
      && padH == padW && padH <= 2
    guard type == .f32, isPlainThree, from > 0, to > 0 else { return .patches }
    if min(from, to) < 8 { return DirectConv.fits(outWidth: w) ? .direct : .patches }
    // Tiles that hang over the edge are computed in full: it pays while half of the numbers are used.
    let computed = (h + 3) / 4 * ((w + 3) / 4) * 16
    return 2 * h * w >= computed ? .winograd : .patches
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
