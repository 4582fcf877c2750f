package import Core
import Foundation
package import Logging
import Synchronization

extension Failure.Code {
  /// More tasks wait than the configuration allows.
  package static let queueFull = Failure.Code("QUEUE_FULL")
  /// The server is about to end.
  package static let shuttingDown = Failure.Code("SHUTTING_DOWN")
}

/// Takes tasks, runs them in their order as slots are free, and keeps their records true.
///
/// Calls block (the store writes) unless they say otherwise; call them from threads that may wait. All calls are safe
/// from any thread. Locks are taken in this order: a task's, then `state`.
package final class TaskScheduler: Sendable {
  package struct Options: Sendable {
    /// Batch tasks that run at the same time. A task that serves does not count.
    package var slots = 1
    /// For tasks that set none themselves.
    package var limits = TaskLimits()
    /// Tasks that may wait.
    package var queueLimit = 10_000
    /// What the parameters of all unfinished tasks may take.
    package var queueLimitBytes = 256 << 20
    /// Finished tasks whose records stay in memory.
    package var cachedRecords = 2048
    /// A finished task that is larger stays in the store only.
    package var cachedRecordBytes = 64 << 10

    package init() {}
  }

  struct Snapshot {
    var record: TaskRecord
    /// Another one after each change of any task.
    var revision: UInt64
  }

  struct State {
    var isRunning = false
    var isStopping = false
    var live: [String: LiveTask] = [:]
    var liveBytes = 0
    /// Waiting tasks, oldest first.
    var queue: [String] = []
    var busySlots = 0
    /// Snapshots for readers: all live tasks, and finished ones in the order they came.
    var snapshots: [String: Snapshot] = [:]
    var finished: [String] = []
    var counts: [TaskStatus: Int] = [:]
    var revision: UInt64 = 0
  }

  let options: Options
  let store: any TaskStore
  let executor: any Executor
  let logger: Logger
  let hub = ChangeHub()
  let state = Mutex(State())

  package init(store: any TaskStore, executor: any Executor, options: Options = Options(), logger: Logger) {
    self.store = store
    self.executor = executor
    self.options = options
    self.logger = logger
  }

  // MARK: life

  /// `recover` and `resume`.
  package func start() throws(Failure) {
    try recover()
    resume()
  }

  /// Begins to run what waits.
  package func resume() {
    state.withLock { $0.isRunning = !$0.isStopping }
    dispatch()
  }

  /// Makes the store true: a task that was `running` when an earlier server ended goes to `failed` with `LOST_ON_RESTART`,
  /// after what is left of its worker was killed; `pending` tasks are queued again.
  package func recover() throws(Failure) {
    for record in try allRecords(in: .running) {
      let attempts = try store.attempts(id: record.id)
      for attempt in attempts where attempt.endedAt == nil {
        if let identity = attempt.identity { executor.sweep(identity) }
      }
      var record = record
      record.error = TaskError(
        "LOST_ON_RESTART", "the server ended while the task ran, and its worker with it; submit the task again")
      let event = try record.move(to: .failed, reason: "LOST_ON_RESTART")
      var attempt = attempts.last
      attempt?.endedAt = record.completedAt
      attempt?.outcome = "failed: LOST_ON_RESTART"
      try store.save(record, events: [event], attempt: attempt)
      logger.warning("task was lost when the server ended", metadata: ["task": "\(record.id)"])
    }
    let pending = try allRecords(in: .pending)
    let counts = try store.counts()
    state.withLock { state in
      state.counts = counts
      for record in pending.reversed() {
        add(LiveTask(record), &state)
        put(record, &state)
        state.queue.append(record.id)
      }
    }
  }

  private func allRecords(in status: TaskStatus) throws(Failure) -> [TaskRecord] {
    var all: [TaskRecord] = []
    var query = TaskQuery(statuses: [status], limit: 1000)
    while true {
      let page = try store.page(query)
      all += page.records
      guard page.hasMore, let last = page.records.last else { return all }
      query.before = last.sequence
    }
  }

  /// Starts no more tasks and ends the running ones, which go to `failed` with `LOST_ON_RESTART`: their work is lost, and a
  /// batch script cannot be run twice unasked. Waiting tasks stay `pending` and run after the next start. Returns when no
  /// worker is left, or after `timeoutSeconds`.
  package func stop(timeoutSeconds: Double = 5) {
    let running = state.withLock { state in
      state.isRunning = false
      state.isStopping = true
      return Array(state.live.values)
    }
    for task in running { _ = task.content.withLock { $0.handle }?.stop(.shutdown) }
    let deadline = monotonicSeconds() + timeoutSeconds
    while monotonicSeconds() < deadline {
      let left = state.withLock { Array($0.live.values) }.contains { $0.content.withLock { $0.handle != nil } }
      if !left { break }
      usleep(2000)
    }
    hub.finish()
  }

  // MARK: what clients ask for

  /// Stores a task and queues it. It may be `running` very soon: see `wait(for:timeoutSeconds:until:)`.
  /// - Throws: `QUEUE_FULL`, `SHUTTING_DOWN`, and what the store throws.
  package func submit(_ request: TaskRequest) throws(Failure) -> TaskRecord {
    let refusal = state.withLock { state -> Failure? in
      if state.isStopping { return Failure(.shuttingDown, "the server is about to end and takes no tasks") }
      if state.queue.count >= options.queueLimit {
        return Failure(.queueFull, "\(state.queue.count) tasks wait already; try again later")
      }
      if state.liveBytes >= options.queueLimitBytes {
        return Failure(.queueFull, "the parameters of the waiting tasks take \(state.liveBytes) bytes already; try again later")
      }
      return nil
    }
    if let refusal { throw refusal }
    let record = try store.create(request, at: .now)
    state.withLock { state in
      add(LiveTask(record), &state)
      state.counts[.pending, default: 0] += 1
      put(record, &state)
      // Two submits may come here in the other order than the store numbered them.
      let place = state.queue.lastIndex { TaskRecord.sequence(of: $0) ?? 0 < record.sequence }.map { $0 + 1 } ?? 0
      state.queue.insert(record.id, at: place)
    }
    hub.notify(record.id)
    dispatch()
    return record
  }

  /// Asks for the end of a task and answers with its record: `cancelled` for one that waited or was cancelled before, still
  /// `running` with `cancelRequestedAt` for one that runs; that one is `cancelled` once its worker is gone.
  /// - Throws: `TASK_NOT_FOUND`; `TASK_NOT_CANCELLABLE` for one that has completed or failed.
  package func cancel(id: String) throws(Failure) -> TaskRecord {
    guard let task = state.withLock({ $0.live[id] }) else {
      let record = try record(id: id)
      if record.status == .cancelled { return record }
      throw notCancellable(record)
    }
    let result = try task.withLock { content throws(Failure) -> TaskRecord in
      if content.record.status == .cancelled { return content.record }
      if content.record.status.isTerminal { throw notCancellable(content.record) }
      if content.record.cancelRequestedAt != nil { return content.record }
      if let handle = content.handle, !handle.stop(.cancel) {
        // Its outcome is known and is being stored.
        if content.record.status == .running { return content.record }
        throw notCancellable(content.record)
      }
      var record = content.record
      let event: TaskEvent
      record.cancelRequestedAt = Instant.now.wholeMicroseconds
      if record.status == .pending {
        event = try record.move(to: .cancelled, reason: "cancelled before it ran")
      } else {
        event = record.note(.cancelRequested, reason: "cancel was asked for")
      }
      try store.save(record, events: [event], attempt: nil)
      content.record = record
      publish(record, previous: record.status == .cancelled ? .pending : nil)
      if record.status == .cancelled, content.handle == nil { forget(id) }
      return record
    }
    return result
  }

  private func notCancellable(_ record: TaskRecord) -> Failure {
    Failure(
      .taskNotCancellable,
      "Task '\(record.id)' has already \(record.status.rawValue); only a pending or running task can be cancelled")
  }

  /// The record as it is now.
  /// - Throws: `TASK_NOT_FOUND`.
  package func record(id: String) throws(Failure) -> TaskRecord {
    if let record = cachedRecord(id: id) { return record }
    guard let record = try store.record(id: id) else { throw Failure(.taskNotFound, "Task '\(id)' does not exist") }
    if record.status.isTerminal { state.withLock { put(record, &$0) } }
    return record
  }

  /// The record if it is in memory, as all unfinished ones are. Does not block.
  package func cachedRecord(id: String) -> TaskRecord? { state.withLock { $0.snapshots[id]?.record } }

  /// A number that changes whenever the record in memory does; nil when it is not there. For copies of what was made of it.
  package func revision(of id: String) -> UInt64? { state.withLock { $0.snapshots[id]?.revision } }

  /// Records of finished tasks come from the store, of others as they are now.
  package func page(_ query: TaskQuery) throws(Failure) -> TaskPage {
    var page = try store.page(query)
    let stored = page.records
    page.records = state.withLock { state in stored.map { state.snapshots[$0.id]?.record ?? $0 } }
    return page
  }

  /// Tasks by state. Does not block.
  package var counts: [TaskStatus: Int] { state.withLock { $0.counts } }

  /// - Throws: `TASK_NOT_FOUND`.
  package func events(id: String, after: Int = 0) throws(Failure) -> [TaskEvent] {
    _ = try record(id: id)
    return try store.events(id: id, after: after)
  }

  /// Log lines with a number above `after`; of a running task up to about `JobReport.tickSeconds` ago.
  /// - Throws: `TASK_NOT_FOUND`.
  package func logs(id: String, after: Int = 0, limit: Int = .max) throws(Failure) -> [LogLine] {
    _ = try record(id: id)
    return try store.logs(id: id, after: after, limit: limit)
  }

  /// The number of the newest stored line; 0 without lines.
  package func lastLogNumber(id: String) throws(Failure) -> Int {
    _ = try record(id: id)
    return try store.lastLogNumber(id: id)
  }

  /// - Throws: `TASK_NOT_FOUND`.
  package func metrics(id: String, after position: Int64 = 0) throws(Failure) -> (points: [MetricPoint], position: Int64) {
    _ = try record(id: id)
    return try store.metrics(id: id, after: position)
  }

  package func attempts(id: String) throws(Failure) -> [TaskAttempt] {
    _ = try record(id: id)
    return try store.attempts(id: id)
  }

  /// A notice after every change of the task `id` (or of any task): state, progress, lines, metrics. Ends when the scheduler
  /// stops. Listen first, then read: nothing is missed. Notices that were not read yet are one.
  package func changes(of id: String? = nil) -> AsyncStream<Void> { hub.changes(of: id) }

  /// True while a task waits for a slot. Does not block.
  package func isQueued(id: String) -> Bool { state.withLock { $0.queue.contains(id) } }

  /// Reads from the store.
  /// - Throws: what the store throws when it cannot be used.
  package func checkStore() throws(Failure) { _ = try store.record(id: "task-001") }

  /// A notice to every reader, so that it looks at the time.
  package func wakeReaders() { hub.notifyAll() }

  /// True once `stop` was called.
  package var isStopping: Bool { state.withLock { $0.isStopping } }

  /// Waits until `condition` holds for the record or time is over, and returns the record as it is then. Does not block.
  /// - Throws: `TASK_NOT_FOUND`.
  package func wait(
    for id: String, timeoutSeconds: Double, until condition: @escaping @Sendable (TaskRecord) -> Bool
  ) async throws(Failure) -> TaskRecord {
    let notices = changes(of: id)
    if let record = cachedRecord(id: id), !record.status.isTerminal, !condition(record), timeoutSeconds > 0 {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { [self] in
          for await _ in notices {
            guard let record = cachedRecord(id: id), !record.status.isTerminal, !condition(record) else { return }
          }
        }
        group.addTask { try? await Task.sleep(for: .seconds(timeoutSeconds)) }
        await group.next()
        group.cancelAll()
      }
    }
    return try record(id: id)
  }
}
