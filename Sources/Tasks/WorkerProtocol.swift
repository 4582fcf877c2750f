package import Core

/// The worker protocol (docs/worker-protocol.md): JSON, one object per line. Jobs and commands go to the worker's
/// descriptor 0, events come from its descriptor 3.
package enum WorkerEvent: Sendable, Hashable {
  case started
  case progress(TaskProgress)
  case metric(name: String, value: Double, step: Int64?)
  case log(level: String, message: String)
  case ready(url: String)
  case usage(cpuSeconds: Double?, peakRSSBytes: Int?)
  case result(JSONValue)
  case error(TaskError)

  /// Reads one line.
  /// - Throws: `INVALID_REQUEST` saying what is wrong with it.
  package init(line: UnsafeRawBufferPointer) throws(Failure) {
    let json = try JSONValue(parsing: line, limits: .init(depth: 512))
    guard let kind = json["event"]?.stringValue else { throw Failure(.invalidRequest, "an event needs the field 'event'") }
    func missing(_ field: String) -> Failure { Failure(.invalidRequest, "event '\(kind)' needs the field '\(field)'") }
    switch kind {
    case "started": self = .started
    case "progress":
      guard let progress = TaskProgress(json: json) else { throw missing("done") }
      self = .progress(progress)
    case "metric":
      guard let name = json["name"]?.stringValue, !name.isEmpty, name.utf8.count <= 256 else { throw missing("name") }
      guard let value = json["value"] else { throw missing("value") }
      self = .metric(name: name, value: value.doubleValue ?? .nan, step: json["step"]?.intValue)
    case "log":
      guard let message = json["message"]?.stringValue else { throw missing("message") }
      let level = json["level"]?.stringValue ?? "info"
      self = .log(
        level: ["debug", "info", "warning", "error"].contains(level) ? level : level == "warn" ? "warning" : "info",
        message: message)
    case "ready":
      guard let url = json["url"]?.stringValue, !url.isEmpty, url.utf8.count <= 2048 else { throw missing("url") }
      self = .ready(url: url)
    case "usage":
      self = .usage(
        cpuSeconds: json["cpu_s"]?.doubleValue, peakRSSBytes: json["peak_rss_bytes"]?.intValue.flatMap { Int(exactly: $0) })
    case "result":
      guard let result = json["result"] else { throw missing("result") }
      self = .result(result)
    case "error":
      guard let error = json["error"], error.objectValue != nil else { throw missing("error") }
      self = .error(TaskError(json: error))
    default: throw Failure(.invalidRequest, "there is no event '\(kind.prefix(40))'")
    }
  }
}

/// Where a worker finds things; the same for all jobs of a server.
package struct WorkerPlaces: Sendable {
  /// Absolute paths; of a lake in a bucket, `s3://BUCKET/PREFIX`.
  package var scriptRoot: String
  package var lake: String
  package var dataRoots: [String]
  package var luaLib: String
  /// How a lake in a bucket is reached, for the worker to understand; nil when `lake` is a directory. No secrets.
  package var storage: JSONValue?

  package init(scriptRoot: String, lake: String, dataRoots: [String] = [], luaLib: String, storage: JSONValue? = nil) {
    self.scriptRoot = scriptRoot
    self.lake = lake
    self.dataRoots = dataRoots
    self.luaLib = luaLib
    self.storage = storage
  }
}

extension Job {
  /// The first line for the worker.
  func line(_ places: WorkerPlaces) -> [UInt8] {
    let script = request.script.hasPrefix("/") ? request.script : places.scriptRoot + "/" + request.script
    var job: JSONObject = [
      "task": .string(task), "attempt": .int(Int64(attempt)), "name": .string(request.name), "script": .string(script),
      "script_root": .string(places.scriptRoot), "input": .string(request.input), "output": .string(request.output),
      "params": request.params, "lake": .string(places.lake), "data_roots": .array(places.dataRoots.map { .string($0) }),
      "lualib": .string(places.luaLib), "limits": limits.json,
    ]
    if let storage = places.storage { job["storage"] = storage }
    return JSONValue.object(job).utf8() + [10]
  }

  static let cancelLine = Array(#"{"command":"cancel"}"#.utf8) + [10]
}
