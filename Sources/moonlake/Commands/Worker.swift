import ArgumentParser
import Core
import Foundation
import LuaSystem
import Script

/// The process that runs one task for the server; the protocol is in `docs/worker-protocol.md`.
struct Worker: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Run one task for a server (internal).", shouldDisplay: false)

  func run() throws {
    WorkerProcess.dieWithParent()
    let events = EventChannel(descriptor: 3)
    let input = LineReader(descriptor: STDIN_FILENO)
    guard let line = input.next() else {
      throw Failure(
        .invalidArgument, "worker is started by the server; the job is missing on stdin. To run a script: moonlake run SCRIPT")
    }
    do {
      let job = try ScriptJob(message: try JSONValue(parsing: line))
      events.send(["event": "started", "pid": .int(Int64(getpid()))])
      WorkerProcess.limit(job)
      WorkerProcess.stopOnSignals { Cancellation.request() }
      Thread.detachNewThread {
        while let command = input.next() {
          if (try? JSONValue(parsing: command))?["command"] == "cancel" { Cancellation.request() }
        }
        // The server is gone, and nobody will ever read what this process makes.
        Cancellation.request()
        sleep(1)
        _exit(70)
      }
      let result = try ScriptRunner(job, events: events).run()
      events.send(WorkerProcess.usage())
      events.send(["event": "result", "result": result])
      _exit(0)
    } catch {
      events.send(WorkerProcess.usage())
      events.send(["event": "error", "error": EventChannel.shortened(Failure.wrapping(error).taskError)])
      _exit(1)
    }
  }
}

/// One JSON line per event, whole lines only, from any thread.
final class EventChannel: TaskEvents, @unchecked Sendable {  // Sendable: `lock` guards the descriptor.
  private let lock = NSLock()
  private let descriptor: Int32

  init(descriptor: Int32) {
    self.descriptor = descriptor
    signal(SIGPIPE, SIG_IGN)
  }

  func send(_ event: JSONValue) {
    var bytes = event.utf8()
    bytes.append(10)
    lock.withLock {
      var at = 0
      while at < bytes.count {
        let written = bytes[at...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if written < 0 {
          if errno == EINTR { continue }
          return
        }
        at += written
      }
    }
  }

  func progress(done: Double, total: Double?, phase: String?) {
    var event: JSONObject = ["event": "progress", "done": .double(done)]
    event["total"] = total.map { .double($0) }
    event["phase"] = phase.map { .string($0) }
    send(.object(event))
  }
  func metric(name: String, value: Double, step: Int?) {
    var event: JSONObject = ["event": "metric", "name": .string(name), "value": .double(value)]
    event["step"] = step.map { .int(Int64($0)) }
    send(.object(event))
  }
  /// A message of any length, in lines that the server reads.
  func log(level: LogLevel, message: String) {
    var rest = message[...]
    repeat {
      let part = EventChannel.head(rest)
      send(["event": "log", "level": .string(level.rawValue), "message": .string(String(part))])
      rest = rest[part.endIndex...]
    } while !rest.isEmpty
  }

  /// The most bytes of one text in an event.
  private static let longestText = 1 << 20

  /// At most `longestText` bytes from the start of `text`, cut between code points.
  private static func head(_ text: Substring) -> Substring {
    guard text.utf8.count > longestText else { return text }
    var end = text.utf8.index(text.startIndex, offsetBy: longestText)
    while end.samePosition(in: text.base.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return text[..<end]
  }

  /// An error whose texts are cut to what an event may hold; a script may raise a string of any length.
  static func shortened(_ error: JSONValue) -> JSONValue {
    guard case .object(var members) = error else { return error }
    for (key, value) in members {
      guard let text = value.stringValue, text.utf8.count > longestText else { continue }
      let kept = head(text[...])
      members[key] = .string("\(kept) ... (\(text.utf8.count - kept.utf8.count) more bytes)")
    }
    return .object(members)
  }
  func ready(url: String) { send(["event": "ready", "url": .string(url)]) }
}

/// A script's news on a terminal: progress bar, log lines on stderr.
final class TerminalEvents: TaskEvents, @unchecked Sendable {  // Sendable: used by the script's thread only.
  private let bar: ProgressBar
  private let isQuiet: Bool
  init(bar: ProgressBar, isQuiet: Bool) {
    self.bar = bar
    self.isQuiet = isQuiet
  }

  func progress(done: Double, total: Double?, phase: String?) {
    if !isQuiet { bar.update(done: done, total: total, phase: phase) }
  }
  func metric(name: String, value: Double, step: Int?) {}
  func log(level: LogLevel, message: String) {
    bar.clear()
    Terminal.error((level == .info ? "" : "\(level.rawValue): ") + Terminal.clean(message))
  }
  func ready(url: String) {
    bar.clear()
    Terminal.error("ready: \(url)")
  }
}

/// Lines of a descriptor, read when asked for.
final class LineReader: @unchecked Sendable {  // Sendable: the worker hands it from its first thread to one other.
  private let descriptor: Int32
  private var rest: [UInt8] = []
  private static let longest = 64 << 20
  init(descriptor: Int32) { self.descriptor = descriptor }

  func next() -> [UInt8]? {
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      if let end = rest.firstIndex(of: 10) {
        let line = Array(rest[..<end])
        rest.removeSubrange(...end)
        return line
      }
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0, rest.count < LineReader.longest else { return nil }
      rest += chunk[..<count]
    }
  }
}
