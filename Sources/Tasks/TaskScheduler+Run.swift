import Core
import Foundation
import Logging
import Synchronization

/// How tasks get from the queue through a worker to their end.
extension TaskScheduler {
  /// Starts waiting tasks while slots are free.
  func dispatch() {
    while true {
      let next = state.withLock { state -> LiveTask? in
        guard state.isRunning, state.busySlots < options.slots else { return nil }
        while !state.queue.isEmpty {
          if let task = state.live[state.queue.removeFirst()] {
            state.busySlots += 1
            return task
          }
        }
        return nil
      }
      guard let next else { return }
      let started = next.content.withLock { content -> Bool in
        guard content.record.status == .pending else { return false }
        content.holdsSlot = true
        content.handle = executor.start(job(content.record)) { [self] (report) throws(Failure) in try take(report, next) }
        return true
      }
      if !started { state.withLock { $0.busySlots -= 1 } }
    }
  }

  private func job(_ record: TaskRecord) -> Job {
    Job(
      task: record.id, attempt: record.attempt + 1, request: record.request,
      limits: record.request.limits.filled(from: options.limits),
      wallLimitIsExplicit: record.request.limits.wallSeconds != nil)
  }

  /// One report of a job, from its thread.
  func take(_ report: JobReport, _ task: LiveTask) throws(Failure) {
    switch report {
    case .spawned(let identity): try began(task, identity)
    case .progress(let progress):
      task.content.withLock { content in
        content.record.progress = progress
        publish(content.record)
        notice(&content)
      }
    case .metric(let point): task.content.withLock { $0.add(point) }
    case .lines(let lines):
      try task.withLock { content throws(Failure) in
        content.add(lines)
        if content.lines.count >= 512 { _ = try content.flush(to: store) }
      }
    case .ready(let url): try ready(task, url)
    case .usage(let usage): try used(task, usage)
    case .ended(let ending): ended(task, ending)
    }
  }

  private func began(_ task: LiveTask, _ identity: ProcessIdentity?) throws(Failure) {
    try task.withLock { content throws(Failure) in
      guard content.record.status == .pending else {  // cancelled in the meantime: the worker does not get the job
        throw Failure(.cancelled, "the task was cancelled before it ran")
      }
      var record = content.record
      record.attempt += 1
      let event = try record.move(to: .running, reason: identity.map { "worker process \($0.pid)" } ?? "started")
      let attempt = TaskAttempt(number: record.attempt, startedAt: event.at, identity: identity)
      try store.save(record, events: [event], attempt: attempt)
      content.record = record
      content.attempt = attempt
      content.lastSave = monotonicSeconds()
      publish(record, previous: .pending)
    }
    hub.notify(task.id)
  }

  private func ready(_ task: LiveTask, _ url: String) throws(Failure) {
    try task.withLock { content throws(Failure) in
      guard content.record.status == .running else { return }
      var record = content.record
      record.endpoint = url
      let event = record.note(.ready, reason: url)
      try store.save(record, events: [event], attempt: nil)
      content.record = record
      publish(record)
      releaseSlot(&content)
    }
    hub.notify(task.id)
    dispatch()
  }

  private func used(_ task: LiveTask, _ usage: TaskUsage) throws(Failure) {
    try task.withLock { content throws(Failure) in
      content.record.usage = usage
      publish(content.record)
      if try content.flush(to: store) { notice(&content) }
      let now = monotonicSeconds()
      if now - content.lastSave >= 2, content.record.status == .running {
        content.lastSave = now
        try store.save(content.record, events: [], attempt: nil)
        notice(&content)
      }
    }
  }

  /// Tells readers, at most every tenth of a second.
  private func notice(_ content: inout LiveTask.Content) {
    let now = monotonicSeconds()
    guard now - content.lastNotice >= JobReport.tickSeconds * 0.9 else { return }
    content.lastNotice = now
    hub.notify(content.record.id)
  }

