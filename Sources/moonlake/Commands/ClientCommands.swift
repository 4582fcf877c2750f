import ArgumentParser
import Core
import Foundation

/// Options of all commands that talk to a running server.
struct ServerOptions: ParsableArguments {
  @Option(help: "Address of the server; the configuration's by default.") var server: String?
  @Option(help: "Configuration file.") var config: String?
  @Flag(help: "Print the server's JSON.") var json = false

  func client() throws -> ServerClient {
    var base = try server ?? Configuration.load(config).address
    while base.hasSuffix("/") { base.removeLast() }
    guard let url = URL(string: base), ["http", "https"].contains(url.scheme), !(url.host ?? "").isEmpty else {
      throw ValidationError("--server: '\(base)' is no address such as http://localhost:8000")
    }
    return ServerClient(base: base)
  }
}

/// An id or name as one path segment.
func segment(_ text: String) -> String {
  text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-_.~"))) ?? text
}

struct Submit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give a script to the server as a task.",
    discussion: """
      Example:
        moonlake submit mnist/mnist_cnn.lua --input mnist_clean --output mnist_cnn_v1 --params '{"epochs": 3}' --wait
      """)
  @Argument(help: "The Lua script, relative to the server's script root.") var script: String
  @Option(help: "Name of the task; the script's name by default.") var name: String?
  @Option(help: "Path or name of the input.") var input = ""
  @Option(help: "Path or name of the output.") var output = ""
  @Option(help: "Parameters as a JSON object.") var params = "{}"
  @Flag(help: "Wait for the end; show logs and progress meanwhile.") var wait = false
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let client = try options.client()
    let body: JSONValue = [
      "name": .string(name ?? URL(fileURLWithPath: script).deletingPathExtension().lastPathComponent), "input": .string(input),
      "script": .string(script), "output": .string(output), "params": try parseParams(params),
    ]
    var task = try await client.call("POST", "/tasks", body: body)
    let id = task["id"]?.stringValue ?? ""
    if wait {
      if !options.json { Terminal.error("\(id) \(task["status"]?.stringValue ?? "")") }
      task = try await TaskFollower(client: client, id: id).untilEnd()
    }
    try present(task, json: options.json)
  }
}

/// The JSON object of `--params`.
func parseParams(_ text: String) throws(Failure) -> JSONValue {
  let value: JSONValue
  do { value = try JSONValue(parsing: text) } catch { throw Failure(.invalidArgument, "--params: \(error.message)") }
  guard value.objectValue != nil else {
    throw Failure(.invalidArgument, "--params must be a JSON object such as '{\"epochs\": 3}'")
  }
  return value
}

/// Prints a task's end; a failed or cancelled one ends the program with 1.
func present(_ task: JSONValue, json: Bool) throws {
  if json {
    print(task.text(pretty: true))
  } else {
    print("\(task["id"]?.stringValue ?? "")  \(task["status"]?.stringValue ?? "")")
    if let result = task["result"], !result.isNull { print(result.text(pretty: true)) }
    if let endpoint = task["endpoint"]?.stringValue { print(endpoint) }
  }
  if task["status"] == "failed" || task["status"] == "cancelled" {
    if let error = task["error"], !error.isNull {
      Terminal.complain(
        Failure(
          Failure.Code(error["code"]?.stringValue ?? "FAILED"), error["message"]?.stringValue ?? "the task failed",
          details: ["excerpt": error["excerpt"] ?? .null, "traceback": error["traceback"] ?? .null]))
    }
    throw ExitCode(1)
  }
}

/// Shows a task's log lines and progress until it ends (or serves).
struct TaskFollower {
  let client: ServerClient
  let id: String

  func untilEnd() async throws(Failure) -> JSONValue {
    let bar = ProgressBar()
    let path = "/tasks/\(segment(id))"
    try await client.events(path + "/events?follow=1") { _, data in
      guard let event = try? JSONValue(parsing: data) else { return true }
      switch event["event"]?.stringValue ?? event["type"]?.stringValue {
      case "progress":
        bar.update(
          done: event["done"]?.doubleValue ?? 0, total: event["total"]?.doubleValue, phase: event["phase"]?.stringValue)
      case "log":
        bar.clear()
        Terminal.error(Terminal.clean(event["message"]?.stringValue ?? ""))
      case "ready": return false
      default: break
      }
      return true
    }
    bar.clear()
    return try await client.call("GET", path)
  }
}

