package import Core
import Synchronization
import TensorKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One batch: made here by `finish`, or before on a thread beside (`begin`). The tensors are the same either way, since each row depends
/// on its source and its number only.
///
/// Memory is taken when the job is made, on the thread that asks for it, so it counts in `MemoryBudget` as any other; the thread beside
/// only fills it. A column that is written to before the batch is handed out is read again.
package final class BatchJob: @unchecked Sendable {
  // Sendable: `recipe`, `parts` and `index` do not change; the memory of `outputs` is written by who moved `stage` to `working`, and the
  // list itself is touched by the script's thread only.
  private enum Stage { case waiting, working, done, stopped }
  private let recipe: BatchRecipe
  private let index: [Int64]
  private var outputs: [Tensor]
  private let parts: [BatchRows]
  private let versions: [Int]
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let change: UnsafeMutablePointer<pthread_cond_t>
  private var stage = Stage.waiting
  private let isGivenUp = Atomic(false)

  /// - Parameters:
  ///   - rows: positions from 0, in the batch's order.
  ///   - firstNumber: the number of the batch's first picture in the training.
  /// - Throws: `INVALID_ARGUMENT` for a row that is not there, `MEMORY_LIMIT`.
  package init(_ recipe: BatchRecipe, rows: [Int64], seed: UInt64, firstNumber: UInt64) throws(Failure) {
    for row in rows where row < 0 || row >= Int64(recipe.rows) {
      throw Failure(.invalidArgument, "batch: row \(row + 1) is not in 1..\(recipe.rows)")
    }
    self.recipe = recipe
    index = rows
    versions = recipe.columns.map(\.source.storage.version)
    var outputs: [Tensor] = []
    var parts: [BatchRows] = []
    for column in recipe.columns {
      let out = try Tensor.empty([rows.count] + column.rowShape, column.outType, op: "batch")
      let source = column.source
      outputs.append(out)
      parts.append(
        BatchRows(
          source: source.pointer, type: source.dtype, rowBytes: column.rowBytes, out: out.pointer, plan: column.plan,
          seed: seed,
          firstNumber: firstNumber))
    }
    self.outputs = outputs
    self.parts = parts
    lock = .allocate(capacity: 1)
    change = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(change, nil)
  }

  deinit {
    pthread_mutex_destroy(lock)
    pthread_cond_destroy(change)
    lock.deallocate()
    change.deallocate()
  }

  /// Has the batch made on the thread beside.
  package func begin() { BatchThread.shared.add(self) }

  /// Nobody wants the batch any more.
  package func giveUp() { isGivenUp.store(true, ordering: .relaxed) }

  /// Bytes of the batch; 0 once it was handed out.
  package var byteCount: Int { outputs.reduce(0) { $0 + $1.byteCount } }

  /// Hands out the batch's tensors by name, in the order of the recipe; waits for the thread beside or does its work.
  /// - Throws: `INVALID_ARGUMENT` when they were handed out before, `CANCELLED`, `MEMORY_LIMIT`.
  package func finish() throws(Failure) -> [(name: String, tensor: Tensor)] {
    guard outputs.count == recipe.columns.count else {
      throw Failure(.invalidArgument, "batch: it was handed out already")
    }
    let found = try claimOrWait()
    if found != .done || versions != recipe.columns.map(\.source.storage.version) {
      try fillHere()
      set(.done)
    }
    defer { outputs = [] }
    return zip(recipe.columns, outputs).map { ($0.name, $1) }
  }

  /// `working`: nobody makes the batch, now this thread does.
  private func claimOrWait() throws(Failure) -> Stage {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while stage == .working {
      var until = timespec()
      clock_gettime(CLOCK_REALTIME, &until)
      until.tv_nsec += 20_000_000
      if until.tv_nsec >= 1_000_000_000 {
        until.tv_sec += 1
        until.tv_nsec -= 1_000_000_000
      }
      pthread_cond_timedwait(change, lock, &until)
      try Cancellation.check()
    }
    if stage != .done { stage = .working }
    return stage
  }

  private func fillHere() throws(Failure) {
    do throws(Failure) {
      for part in parts {
        let result: Result<Void, Failure> = index.withUnsafeBufferPointer { index in
          guard let base = index.baseAddress else { return .success(()) }
          do throws(Failure) { return .success(try part.fill(count: index.count, index: base)) } catch {
            return .failure(error)
          }
        }
        try result.get()
        try Cancellation.check()
      }
    } catch {
      set(.stopped)
      throw error
    }
  }

  /// On the thread beside: makes the batch unless somebody else does. Serial: the cores belong to the script's own work.
  fileprivate func work() {
    pthread_mutex_lock(lock)
    let isMine = stage == .waiting
    if isMine { stage = .working }
    pthread_mutex_unlock(lock)
    guard isMine else { return }
    set(fillBeside() ? .done : .stopped)
  }

  private func fillBeside() -> Bool {
    for part in parts {
      var scratch: Buffer?
      if part.scratchBytes > 0 {
        scratch = try? BufferPool.take(byteCount: part.scratchBytes, zeroed: false)
        // No memory: `finish` will say so.
        if scratch == nil { return false }
      }
      defer { if let scratch { BufferPool.give(scratch) } }
      let piece = 16
      for start in stride(from: 0, to: index.count, by: piece) {
        if isGivenUp.load(ordering: .relaxed) || Cancellation.isRequested { return false }
        index.withUnsafeBufferPointer { index in
          if let base = index.baseAddress {
            part.fill(start..<min(index.count, start + piece), index: base, scratch: scratch?.pointer)
          }
        }
      }
    }
    return true
  }

  private func set(_ new: Stage) {
    pthread_mutex_lock(lock)
    stage = new
    pthread_cond_broadcast(change)
    pthread_mutex_unlock(lock)
  }
}

/// The thread that makes batches beside the script; started when it is first wanted, asleep when it has nothing to do.
private final class BatchThread: @unchecked Sendable {  // Sendable: `queue` and `isRunning` are touched under `lock` only.
  static let shared = BatchThread()
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [BatchJob] = []
  private var isRunning = false

  private init() {
    pthread_mutex_init(lock, nil)
    pthread_cond_init(wake, nil)
  }

  /// Without a thread the batch is made when it is asked for.
  func add(_ job: BatchJob) {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    if !isRunning {
      var thread = pthread_t()
      var attributes = pthread_attr_t()
      pthread_attr_init(&attributes)
      pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
      defer { pthread_attr_destroy(&attributes) }
      let failed = pthread_create(
        &thread, &attributes,
        { _ in
          BatchThread.shared.run()
          return nil
        }, nil)
      guard failed == 0 else { return }
      isRunning = true
    }
    queue.append(job)
    pthread_cond_signal(wake)
  }

  private func run() {
    // Signals are for the threads that people know of.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    while true { next().work() }
  }

  private func next() -> BatchJob {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while queue.isEmpty { pthread_cond_wait(wake, lock) }
    return queue.removeFirst()
  }
}
