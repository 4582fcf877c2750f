package import Core

/// Where a task is in its life. The wire names are the contract's.
package enum TaskStatus: String, Sendable, Hashable, CaseIterable {
  case pending, running, completed, failed, cancelled

  /// True for a state that nothing leaves.
  package var isTerminal: Bool {
    switch self {
    case .pending, .running: false
    case .completed, .failed, .cancelled: true
    }
  }

  /// The states that may follow: `pending -> running -> completed | failed | cancelled`, `pending -> cancelled`.
  package var successors: [TaskStatus] {
    switch self {
    case .pending: [.running, .cancelled]
    case .running: [.completed, .failed, .cancelled]
    case .completed, .failed, .cancelled: []
    }
  }
}

extension Failure.Code {
  /// A change of state that the life of a task does not have.
  package static let illegalTransition = Failure.Code("ILLEGAL_TRANSITION")
  /// A cancel of a task that has completed or failed.
  package static let taskNotCancellable = Failure.Code("TASK_NOT_CANCELLABLE")
}

/// Something that happened to a task and is kept: a change of state, a request to cancel, an endpoint that opened.
package struct TaskEvent: Sendable, Hashable {
  package enum Kind: String, Sendable, Hashable {
    /// The task went to `status`.
    case status
    /// Somebody asked for the end of a running task.
    case cancelRequested = "cancel_requested"
    /// A serving task listens; the reason is its URL.
    case ready
  }

  /// 1, 2, 3, ... within the task.
  package var number: Int
  package var at: Instant
  package var kind: Kind
  /// The task's state after the event.
  package var status: TaskStatus
  package var reason: String

  package init(number: Int, at: Instant, kind: Kind, status: TaskStatus, reason: String) {
    self.number = number
    self.at = at
    self.kind = kind
    self.status = status
    self.reason = reason
  }
}

extension TaskRecord {
  /// The one place where a task changes state. Sets `startedAt` and `completedAt` and returns the event to store with it.
  /// - Throws: `ILLEGAL_TRANSITION`; terminal states are final.
  package mutating func move(to next: TaskStatus, reason: String, at time: Instant = .now) throws(Failure) -> TaskEvent {
    guard status.successors.contains(next) else {
      let rule =
        status.isTerminal
        ? "'\(status.rawValue)' is final"
        : "'\(status.rawValue)' goes to "
          + status.successors.map { "'\($0.rawValue)'" }.joined(separator: " or ")
      throw Failure(.illegalTransition, "task '\(id)' cannot go from '\(status.rawValue)' to '\(next.rawValue)': \(rule)")
    }
    let time = max(time.wholeMicroseconds, createdAt)  // a clock that was set back must not end a task before its start
    status = next
    if next == .running { startedAt = time }
    if next.isTerminal { completedAt = max(time, startedAt ?? time) }
    return note(.status, reason: reason, at: time)
  }

  /// The next event of this task, for what is not a change of state.
  package mutating func note(_ kind: TaskEvent.Kind, reason: String, at time: Instant = .now) -> TaskEvent {
    eventCount += 1
    return TaskEvent(number: eventCount, at: time.wholeMicroseconds, kind: kind, status: status, reason: reason)
  }
}

extension Instant {
  /// Microseconds since 1970, the resolution of the task store.
  package var microseconds: Int64 { seconds &* 1_000_000 &+ Int64(nanoseconds / 1000) }

  package init(microseconds: Int64) {
    var (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
    if rest < 0 {
      seconds -= 1
      rest += 1_000_000
    }
    self.init(seconds: seconds, nanoseconds: Int32(rest) * 1000)
  }

  /// The same time without the part below a microsecond.
  package var wholeMicroseconds: Instant { Instant(microseconds: microseconds) }
}
