import Core
import Glibc
import Synchronization
import TensorGraph
import TensorKernels
import Tensors
import TestSupport
import Testing

@Suite(.serialized) struct CompiledGraphTests {
  private func bits(_ t: Tensor) throws -> [UInt8] {
    let c = try t.detached().contiguous()
    return Array(UnsafeRawBufferPointer(start: c.pointer, count: c.byteCount))
  }
  private func largestDifference(_ a: Tensor, _ b: Tensor) throws -> Double {
    a.count == 0 ? 0 : try a.sub(b).unary(.abs).extreme(largest: true).item()
  }

  /// conv, batch norm, relu, pooling, conv, linear on (N, 3, 12, 12).
  private func smallNetwork() throws -> Graph {
    let numbers = Numbers(seed: 5)
    var g = Graph(input: "x", shape: [2, 3, 12, 12], dtype: .f32)
    func c(_ shape: [Int], _ scale: Double = 0.3) throws -> Graph.Value {
      g.add(constant: try numbers.tensor(shape).mul(scale))
    }
    var padded = ConvOptions()
    padded.padding = (1, 1)
    var x = g.add(.conv2d(padded), [g.input.value, try c([16, 3, 3, 3]), try c([16])])
    let variance = g.add(constant: try numbers.tensor([16]).unary(.abs).add(0.5))
    x = g.add(.batchNorm(epsilon: 1e-5), [x, try c([16]), variance, try c([16], 1), try c([16])])
    x = g.add(.unary(.relu), [x])
    x = g.add(.maxPool2d(kernel: [2, 2], stride: [2, 2], padding: [0, 0]), [x])
    x = g.add(.conv2d(padded), [x, try c([8, 16, 3, 3], 0.1), try c([8])])
    x = g.add(.flatten(from: 1, to: 3), [x])
    g.output = g.add(.linear, [x, try c([10, 8 * 36], 0.1), try c([10])])
    return g
  }

  @Test func foldsBatchNormIntoTheLayerBefore() throws {
    let graph = try smallNetwork()
    let folded = try graph.foldingBatchNorm()
    #expect(!folded.nodes.contains { $0.op == .batchNorm(epsilon: 1e-5) })
    #expect(folded.nodes.count == graph.nodes.count - 1)
    let x = try Numbers(seed: 1).tensor([5, 3, 12, 12])
    #expect(try largestDifference(graph.run(x), folded.run(x)) < 1e-4)
    // Not where somebody else reads the layer's own result.
    var branched = graph
    let conv = branched.nodes[0].output
    branched.output = branched.add(.sum(dims: [1, 2, 3], keepDims: false), [conv])
    let both = branched.add(.sum(dims: [0], keepDims: false), [graph.output])
    let sum = branched.add(.sum(dims: [0], keepDims: false), [both])
    branched.output = branched.add(.binary(.add), [branched.output, sum])
    #expect(try branched.foldingBatchNorm().nodes.contains { $0.op == .batchNorm(epsilon: 1e-5) })
    let wanted = try branched.run(x)
    #expect(try largestDifference(wanted, CompiledGraph(branched).run(x)) < 1e-3)
  }

  /// Ops element by element run in one step, with the bits of the ops one by one; what others read too ends a chain.
  @Test func chainsOfElementsChangeNothing() throws {
    var random = SeededRandom(seed: 5)
    let unary: [UnaryOp] = [.relu, .tanh, .sigmoid, .neg, .abs, .square, .silu]
    let binary: [BinaryOp] = [.add, .sub, .mul, .maximum, .minimum]
    var longest = 0
    for round in 0..<80 {
      let numbers = Numbers(seed: UInt64(round))
      var g = Graph(input: "x", shape: [2, 3, 50, 41], dtype: .f32)
      var all = [g.input.value]
      let wide = g.add(constant: try numbers.tensor([1, 3, 50, 41]))
      let narrow = g.add(constant: try numbers.tensor([1, 3, 1, 1]))
      let single = g.add(constant: try Tensor.scalar(0.75))
      for _ in 0..<Int.random(in: 2...9, using: &random) {
        let last = all[all.count - 1]
        switch Int.random(in: 0..<8, using: &random) {
        case 0...2: all.append(g.add(.unary(unary.randomElement(using: &random) ?? .relu), [last]))
        case 3: all.append(g.add(.clamp(low: -0.5, high: 0.75), [last]))
        default:
          let other = [all.randomElement(using: &random) ?? last, g.input.value, wide, narrow, single, single][
            Int.random(in: 0..<6, using: &random)]
          let op = binary.randomElement(using: &random) ?? .add
          all.append(g.add(.binary(op), Bool.random(using: &random) ? [last, other] : [other, last]))
        }
      }
      g.output = all[all.count - 1]
      let compiled = try CompiledGraph(g)
      for batch in [2, 1, 5] {
        let x = try numbers.tensor([batch, 3, 50, 41])
        let (wanted, found) = (try g.run(x).values(), try compiled.run(x).values())
        let isSame = wanted == found
        #expect(isSame, "round \(round), batch \(batch)")
      }
      longest = max(longest, try compiled.profile(batch: 2, repeats: 1).map { $0.name.split(separator: "+").count }.max() ?? 0)
    }
    #expect(longest >= 6)
  }

