import Core
import TensorKernels
import TestSupport
import Testing

/// Numbers on their way into a kernel and out of it.
private final class Numbers<T: BitwiseCopyable> {
  let pointer: UnsafeMutablePointer<T>
  let count: Int
  init(_ values: [T]) {
    count = values.count
    pointer = .allocate(capacity: max(1, values.count))
    for (i, value) in values.enumerated() { pointer[i] = value }
  }
  deinit { pointer.deallocate() }
  var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }
  var array: [T] { (0..<count).map { pointer[$0] } }
}

/// A convolution with random numbers: y, and the gradients for a random dy.
private struct Case {
  let shape: ConvShape
  let x, w, bias, dy: [Float]

  init(_ shape: ConvShape, seed: UInt64 = 1) {
    self.shape = shape
    var random = SeededRandom(seed: seed)
    func numbers(_ count: Int, _ scale: Float) -> [Float] {
      (0..<count).map { _ in Float.random(in: -scale...scale, using: &random) }
    }
    let patch = shape.inChannels / shape.groups * shape.kernelH * shape.kernelW
    x = numbers(shape.batch * shape.inChannels * shape.height * shape.width, 1)
    w = numbers(shape.outChannels * patch, 1 / Float(patch).squareRoot())
    bias = numbers(shape.outChannels, 0.1)
    dy = numbers(shape.batch * shape.outChannels * shape.outHeight * shape.outWidth, 1)
  }

  /// [y, dx, dw, dbias]; with `relu`, of max(y, 0).
  func run(_ algorithm: ConvAlgorithm?, relu: Bool) throws -> [[Float]] {
    let (x, w, bias, dy) = (Numbers(self.x), Numbers(self.w), Numbers(self.bias), Numbers(self.dy))
    let (y, dx, dw, db) = (Numbers(self.dy), Numbers(self.x), Numbers(self.w), Numbers(self.bias))
    try Kernels.conv2d(.f32, shape, x: x.raw, w: w.raw, bias: bias.raw, y: y.raw, relu: relu, algorithm: algorithm)
    try Kernels.conv2dBackward(
      .f32, shape, x: x.raw, w: w.raw, y: relu ? y.raw : nil, dy: dy.raw, dx: dx.raw, dw: dw.raw, dbias: db.raw,
      algorithm: algorithm)
    return [y.array, dx.array, dw.array, db.array]
  }

  /// The same in f64 by patches; the mask of the gradient is that of `y`, as a sign that differs is no error of the gradient.
  func reference(relu: Bool, y: [Float]) throws -> [[Double]] {
    func double(_ values: [Float]) -> Numbers<Double> { Numbers(values.map { Double($0) }) }
    let (x, w, bias, dy) = (double(self.x), double(self.w), double(self.bias), double(self.dy))
    let (own, dx, dw, db) = (double(self.dy), double(self.x), double(self.w), double(self.bias))
    try Kernels.conv2d(.f64, shape, x: x.raw, w: w.raw, bias: bias.raw, y: own.raw, relu: relu)
    let mask = double(y)
    try Kernels.conv2dBackward(
      .f64, shape, x: x.raw, w: w.raw, y: relu ? mask.raw : nil, dy: dy.raw, dx: dx.raw, dw: dw.raw, dbias: db.raw)
    return [own.array, dx.array, dw.array, db.array]
  }
}

/// The largest difference beside the largest right value.
private func error(_ found: [Float], _ right: [Double]) -> Double {
  let largest = right.reduce(0) { max($0, abs($1)) }
  let difference = zip(found, right).reduce(0) { max($0, $1.0.isNaN ? .infinity : abs(Double($1.0) - $1.1)) }
  return largest == 0 ? difference : difference / largest
}

private func shape(_ batch: Int, _ inChannels: Int, _ h: Int, _ w: Int, _ outChannels: Int, pad: Int, kernel: Int = 3)
  -> ConvShape
{
  ConvShape(
    batch: batch, inChannels: inChannels, height: h, width: w, outChannels: outChannels, kernelH: kernel, kernelW: kernel,
    padding: (pad, pad))
}

