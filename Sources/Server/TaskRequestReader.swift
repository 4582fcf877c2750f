import CDispatch
import Core
import Glibc
import Lake
import Tasks

/// Turns the body of `POST /tasks` into a request that may be stored: every field checked, every path inside its roots.
struct TaskRequestReader: Sendable {
  let configuration: MoonlakeServer.Configuration
  let lake: DataLake

  static let fields = ["name", "input", "script", "output", "params", "limits"]

  /// - Throws: `INVALID_REQUEST` with all wrong fields in its details, `INVALID_SCRIPT`, `PATH_NOT_ALLOWED`.
  func read(_ body: JSONValue) throws(Failure) -> TaskRequest {
    guard let object = body.objectValue else {
      throw Failure(
        .invalidRequest,
        "the body must be a JSON object with the fields name, input, script, output, params, not \(BodySchema.article(body.kind))"
      )
    }
    var wrong: [(field: String, reason: String)] = []
    for key in object.keys where !TaskRequestReader.fields.contains(key) {
      wrong.append(
        (
          String(key.prefix(80)),
          "unknown field " + nearNames(String(key.prefix(80)), known: TaskRequestReader.fields, what: "fields")
        ))
    }
    func string(_ field: String, most: Int) -> String {
      guard let value = object[field] else {
        wrong.append((field, "field '\(field)' is missing; it must be a string"))
        return ""
      }
      guard let text = value.stringValue else {
        wrong.append((field, "field '\(field)' must be a string, not \(BodySchema.article(value.kind))"))
        return ""
      }
      if text.utf8.count > most {
        wrong.append((field, "field '\(field)' is \(text.utf8.count) bytes long; at most \(most) are allowed"))
      } else if let scalar = text.unicodeScalars.first(where: isControl) {
        wrong.append(
          (field, "field '\(field)' must not hold control characters (U+\(String(scalar.value, radix: 16, uppercase: true)))"))
      } else {
        return text
      }
      return ""
    }
    let name = string("name", most: 200)
    if object["name"]?.stringValue?.allSatisfy({ $0 == " " }) == true {
      wrong.append(("name", "field 'name' must not be empty"))
    }
    let input = string("input", most: 4096)
    let script = string("script", most: 4096)
    if object["script"]?.stringValue == "" { wrong.append(("script", "field 'script' must not be empty")) }
    let output = string("output", most: 4096)
    let params = object["params"] ?? .null
    if object["params"] == nil {
      wrong.append(("params", "field 'params' is missing; it must be an object"))
    } else if params.objectValue == nil {
      wrong.append(("params", "field 'params' must be an object, not \(BodySchema.article(params.kind))"))
    }
    let limits = readLimits(object["limits"], &wrong)
    if let first = wrong.first {
      let more = wrong.count > 1 ? " (and \(wrong.count - 1) more: see details)" : ""
      throw Failure(
        .invalidRequest, first.reason + more,
        details: ["fields": .array(wrong.map { ["field": .string($0.field), "reason": .string($0.reason)] })])
    }
    try checkScript(script)
    let place = try checkedInput(input)
    if output.contains("://") { throw Failure(.invalidRequest, "output '\(output)' is a URL; give a name in the lake") }
    _ = try lake.resolveOutput(output)
    return TaskRequest(name: name, script: script, input: place, output: output, params: params, limits: limits)
  }

