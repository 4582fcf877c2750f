import Core
import Foundation
import LuaSystem
import Script
import Testing

/// Drops what a run tells.
final class SilentEvents: TaskEvents {
  func progress(done: Double, total: Double?, phase: String?) {}
  func metric(name: String, value: Double, step: Int?) {}
  func log(level: LogLevel, message: String) {}
  func ready(url: String) {}
}

/// A folder with scripts, a lake and LuaLib.
final class ScriptBench {
  static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
  let root: String
  init() throws {
    root = realPath(FileManager.default.temporaryDirectory.path).map { "\($0)/moonlake-test-\(randomUUID())" } ?? ""
    try FileManager.default.createDirectory(atPath: root + "/lake", withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: root) }

  func write(_ name: String, _ text: String) throws {
    try FileManager.default.createDirectory(
      atPath: URL(fileURLWithPath: "\(root)/\(name)").deletingLastPathComponent().path, withIntermediateDirectories: true)
    try text.write(toFile: "\(root)/\(name)", atomically: true, encoding: .utf8)
  }

  func job(_ name: String = "main.lua") -> ScriptJob {
    ScriptJob(script: "\(root)/\(name)", scriptRoot: root, lake: root + "/lake", luaLib: ScriptBench.repository + "/LuaLib")
  }

  func run(_ text: String, params: JSONObject = [:]) throws -> JSONValue {
    try write("main.lua", text)
    var job = job()
    job.params = params
    job.input = "in"
    job.output = "out"
    return try ScriptRunner(job, events: SilentEvents()).run()
  }

  func failure(_ text: String, params: JSONObject = [:]) throws -> Failure {
    do {
      let result = try run(text, params: params)
      return Failure(Failure.Code("NONE"), "no failure but \(result.text())")
    } catch { return Failure.wrapping(error) }
  }
}