@Suite("Convolution") struct ConvTests {
  /// Every way to compute a 3x3 convolution against f64: channels that fill no register, tiles that hang over, one image and many.
  @Test(arguments: [ConvAlgorithm.winograd, .direct, .patches]) func allWaysAgree(_ algorithm: ConvAlgorithm) throws {
    var worst = [0.0, 0.0, 0.0, 0.0]
    var cases = 0
    for (inChannels, outChannels) in [
      (1, 1), (1, 32), (3, 5), (8, 16), (16, 8), (9, 10), (32, 64), (24, 25), (7, 130), (130, 7),
    ] {
      for (h, w) in [(8, 8), (10, 9), (13, 26), (28, 28), (9, 17)] {
        for pad in 0...2 {
          let batch = cases % 3 == 0 ? 1 : cases % 3 == 1 ? 2 : 7
          let relu = cases % 2 == 0
          // A direct sum needs rows of eight results, of the gradient too.
          if algorithm == .direct, w + 2 * pad - 2 < 8 { continue }
          let example = Case(shape(batch, inChannels, h, w, outChannels, pad: pad), seed: UInt64(cases))
          let found = try example.run(algorithm, relu: relu)
          let right = try example.reference(relu: relu, y: found[0])
          for k in 0..<4 {
            let off = error(found[k], right[k])
            worst[k] = max(worst[k], off)
            #expect(off < 1e-5, "\(example.shape) \(["y", "dx", "dw", "dbias"][k])")
          }
          cases += 1
        }
      }
    }
    print("convolution by \(algorithm.rawValue): \(cases) cases, largest error of y, dx, dw, dbias beside f64: \(worst)")
  }

  /// Layers whose transformed weights do not stay in a core's cache, and so many tiles that a block of sums has several chunks.
  @Test func wideLayersAndManyTiles() throws {
    for (k, s) in [
      shape(3, 128, 8, 8, 144, pad: 1), shape(9, 160, 4, 4, 130, pad: 1), shape(16, 9, 28, 28, 10, pad: 1),
      shape(1, 136, 13, 9, 129, pad: 0), shape(70, 8, 12, 12, 25, pad: 1),
    ].enumerated() {
      let example = Case(s, seed: UInt64(k))
      let found = try example.run(.winograd, relu: k % 2 == 0)
      let right = try example.reference(relu: k % 2 == 0, y: found[0])
      for i in 0..<4 { #expect(error(found[i], right[i]) < 5e-6, "\(s) \(["y", "dx", "dw", "dbias"][i])") }
    }
  }

  /// Any kernel, stride, padding and dilation; channels and rows that fill no register; one image and many.
  @Test func implicitPatchesAgree() throws {
    var random = SeededRandom(seed: 3)
    func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }
    var (cases, worst) = (0, 0.0)
    while cases < 150 {
      let s = ConvShape(
        batch: pick([1, 2, 9]), inChannels: pick([1, 3, 8, 17]), height: pick([7, 9, 20, 33]), width: pick([9, 16, 25, 40]),
        outChannels: pick([1, 5, 6, 7, 12, 20]), kernelH: pick([1, 2, 3, 5, 7]), kernelW: pick([1, 2, 3, 4, 7]),
        stride: (pick([1, 2, 3]), pick([1, 2, 3, 5])), padding: (pick([0, 1, 3]), pick([0, 1, 2, 3])),
        dilation: (pick([1, 1, 2]), pick([1, 1, 2, 3])))
      guard s.height + 2 * s.padH > s.dilationH * (s.kernelH - 1), s.width + 2 * s.padW > s.dilationW * (s.kernelW - 1),
        s.fitsImplicit
      else { continue }
      let example = Case(s, seed: UInt64(cases))
      let relu = cases % 2 == 0
      let found = try example.run(.implicit, relu: relu)
      let off = error(found[0], try example.reference(relu: relu, y: found[0])[0])
      worst = max(worst, off)
      #expect(off < 2e-6, "\(s)")
      cases += 1
    }
    print("implicit patches: \(cases) cases, largest error of y beside f64: \(worst)")
  }

