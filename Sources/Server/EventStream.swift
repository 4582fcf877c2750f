import Core
import HTTPTypes
import Hummingbird
import NIOCore
import Tasks

/// A task's events and log lines as server-sent events (WHATWG HTML, section 9.2), until the task is over.
///
/// Each message has `event:` (its kind) and `data:` (a JSON object whose `event` says the same). State changes and log lines
/// have an `id:` `E.L`, the numbers of the newest event and line that were sent; with `Last-Event-ID: E.L` a stream goes on
/// after them. Metric points come from the first one in every stream; progress and usage are the newest only.
/// The last message is `end`.
///
/// The reader sets the pace: the stream asks the store for what is new when the last part was taken, so a slow client costs
/// no memory; one that does not read at all is cut by `ConnectionGuard`.
struct EventStream: Sendable {
  static let kinds = ["status", "cancel_requested", "ready", "progress", "metric", "usage", "log"]

  let scheduler: TaskScheduler
  let metrics: ServerMetrics
  let id: String
  let kinds: Set<String>
  let heartbeatSeconds: Double
  private var position = Position()

  private struct Position: Sendable {
    var event = 0
    var line = 0
    var point: Int64 = 0
    var newest: [String: MetricPoint] = [:]
    var progress: TaskProgress?
    var usage: TaskUsage?
    var usageTime = 0.0
  }

  /// - Parameter resume: the `Last-Event-ID` field.
  init(
    _ scheduler: TaskScheduler, metrics: ServerMetrics, id: String, kinds: Set<String>, resume: String?,
    heartbeatSeconds: Double
  ) {
    self.scheduler = scheduler
    self.metrics = metrics
    self.id = id
    self.kinds = kinds
    self.heartbeatSeconds = heartbeatSeconds
    if let resume {
      let numbers = resume.split(separator: ".").map { Int($0) ?? 0 }
      position.event = max(0, numbers.first ?? 0)
      position.line = max(0, numbers.count > 1 ? numbers[1] : 0)
    }
  }

  func response() -> Response {
    let stream = self
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
      body: ResponseBody { writer in
        stream.metrics.stream(1)
        defer { stream.metrics.stream(-1) }
        try await stream.run { try await writer.write(ByteBuffer(string: $0)) }
        try await writer.finish(nil)
      })
  }

  private func run(_ write: (String) async throws -> Void) async throws {
    var position = self.position
    let notices = scheduler.changes(of: id)  // listen first, then look
    var iterator = notices.makeAsyncIterator()
    try await write("retry: 2000\n\n")
    var lastWrite = monotonicSeconds()
    while true {
      let before = position
      let (part, next, state) = try await offload { [self] () throws(Failure) in try gather(before) }
      position = next
      if !part.isEmpty {
        try await write(part)
        lastWrite = monotonicSeconds()
      } else if monotonicSeconds() - lastWrite >= heartbeatSeconds {
        try await write(":\n\n")
        lastWrite = monotonicSeconds()
      }
      switch state {
      case .more: continue
      case .over(let status):
        return try await write("event: end\ndata: {\"event\":\"end\",\"status\":\"\(status.rawValue)\"}\n\n")
      case .waiting: if await iterator.next() == nil { return }  // the server stops
      }
    }
  }

  private enum State: Sendable { case more, waiting, over(TaskStatus) }
  private static let linesAtOnce = 500

  /// What is new since `position`.
  private func gather(_ start: Position) throws(Failure) -> (String, Position, State) {
    var position = start
    var out = ""
    // The record first: if it is over, all lines and events below are there.
    let record = try scheduler.record(id: id)
    func add(_ kind: String, _ data: JSONValue, id: Bool = false) {
      guard kinds.contains(kind) else { return }
      if id { out += "id: \(position.event).\(position.line)\n" }
      out += "event: \(kind)\ndata: \(data.text())\n\n"
    }
    for event in try scheduler.events(id: id, after: position.event) {
      position.event = event.number
      add(event.kind.rawValue, TaskView.json(event), id: true)
    }
    var isMore = false
    if kinds.contains("log") {
      let lines = try scheduler.logs(id: id, after: position.line, limit: EventStream.linesAtOnce)
      for line in lines {
        position.line = line.number
        add("log", TaskView.json(line), id: true)
      }
      isMore = lines.count == EventStream.linesAtOnce
    }
    if kinds.contains("metric") {
      let (points, last) = try scheduler.metrics(id: id, after: position.point)
      position.point = last
      for point in points {
        // A curve that was thinned out comes again from the store; clients have those points.
        if let known = position.newest[point.name],
          point.at < known.at || point.at == known.at && (point.step ?? 0) <= (known.step ?? 0)
        {
          continue
        }
        position.newest[point.name] = point
        add("metric", TaskView.json(point))
      }
    }
    if let progress = record.progress, progress != position.progress {
      position.progress = progress
      add("progress", TaskView.tagged("progress", progress.json))
    }
    let now = monotonicSeconds()
    if let usage = record.usage, usage != position.usage, now - position.usageTime >= 2 || record.status.isTerminal {
      position.usage = usage
      position.usageTime = now
      add("usage", TaskView.tagged("usage", usage.json))
    }
    return (out, position, isMore ? .more : record.status.isTerminal ? .over(record.status) : .waiting)
  }
}

extension TaskView {
  /// `object` with the member `event` before the others.
  static func tagged(_ kind: String, _ object: JSONValue) -> JSONValue {
    var tagged: JSONObject = ["event": .string(kind)]
    for (key, value) in object.objectValue ?? JSONObject() { tagged[key] = value }
    return .object(tagged)
  }
}
