import Core
import Synchronization

/// A task that is not over: its record as it is now, its running job, and what is not yet in the store. Its lock is held
/// while the store writes, so changes of one task happen one after the other; readers use the scheduler's snapshots.
final class LiveTask: Sendable {
  struct Content {
    var record: TaskRecord
    var attempt: TaskAttempt?
    var handle: (any JobHandle)?
    var holdsSlot = false
    var lines: [LogLine] = []
    var lastLine = 0
    var points: [MetricPoint] = []
    var series: [String: MetricSeries] = [:]
    /// Metrics whose stored points are to be replaced.
    var thinned: Set<String> = []
    var refusedMetrics = 0
    var lastSave = 0.0
    var lastNotice = 0.0
  }

  static let metricNames = 256

  let id: String
  /// What its request takes of the queue's memory.
  let requestBytes: Int
  let content: Mutex<Content>

  init(_ record: TaskRecord) {
    id = record.id
    requestBytes = record.approximateBytes
    content = Mutex(Content(record: record))
  }

  func withLock<T: Sendable>(_ body: (inout Content) throws(Failure) -> T) throws(Failure) -> T {
    let result: Result<T, Failure> = content.withLock { content in
      do throws(Failure) { return .success(try body(&content)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

extension LiveTask.Content {
  /// Numbers the lines and keeps them for the next `flush`.
  mutating func add(_ new: [LogLine]) {
    for var line in new {
      lastLine += 1
      line.number = lastLine
      lines.append(line)
    }
  }

  mutating func add(_ point: MetricPoint) {
    guard series[point.name] != nil || series.count < LiveTask.metricNames else {
      refusedMetrics += 1
      if refusedMetrics == 1 {
        add([
          LogLine(
            at: point.at, attempt: record.attempt, stream: .system, level: "warning",
            text: "the task has \(LiveTask.metricNames) metrics already; '\(point.name)' and other new names are not kept")
        ])
      }
      return
    }
    switch series[point.name, default: MetricSeries()].add(point) {
    case .appended: if !thinned.contains(point.name) { points.append(point) }
    case .skipped: break
    case .thinned:
      thinned.insert(point.name)
      points.removeAll { $0.name == point.name }
    }
  }

  /// Writes lines and points to the store. True when there was something.
  mutating func flush(to store: any TaskStore) throws(Failure) -> Bool {
    let id = record.id
    guard !lines.isEmpty || !points.isEmpty || !thinned.isEmpty else { return false }
    if !lines.isEmpty || !points.isEmpty {
      try store.append(logs: lines, metrics: points, id: id)
      lines = []
      points = []
    }
    for name in thinned { try store.replaceMetrics(name: name, points: series[name]?.points ?? [], id: id) }
    thinned = []
    return true
  }
}
