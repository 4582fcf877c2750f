package import Core

/// What a client asks for with `POST /tasks`, already checked.
package struct TaskRequest: Sendable, Hashable {
  package var name: String
  package var script: String
  package var input: String
  package var output: String
  /// A JSON object.
  package var params: JSONValue
  package var limits: TaskLimits

  package init(
    name: String, script: String, input: String = "", output: String = "", params: JSONValue = .object(JSONObject()),
    limits: TaskLimits = TaskLimits()
  ) {
    self.name = name
    self.script = script
    self.input = input
    self.output = output
    self.params = params
    self.limits = limits
  }
}

/// What a task may use at most; nil is "as configured".
package struct TaskLimits: Sendable, Hashable {
  package var wallSeconds: Double?
  package var cpuSeconds: Double?
  /// Private memory of the worker and everything it started; mapped files do not count.
  package var memoryBytes: Int?

  package init(wallSeconds: Double? = nil, cpuSeconds: Double? = nil, memoryBytes: Int? = nil) {
    self.wallSeconds = wallSeconds
    self.cpuSeconds = cpuSeconds
    self.memoryBytes = memoryBytes
  }

  /// These limits, and `defaults` where none is set.
  package func filled(from defaults: TaskLimits) -> TaskLimits {
    TaskLimits(
      wallSeconds: wallSeconds ?? defaults.wallSeconds, cpuSeconds: cpuSeconds ?? defaults.cpuSeconds,
      memoryBytes: memoryBytes ?? defaults.memoryBytes)
  }

  /// `{"wall_s","cpu_s","memory_bytes"}`, null where unlimited.
  package var json: JSONValue {
    [
      "wall_s": wallSeconds.map { .double($0) } ?? .null, "cpu_s": cpuSeconds.map { .double($0) } ?? .null,
      "memory_bytes": memoryBytes.map { .int(Int64($0)) } ?? .null,
    ]
  }

  package init(json: JSONValue) {
    self.init(
      wallSeconds: json["wall_s"]?.doubleValue, cpuSeconds: json["cpu_s"]?.doubleValue,
      memoryBytes: json["memory_bytes"]?.intValue.flatMap { Int(exactly: $0) })
  }
}

/// Why a task failed, as its record keeps it.
package struct TaskError: Sendable, Hashable {
  package var code: String
  package var message: String
  /// The script's path below the script root.
  package var script: String?
  package var line: Int?
  /// The source lines around `line`.
  package var excerpt: String?
  package var traceback: String?
  /// `SIGSEGV`, for a worker that died by a signal.
  package var signal: String?
  package var exitCode: Int?

  package init(_ code: String, _ message: String, signal: String? = nil, exitCode: Int? = nil) {
    self.code = code
    self.message = message
    self.signal = signal
    self.exitCode = exitCode
  }

  package var json: JSONValue {
    var object: JSONObject = ["code": .string(code), "message": .string(message)]
    if let script { object["script"] = .string(script) }
    if let line { object["line"] = .int(Int64(line)) }
    if let excerpt { object["excerpt"] = .string(excerpt) }
    if let traceback { object["traceback"] = .string(traceback) }
    if let signal { object["signal"] = .string(signal) }
    if let exitCode { object["exit_code"] = .int(Int64(exitCode)) }
    return .object(object)
  }

  /// Reads an error that a worker sent or the store kept. A code that is not in capitals becomes `SCRIPT_ERROR`.
  package init(json: JSONValue) {
    let code = json["code"]?.stringValue ?? ""
    let isName =
      !code.isEmpty && code.utf8.count <= 64
      && code.utf8.allSatisfy { (65...90).contains($0) || (48...57).contains($0) || $0 == 95 }
    self.init(isName ? code : "SCRIPT_ERROR", json["message"]?.stringValue ?? "the script failed without a message")
    script = json["script"]?.stringValue
    line = json["line"]?.intValue.flatMap { Int(exactly: $0) }
    excerpt = json["excerpt"]?.stringValue
    traceback = json["traceback"]?.stringValue
    signal = json["signal"]?.stringValue
    exitCode = json["exit_code"]?.intValue.flatMap { Int(exactly: $0) }
  }
}

