import Core
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Tasks

/// `/api/v1/tasks`: create, list, read, cancel; logs, events, metrics.
struct TaskRoutes: Sendable {
  let scheduler: TaskScheduler
  let reader: TaskRequestReader
  let metrics: ServerMetrics
  let configuration: MoonlakeServer.Configuration
  let rendered = RenderedTasks()

  static let wait = QueryParameter(
    name: "wait", kind: .seconds(max: 60), about: "Wait this long for the task's end before the answer.")

  var routes: [Route] {
    [
      Route(
        method: .post, path: "/api/v1/tasks", tag: "tasks", summary: "Create a task: run a user's script",
        about: "Stores the task durably, then answers. With a free slot the answer already says `running`.",
        query: [TaskRoutes.wait], body: "TaskRequest",
        answers: [Answer(status: 201, about: "The task; its address is in `Location`.", schema: "Task")],
        errors: [
          .invalidRequest, .invalidScript, .pathNotAllowed, .originNotAllowed, .payloadTooLarge, .unsupportedMediaType,
          .queueFull,
          .shuttingDown, .insufficientStorage,
        ], handler: create),
      Route(
        method: .get, path: "/api/v1/tasks", tag: "tasks", summary: "List all tasks, newest first",
        about: "Without `params`, `limits`, tracebacks and excerpts. The next page is in `Link` and `X-Next-Cursor`.",
        query: [
          QueryParameter(
            name: "limit", kind: .integer(1...1000),
            about: "Tasks in the answer; 1000 when left out. A page of very large results ends earlier."),
          QueryParameter(name: "cursor", kind: .text, about: "The `X-Next-Cursor` of the page before."),
          QueryParameter(
            name: "status", kind: .list(TaskStatus.allCases.map(\.rawValue)), about: "Only tasks in these states."),
          QueryParameter(name: "name", kind: .text, about: "Only tasks of this name."),
          QueryParameter(name: "script", kind: .text, about: "Only tasks of this script."),
        ], answers: [Answer(status: 200, about: "The tasks.", schema: "[Task]")], errors: [.invalidRequest, .invalidCursor],
        handler: list),
      Route(
        method: .get, path: "/api/v1/tasks/{id}", tag: "tasks", summary: "State of one task",
        query: [TaskRoutes.wait], answers: [Answer(status: 200, about: "The task.", schema: "Task")],
        errors: [.invalidRequest, .taskNotFound], handler: read),
      Route(
        method: .post, path: "/api/v1/tasks/{id}/cancel", tag: "tasks", summary: "Cancel a pending or running task",
        about:
          "The state becomes `cancelled` when nothing of the task's processes is left, at most two seconds later. Cancelling twice is no error.",
        answers: [
          Answer(status: 200, about: "The task is cancelled.", schema: "Task"),
          Answer(status: 202, about: "The task is being ended; it has `cancel_requested_at`.", schema: "Task"),
        ], errors: [.originNotAllowed, .taskNotFound, .taskNotCancellable], handler: cancel),
      Route(
        method: .get, path: "/api/v1/tasks/{id}/logs", tag: "tasks", summary: "What a task printed and logged",
        about:
          "One line each: time, level (or `stdout`, `stderr`), text. As NDJSON with `Accept: application/x-ndjson`; as server-sent events with `follow=1`, whose items are LogLine.",
        query: [
          QueryParameter(name: "tail", kind: .integer(0...1_000_000), about: "Only the last lines."),
          QueryParameter(name: "follow", kind: .flag, about: "Go on until the task ends (text/event-stream)."),
        ],
        answers: [Answer(status: 200, about: "The lines.", schema: nil, type: "text/plain")],
        errors: [.invalidRequest, .taskNotFound],
        handler: logs),
      Route(
        method: .get, path: "/api/v1/tasks/{id}/events", tag: "tasks",
        summary: "State changes of a task; live as server-sent events",
        about:
          "A list of TaskEvent. With `follow=1` or `Accept: text/event-stream` a stream, until the task is over, of `status`, `cancel_requested`, `ready`, `progress`, `metric`, `usage` and `log` messages, last `end`; `Last-Event-ID` resumes.",
        query: [
          QueryParameter(name: "follow", kind: .flag, about: "Answer with a stream."),
          QueryParameter(name: "kinds", kind: .list(EventStream.kinds), about: "Only these messages in the stream."),
        ],
        answers: [Answer(status: 200, about: "The events.", schema: "[TaskEvent]")], errors: [.invalidRequest, .taskNotFound],
        handler: events),
      Route(
        method: .get, path: "/api/v1/tasks/{id}/metrics", tag: "tasks", summary: "Metric points of a task",
        about: "In the order they came. Of a long curve every second (fourth, ...) point is kept.",
        query: [QueryParameter(name: "name", kind: .text, about: "Only this metric.")],
        answers: [Answer(status: 200, about: "The points.", schema: "[MetricPoint]")],
        errors: [.invalidRequest, .taskNotFound],
        handler: points),
    ]
  }

