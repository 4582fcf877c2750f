import Core
import Foundation
import LuaHost
import LuaSystem
import Synchronization
import Testing

/// Events of a run, noted in order.
final class NotedEvents: TaskEvents {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  private func note(_ text: String) { lines.withLock { $0.append(text) } }
  func progress(done: Double, total: Double?, phase: String?) { note("progress \(done) \(total ?? -1) \(phase ?? "")") }
  func metric(name: String, value: Double, step: Int?) { note("metric \(name) \(value) \(step ?? -1)") }
  func log(level: LogLevel, message: String) { note("\(level.rawValue): \(message)") }
  func ready(url: String) { note("ready \(url)") }
}

/// A state with the modules of this room and LuaLib, as a script sees it.
final class SystemBench {
  static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
  let state: State
  let events = NotedEvents()
  let context: TaskContext
  let scratch: String

  init() throws {
    scratch = FileManager.default.temporaryDirectory.path + "/moonlake-test-" + randomUUID()
    try FileManager.default.createDirectory(atPath: scratch + "/root", withIntermediateDirectories: true)
    context = TaskContext(id: "task-001", name: "spec", attempt: 1, events: events)
    var configuration = State.Configuration()
    configuration.modules = LuaSystem.modules
    configuration.libraryRoot = SystemBench.repository + "/LuaLib"
    configuration.scriptRoot = scratch + "/root"
    configuration.memoryLimitBytes = 256 << 20
    let events = events
    configuration.print = { events.log(level: .info, message: $0) }
    state = try State(configuration)
    state.provide(context)
    state.provide(ConfinedPaths(roots: [scratch], base: scratch))
  }

  deinit {
    state.close()
    try? FileManager.default.removeItem(atPath: scratch)
  }

  @discardableResult func run(_ text: String) throws(Failure) -> JSONValue {
    let chunk = try state.load(text, name: "script.lua")
    return try state.defining { () throws(Failure) in try state.run(chunk, results: 1, read: { try $0.json(1) }) }
  }
}

@Suite struct SpecTests {
  /// Specs that need no more than this room. `moonlake test Tests/lua` runs them too.
  @Test(arguments: ["sandbox", "language", "json", "files", "idx", "system", "kit"])
  func spec(_ name: String) throws {
    let bench = try SystemBench()
    let text = try String(contentsOfFile: "\(SystemBench.repository)/Tests/lua/\(name)_test.lua", encoding: .utf8)
    let begin = try bench.state.load("require('test').begin(...)", name: "runner", trusted: true)
    let scratch = bench.scratch
    try bench.state.run(begin, arguments: { $0.push(scratch) }, read: { _ in () })
    let chunk = try bench.state.load(text, name: "\(name)_test.lua")
    do throws(Failure) {
      try bench.state.watched(timeLimitSeconds: 60) { () throws(Failure) in
        try bench.state.defining { () throws(Failure) in try bench.state.run(chunk, read: { _ in () }) }
      }
    } catch { Issue.record("\(error) \(error.details["excerpt"]?.stringValue ?? "")") }
    let report = try bench.run("return require('test').report()")
    #expect(report["failures"]?.arrayValue == [], "\(report.text(pretty: true))")
    #expect(report["passed"]?.intValue ?? 0 > 3)
  }

  @Test func eventsOfARun() throws {
    let bench = try SystemBench()
    try bench.run(
      """
      local task, log = require "task", require "log"
      print("a", 1, nil, true)
      task.log("epoch %d: %.2f", 3, 0.5)
      log.warning("100%")
      task.metric("loss", 0.25, 7)
      for i = 1, 100000 do task.progress(i, 100000) end
      task.ready { url = "http://127.0.0.1:1" }
      for i = 1, 100000 do task.metric("many", i, i) end
      """)
    bench.context.flush()
    let all = bench.events.all
    #expect(all.prefix(4) == ["info: a\t1\tnil\ttrue", "info: epoch 3: 0.50", "warn: 100%", "metric loss 0.25 7"])
    let progress = all.filter { $0.hasPrefix("progress") }
    #expect(
      progress.first == "progress 1.0 100000.0 " && progress.last == "progress 100000.0 100000.0 " && progress.count < 100)
    let many = all.filter { $0.hasPrefix("metric many") }
    #expect(many.count >= 5000 && many.count < 6000 && many.last == "metric many 100000.0 100000")
    #expect(all.contains("ready http://127.0.0.1:1"))
  }

  @Test(arguments: [
    ("require('task').metric('', 1)", "bad argument #1 'name' to 'metric' (a name of 1 to 200 bytes expected)"),
    ("require('task').progress(-1)", "bad argument #1 'done' to 'progress' (a number of units from 0 expected, got -1)"),
    ("require('task').ready {}", "bad argument #1 'service' to 'ready' (url is missing)"),
    (
      "require('log').write('loud', 'x')",
      "bad argument #1 'level' to 'write' ('loud'; levels are: debug, info, warn, error)"
    ),
    ("require('task').log('%d', 'x')", "task.log: bad argument #2 to 'string.format' (number expected, got string)"),
    (
      "for i = 1, 2000 do require('task').metric('m' .. i, 1) end",
      "task.metric: more than 1000 names of metrics; numbers belong into 'step', not into the name"
    ),
  ])
  func taskErrors(_ code: String, _ expected: String) throws {
    let bench = try SystemBench()
    do throws(Failure) {
      try bench.run(code)
      Issue.record("no error")
    } catch {
      #expect(error.message == expected)
      #expect(error.place == "script.lua:1")
    }
  }
}