  /// The layers that people train.
  @Test func errorOfWinogradOnUsualLayers() throws {
    for (name, s) in [
      ("classic 32x26x26->64", shape(8, 32, 26, 26, 64, pad: 0)), ("LeNet 8x14x14->16", shape(16, 8, 14, 14, 16, pad: 1)),
      ("ResNet 64x32x32->64", shape(4, 64, 32, 32, 64, pad: 1)), ("ResNet 256x8x8->256", shape(4, 256, 8, 8, 256, pad: 1)),
      ("64x56x56->64", shape(2, 64, 56, 56, 64, pad: 1)),
    ] {
      let example = Case(s)
      let (fast, plain) = (try example.run(.winograd, relu: false), try example.run(.patches, relu: false))
      let right = try example.reference(relu: false, y: fast[0])
      let errors = (0..<4).map { error(fast[$0], right[$0]) }
      print("\(name): error of y, dx, dw, dbias \(errors), by patches \((0..<4).map { error(plain[$0], right[$0]) })")
      #expect(errors.allSatisfy { $0 < 5e-6 })
    }
  }

  /// Pooling in the tile gives the very numbers of pooling afterwards, and so do its gradients.
  @Test func poolingInTilesChangesNothing() throws {
    for (k, s) in [
      shape(3, 16, 10, 10, 19, pad: 1), shape(2, 32, 26, 26, 64, pad: 0), shape(1, 24, 11, 13, 24, pad: 1),
      shape(2, 24, 7, 30, 33, pad: 0),
      shape(2, 16, 4, 4, 8, pad: 1), shape(1, 8, 9, 9, 24, pad: 2),
    ].enumerated() {
      #expect(s.poolsInTiles(.f32) && !s.poolsInTiles(.f64))
      let example = Case(s, seed: UInt64(k))
      let (x, w, bias) = (Numbers(example.x), Numbers(example.w), Numbers(example.bias))
      let pool = PoolShape(
        planes: s.batch * s.outChannels, height: s.outHeight, width: s.outWidth, kernel: (2, 2), stride: (2, 2),
        padding: (0, 0),
        out: (s.outHeight / 2, s.outWidth / 2))
      let count = pool.planes * pool.outHeight * pool.outWidth
      let dy = Numbers((0..<count).map { Float($0 % 13) - 6 })
      let full = Numbers(example.dy), fullGradient = Numbers(example.dy)
      var results: [[[UInt32]]] = []
      for isFused in [false, true] {
        let (y, codes) = (Numbers([Float](repeating: 9, count: count)), Numbers([UInt8](repeating: 9, count: count)))
        let (dx, dw, db) = (Numbers(example.x), Numbers(example.w), Numbers(example.bias))
        if isFused {
          try Kernels.conv2dMaxPool(s, x: x.raw, w: w.raw, bias: bias.raw, y: y.raw, codes: codes.raw)
          try Kernels.conv2dMaxPoolBackward(
            s, x: x.raw, w: w.raw, codes: codes.raw, dy: dy.raw, dx: dx.raw, dw: dw.raw, dbias: db.raw)
          let again = Numbers([Float](repeating: 9, count: count))
          try Kernels.conv2dMaxPool(s, x: x.raw, w: w.raw, bias: bias.raw, y: again.raw, codes: nil)
          #expect(again.array == y.array)
        } else {
          try Kernels.conv2d(.f32, s, x: x.raw, w: w.raw, bias: bias.raw, y: full.raw, relu: true)
          Kernels.maxPool(.f32, pool, x: full.raw, y: y.raw, positions: codes.raw)
          Kernels.maxPoolBackward(.f32, pool, dy: dy.raw, positions: codes.raw, dx: fullGradient.raw)
          try Kernels.conv2dBackward(
            .f32, s, x: x.raw, w: w.raw, y: full.raw, dy: fullGradient.raw, dx: dx.raw, dw: dw.raw, dbias: db.raw)
        }
        results.append([y, dx, dw, db].map { $0.array.map(\.bitPattern) })
      }
      for (name, pair) in zip(["y", "dx", "dw", "dbias"], zip(results[0], results[1])) {
        let isSame = pair.0 == pair.1
        #expect(isSame, "\(s) \(name)")
      }
    }
  }