  @Sendable private func create(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.jsonBody()
    var record = try await offload { [self] () throws(Failure) in try scheduler.submit(try reader.read(body)) }
    if let seconds = call.seconds("wait") {
      record = try await scheduler.wait(for: record.id, timeoutSeconds: seconds) { $0.status.isTerminal }
    } else if !scheduler.isQueued(id: record.id) {
      record = try await scheduler.wait(for: record.id, timeoutSeconds: configuration.startWaitSeconds) {
        $0.status != .pending
      }
    }
    return json(TaskView.json(record), status: .created, headers: [.location: "/api/v1/tasks/\(record.id)"])
  }

  @Sendable private func list(_ call: Call) async throws(Failure) -> Response {
    var query = TaskQuery(limit: call.integer("limit") ?? 1000)
    if let statuses = call.text("status") {
      query.statuses = Set(statuses.split(separator: ",").compactMap { TaskStatus(rawValue: String($0)) })
    }
    query.name = call.text("name")
    query.script = call.text("script")
    if let cursor = call.text("cursor") {
      guard cursor.hasPrefix("t"), cursor.utf8.count <= 20, let number = Int64(cursor.dropFirst(), radix: 36), number > 0 else {
        throw Failure(
          .invalidCursor, "'\(plainLine(String(cursor.prefix(40))))' is no cursor; take the X-Next-Cursor of the page before")
      }
      query.before = number
    }
    let wanted = query
    let (page, body) = try await offload { [self] () throws(Failure) in
      let page = try scheduler.page(wanted)
      return (page, ByteBuffer(bytes: JSONValue.array(page.records.map { TaskView.json($0, detailed: false) }).utf8()))
    }
    var headers = HTTPFields()
    if page.hasMore, let last = page.records.last {
      let cursor = "t" + String(last.sequence, radix: 36)
      headers[.nextCursor] = cursor
      let kept =
        call.query.filter { $0.name != "cursor" }.map { "\($0.name)=\(QueryText.encoded($0.value))" } + ["cursor=\(cursor)"]
      headers[.linkField] = "</api/v1/tasks?\(kept.joined(separator: "&"))>; rel=\"next\""
    }
    return json(bytes: body, headers: headers)
  }

  @Sendable private func read(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    if let seconds = call.seconds("wait") {
      return json(TaskView.json(try await scheduler.wait(for: id, timeoutSeconds: seconds) { $0.status.isTerminal }))
    }
    // Polled often: what is in memory is answered at once, from bytes made when it last changed.
    if let revision = scheduler.revision(of: id) {
      if let bytes = rendered.bytes(id, revision) { return json(bytes: bytes) }
      if let record = scheduler.cachedRecord(id: id) {  // perhaps newer than `revision`: then it is made once more next time
        return json(bytes: rendered.keep(ByteBuffer(bytes: TaskView.json(record).utf8()), id, revision))
      }
    }
    return json(TaskView.json(try await offload { [self] () throws(Failure) in try scheduler.record(id: id) }))
  }

