import Core
import TensorKernels
import TestSupport
import Testing

@Suite("Max pooling by 2 x 2") struct PoolTests {
  /// The fast way of f32 against the plain one of f64: values, where they are from, gradients; NaN and equal values among them.
  @Test func agreesWithThePlainLoop() throws {
    var random = SeededRandom(seed: 5)
    for (height, width) in [
      (16, 16), (17, 18), (18, 17), (2, 24), (3, 25), (20, 31), (24, 24), (9, 40), (2, 2), (5, 3), (6, 14), (4, 15),
    ] {
      let s = PoolShape(
        planes: 3, height: height, width: width, kernel: (2, 2), stride: (2, 2), padding: (0, 0), out: (height / 2, width / 2))
      #expect(s.positionType(.f32) == .u8 && s.positionType(.f64) == .i32)
      let x = (0..<3 * height * width).map { _ in Float(Int.random(in: -4...4, using: &random)) }.enumerated().map {
        $0.offset % 29 == 3 ? Float.nan : $0.element
      }
      let count = 3 * s.outHeight * s.outWidth
      let dy = (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
      var (fast, codes, fastGradient) = ([Float](repeating: 7, count: count), [UInt8](repeating: 9, count: count), x)
      var (plain, places) = ([Double](repeating: 7, count: count), [Int32](repeating: -1, count: count))
      var plainGradient = x.map { Double($0) }
      Kernels.maxPool(.f32, s, x: x, y: &fast, positions: &codes)
      Kernels.maxPool(.f64, s, x: x.map { Double($0) }, y: &plain, positions: &places)
      Kernels.maxPoolBackward(.f32, s, dy: dy, positions: codes, dx: &fastGradient)
      Kernels.maxPoolBackward(.f64, s, dy: dy.map { Double($0) }, positions: places, dx: &plainGradient)
      var valuesOnly = [Float](repeating: 7, count: count)
      Kernels.maxPool(.f32, s, x: x, y: &valuesOnly, positions: nil)
      for i in 0..<count {
        #expect(fast[i] == Float(plain[i]) || fast[i].isNaN && plain[i].isNaN)
        #expect(valuesOnly[i].bitPattern == fast[i].bitPattern)
        let (row, column) = (i / s.outWidth % s.outHeight, i % s.outWidth)
        let place = (2 * row + Int(codes[i]) / 2) * width + 2 * column + Int(codes[i]) % 2
        #expect(place == Int(places[i]), "\(height) x \(width), result \(i)")
      }
      #expect(zip(fastGradient, plainGradient).allSatisfy { $0 == Float($1) }, "\(height) x \(width)")
    }
  }
}
