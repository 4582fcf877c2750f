package import Core

/// How the rows of one column get into a batch: copied, or as pictures through the steps of a plan. Pointers must stay good while it
/// is used.
package struct BatchRows: @unchecked Sendable {  // Sendable: who makes it keeps the memory, and nobody else writes to `out`.
  private let source: UnsafeRawPointer
  private let type: DType
  private let rowBytes: Int
  private let out: UnsafeMutableRawPointer
  private let outRowBytes: Int
  private let plan: ImagePlan?
  private let seed: UInt64
  /// The number of the batch's first picture in the training.
  private let firstNumber: UInt64

  /// - Parameters:
  ///   - source: rows of `rowBytes` bytes of `type`; u8 or f32 with a plan, which then fits them.
  ///   - out: rows of as many bytes, with a plan of its f32 pictures.
  package init(
    source: UnsafeRawPointer, type: DType, rowBytes: Int, out: UnsafeMutableRawPointer, plan: ImagePlan?, seed: UInt64,
    firstNumber: UInt64
  ) {
    (self.source, self.type, self.rowBytes, self.out, self.plan) = (source, type, rowBytes, out, plan)
    (self.seed, self.firstNumber) = (seed, firstNumber)
    outRowBytes = plan.map { $0.channels * $0.outHeight * $0.outWidth * 4 } ?? rowBytes
  }

  /// Bytes of work space for `fill`.
  package var scratchBytes: Int { plan?.scratchBytes ?? 0 }

  /// Fills rows `range` of the batch on this thread. `index`: the batch's rows in the source, which holds them.
  package func fill(_ range: Range<Int>, index: UnsafePointer<Int64>, scratch: UnsafeMutableRawPointer?) {
    for i in range {
      let (from, to) = (source + Int(index[i]) * rowBytes, out + i * outRowBytes)
      if let plan, let scratch {
        plan.apply(
          type, from, number: firstNumber &+ UInt64(i), seed: seed, out: to.assumingMemoryBound(to: Float.self),
          scratch: scratch)
      } else {
        to.copyMemory(from: from, byteCount: rowBytes)
      }
    }
  }

  /// Fills all rows, on the machine's cores.
  package func fill(count: Int, index: UnsafePointer<Int64>) throws(Failure) {
    nonisolated(unsafe) let index = index
    guard let plan else {
      Parallel.forEach(count: count, grain: max(1, 131072 / max(1, rowBytes))) { fill($0, index: index, scratch: nil) }
      return
    }
    // About 50,000 floats a block.
    let grain = max(1, 50_000 / (plan.scratchBytes / 8 * max(1, plan.steps.count)))
    let scratch = try Scratch(bytes: plan.scratchBytes, blocks: (count + grain - 1) / grain)
    Parallel.forEach(count: count, grain: grain) { range in
      scratch.use { fill(range, index: index, scratch: $0) }
    }
  }
}
