import ArgumentParser
import Core
import Foundation
import Script

/// The process that runs one task for the server. The protocol is documented in `docs/worker-protocol.md`:
/// job and commands come as JSON lines on stdin, events go out as JSON lines on descriptor 3.
struct Worker: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Run one task for a server (internal).", shouldDisplay: false)

  func run() throws {
    WorkerProcess.dieWithParent()
    let events = EventChannel(descriptor: 3)
    let input = LineReader(descriptor: STDIN_FILENO)
    guard let line = input.next() else { throw ExitCode(2) }
    do {
      let job = try WorkerJob(try JSONValue(parsing: line))
      events.send(["event": "started", "pid": .int(Int64(getpid()))])
      try WorkerProcess.limit(job.limits)
      let runner = try job.runner(events: events)
      WorkerProcess.stopOnSignals { runner.stop(.cancelled) }
      Thread.detachNewThread {
        // EOF: the server is gone, and nobody will ever read what this process makes.
        while let command = input.next() {
          if (try? JSONValue(parsing: command))?["command"] == "cancel" { runner.stop(.cancelled) }
        }
        runner.stop(.cancelled)
        sleep(1)
        _exit(70)
      }
      let result = try runner.run()
      events.send(WorkerProcess.usage())
      events.send(["event": "result", "result": result])
      _exit(0)
    } catch {
      let failure = Failure.wrapping(error)
      events.send(WorkerProcess.usage())
      events.send(["event": "error", "error": failure.taskError])
      _exit(1)
    }
  }
}

/// One JSON line per event, whole lines only, from any thread.
final class EventChannel: @unchecked Sendable {  // Sendable: `lock` guards the descriptor.
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
}

/// Lines of a descriptor, read when asked for.
final class LineReader: @unchecked Sendable {  // Sendable: the worker hands it from its first thread to one other.
  private let descriptor: Int32
  private var rest: [UInt8] = []
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
      guard count > 0, rest.count < 64 << 20 else { return nil }
      rest += chunk[..<count]
    }
  }
}