  @Sendable private func cancel(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    var record = try await offload { [self] () throws(Failure) in try scheduler.cancel(id: id) }
    if !record.status.isTerminal {
      record = try await scheduler.wait(for: id, timeoutSeconds: configuration.cancelWaitSeconds) { $0.status.isTerminal }
    }
    switch record.status {
    case .cancelled: return json(TaskView.json(record))
    case .completed, .failed:
      return json(TaskView.json(try await offload { [self] () throws(Failure) in try scheduler.cancel(id: id) }))
    case .pending, .running: return json(TaskView.json(record), status: .accepted)
    }
  }

  @Sendable private func logs(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    let start = try await offload { [self] () throws(Failure) in
      let last = try scheduler.lastLogNumber(id: id)
      return call.integer("tail").map { max(0, last - $0) } ?? 0
    }
    if call.flag("follow") || call.accepts("text/event-stream") {
      return stream(call, ["log"], resume: call.request.headers[.lastEventID] ?? "0.\(start)")
    }
    let asJSON = call.accepts("application/x-ndjson")
    let buffer = try await offload { [self] () throws(Failure) in
      var out = ByteBuffer()
      var after = start
      while true {
        let lines = try scheduler.logs(id: id, after: after, limit: 2000)
        for line in lines {
          if asJSON { out.writeBytes(TaskView.json(line).utf8() + [10]) } else { out.writeString(TaskView.text(line)) }
        }
        guard let last = lines.last, lines.count == 2000 else { return out }
        after = last.number
      }
    }
    return Response(
      status: .ok,
      headers: [.contentType: asJSON ? "application/x-ndjson" : "text/plain; charset=utf-8", .cacheControl: "no-store"],
      body: ResponseBody(byteBuffer: buffer))
  }

  @Sendable private func events(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    let events = try await offload { [self] () throws(Failure) in try scheduler.events(id: id) }
    guard call.flag("follow") || call.accepts("text/event-stream") else {
      return json(.array(events.map { TaskView.json($0) }))
    }
    let kinds = call.text("kinds").map { Set($0.split(separator: ",").map(String.init)) } ?? Set(EventStream.kinds)
    return stream(call, kinds, resume: call.request.headers[.lastEventID])
  }

  private func stream(_ call: Call, _ kinds: Set<String>, resume: String?) -> Response {
    if call.request.method == .head {
      return Response(status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"])
    }
    return EventStream(
      scheduler, metrics: metrics, id: call.parameter("id"), kinds: kinds, resume: resume,
      heartbeatSeconds: configuration.heartbeatSeconds
    ).response()
  }

  @Sendable private func points(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    let name = call.text("name")
    let body = try await offload { [self] () throws(Failure) in
      let points = try scheduler.metrics(id: id).points.filter { point in name.map { $0 == point.name } ?? true }
      let list = points.map { point -> JSONValue in
        [
          "name": .string(point.name), "step": point.step.map { .int($0) } ?? .null, "value": .double(point.value),
          "time": .string(point.at.text(fractionDigits: 3)),
        ]
      }
      return ByteBuffer(bytes: JSONValue.array(list).utf8())
    }
    return json(bytes: body)
  }
}

/// JSON of tasks as it was last made, with the revision of the record it was made of.
final class RenderedTasks: Sendable {
  private let kept = Mutex<[String: (revision: UInt64, bytes: ByteBuffer)]>([:])

  func bytes(_ id: String, _ revision: UInt64) -> ByteBuffer? {
    kept.withLock { kept in
      guard let found = kept[id], found.revision == revision else { return nil }
      return found.bytes
    }
  }

  func keep(_ bytes: ByteBuffer, _ id: String, _ revision: UInt64) -> ByteBuffer {
    kept.withLock { kept in
      if kept.count >= 256 { kept.removeAll() }
      if bytes.readableBytes <= 65536 { kept[id] = (revision, bytes) }
    }
    return bytes
  }
}

extension QueryText {
  /// Percent-encoded for a query.
  static func encoded(_ text: String) -> String {
    text.utf8.map { byte in
      switch byte {
      case 48...57, 65...90, 97...122, 45, 46, 95, 126: String(UnicodeScalar(byte))
      default: "%" + hex(byte).uppercased()
      }
    }.joined()
  }
}
