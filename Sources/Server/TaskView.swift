import Core
import Tasks

/// Tasks as clients see them: the contract's members first, more beside them.
enum TaskView {
  static func json(_ record: TaskRecord, detailed: Bool = true) -> JSONValue {
    var view: JSONObject = [
      "id": .string(record.id), "name": .string(record.request.name), "status": .string(record.status.rawValue),
      "created_at": .string(record.createdAt.description),
    ]
    if let time = record.startedAt { view["started_at"] = .string(time.description) }
    if let time = record.completedAt { view["completed_at"] = .string(time.description) }
    if let result = record.result { view["result"] = result }
    if var error = record.error {
      if !detailed {
        error.traceback = nil
        error.excerpt = nil
      }
      view["error"] = error.json
    }
    if let time = record.cancelRequestedAt { view["cancel_requested_at"] = .string(time.description) }
    if let progress = record.progress { view["progress"] = progress.json }
    if let endpoint = record.endpoint { view["endpoint"] = .string(endpoint) }
    view["script"] = .string(record.request.script)
    view["input"] = .string(record.request.input)
    view["output"] = .string(record.request.output)
    if detailed {
      view["params"] = record.request.params
      view["limits"] = record.request.limits.json
    }
    view["attempt"] = .int(Int64(record.attempt))
    if let usage = record.usage { view["usage"] = usage.json }
    if detailed {
      view["logs_url"] = .string("/api/v1/tasks/\(record.id)/logs")
      view["events_url"] = .string("/api/v1/tasks/\(record.id)/events")
      view["metrics_url"] = .string("/api/v1/tasks/\(record.id)/metrics")
    }
    return .object(view)
  }

  static func json(_ event: TaskEvent) -> JSONValue {
    [
      "event": .string(event.kind.rawValue), "number": .int(Int64(event.number)),
      "time": .string(event.at.text(fractionDigits: 3)), "status": .string(event.status.rawValue),
      "reason": .string(event.reason),
    ]
  }

  static func json(_ line: LogLine) -> JSONValue {
    [
      "event": "log", "number": .int(Int64(line.number)), "time": .string(line.at.text(fractionDigits: 3)),
      "attempt": .int(Int64(line.attempt)), "stream": .string(line.stream.rawValue), "level": .string(line.level),
      "message": .string(line.text),
    ]
  }

  static func json(_ point: MetricPoint) -> JSONValue {
    [
      "event": "metric", "name": .string(point.name), "step": point.step.map { .int($0) } ?? .null,
      "value": .double(point.value), "time": .string(point.at.text(fractionDigits: 3)),
    ]
  }

  /// `2026-02-10T10:00:00.123Z info     epoch 1: loss 0.31`, one line each; what is not printable is escaped.
  static func text(_ line: LogLine) -> String {
    let label = line.stream == .log || line.stream == .system ? line.level : line.stream.rawValue
    let pad = String(repeating: " ", count: max(1, 8 - label.utf8.count))
    let text = line.text.split(separator: "\n", omittingEmptySubsequences: false).map { plainLine(tabs(String($0))) }
    return
      "\(line.at.text(fractionDigits: 3)) \(label)\(pad)\(text.joined(separator: "\n" + String(repeating: " ", count: 33)))\n"
  }

  private static func tabs(_ text: String) -> String { text.replacing("\t", with: "    ") }
}