@Suite struct RunnerTests {
  @Test func globalAndReturnedRun() throws {
    let bench = try ScriptBench()
    #expect(
      try bench.run("function run(input, output, params) return {input, output, params.n} end", params: ["n": 3]) == [
        "in", "out", 3,
      ])
    #expect(try bench.run("local M = {} function M.run(i) return {x = i} end return M") == ["x": "in"])
    #expect(try bench.run("counter = 1 function run() counter = counter + 1 return {n = counter} end") == ["n": 2])
  }

  @Test func ownModulesAndMainFolder() throws {
    let bench = try ScriptBench()
    try bench.write("model/layers.lua", "local M = {} function M.double(x) return 2 * x end return M")
    try bench.write("model/init.lua", "return { layers = require 'model.layers' }")
    #expect(try bench.run("local model = require 'model' function run() return {n = model.layers.double(21)} end") == ["n": 42])
    try bench.write("a.lua", "return require 'b'")
    try bench.write("b.lua", "return require 'a'")
    #expect(try bench.failure("require 'a'").message == "require: module 'a' requires itself")
    try bench.write("broken.lua", "local x = = 1")
    #expect(try bench.failure("require 'broken'").message == "unexpected symbol near '='")
    try FileManager.default.createSymbolicLink(atPath: bench.root + "/evil.lua", withDestinationPath: "/etc/passwd")
    #expect(try bench.failure("require 'evil'").code == .pathNotAllowed)
  }

  static let schema = """
    local M = {}
    M.params = {
      epochs = { type = "integer", default = 10, min = 1, help = "rounds" },
      rate = { type = "number", default = 0.001, min = 0, max = 1 },
      device = { type = "string", default = "cpu", enum = { "cpu", "gpu" } },
      fast = { type = "boolean", default = false },
    }
    function M.run(_, _, p) return p end
    return M
    """

  @Test func paramsGetDefaults() throws {
    let bench = try ScriptBench()
    #expect(try bench.run(Self.schema) == ["epochs": 10, "rate": 0.001, "device": "cpu", "fast": false])
    #expect(try bench.run(Self.schema, params: ["epochs": 3.0, "fast": true])["epochs"] == 3)
  }

  static let wrongParams: [(JSONObject, String)] = [
    (["epoch": 1], "unknown parameter 'epoch'; did you mean 'epochs'?"),
    (["epochs": 1.5], "parameter 'epochs' must be an integer, got 1.5"),
    (["epochs": 0], "parameter 'epochs' must be at least 1, got 0"), (["rate": 2], "parameter 'rate' must be at most 1, got 2"),
    (["device": "tpu"], "parameter 'device' must be one of \"cpu\", \"gpu\", got \"tpu\""),
    (["fast": "yes"], "parameter 'fast' must be a boolean, got \"yes\""),
  ]

  @Test(arguments: wrongParams)
  func badParams(_ params: JSONObject, _ expected: String) throws {
    let failure = try ScriptBench().failure(Self.schema, params: params)
    #expect(failure.code == .invalidParams)
    #expect(failure.message.hasPrefix(expected), "\(failure.message)")
  }

  static let wrongScripts: [(String, String, String, Int64)] = [
    ("local x = = 1", "INVALID_SCRIPT", "unexpected symbol near '='", 1),
    (
      "return {}", "INVALID_SCRIPT",
      "the script defines no function run(input, output, params), neither as a global nor in the table it returns", 0
    ),
    ("function run() return 5 end", "INVALID_RESULT", "run must return a table, got 5", 0),
    ("function run() end", "INVALID_RESULT", "run must return a table, got nil", 0),
    ("function run() return {a = {print}} end", "INVALID_RESULT", "result.a[1] is a function, which JSON cannot hold", 0),
    ("function run() return {loss = 0/0} end", "INVALID_RESULT", "result.loss is NaN, which JSON cannot hold", 0),
    ("function run()\n  return {} .. 1\nend", "SCRIPT_ERROR", "attempt to concatenate a table value", 2),
    ("function run()\n  error 'no luck'\nend", "SCRIPT_ERROR", "no luck", 2),
    ("function run()\n  error { code = 'LOW_RECALL', message = 'recall 0.5' }\nend", "LOW_RECALL", "recall 0.5", 2),
    ("function run()\n  error { code = 'low', message = 'm' }\nend", "SCRIPT_ERROR", "m", 2),
    ("function run()\n  error()\nend", "SCRIPT_ERROR", "the script raised nil as an error", 2),
    (
      "function run()\n  error(setmetatable({}, {__tostring = function() error 'x' end}))\nend", "SCRIPT_ERROR",
      "(error value of type table)", 2
    ),
    (
      "function run()\n  coutn = 1\nend", "SCRIPT_ERROR",
      "global 'coutn' is not declared: write 'local coutn', or assign it in the script's main part", 2
    ),
    (
      "function run()\n\n  require('fs').read('/etc/passwd')\nend", "PATH_NOT_ALLOWED",
      "'/etc/passwd' is outside the allowed folders", 3
    ),
    ("function run()\n  require('json').decode '{'\nend", "INVALID_REQUEST", "", 2),
  ]

  @Test(arguments: wrongScripts)
  func failures(_ script: String, _ code: String, _ message: String, _ line: Int64) throws {
    let failure = try ScriptBench().failure(script)
    if code != "INVALID_REQUEST" {
      #expect(failure.code.rawValue == code)
      #expect(failure.message == message)
    }
    if line > 0 {
      #expect(failure.details["line"] == .int(line))
      #expect(failure.details["script"] == "main.lua")
      #expect(failure.details["excerpt"]?.stringValue?.contains("> \(line) | ") == true)
    }
  }

  /// Every script with a schema takes `threads`. (That kernels obey: Tests/e2e/test_service.py; here other suites set them, too.)
  @Test func threadsOfKernels() throws {
    let bench = try ScriptBench()
    let script =
      "local task = require 'task' local M = { params = { n = { type = 'integer' } } } "
      + "function M.run(_, _, p) return { threads = task.info().threads, given = p.threads } end return M"
    #expect(try bench.run(script, params: ["threads": 1])["given"] == 1)
    let most = try bench.run(script, params: ["threads": 64])["threads"]?.intValue
    #expect((1...64).contains(try #require(most)))
    for (value, message) in [(JSONValue.int(0), "must be at least 1"), (.string("two"), "must be an integer")] {
      #expect(try bench.failure(script, params: ["threads": value]).message.contains("parameter 'threads' \(message)"))
    }
    let own = script.replacingOccurrences(
      of: "n = { type = 'integer' }", with: "threads = { type = 'string', default = 'all' }")
    #expect(try bench.run(own)["given"] == "all")
  }

  @Test func resultTooLarge() throws {
    let failure = try ScriptBench().failure("function run() return { ('x'):rep(20 << 20) } end")
    #expect(failure.code.rawValue == "RESULT_TOO_LARGE")
  }

  @Test func missingScript() throws {
    let bench = try ScriptBench()
    #expect(throws: Failure.self) { try ScriptRunner(bench.job("none.lua"), events: SilentEvents()).run() }
  }
}
