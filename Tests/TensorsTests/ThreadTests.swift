import Core
import TensorKernels
import Tensors
import TestSupport
import Testing

extension OpTests {
  /// Ops on tensors large enough to be split over threads, with gradients: the same bits for 1 thread, 2 and 3.
  @Test func givesTheSameBitsForAnyNumberOfThreads() throws {
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    func bits(_ t: Tensor) throws -> [UInt8] {
      let c = try t.detached().contiguous()
      return Array(UnsafeRawBufferPointer(start: c.pointer, count: c.byteCount))
    }
    func program(threads: Int) throws -> [String: [UInt8]] {
      Parallel.setThreads(threads)
      RandomState.seed(7)
      var out: [String: [UInt8]] = [:]
      let x = try Tensor.normal([48, 3, 20, 20])
      let w = try Tensor.normal([16, 3, 3, 3]).mul(0.2)
      let b = try Tensor.normal([16])
      let w2 = try Tensor.normal([64, 16 * 9 * 9]).mul(0.05)
      let b2 = try Tensor.normal([64])
      let gamma = try Tensor.full([16], 1)
      let ids = try Tensor.integers([48], low: 0, high: 64)
      // By Winograd, in all three directions, with tiles that hang over.
      let w3 = try Tensor.normal([16, 16, 3, 3]).mul(0.1)
      for leaf in [x, w, b, w2, b2, w3, gamma] { try leaf.setRequiresGrad(true) }
      var o = ConvOptions()
      o.relu = true
      let conv = try Tensor.conv2d(x, w, b, o)
      o.padding = (1, 1)
      let wide = try Tensor.conv2d(conv, w3, b, o)
      let norm = try Tensor.batchNorm(wide, gamma: gamma, beta: nil, runningMean: nil, runningVariance: nil, training: true)
      let pooled = try norm.maxPool2d(kernel: (2, 2), stride: (2, 2))
      let dropped = try Tensor.dropout(pooled, p: 0.25, training: true)
      let logits = try Tensor.linear(dropped.flattened(from: 1), w2, b2)
      let loss = try Tensor.crossEntropy(logits, ids).add(x.unary(.gelu).mean()).add(x.sum([0, 2]).unary(.tanh).sum())
      try loss.backward()
      out["loss"] = try bits(loss)
      out["logits"] = try bits(logits)
      for (name, leaf) in [("x", x), ("w", w), ("b", b), ("w2", w2), ("b2", b2), ("w3", w3), ("gamma", gamma)] {
        out[name] = try bits(try #require(leaf.grad))
      }
      let (m, v) = (try Tensor.zeros(w2.shape), try Tensor.zeros(w2.shape))
      try w2.adamStep(
        AdamOptions(lr: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, decoupled: false), step: 1, m: m, v: v)
      out["adam"] = try bits(w2)
      let steps = try Tensor.zeros([], .i64)
      let states = try (0..<4).map { _ throws(Failure) in try Tensor.zeros(w2.shape) }
      try GroupSteps.rmsprop(
        [w2], steps: [steps], square: [states[0]], mean: [states[1]], velocity: [states[2]],
        RMSpropOptions(lr: 0.01, alpha: 0.9, epsilon: 1e-8, weightDecay: 0.1, momentum: 0.9))
      try GroupSteps.adagrad(
        [w2], steps: [steps], sum: [states[3]], AdagradOptions(lr: 0.01, lrDecay: 0.1, epsilon: 1e-8, weightDecay: 0.1))
      try GroupSteps.approach([states[0]], [w2], weight: 0.25)
      for (i, state) in states.enumerated() { out["state \(i)"] = try bits(state) }
      out["rmsprop, adagrad"] = try bits(w2)
      out["uniform"] = try bits(Tensor.uniform([100_001]))
      let long = try Tensor.normal([300_007])
      out["sum"] = try bits(long.sum())
      out["columns"] = try bits(Tensor.normal([900, 700]).sum([0]))
      out["matmul"] = try bits(Tensor.matmul(Tensor.normal([300, 200]), Tensor.normal([200, 310])))
      out["sorted"] = try bits(long.sorted(0, descending: true).positions)
      return out
    }
    let one = try RandomNumbers.alone { try program(threads: 1) }
    for threads in [2, 3] {
      let many = try RandomNumbers.alone { try program(threads: threads) }
      for (name, value) in one { #expect(many[name] == value, "\(name) differs with \(threads) threads") }
    }
  }

  /// The BLAS tiles against the plain loop, beyond the sizes of the golden cases.
  @Test func tiledProductsEqualThePlainLoop() throws {
    RandomState.seed(3)
    for (m, n, k) in [(130, 257, 100), (257, 65, 64), (1, 400, 300), (400, 1, 300), (2, 5, 37), (3, 7, 921)] {
      for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
        let a = try Tensor.normal(ta ? [k, m] : [m, k])
        let b = try Tensor.normal(tb ? [n, k] : [k, n])
        let got = try Tensor.matmul(ta ? a.transposed() : a, tb ? b.transposed() : b)
        let want = try Tensor.zeros([m, n])
        Kernels.gemmReference(
          transA: ta, transB: tb, m: m, n: n, k: k, a: a.pointer.assumingMemoryBound(to: Float.self), lda: ta ? m : k,
          b: b.pointer.assumingMemoryBound(to: Float.self), ldb: tb ? k : n,
          c: want.pointer.assumingMemoryBound(to: Float.self), ldc: n)
        let error = try got.sub(want).unary(.abs).extreme(largest: true).item()
        #expect(error < 1e-4, "\(m) x \(k) x \(n), \(ta) \(tb): \(error)")
      }
    }
  }
}

extension OpTests {
  /// 2 x 2 max pooling in eights against the general loop (f64 takes that one), at widths around the vector's.
  @Test func poolingInEightsEqualsTheGeneralLoop() throws {
    RandomState.seed(11)
    for width in [2, 3, 15, 16, 17, 24, 33, 50] {
      let x = try Tensor.normal([2, 3, 7, width]).clamped(-0.5, 0.5)  // with many ties
      try x.sliced(3, from: 0, to: 1).assign(.nan)
      let wide = try x.cast(.f64)
      for t in [x, wide] { try t.setRequiresGrad(true) }
      let (a, b) = (try x.maxPool2d(kernel: (2, 2), stride: (2, 2)), try wide.maxPool2d(kernel: (2, 2), stride: (2, 2)))
      for (p, q) in zip(try a.values(), try b.values()) { #expect(p == q || (p.isNaN && q.isNaN), "width \(width)") }
      try a.sum().backward()
      try b.sum().backward()
      let (da, db) = (try x.grad?.values(), try wide.grad?.values())
      if width != 2 { #expect(da?.filter { $0 != 0 }.count == db?.filter { $0 != 0 }.count, "width \(width)") }
      #expect(da?.reduce(0, +) == db?.reduce(0, +))
    }
  }
}
