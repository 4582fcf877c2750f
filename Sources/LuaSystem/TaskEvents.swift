package import Core

/// Where a running script's news go: the worker's event channel, a terminal, a test. Called from the script's thread.
package protocol TaskEvents: AnyObject, Sendable {
  /// `done` of `total` units (nil: unknown) of `phase`.
  func progress(done: Double, total: Double?, phase: String?)
  /// One point of a curve.
  func metric(name: String, value: Double, step: Int?)
  func log(level: LogLevel, message: String)
  /// The script serves at `url`.
  func ready(url: String)
}

/// How much a log line matters.
package enum LogLevel: String, Sendable, CaseIterable {
  case debug, info, warn, error
}

/// A point of a metric curve, kept for the model that the task may save.
package struct MetricPoint: Sendable {
  package let name: String
  package let value: Double
  package let step: Int?
}

/// The task that a script runs as, and its channel to the world; the service behind the `task` module.
package final class TaskContext {
  package let id: String
  package let name: String
  package let attempt: Int
  package let startedAt: Instant
  package let events: any TaskEvents
  /// Metric points so far, oldest first, thinned when there are very many.
  package private(set) var points: [MetricPoint] = []
  private var lastProgress = -1.0
  private var pending: (done: Double, total: Double?, phase: String?)?
  private var phase: String?

  /// Points kept at most; beyond it every second one of a curve is dropped.
  package static let pointLimit = 20_000
  /// Seconds between progress events; a script may report every step.
  package static let progressInterval = 0.1

  package init(id: String, name: String, attempt: Int, events: any TaskEvents, startedAt: Instant = .now) {
    self.id = id
    self.name = name
    self.attempt = attempt
    self.events = events
    self.startedAt = startedAt
  }

  package func progress(done: Double, total: Double?, phase newPhase: String?) {
    let now = monotonicSeconds()
    if newPhase != phase { flush() }
    guard now - lastProgress >= TaskContext.progressInterval || done == total || newPhase != phase else {
      pending = (done, total, newPhase)
      return
    }
    phase = newPhase
    lastProgress = now
    pending = nil
    events.progress(done: done, total: total, phase: newPhase)
  }

  /// Sends a progress report that was held back.
  package func flush() {
    guard let last = pending else { return }
    pending = nil
    events.progress(done: last.done, total: last.total, phase: last.phase)
  }

  package func metric(name: String, value: Double, step: Int?) {
    if points.count >= TaskContext.pointLimit {
      points = points.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    }
    points.append(MetricPoint(name: name, value: value, step: step))
    events.metric(name: name, value: value, step: step)
  }
}
