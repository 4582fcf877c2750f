import ArgumentParser
import Core
import Foundation
import LuaHost
import Script

struct Test: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run Lua specs: files named *_test.lua.",
    discussion: """
      Each file runs in a fresh state with a lake of its own in a temporary folder; `require "test"` gives case, equal,
      close, raises, truthy and tmpdir. The last line is `N passed, N failed, N skipped`; exit code 1 when one failed.
      Examples:
        moonlake test Tests/lua
        moonlake test Tests/lua/frame_test.lua
      """)
  @Argument(help: "Files or folders.") var paths: [String] = ["."]
  @Flag(name: [.short, .long], help: "Name every case.") var verbose = false
  @Option(help: "Configuration file.") var config: String?

  func run() throws {
    let settings = try Configuration.load(config)
    var passed = 0
    var skipped = 0
    var failures: [String] = []
    for file in try files() {
      let outcome = runFile(file, settings)
      passed += outcome.passed
      skipped += outcome.skipped
      failures += outcome.failures
      if verbose || !outcome.failures.isEmpty {
        print("\(file): \(outcome.passed) passed, \(outcome.failures.count) failed, \(outcome.skipped) skipped")
      }
      for failure in outcome.failures { print("  " + failure.replacingOccurrences(of: "\n", with: "\n  ")) }
    }
    print("\(passed) passed, \(failures.count) failed, \(skipped) skipped")
    if !failures.isEmpty { throw ExitCode(1) }
  }

  private func files() throws(Failure) -> [String] {
    var found: [String] = []
    for path in paths {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
        throw Failure(.fileNotFound, "'\(path)' does not exist")
      }
      if !isFolder.boolValue {
        found.append(path)
      } else if let names = FileManager.default.enumerator(atPath: path) {
        found += names.compactMap { $0 as? String }.filter { $0.hasSuffix("_test.lua") }.map { path + "/" + $0 }
      }
    }
    guard !found.isEmpty else { throw Failure(.fileNotFound, "no *_test.lua in \(paths.joined(separator: ", "))") }
    return found.sorted()
  }

  private struct Outcome {
    var passed = 0
    var skipped = 0
    var failures: [String] = []
  }

  /// Runs one file, then `test.report()`, a table of passed, failed (list of texts) and skipped.
  private func runFile(_ file: String, _ settings: Configuration) -> Outcome {
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("moonlake-test-" + randomUUID()).path
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    do {
      try FileManager.default.createDirectory(atPath: scratch + "/lake", withIntermediateDirectories: true)
      guard let path = realPath(file), let text = try? String(contentsOfFile: path, encoding: .utf8) else {
        throw Failure(.fileNotFound, "'\(file)' cannot be read as UTF-8 text")
      }
      var job = ScriptJob(
        script: path, scriptRoot: URL(fileURLWithPath: path).deletingLastPathComponent().path, lake: scratch + "/lake",
        luaLib: settings.luaLibDirectory)
      job.name = "test"
      job.input = scratch
      job.dataRoots = [scratch]
      let events = TerminalEvents(bar: ProgressBar(), isQuiet: true)
      let environment = try ScriptEnvironment(job, events: events, print: { if verbose { print("    " + $0) } })
      defer { environment.state.close() }
      let state = environment.state
      let bootstrap = try state.load("require('test').begin(...)", name: "test runner", trusted: true)
      let chunk = try state.load(text, name: file)
      let report = try state.load("return require('test').report()", name: "test runner", trusted: true)
      return try state.watched(timeLimitSeconds: 120) { () throws(Failure) in
        try state.run(bootstrap, arguments: { $0.push(scratch) }, read: { _ in () })
        try state.defining { () throws(Failure) in try state.run(chunk, read: { _ in () }) }
        return try state.run(
          report, results: 1,
          read: { call in
            let result = try call.json(1)
            return Outcome(
              passed: Int(result["passed"]?.intValue ?? 0), skipped: Int(result["skipped"]?.intValue ?? 0),
              failures: (result["failures"]?.arrayValue ?? []).map { $0.stringValue ?? $0.text() })
          })
      }
    } catch {
      let failure = Failure.wrapping(error)
      let details = ["excerpt", "traceback"].compactMap { failure.details[$0]?.stringValue }.joined(separator: "\n")
      return Outcome(failures: ["\(failure)\n\(details)"])
    }
  }
}