/// How far a running script says it is.
package struct TaskProgress: Sendable, Hashable {
  package var done: Double
  package var total: Double?
  package var phase: String?

  package init(done: Double, total: Double? = nil, phase: String? = nil) {
    self.done = done
    self.total = total
    self.phase = phase
  }

  package var json: JSONValue {
    var object: JSONObject = ["done": .double(done)]
    if let total { object["total"] = .double(total) }
    if let phase { object["phase"] = .string(phase) }
    return .object(object)
  }

  package init?(json: JSONValue) {
    guard let done = json["done"]?.doubleValue else { return nil }
    self.init(done: done, total: json["total"]?.doubleValue, phase: json["phase"]?.stringValue)
  }
}

/// What a task used: of one attempt, the worker and everything it started together.
package struct TaskUsage: Sendable, Hashable {
  package var wallSeconds: Double
  package var cpuSeconds: Double
  package var peakRSSBytes: Int

  package init(wallSeconds: Double = 0, cpuSeconds: Double = 0, peakRSSBytes: Int = 0) {
    self.wallSeconds = wallSeconds
    self.cpuSeconds = cpuSeconds
    self.peakRSSBytes = peakRSSBytes
  }

  package var json: JSONValue {
    [
      "wall_s": .double((wallSeconds * 1000).rounded() / 1000), "cpu_s": .double((cpuSeconds * 1000).rounded() / 1000),
      "peak_rss_bytes": .int(Int64(peakRSSBytes)),
    ]
  }

  package init(json: JSONValue) {
    self.init(
      wallSeconds: json["wall_s"]?.doubleValue ?? 0, cpuSeconds: json["cpu_s"]?.doubleValue ?? 0,
      peakRSSBytes: json["peak_rss_bytes"]?.intValue.flatMap { Int(exactly: $0) } ?? 0)
  }
}

/// All that is known of one task.
package struct TaskRecord: Sendable, Hashable {
  /// 1, 2, 3, ... in the order of creation.
  package let sequence: Int64
  package let request: TaskRequest
  package let createdAt: Instant
  /// Changed by `move(to:reason:at:)` only, or read from a store.
  package internal(set) var status: TaskStatus
  package var startedAt: Instant?
  package var completedAt: Instant?
  package var cancelRequestedAt: Instant?
  /// Worker processes started for this task so far.
  package var attempt: Int = 0
  package var result: JSONValue?
  package var error: TaskError?
  package var progress: TaskProgress?
  package var usage: TaskUsage?
  /// Where a serving task listens, `http://127.0.0.1:8080`.
  package var endpoint: String?
  /// The number of the newest stored event.
  package internal(set) var eventCount: Int = 0

  /// A record that is `pending`, as it is created.
  package init(sequence: Int64, request: TaskRequest, createdAt: Instant) {
    self.sequence = sequence
    self.request = request
    self.createdAt = createdAt.wholeMicroseconds
    self.status = .pending
  }

  /// About how much memory the parameters, the result and the texts take.
  package var approximateBytes: Int {
    512 + request.params.approximateBytes + (result?.approximateBytes ?? 0) + (error?.traceback?.utf8.count ?? 0)
      + (error?.message.utf8.count ?? 0) + request.input.utf8.count + request.output.utf8.count
  }

  /// `task-001`, `task-002`, ... and on to `task-1000`.
  package var id: String { TaskRecord.id(of: sequence) }

  package static func id(of sequence: Int64) -> String {
    let digits = "\(sequence)"
    return "task-" + String(repeating: "0", count: max(0, 3 - digits.utf8.count)) + digits
  }

  /// The sequence number in an id; nil for a text that no task has as its id.
  package static func sequence(of id: String) -> Int64? {
    guard id.hasPrefix("task-"), id.utf8.count <= 24, let number = Int64(id.dropFirst(5)), number > 0,
      TaskRecord.id(of: number) == id
    else { return nil }
    return number
  }
}

extension JSONValue {
  /// About how much memory the value takes.
  var approximateBytes: Int {
    switch self {
    case .null, .bool, .int, .double: 16
    case .string(let text): 32 + text.utf8.count
    case .array(let items): items.reduce(32) { $0 + $1.approximateBytes }
    case .object(let members): members.reduce(64) { $0 + $1.0.utf8.count + 32 + $1.1.approximateBytes }
    }
  }
}