  private func readLimits(_ value: JSONValue?, _ wrong: inout [(field: String, reason: String)]) -> TaskLimits {
    var limits = TaskLimits()
    guard let value, !value.isNull else { return limits }
    guard let object = value.objectValue else {
      wrong.append(("limits", "field 'limits' must be an object, not \(BodySchema.article(value.kind))"))
      return limits
    }
    let known = ["wall_s", "cpu_s", "memory_bytes"]
    for (key, value) in object where !value.isNull {
      let field = "limits.\(key.prefix(80))"
      guard known.contains(key) else {
        wrong.append((field, "unknown field " + nearNames(String(field), known: known.map { "limits." + $0 }, what: "fields")))
        continue
      }
      guard let number = value.doubleValue, number > 0, number <= 1e15 else {
        wrong.append((field, "field '\(field)' must be a number above 0"))
        continue
      }
      let most: Double?
      switch key {
      case "wall_s":
        limits.wallSeconds = number
        most = configuration.taskLimits.wallSeconds
      case "cpu_s":
        limits.cpuSeconds = number
        most = configuration.taskLimits.cpuSeconds
      default:
        limits.memoryBytes = Int(number)
        most = configuration.taskLimits.memoryBytes.map { Double($0) }
      }
      if let most, number > most {
        wrong.append(
          (field, "field '\(field)' is \(value.text()); the configuration allows at most \(JSONValue.double(most).text())"))
      }
    }
    return limits
  }

  /// A script is a `.lua` file below the script root, links followed.
  private func checkScript(_ script: String) throws(Failure) {
    if script.hasSuffix(".py") {
      throw Failure(.invalidScript, "scripts are Lua: try \(script.dropLast(3)).lua")
    }
    guard script.hasSuffix(".lua") else { throw Failure(.invalidScript, "script '\(script)' must be a .lua file") }
    let outside = Failure(.pathNotAllowed, "script '\(script)' is not below the script root")
    guard let root = PathRule.real(configuration.scriptRoot) else {
      throw Failure(.invalidScript, "the configured script root does not exist")
    }
    let path = script.hasPrefix("/") ? script : root + "/" + script
    guard let real = PathRule.real(path) else {
      guard PathRule.isInside(PathRule.lexical(path), root) else { throw outside }
      throw Failure(.invalidScript, "script '\(script)' does not exist below the script root")
    }
    guard PathRule.isInside(real, root) else { throw outside }
    guard PathRule.kind(real) == .file else { throw Failure(.invalidScript, "script '\(script)' is not a file") }
  }

  /// The input as the worker gets it: a name or path of the lake as it was given, a path below a data root absolute. Whether
  /// it exists is seen when the task runs: another task may have to make it first.
  private func checkedInput(_ input: String) throws(Failure) -> String {
    if input.isEmpty { return input }
    if input.contains("://") { throw Failure(.invalidRequest, "input '\(input)' is a URL; give a name in the lake or a path") }
    do throws(Failure) {
      _ = try lake.reference(input)
      return input
    } catch {
      guard input.contains("/"), error.code == .pathNotAllowed || error.code == .invalidRequest else { throw error }
    }
    let path = input.hasPrefix("/") ? input : configuration.baseDirectory + "/" + input
    for root in configuration.dataRoots {
      guard let realRoot = PathRule.real(root) else { continue }
      if let real = PathRule.real(path) {
        guard PathRule.isInside(real, realRoot) else { continue }
        guard PathRule.kind(real) != .other else {
          throw Failure(.pathNotAllowed, "input '\(input)' is neither a file nor a folder")
        }
        return path
      }
      let lexical = PathRule.lexical(path)
      if PathRule.isInside(lexical, realRoot) || PathRule.isInside(lexical, root) { return path }
    }
    let roots = configuration.dataRoots.isEmpty ? "none" : configuration.dataRoots.joined(separator: ", ")
    throw Failure(
      .pathNotAllowed,
      "input '\(input)' lies neither in the lake nor below a data root (data roots: \(roots)); server.data_roots in config.yaml adds one"
    )
  }
}

/// Questions about paths on this machine.
enum PathRule {
  enum Kind { case file, folder, other }

  /// Absolute, with all links followed; nil for a path that leads nowhere.
  static func real(_ path: String) -> String? {
    guard !path.utf8.contains(0), let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  static func isInside(_ path: String, _ root: String) -> Bool {
    path == root || path.hasPrefix(root.hasSuffix("/") ? root : root + "/")
  }

  /// `path` with `.` and `..` taken out by their names alone.
  static func lexical(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  static func kind(_ path: String) -> Kind {
    var info = stat()
    guard stat(path, &info) == 0 else { return .other }
    switch info.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    default: return .other
    }
  }
}
