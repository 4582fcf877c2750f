package import Core
import LuaHost

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
  /// What else is known of the run, for the lineage of what it makes: script, script_sha256, input, output, params.
  package var facts = JSONObject()
  /// Metric points so far, oldest first, thinned when there are very many.
  package private(set) var points: [MetricPoint] = []
  private var lastProgress = -1.0
  private var pending: (done: Double, total: Double?, phase: String?)?
  private var phase: String?
  private var curves: [String: Curve] = [:]
  private struct Curve {
    var count = 0
    var lastSent = 0.0
    var held: (value: Double, step: Int?)?
  }

  /// Points kept at most; beyond it every second one of a curve is dropped.
  package static let pointLimit = 20_000
  package static let curveLimit = 1000
  package static let freePoints = 5000
  package static let metricInterval = 0.05
  package static let logLineLimit = 64 << 10
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
    if newPhase != phase { flushProgress() }
    guard now - lastProgress >= TaskContext.progressInterval || done == total || newPhase != phase else {
      pending = (done, total, newPhase)
      return
    }
    phase = newPhase
    lastProgress = now
    pending = nil
    events.progress(done: done, total: total, phase: newPhase)
  }

  /// Sends what was held back: the last progress report and the last point of every thinned curve.
  package func flush() {
    flushProgress()
    for (name, curve) in curves.sorted(by: { $0.key < $1.key }) {
      if let held = curve.held { events.metric(name: name, value: held.value, step: held.step) }
      curves[name]?.held = nil
    }
  }

  private func flushProgress() {
    guard let last = pending else { return }
    pending = nil
    events.progress(done: last.done, total: last.total, phase: last.phase)
  }

  /// One line of the log; what is longer than 64 KiB is cut.
  package func log(level: LogLevel, message: String) {
    let count = message.utf8.count
    guard count > TaskContext.logLineLimit else { return events.log(level: level, message: message) }
    let kept = String(decoding: message.utf8.prefix(TaskContext.logLineLimit), as: UTF8.self)
    events.log(level: level, message: "\(kept)... (\(count) bytes)")
  }

  /// Adds a point. All are sent up to `freePoints` of a curve, later ones at most twenty a second.
  /// - Throws: for more than `curveLimit` names, which is a number put into the name.
  package func metric(name: String, value: Double, step: Int?) throws(Failure) {
    if curves[name] == nil, curves.count >= TaskContext.curveLimit {
      throw Failure(
        .plain,
        "task.metric: more than \(TaskContext.curveLimit) names of metrics; numbers belong into 'step', not into the name")
    }
    var curve = curves[name] ?? Curve()
    defer { curves[name] = curve }
    curve.count += 1
    if points.count >= TaskContext.pointLimit {
      points = points.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    }
    points.append(MetricPoint(name: name, value: value, step: step))
    if curve.count > TaskContext.freePoints {
      let now = monotonicSeconds()
      guard now - curve.lastSent >= TaskContext.metricInterval else {
        curve.held = (value, step)
        return
      }
      curve.lastSent = now
    }
    curve.held = nil
    events.metric(name: name, value: value, step: step)
  }
}