  private func ended(_ task: LiveTask, _ ending: JobEnding) {
    task.content.withLock { content in
      var record = content.record
      content.handle = nil
      defer {
        forget(task.id)
        releaseSlot(&content)
      }
      if record.status.isTerminal { return }  // cancelled before the worker got the job
      do throws(Failure) {
        var events: [TaskEvent] = []
        if record.status == .pending {  // the start itself could not be stored
          record.attempt += 1
          events.append(try record.move(to: .running, reason: "started"))
        }
        events.append(try finish(&record, ending))
        var attempt = content.attempt
        attempt?.endedAt = record.completedAt
        attempt?.outcome = record.status.rawValue + (record.error.map { ": \($0.code)" } ?? "")
        try persist(record, events, attempt, &content)
        let before = content.record.status
        content.record = record
        publish(record, previous: before)
      } catch {
        logger.critical("cannot end a task", metadata: ["task": "\(task.id)", "error": "\(error)"])
      }
    }
    let record = cachedRecord(id: task.id)
    logger.info(
      "task ended",
      metadata: [
        "task": "\(task.id)", "status": "\(record?.status.rawValue ?? "?")", "code": "\(record?.error?.code ?? "-")",
      ])
    hub.notify(task.id)
    dispatch()
  }

  private func finish(_ record: inout TaskRecord, _ ending: JobEnding) throws(Failure) -> TaskEvent {
    record.endpoint = nil
    switch ending {
    case .result(let result):
      record.result = result
      return try record.move(to: .completed, reason: "the script returned")
    case .error(let error):
      record.error = error
      return try record.move(to: .failed, reason: "\(error.code): \(String(error.message.prefix(200)))")
    case .cancelled: return try record.move(to: .cancelled, reason: "cancelled; the worker is gone")
    case .stopped:
      record.error = TaskError("LOST_ON_RESTART", "the server was stopped while the task ran; submit the task again")
      return try record.move(to: .failed, reason: "LOST_ON_RESTART")
    }
  }

  /// Stores the end of a task. A store that cannot write for a moment (a full disk) is asked again for some seconds; after
  /// that the end is known in memory only, and the next start finds the task lost.
  private func persist(_ record: TaskRecord, _ events: [TaskEvent], _ attempt: TaskAttempt?, _ content: inout LiveTask.Content)
    throws(Failure)
  {
    for round in 1...5 {
      do throws(Failure) {
        _ = try content.flush(to: store)
        try store.save(record, events: events, attempt: attempt)
        return
      } catch {
        logger.error("cannot store the end of a task", metadata: ["task": "\(record.id)", "error": "\(error)"])
        if error.code == .illegalTransition || error.code == .taskNotFound { throw error }
        if round < 5 { usleep(useconds_t(200_000 * round)) }
      }
    }
  }

  // MARK: snapshots and slots

  /// Puts the record where readers find it; `previous` is the state it left, if it left one.
  func publish(_ record: TaskRecord, previous: TaskStatus? = nil) {
    state.withLock { state in
      if let previous, previous != record.status {
        state.counts[previous, default: 0] -= 1
        state.counts[record.status, default: 0] += 1
      }
      put(record, &state)
    }
    if previous != nil { hub.notify(record.id) }
  }

  func put(_ record: TaskRecord, _ state: inout State) {
    let id = record.id
    state.revision &+= 1
    let isNewlyFinished = record.status.isTerminal && state.snapshots[id]?.record.status.isTerminal != true
    if record.status.isTerminal, record.approximateBytes > options.cachedRecordBytes {
      state.snapshots[id] = nil
      return
    }
    state.snapshots[id] = Snapshot(record: record, revision: state.revision)
    guard isNewlyFinished else { return }
    state.finished.append(id)
    if state.finished.count > options.cachedRecords {
      let old = state.finished.prefix(max(1, options.cachedRecords / 8))
      for id in old { state.snapshots[id] = nil }
      state.finished.removeFirst(old.count)
    }
  }

  func add(_ task: LiveTask, _ state: inout State) {
    state.live[task.id] = task
    state.liveBytes += task.requestBytes
  }

  /// The task is over and nothing of it is left.
  func forget(_ id: String) {
    state.withLock { state in
      state.liveBytes -= state.live.removeValue(forKey: id)?.requestBytes ?? 0
      if let place = state.queue.firstIndex(of: id) { state.queue.remove(at: place) }
    }
  }

  private func releaseSlot(_ content: inout LiveTask.Content) {
    guard content.holdsSlot else { return }
    content.holdsSlot = false
    state.withLock { $0.busySlots -= 1 }
  }
}