  /// Weights that are packed once give the bits of the plain call, for another batch too.
  @Test func packedWeightsChangeNothing() throws {
    var seen: Set<ConvAlgorithm> = []
    for (k, s) in [
      shape(2, 17, 20, 20, 18, pad: 1), shape(2, 1, 20, 20, 9, pad: 1), shape(2, 5, 9, 9, 7, pad: 0, kernel: 1),
      shape(2, 6, 5, 5, 7, pad: 1, kernel: 5), shape(2, 3, 30, 41, 13, pad: 3, kernel: 7),
      ConvShape(
        batch: 2, inChannels: 10, height: 19, width: 40, outChannels: 8, kernelH: 3, kernelW: 3, stride: (2, 2),
        padding: (1, 1)),
    ].enumerated() {
      seen.insert(s.algorithm(.f32))
      let example = Case(s, seed: UInt64(k))
      let (w, bias) = (Numbers(example.w), Numbers(example.bias))
      let packed = try PackedConv(s, w: w.raw, bias: bias.raw)
      for batch in [2, 1, 11] {
        var other = s
        other.batch = batch
        let sample = Case(other, seed: UInt64(k + 7))
        let (x, plain, found) = (Numbers(sample.x), Numbers(sample.dy), Numbers(sample.dy))
        try #require(packed.fits(other))
        for relu in [false, true] {
          try Kernels.conv2d(.f32, other, x: x.raw, w: w.raw, bias: bias.raw, y: plain.raw, relu: relu)
          try packed(other, x: x.raw, y: found.raw, relu ? .relu : .none)
          let isSame = plain.array.map(\.bitPattern) == found.array.map(\.bitPattern)
          #expect(isSame, "\(other)")
        }
      }
    }
    #expect(seen == Set(ConvAlgorithm.allCases))
  }

  /// The cheapest by its cost: of usual layers the one that measures fastest.
  @Test func theShapeChooses() {
    #expect(shape(64, 1, 28, 28, 32, pad: 0).algorithm(.f32) == .direct)
    #expect(shape(64, 32, 26, 26, 64, pad: 0).algorithm(.f32) == .winograd)
    #expect(shape(64, 32, 26, 26, 64, pad: 0).algorithm(.f64) == .patches)
    #expect(shape(64, 32, 26, 26, 64, pad: 0, kernel: 1).algorithm(.f32) == .product)
    #expect(shape(64, 3, 224, 224, 64, pad: 3, kernel: 7).algorithm(.f32) == .implicit)
    #expect(shape(64, 3, 224, 224, 64, pad: 3, kernel: 7).weightGradientAlgorithm(.f32) == .patches)
    #expect(shape(64, 64, 2, 2, 64, pad: 1).algorithm(.f32) == .winograd)
    #expect(shape(64, 4, 2, 2, 64, pad: 1).algorithm(.f32) == .patches)
    // Few channels on one side: each gradient has its own way, and the batch does not count.
    for batch in [1, 64, 4096] {
      let lenet = shape(batch, 8, 14, 14, 16, pad: 1)
      #expect(lenet.algorithm(.f32) == .winograd && lenet.inputGradientAlgorithm(.f32) == .direct)
      #expect(lenet.weightGradientAlgorithm(.f32) == .winograd)
      let colours = shape(batch, 3, 32, 32, 64, pad: 1)
      #expect(colours.inputGradientAlgorithm(.f32) == .patches && colours.weightGradientAlgorithm(.f32) == .patches)
    }
    #expect(shape(64, 3, 4, 4, 64, pad: 1).algorithm(.f32) == .patches)
    #expect(shape(64, 64, 4, 4, 64, pad: 3).algorithm(.f32) == .implicit)
    for (stride, dilation, groups, expected) in [
      (2, 1, 1, ConvAlgorithm.implicit), (1, 2, 1, .implicit), (1, 1, 4, .patches), (5, 1, 1, .patches),
    ] {
      let s = ConvShape(
        batch: 1, inChannels: 32, height: 32, width: 32, outChannels: 32, kernelH: 3, kernelW: 3, stride: (stride, stride),
        dilation: (dilation, dilation), groups: groups)
      #expect(s.algorithm(.f32) == expected)
    }
  }

  /// NaN and infinity come through where they belong.
  @Test func notANumberStays() throws {
    for algorithm in [ConvAlgorithm.winograd, .direct, .implicit, .patches] {
      let s = shape(1, 8, 12, 12, 8, pad: 1)
      let example = Case(s)
      let x = Numbers(example.x), w = Numbers(example.w), y = Numbers(example.dy)
      x.pointer[0] = .nan
      try Kernels.conv2d(.f32, s, x: x.raw, w: w.raw, bias: nil, y: y.raw, relu: true, algorithm: algorithm)
      #expect(y.pointer[0].isNaN && y.pointer[13].isNaN && y.pointer[11].isFinite && y.pointer[143].isFinite)
    }
  }
}
