import Core
import TensorKernels
import Tensors
import TestSupport
import Testing

extension OpTests {
  /// The ops of `LayerCases` on tensors large enough to be split, with gradients: the same bits for 1 thread, 2 and 3.
  @Test func layersGiveTheSameBitsForAnyNumberOfThreads() throws {
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    func bits(_ t: Tensor) throws -> [UInt8] {
      let c = try t.detached().contiguous()
      return Array(UnsafeRawBufferPointer(start: c.pointer, count: c.byteCount))
    }
    func program(threads: Int) throws -> [[UInt8]] {
      Parallel.setThreads(threads)
      RandomState.seed(9)
      let x = try Tensor.normal([20, 8, 24, 24])
      let (up, same) = (try Tensor.normal([8, 8, 4, 4]).mul(0.2), try Tensor.normal([8, 16, 3, 3]).mul(0.1))
      let (b, gamma, slopes) = (try Tensor.normal([8]), try Tensor.full([8], 1.5), try Tensor.full([16], 0.25))
      let ids = try Tensor.integers([20, 48, 48], low: 0, high: 16)
      let leaves = [x, up, same, b, gamma, slopes]
      for leaf in leaves { try leaf.setRequiresGrad(true) }
      var o = ConvTransposeOptions()
      (o.stride, o.padding) = ((2, 2), (1, 1))
      let large = try Tensor.convTranspose2d(x, up, b, o)  // by patches
      let norm = try Tensor.groupNorm(large, groups: 2, gamma: gamma, beta: nil).activated(.mish)
      let small = try norm.upsampled(size: [31, 29], scale: nil, linear: true).padded([2, 1, 0, 3], mode: .reflect)
      (o.stride, o.padding) = ((1, 1), (1, 1))
      let wide = try Tensor.convTranspose2d(small, same, nil, o)  // by Winograd
      let logits = try Tensor.prelu(wide.upsampled(size: [48, 48], scale: nil, linear: false), slopes)
      let loss = try Tensor.crossEntropy(logits, classes: ids, weight: nil, ignored: 3, smoothing: 0.1, reduction: .mean)
      let extra = try Tensor.einsum("nchw,ndhw->cd", [x, x]).logsumexp().add(x.adaptiveMaxPool2d(out: (5, 5)).sum())
      try loss.add(extra).backward()
      return try [bits(loss), bits(extra), bits(logits)] + leaves.map { try bits(#require($0.grad)) }
    }
    let one = try RandomNumbers.alone { try program(threads: 1) }
    for threads in [2, 3] {
      let many = try RandomNumbers.alone { try program(threads: threads) }
      for (i, (a, b)) in zip(one, many).enumerated() {
        // Not inside of #expect, which would look for the shortest difference of megabytes.
        let isSame = a == b
        #expect(isSame, "result \(i) differs with \(threads) threads")
      }
    }
  }

  /// Two-byte floats of files: every f16 goes through f32 and back, rounding is to even, and files hold what was put in.
  @Test func filesHoldTwoByteFloats() throws {
    for bits in UInt16.min...UInt16.max {
      var (half, wide, back) = (bits, Float(0), UInt16(0))
      for format in HalfFormat.allCases {
        Kernels.widen(format, 1, from: &half, to: &wide)
        Kernels.narrow(format, 1, from: &wide, to: &back)
        #expect(wide.isNaN || back == bits, "\(format) \(bits): \(wide)")
      }
    }
    let values = [1.0, 65504, 65519, 65520, 1.0009765625, 1.00048828125, 1.00146484375, 5.960464477539063e-8, 2.9e-8, -0.0]
    let t = try Tensor.from(values, nil, .f64)
    for (format, expected) in [
      (HalfFormat.f16, [1, 65504, 65504, Double.infinity, 1.0009765625, 1, 1.001953125, 5.960464477539063e-8, 0, -0.0]),
      (.bf16, [1, 65536, 65536, 65536, 1, 1, 1, 5.960464477539063e-8, 2.898741513490677e-08, -0.0]),
    ] {
      let file = try SafeTensors.encode([("w", t), ("ids", Tensor.from(integers: [7], [1]))], half: format)
      let read = try file.withUnsafeBytes { try SafeTensors.decode($0) }
      let w = try #require(read.first { $0.name == "w" }?.tensor)
      #expect(w.dtype == .f32)
      #expect(read.first { $0.name == "ids" }?.tensor.dtype == .i64)
      for (a, b) in zip(try w.values(), expected) { #expect(a == b || abs(a - b) < 1e-9 * abs(b), "\(format): \(a) \(b)") }
    }
  }
}
