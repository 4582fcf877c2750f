package import Core
import Glibc
import Synchronization
package import TensorKernels
package import Tensors

/// A graph made ready to run: batch norms folded, weights in their kernels' order, memory laid out. For calls without gradients, from any
/// number of threads at once.
///
/// A new batch size is planned at its first call; after that a call takes no memory but its result's. Weights are copies: later changes
/// of the network are not seen.
package final class CompiledGraph: @unchecked Sendable {
  // Sendable: the graph is only read after making; `plans`, `packed` and `blocks` are guarded by the lock.
  private let graph: Graph
  private let packed = PackedWeights()
  private let lock = Mutex(())
  private var plans: [[Int]: Plan] = [:]
  /// Memory to work in that no call uses now, for plans of any size.
  private var blocks: [Buffer] = []
  /// Batch sizes that are remembered.
  private static let mostPlans = 64

  package var inputShape: [Int] { graph.input.shape }
  package var inputType: DType { graph.input.dtype }
  /// Of a result for `inputShape`.
  package let outputShape: [Int]

  package init(_ source: Graph) throws(Failure) {
    var folded = try GradMode.disabled { () throws(Failure) in try source.foldingBatchNorm() }
    for (value, constant) in folded.constants {
      folded.constants[value] = Graph.Constant(name: constant.name, tensor: try constant.tensor.detached().clone())
    }
    graph = folded
    let plan = try Planner.plan(folded, for: folded.input.shape, packed)
    outputShape = plan.output.shape
    plans[folded.input.shape] = plan
  }

  /// The network's output for `x` (batch, ...); any batch.
  package func run(_ x: Tensor) throws(Failure) -> Tensor { try run(x) { _, _ in } }

  /// One row of `profile`.
  package struct Layer {
    package let name, kernel: String
    package let shape: [Int]
    package let operations, bytes: Int
    /// Median.
    package let seconds: Double
  }

  /// What each step of a run costs, by the median of `repeats` runs on zeros.
  package func profile(batch: Int, repeats: Int = 20) throws(Failure) -> [Layer] {
    let shape = shape(batch: batch)
    let x = try Tensor.zeros(shape, graph.input.dtype)
    var times: [[Double]] = []
    let plan = try plan(for: shape)
    for round in 0..<repeats + 2 {
      var last = CompiledGraph.now()
      var own: [Double] = []
      _ = try run(x) { _, _ in
        let time = CompiledGraph.now()
        own.append(time - last)
        last = time
      }
      if round >= 2 { times.append(own) }
    }
    var layers: [Layer] = []
    for (i, step) in plan.steps.enumerated() {
      let sorted = times.map { $0[i] }.sorted()
      layers.append(
        Layer(
          name: step.name, kernel: step.kernel, shape: step.output.shape, operations: step.operations,
          bytes: step.inputs.reduce(step.output.bytes) { $0 + (isConstant($1) ? 0 : $1.bytes) } + step.weightBytes,
          seconds: sorted[sorted.count / 2]))
    }
    return layers
  }
  /// Bytes of the block that a run of `batch` rows works in.
  package func workBytes(batch: Int) throws(Failure) -> Int {
    try plan(for: shape(batch: batch)).bytes
  }

  /// Blocks of memory that wait for a call: as many as calls ran at once.
  package var idleBlocks: Int { lock.withLock { _ in blocks.count } }

  private func shape(batch: Int) -> [Int] { [batch] + graph.input.shape.dropFirst() }

  private func isConstant(_ operand: Plan.Operand) -> Bool {
    if case .constant = operand.place { return true }
    return false
  }
  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private func run(_ x: Tensor, _ after: (Int, Plan.Step) -> Void) throws(Failure) -> Tensor {
    guard x.rank == graph.input.shape.count, x.shape.dropFirst() == graph.input.shape.dropFirst() else {
      throw Failure(
        .shapeMismatch,
        "compiled network: input \(Shape.text(x.shape)) does not fit \(Shape.text(graph.input.shape)), whose first extent alone is free"
      )
    }
    let source = try x.detached().cast(graph.input.dtype).contiguous()
    let plan = try plan(for: x.shape)
    let out = try Tensor.empty(plan.output.shape, plan.output.dtype, op: "compiled network")
    let block = try take(plan.bytes)
    defer { lock.withLock { _ in blocks.append(block) } }
    func pointer(_ operand: Plan.Operand) -> UnsafeMutableRawPointer {
      switch operand.place {
      case .input: source.pointer
      case .output: out.pointer
      case .block(let offset): block.pointer + offset
      case .constant(let tensor): tensor.pointer
      }
    }
    func tensor(_ operand: Plan.Operand) throws(Failure) -> Tensor {
      switch operand.place {
      case .input: try source.reshaped(operand.shape)
      case .output: try out.reshaped(operand.shape)
      case .block(let offset):
        try Tensor.sharing(block, byteOffset: offset, operand.dtype, shape: operand.shape)
      case .constant(let tensor): try tensor.reshaped(operand.shape)
      }
    }
    for (i, step) in plan.steps.enumerated() {
      let y = pointer(step.output)
      switch step.work {
      case .conv(let conv, let shape, let activation):
        try conv(shape, x: pointer(step.inputs[0]), y: y, activation)
      case .linear(let weight, let bias, let m, let n, let k, let relu):
        try Kernels.linear(
          m: m, n: n, k: k, x: pointer(step.inputs[0]), w: weight.pointer, bias: bias?.pointer, y: y, relu: relu)
      case .maxPool(let shape): Kernels.maxPool(.f32, shape, x: pointer(step.inputs[0]), y: y, positions: nil)
      case .averagePool(let shape): Kernels.averagePool(.f32, shape, x: pointer(step.inputs[0]), y: y)
      case .chain(let chain): chain(step.inputs.map(pointer), y: y)
      case .binary(let op, let loop, let relu):
        Kernels.binary(op, .f32, loop, out: y, a: pointer(step.inputs[0]), b: pointer(step.inputs[1]))
        if let relu { Kernels.unary(.relu, .f32, relu, out: y, a: y) }
      case .unary(let op, let loop): Kernels.unary(op, .f32, loop, out: y, a: pointer(step.inputs[0]))
      case .softmax(let isLog, let rows, let classes):
        Kernels.softmax(.f32, log: isLog, rows: rows, classes: classes, x: pointer(step.inputs[0]), y: y)
      case .op(let op):
        let inputs = try step.inputs.map { (operand) throws(Failure) in try tensor(operand) }
        let result = try GradMode.disabled { () throws(Failure) in try op.apply(inputs).contiguous() }
        y.copyMemory(from: result.pointer, byteCount: result.byteCount)
      case .copy: y.copyMemory(from: pointer(step.inputs[0]), byteCount: step.output.bytes)
      }
      after(i, step)
    }
    try Cancellation.check()
    withExtendedLifetime((source, out, block)) {}
    return out
  }

  // MARK: Plans and blocks

  private func plan(for shape: [Int]) throws(Failure) -> Plan {
    // Planning runs the graph once; a second thread that wants the same waits.
    let found: Result<Plan, Failure> = lock.withLock { _ in
      if let known = plans[shape] { return .success(known) }
      do throws(Failure) {
        let made = try Planner.plan(graph, for: shape, packed)
        if plans.count >= CompiledGraph.mostPlans, let old = plans.keys.first(where: { $0 != graph.input.shape }) {
          plans[old] = nil
        }
        plans[shape] = made
        return .success(made)
      } catch {
        return .failure(error)
      }
    }
    return try found.get()
  }

  /// An idle block that is large enough, or a new one in place of one that is not.
  private func take(_ bytes: Int) throws(Failure) -> Buffer {
    let found: Buffer? = lock.withLock { _ in
      if let i = blocks.firstIndex(where: { $0.byteCount >= bytes }) { return blocks.remove(at: i) }
      _ = blocks.popLast()
      return nil
    }
    if let found { return found }
    return try Buffer(byteCount: bytes, zeroed: false)
  }
}
