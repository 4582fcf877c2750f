package import Core
import Synchronization

/// Tasks in memory, for tests and for runs that need no history.
package final class MemoryTaskStore: TaskStore {
  private struct Content {
    var records: [TaskRecord] = []
    var attempts: [String: [TaskAttempt]] = [:]
    var events: [String: [TaskEvent]] = [:]
    var logs: [String: [LogLine]] = [:]
    var metrics: [String: [(position: Int64, point: MetricPoint)]] = [:]
    var lastPosition: Int64 = 0

    mutating func add(_ point: MetricPoint, _ id: String) {
      lastPosition += 1
      metrics[id, default: []].append((lastPosition, point))
    }

    var isClosed = false

    func position(_ id: String) -> Int? {
      guard let sequence = TaskRecord.sequence(of: id), sequence <= records.count else { return nil }
      return Int(sequence) - 1
    }
  }
  private let content = Mutex(Content())

  package init() {}

  private func open<T>(_ body: (inout Content) throws(Failure) -> T) throws(Failure) -> T {
    let result: Result<T, Failure> = content.withLock { content in
      do throws(Failure) {
        if content.isClosed { throw Failure(.ioError, "the task store is closed") }
        return .success(try body(&content))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  package func create(_ request: TaskRequest, at time: Instant) throws(Failure) -> TaskRecord {
    try open { content throws(Failure) in
      var record = TaskRecord(sequence: Int64(content.records.count) + 1, request: request, createdAt: time)
      content.events[record.id] = [record.note(.status, reason: "created", at: time)]
      content.records.append(record)
      return record
    }
  }

  package func save(_ record: TaskRecord, events: [TaskEvent], attempt: TaskAttempt?) throws(Failure) {
    try open { content throws(Failure) in
      let id = record.id
      let at = content.position(id)
      try mustBeOpen(at.map { content.records[$0] }, id: id)
      guard let at else { return }
      content.records[at] = record
      content.events[id, default: []] += events
      if let attempt {
        content.attempts[id, default: []].removeAll { $0.number == attempt.number }
        content.attempts[id, default: []].append(attempt)
      }
    }
  }

  package func record(id: String) throws(Failure) -> TaskRecord? {
    try open { content throws(Failure) in content.position(id).map { content.records[$0] } }
  }

  package func page(_ query: TaskQuery) throws(Failure) -> TaskPage {
    try open { content throws(Failure) in
      var page = TaskPage(records: [], hasMore: false)
      var bytes = 0
      for record in content.records.reversed() {
        guard query.statuses.isEmpty || query.statuses.contains(record.status),
          query.name.map({ $0 == record.request.name }) ?? true, query.script.map({ $0 == record.request.script }) ?? true,
          query.before.map({ record.sequence < $0 }) ?? true
        else { continue }
        guard page.records.count < query.limit, bytes < query.limitBytes else {
          page.hasMore = true
          break
        }
        bytes += record.approximateBytes
        page.records.append(record)
      }
      return page
    }
  }

  package func counts() throws(Failure) -> [TaskStatus: Int] {
    try open { content throws(Failure) in content.records.reduce(into: [:]) { $0[$1.status, default: 0] += 1 } }
  }

  package func attempts(id: String) throws(Failure) -> [TaskAttempt] {
    try open { content throws(Failure) in (content.attempts[id] ?? []).sorted { $0.number < $1.number } }
  }

  package func events(id: String, after: Int) throws(Failure) -> [TaskEvent] {
    try open { content throws(Failure) in (content.events[id] ?? []).filter { $0.number > after } }
  }

  package func append(logs: [LogLine], metrics: [MetricPoint], id: String) throws(Failure) {
    try open { content throws(Failure) in
      guard content.position(id) != nil else { throw Failure(.taskNotFound, "Task '\(id)' does not exist") }
      content.logs[id, default: []] += logs
      for point in metrics { content.add(point, id) }
    }
  }

  package func logs(id: String, after: Int, limit: Int) throws(Failure) -> [LogLine] {
    try open { content throws(Failure) in
      Array((content.logs[id] ?? []).lazy.filter { $0.number > after }.prefix(max(0, limit)))
    }
  }

  package func lastLogNumber(id: String) throws(Failure) -> Int {
    try open { content throws(Failure) in content.logs[id]?.last?.number ?? 0 }
  }

  package func replaceMetrics(name: String, points: [MetricPoint], id: String) throws(Failure) {
    try open { content throws(Failure) in
      guard content.position(id) != nil else { throw Failure(.taskNotFound, "Task '\(id)' does not exist") }
      content.metrics[id]?.removeAll { $0.point.name == name }
      for point in points { content.add(point, id) }
    }
  }

  package func metrics(id: String, after position: Int64) throws(Failure) -> (points: [MetricPoint], position: Int64) {
    try open { content throws(Failure) in
      let found = (content.metrics[id] ?? []).filter { $0.position > position }
      return (found.map(\.point), found.last?.position ?? position)
    }
  }

  package func close() throws(Failure) {
    content.withLock { $0.isClosed = true }
  }
}