struct Tasks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List tasks, newest last, or show one.",
    discussion: "Examples:\n  moonlake tasks\n  moonlake tasks task-001 --json")
  @Argument(help: "Id of one task.") var id: String?
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let client = try options.client()
    if let id {
      let task = try await client.call("GET", "/tasks/\(segment(id))")
      print(task.text(pretty: true))
      return
    }
    let tasks = try await client.call("GET", "/tasks?limit=1000")
    if options.json { return print(tasks.text(pretty: true)) }
    let rows = (tasks.arrayValue ?? []).sorted { ($0["id"]?.stringValue ?? "", 0) < ($1["id"]?.stringValue ?? "", 0) }.map {
      task in
      [
        task["id"]?.stringValue ?? "", task["status"]?.stringValue ?? "", task["name"]?.stringValue ?? "",
        task["created_at"]?.stringValue ?? "", task["completed_at"]?.stringValue ?? "",
        task["error"]?["code"]?.stringValue ?? task["endpoint"]?.stringValue ?? "",
      ]
    }
    print(rows.isEmpty ? "no tasks yet" : Terminal.table(["ID", "STATUS", "NAME", "CREATED", "COMPLETED", "NOTE"], rows))
  }
}

struct Logs: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print a task's log.", discussion: "Example:\n  moonlake logs task-002 -f")
  @Argument(help: "Id of the task.") var id: String
  @Flag(name: [.short, .long], help: "Go on until the task ends.") var follow = false
  @Option(help: "Only the last lines.") var tail: Int?
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let client = try options.client()
    let path = "/tasks/\(segment(id))/logs"
    guard !options.json || follow else { throw ValidationError("--json needs --follow: one JSON object per line") }
    guard follow else {
      let text = try await client.text(path + (tail.map { "?tail=\($0)" } ?? ""))
      for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast(text.hasSuffix("\n") ? 1 : 0) {
        print(Terminal.clean(String(line)))
      }
      return
    }
    let json = options.json
    try await client.events(path + "?follow=1") { _, data in
      let line = json ? data : (try? JSONValue(parsing: data))?["message"]?.stringValue ?? data
      print(Terminal.clean(line))
      fflush(nil)
      return true
    }
  }
}

struct Cancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Cancel a pending or running task.", discussion: "Example:\n  moonlake cancel task-003")
  @Argument(help: "Id of the task.") var id: String
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let task = try await options.client().call("POST", "/tasks/\(segment(id))/cancel")
    print(
      options.json
        ? task.text(pretty: true) : "\(id)  \(task["status"] == "running" ? "stopping" : task["status"]?.stringValue ?? "")")
  }
}

struct Datasets: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "List the lake's data sets.")
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let items = try await options.client().call("GET", "/datasets")
    if options.json { return print(items.text(pretty: true)) }
    let rows = (items.arrayValue ?? []).map { item in
      [
        item["id"]?.stringValue ?? "", item["num_rows"]?.intValue.map(String.init) ?? "",
        item["version"]?.intValue.map(String.init) ?? "",
        item["bytes"]?.intValue.map { Quantity.text(bytes: Int($0)) } ?? "",
        (item["schema"]?.objectValue.map { Array($0) } ?? []).map { "\($0.0): \($0.1.stringValue ?? "")" }.joined(
          separator: ", "),
      ]
    }
    print(rows.isEmpty ? "no data sets yet" : Terminal.table(["ID", "ROWS", "VERSION", "SIZE", "SCHEMA"], rows))
  }
}

struct Models: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "List the lake's models.")
  @OptionGroup var options: ServerOptions

  func run() async throws {
    let items = try await options.client().call("GET", "/models")
    if options.json { return print(items.text(pretty: true)) }
    let rows = (items.arrayValue ?? []).map { item in
      [
        item["id"]?.stringValue ?? "", item["version"]?.intValue.map(String.init) ?? "",
        (item["metrics"]?.objectValue.map { Array($0) } ?? []).map { "\($0.0)=\($0.1.text())" }.joined(separator: " "),
        item["created_at"]?.stringValue ?? "",
      ]
    }
    print(rows.isEmpty ? "no models yet" : Terminal.table(["ID", "VERSION", "METRICS", "CREATED"], rows))
  }
}
