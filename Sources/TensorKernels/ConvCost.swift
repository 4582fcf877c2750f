/// What an f32 convolution costs by each algorithm: nanoseconds for one image of a batch of 64, on two cores of a Zen 4.
///
/// A cost is a sum of counts (sums of products as the kernel's registers round them up, numbers that are transformed or laid out, calls) times a
/// price each. The prices were fitted to measured layers by `Benchmarks/train/conv_cost`, which prints them and how much longer than the best the
/// cheapest takes: 1 to 3 % on average. Only the order of the costs counts, and the batch does not, so that an image's result is the same
/// bits alone and among others.
struct ConvCost {
  private let shape: ConvShape

  init(_ shape: ConvShape) { self.shape = shape }

  /// Work that is done once for the whole batch.
  private static func once(_ cost: Double) -> Double { cost / 64 }
  private static func up(_ n: Int, to step: Int) -> Double { Double((n + step - 1) / step * step) }

  // MARK: 3x3, stride 1

  /// Of `to` channels of h x w results out of `from` channels: of the result, or of the gradient of the input, which is a convolution too.
  static func winograd(from: Int, to: Int, _ h: Int, _ w: Int) -> Double {
    let tiles = up(h, to: 4) * up(w, to: 4) / 16
    let products = 36 * Double(from) * up(to, to: 8)
    let cost = tiles * (9.16 * up(from, to: 8) + 2.31 * up(to, to: 8) + 0.00905 * products) + once(0.399 * products + 13_100)
    // In registers a tile can be pooled as well; the same layer takes the same way whether it is or not.
    return 0.92 * cost
  }
  /// Of the same.
  static func direct(from: Int, to: Int, _ h: Int, _ w: Int) -> Double {
    let sums = 9 * Double(from * h) * up(w, to: 16)
    return sums * (0.0095 * Double(to / 4 * 4) + 0.0178 * Double(to % 4)) + 0.031 * Double(from * h * w) + once(6900)
  }
  func winogradWeights() -> Double {
    let tiles = ConvCost.up(shape.outHeight, to: 4) * ConvCost.up(shape.outWidth, to: 4) / 16
    let (from, to) = (ConvCost.up(shape.inChannels, to: 8), ConvCost.up(shape.outChannels, to: 8))
    return tiles * (7.43 * from + 5.05 * to + 0.0144 * 36 * from * to)
      + ConvCost.once(0.198 * 36 * Double(shape.inChannels) * to + 19_600)
  }
  func directWeights() -> Double {
    0.027 * 9 * Double(shape.outHeight) * ConvCost.up(shape.outWidth, to: 8) * Double(shape.inChannels * shape.outChannels)
      + ConvCost.once(10_000)
  }

  // MARK: Any kernel

  func implicit() -> Double {
    let pixels = Double(shape.outHeight) * ConvCost.up(shape.outWidth, to: 8)
    let results = pixels * ConvCost.up(shape.outChannels, to: 6)
    let image = Double(shape.inChannels) * Double(shape.height + 2 * shape.padH) * Double(shape.width + 2 * shape.padW)
    return (0.00801 * Double(shape.patch) + 0.018) * results + 0.228 * image + ConvCost.once(5000)
  }

  /// What is computed with patches.
  enum Patches { case result, inputGradient, weightGradient }

  /// A matrix product of each image with its patches, or with what becomes of them.
  func patches(_ what: Patches) -> Double {
    let (o, patch, pixels) = (Double(shape.outChannels), Double(shape.patch), Double(shape.outPixels))
    let matrices = o * patch + patch * pixels + o * pixels
    let rows = patch * Double(shape.outHeight)
    let laidOut = patch * pixels
    // A gradient is compared with relu's result before.
    let masked = 0.1 * o * pixels
    return switch what {
    case .result: 0.00799 * o * laidOut + 0.0288 * laidOut + 0.0556 * matrices + 1.9 * rows + 85
    case .inputGradient: 0.00864 * o * laidOut + 0.0278 * laidOut + 0.0276 * matrices + 1.26 * rows + 107 + masked
    case .weightGradient: 0.0081 * o * laidOut + 0.0201 * laidOut + 0.103 * matrices + 1.54 * rows + 147 + masked
    }
  }
}
