import Core
import Foundation
import Lake
import LuaHost
import LuaSystem
import Script

extension ScriptJob {
  /// The job's lake is `bucket`.
  mutating func lie(in bucket: BucketLake) {
    openLake = { () throws(Failure) in try bucket.open() }
  }

  /// The job line of the worker protocol.
  /// - Throws: `INVALID_REQUEST` naming the member that is missing or of the wrong type.
  init(message: JSONValue) throws(Failure) {
    func text(_ key: String) throws(Failure) -> String {
      guard let value = message[key]?.stringValue else { throw Failure(.invalidRequest, "job: \(key) must be text") }
      return value
    }
    self.init(
      script: try text("script"), scriptRoot: try text("script_root"), lake: try text("lake"), luaLib: try text("lualib"))
    task = try text("task")
    name = message["name"]?.stringValue ?? task
    attempt = Int(message["attempt"]?.intValue ?? 1)
    input = message["input"]?.stringValue ?? ""
    output = message["output"]?.stringValue ?? ""
    params = message["params"]?.objectValue ?? [:]
    lakeShownAs = message["lake_shown_as"]?.stringValue
    dataRoots = (message["data_roots"]?.arrayValue ?? []).compactMap(\.stringValue)
    wallLimitSeconds = message["limits"]?["wall_s"]?.doubleValue
    cpuLimitSeconds = message["limits"]?["cpu_s"]?.doubleValue
    memoryLimitBytes = (message["limits"]?["memory_bytes"]?.intValue).map { Int($0) }
    if let storage = message["storage"] { lie(in: try BucketLake(json: storage)) }
  }
}

extension Failure {
  /// The `error` of a failed task: code and message, and what is known of the script's place.
  var taskError: JSONValue {
    var error: JSONObject = ["code": .string(code.rawValue), "message": .string(message)]
    if let place { error["place"] = .string(place) }
    for (key, value) in details.sorted(by: { $0.key < $1.key }) where error[key] == nil { error[key] = value }
    return .object(error)
  }
}

extension Configuration {
  /// A job with this configuration's roots and limits.
  func job(script: String, scriptRoot: String) throws(Failure) -> ScriptJob {
    let place = try lakePlace()
    var job = ScriptJob(script: script, scriptRoot: scriptRoot, lake: place.name, luaLib: luaLibDirectory)
    job.lakeShownAs = shownStorage
    if case .bucket(let bucket) = place { job.lie(in: bucket) }
    job.dataRoots = dataDirectories
    job.wallLimitSeconds = wallLimitSeconds
    job.cpuLimitSeconds = cpuLimitSeconds
    job.memoryLimitBytes = memoryLimitBytes
    job.threads = threads
    return job
  }

  /// A job for a person at this machine: besides the configured folders it may read where they are and what they name.
  func localJob(script: String, input: String = "") throws(Failure) -> ScriptJob {
    let here = FileManager.default.currentDirectoryPath
    guard let file = realPath(script.hasPrefix("/") ? script : here + "/" + script) else {
      throw Failure(.fileNotFound, "script '\(script)' does not exist")
    }
    let root = realPath(scriptDirectory) ?? scriptDirectory
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    var job = try job(script: file, scriptRoot: file.hasPrefix(root + "/") ? root : folder)
    job.name = URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
    job.dataRoots.append(here)
    if let named = realPath(input) { job.dataRoots.append(named) }
    return job
  }

  /// A Lua state over this lake without a script: the REPL, tests.
  func environment(root: String, events: any TaskEvents, print: @escaping (String) -> Void) throws(Failure) -> ScriptEnvironment
  {
    var job = try job(script: "", scriptRoot: root)
    job.dataRoots.append(FileManager.default.currentDirectoryPath)
    return try ScriptEnvironment(job, events: events, print: print)
  }
}
