package import Core

/// One line that a task printed or logged, or that the platform says about it.
package struct LogLine: Sendable, Hashable {
  package enum Stream: String, Sendable, Hashable, CaseIterable {
    /// What the worker wrote to its file descriptors 1 and 2.
    case stdout, stderr
    /// `log.info(...)` of the script.
    case log
    /// What the platform has to say.
    case system
  }

  /// 1, 2, 3, ... within the task.
  package var number: Int
  package var at: Instant
  package var attempt: Int
  package var stream: Stream
  /// `debug`, `info`, `warning` or `error`.
  package var level: String
  package var text: String

  package init(number: Int = 0, at: Instant, attempt: Int, stream: Stream, level: String = "info", text: String) {
    self.number = number
    self.at = at.wholeMicroseconds
    self.attempt = attempt
    self.stream = stream
    self.level = level
    // SQLite's text functions end at a NUL.
    self.text = text.utf8.contains(0) ? text.replacing("\0", with: "\u{FFFD}") : text
  }
}

/// One point of a metric's curve.
package struct MetricPoint: Sendable, Hashable {
  package var name: String
  package var step: Int64?
  /// NaN for a value that JSON cannot carry: a loss that became NaN is news, not an error.
  package var value: Double
  package var at: Instant

  package init(name: String, step: Int64? = nil, value: Double, at: Instant) {
    self.name = name
    self.step = step
    self.value = value
    self.at = at.wholeMicroseconds
  }

  package static func == (a: MetricPoint, b: MetricPoint) -> Bool {
    a.name == b.name && a.step == b.step && a.at == b.at && (a.value == b.value || a.value.isNaN && b.value.isNaN)
  }
}

/// One worker process of a task. `identity` lets a restarted server find what is left of it, and nothing else.
package struct TaskAttempt: Sendable, Hashable {
  package var number: Int
  package var startedAt: Instant
  package var endedAt: Instant?
  package var identity: ProcessIdentity?
  /// `completed`, `failed: SCRIPT_ERROR`, `cancelled`; nil while it runs.
  package var outcome: String?

  package init(
    number: Int, startedAt: Instant, endedAt: Instant? = nil, identity: ProcessIdentity? = nil, outcome: String? = nil
  ) {
    self.number = number
    self.startedAt = startedAt.wholeMicroseconds
    self.endedAt = endedAt?.wholeMicroseconds
    self.identity = identity
    self.outcome = outcome
  }
}

/// A process, told apart from a later one with the same number.
package struct ProcessIdentity: Sendable, Hashable {
  package var pid: Int32
  /// Clock ticks from boot to the start of the process (`/proc/PID/stat`, field 22).
  package var startTicks: UInt64
  /// `/proc/sys/kernel/random/boot_id`.
  package var bootID: String
  /// A random text in the environment of the worker and of everything it starts.
  package var token: String

  package init(pid: Int32, startTicks: UInt64, bootID: String, token: String) {
    self.pid = pid
    self.startTicks = startTicks
    self.bootID = bootID
    self.token = token
  }
}

/// A metric's points while they come in: at most `capacity` are kept. When it is full, every second point goes and from
/// then on only every second (fourth, ...) new one is taken, so a curve of a million points keeps its shape.
package struct MetricSeries: Sendable {
  package let capacity: Int
  package private(set) var points: [MetricPoint] = []
  private var stride = 1
  private var seen = 0

  package init(capacity: Int = 8192) { self.capacity = max(2, capacity) }

  /// What the store has to do after a point came.
  package enum Change: Sendable { case appended, skipped, thinned }

  package mutating func add(_ point: MetricPoint) -> Change {
    defer { seen += 1 }
    guard seen % stride == 0 else { return .skipped }
    points.append(point)
    guard points.count >= capacity else { return .appended }
    points = points.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    stride *= 2
    return .thinned
  }
}