  /// Graphs of random ops over values that live for long: a value that is overwritten too early shows.
  @Test func placesOfLivingValuesDoNotOverlap() throws {
    var random = SeededRandom(seed: 11)
    for round in 0..<150 {
      let numbers = Numbers(seed: UInt64(round))
      var g = Graph(input: "x", shape: [2, 4, 6, 6], dtype: .f32)
      // Values of (N, 4, 6, 6), so that all fit each other; and small ones, (N, 4).
      var wide = [g.input.value]
      var small: [Graph.Value] = []
      for _ in 0..<Int.random(in: 1...25, using: &random) {
        let a = wide.randomElement(using: &random) ?? 0
        let b = wide.randomElement(using: &random) ?? 0
        switch Int.random(in: 0..<10, using: &random) {
        case 0: wide.append(g.add(.binary(.add), [a, b]))
        case 1: wide.append(g.add(.binary(.mul), [a, g.add(constant: try Tensor.scalar(0.5))]))
        case 2: wide.append(g.add(.unary(.relu), [g.add(.binary(.sub), [a, b])]))
        case 3:
          var o = ConvOptions()
          o.padding = (1, 1)
          let w = g.add(constant: try numbers.tensor([4, 4, 3, 3]).mul(0.2))
          wide.append(g.add(.conv2d(o), [a, w]))
        case 4: wide.append(g.add(.reshape([-1, 4, 6, 6]), [g.add(.flatten(from: 1, to: 3), [a])]))
        case 5: wide.append(g.add(.permute([0, 1, 3, 2]), [a]))
        case 6: wide.append(g.add(.unary(.tanh), [a]))
        case 7: small.append(g.add(.sum(dims: [2, 3], keepDims: false), [a]))
        case 8:
          let half = g.add(.slice(dim: 1, from: 0, to: 2, step: 1), [a])
          let other = g.add(.slice(dim: 1, from: 2, to: nil, step: 1), [b])
          wide.append(g.add(.cat(dim: 1), [other, half]))
        default: wide.append(g.add(.clamp(low: -1, high: 2), [a]))
        }
      }
      g.output = wide.randomElement(using: &random) ?? 0
      for value in small {
        let shaped = g.add(.unsqueeze(3), [g.add(.unsqueeze(2), [value])])
        g.output = g.add(.binary(.add), [g.output, shaped])
      }
      if Bool.random(using: &random) { g.output = g.add(.reshape([-1, 144]), [g.output]) }
      g.removeDeadNodes()
      let compiled = try CompiledGraph(g)
      for batch in [1, 3] {
        let x = try numbers.tensor([batch, 4, 6, 6])
        let (wanted, found) = (try g.run(x), try compiled.run(x))
        #expect(wanted.shape == found.shape)
        #expect(
          try largestDifference(wanted, found) <= 1e-4 * max(1, wanted.unary(.abs).extreme(largest: true).item()),
          "round \(round)")
      }
    }
  }

  @Test func runsOnSeveralThreadsAtOnce() throws {
    let compiled = try CompiledGraph(smallNetwork())
    // Each thread has inputs of its own, of several batch sizes, planned by whoever comes first.
    let failures = Counter()
    var threads: [pthread_t] = []
    for k in 0..<4 {
      let job = Job { [compiled] in
        do {
          for round in 0..<60 {
            let batch = 1 + (round + k) % 5
            let values = (0..<batch * 432).map { Double(($0 * 7919 + k * 31 + round) % 1000) / 500 - 1 }
            let x = try Tensor.from(values, [batch, 3, 12, 12])
            let first = try compiled.run(x).values()
            for _ in 0..<3 where try compiled.run(x).values() != first { failures.add() }
          }
        } catch { failures.add() }
      }
      var thread = pthread_t()
      pthread_create(
        &thread, nil,
        { raw in
          if let raw { Unmanaged<Job>.fromOpaque(raw).takeRetainedValue().body() }
          return nil
        }, Unmanaged.passRetained(job).toOpaque())
      threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
    #expect(failures.count == 0)
  }

  @Test func givesTheSameBitsOnAnyNumberOfThreads() throws {
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    let graph = try smallNetwork()
    let compiled = try CompiledGraph(graph)
    let x = try Numbers(seed: 1).tensor([9, 3, 12, 12])
    var found: [[UInt8]] = []
    for threads in 1...3 {
      Parallel.setThreads(threads)
      found.append(try bits(compiled.run(x)))
    }
    #expect(found[0] == found[1])
    #expect(found[0] == found[2])
  }

  @Test func callsOneAfterTheOtherShareTheirBlock() throws {
    let compiled = try CompiledGraph(smallNetwork())
    for batch in [4, 2, 4] {
      let x = try Numbers(seed: 1).tensor([batch, 3, 12, 12])
      for _ in 0..<20 { _ = try compiled.run(x) }
      #expect(compiled.idleBlocks == 1)
    }
  }
}

/// Random tensors, values in -2 ..< 2, that leave the process's random numbers alone: other suites count on them meanwhile.
private final class Numbers {
  private var random: SeededRandom
  init(seed: UInt64) { random = SeededRandom(seed: seed) }
  func tensor(_ shape: [Int]) throws -> Tensor {
    try Tensor.from((0..<shape.reduce(1, *)).map { _ in Double.random(in: -2..<2, using: &random) }, shape)
  }
}

private final class Job: @unchecked Sendable {  // Sendable: run once, by one thread.
  let body: () -> Void
  init(_ body: @escaping () -> Void) { self.body = body }
}
private final class Counter: Sendable {
  private let value = Atomic(0)
  func add() { value.add(1, ordering: .relaxed) }
  var count: Int { value.load(ordering: .relaxed) }
}
