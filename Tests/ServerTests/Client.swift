import Core
import Dispatch
import Foundation
import Glibc
import Lake
import Logging
import Server
import Synchronization
import Tasks
import Testing

/// An answer as it came over the wire.
struct Reply: Sendable {
  var status = 0
  var fields: [String: String] = [:]
  var body: [UInt8] = []
  var text: String { String(decoding: body, as: UTF8.self) }
  var json: JSONValue { (try? JSONValue(parsing: body, limits: .init(depth: 1000))) ?? .null }
  /// `error.code` of the contract's error shape.
  var code: String { json["error"]?["code"]?.stringValue ?? "" }
  var message: String { json["error"]?["message"]?.stringValue ?? "" }
}

/// A plain TCP connection: what is sent is sent as it is.
final class Wire: Sendable {
  private let descriptor: Int32
  init(port: Int, timeoutSeconds: Int = 10) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    if code != 0 { throw Failure(.ioError, "cannot connect: \(String(cString: strerror(errno)))") }
    var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }
  deinit { close(descriptor) }

  /// False when the other side does not take it any more.
  @discardableResult func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let n = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if n <= 0 { return false }
      sent += n
    }
    return true
  }
  @discardableResult func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// The next bytes; empty at the end of the connection or after the time limit.
  func receive(_ most: Int = 65536) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: most)
    let n = recv(descriptor, &bytes, most, 0)
    return n > 0 ? Array(bytes[..<n]) : []
  }

  func receiveAll() -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let part = receive()
      if part.isEmpty { return all }
      all += part
    }
  }

  /// Reads one whole answer; nil when the connection ended without one.
  func reply(head: Bool = false) -> Reply? {
    var bytes: [UInt8] = []
    var end: Int?
    while end == nil {
      let part = receive(1)
      if part.isEmpty { return nil }
      bytes += part
      if bytes.count >= 4, bytes.suffix(4) == [13, 10, 13, 10] { end = bytes.count }
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
    var reply = Reply()
    reply.status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    for line in lines.dropFirst() {
      let pair = line.split(separator: ":", maxSplits: 1)
      reply.fields[pair[0].lowercased()] = pair.count > 1 ? pair[1].trimmingCharacters(in: .whitespaces) : ""
    }
    if head || reply.status == 204 { return reply }
    if let length = reply.fields["content-length"].flatMap({ Int($0) }) {
      while reply.body.count < length {
        let part = receive(length - reply.body.count)
        if part.isEmpty { return nil }
        reply.body += part
      }
    } else if reply.fields["transfer-encoding"] == "chunked" {
      while true {
        var line: [UInt8] = []
        while line.suffix(2) != [13, 10] {
          let part = receive(1)
          if part.isEmpty { return nil }
          line += part
        }
        let size = Int(String(decoding: line.dropLast(2), as: UTF8.self), radix: 16) ?? 0
        var part: [UInt8] = []
        while part.count < size + 2 {
          let more = receive(size + 2 - part.count)
          if more.isEmpty { return nil }
          part += more
        }
        if size == 0 { return reply }
        reply.body += part.dropLast(2)
      }
    }
    return reply
  }
}

/// Runs blocking code away from the test's own threads.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global().async { continuation.resume(with: Result { try body() }) }
  }
}

/// A server on a free port over tasks that run as closures: `name` of the request says what to do.
final class Site: Sendable {
  let folder = NSTemporaryDirectory() + "moonlake-server-" + randomUUID()
  let scheduler: TaskScheduler
  let lake: DataLake
  let server: MoonlakeServer
  let port: Int
  private let running: Task<Void, Never>
  let failure = Mutex<Failure?>(nil)

  init(configure: (inout MoonlakeServer.Configuration) -> Void = { _ in }) async throws {
    let files = FileManager.default
    for name in ["scripts/mnist", "data/raw", "web", "lance_storage", "outside"] {
      try files.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
    }
    for name in ["scripts/x.lua", "scripts/mnist/mnist_clean.lua", "outside/secret.lua", "data/raw/a.txt", "scripts/notes.txt"]
    {
      try Data("return {}".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    try files.createDirectory(atPath: folder + "/scripts/folder.lua", withIntermediateDirectories: true)
    try files.createSymbolicLink(atPath: folder + "/scripts/link.lua", withDestinationPath: folder + "/outside/secret.lua")
    try files.createSymbolicLink(atPath: folder + "/data/out", withDestinationPath: folder + "/outside")
    try Data("<!doctype html><title>Page</title>".utf8).write(to: URL(fileURLWithPath: folder + "/web/index.html"))
    try Data("let a = 1".utf8).write(to: URL(fileURLWithPath: folder + "/web/app.js"))

    let executor = ClosureExecutor { run in
      let name = run.job.request.name
      if name.hasPrefix("fail") { throw Failure(.scriptError, "went wrong") }
      if name.hasPrefix("talk") {
        for i in 1...3 {
          try run.report(.progress(TaskProgress(done: Double(i), total: 3, phase: "train")))
          try run.report(
            .metric(MetricPoint(name: "loss", step: Int64(i), value: 1 / Double(i), at: Instant(seconds: Int64(i)))))
          try run.report(
            .lines([LogLine(at: .now, attempt: 1, stream: .log, level: "info", text: "line \(i) <b>\u{1B}[31m\nsecond")]))
          try run.report(.usage(TaskUsage(wallSeconds: Double(i), cpuSeconds: 1, peakRSSBytes: 5)))
        }
      }
      if name.hasPrefix("serve") { try run.report(.ready("http://127.0.0.1:1")) }
      if name.hasPrefix("wait") || name.hasPrefix("serve") { while run.stopReason == nil { usleep(1000) } }
      return ["echo": run.job.request.params, "input": .string(run.job.request.input)]
    }
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    scheduler = TaskScheduler(store: MemoryTaskStore(), executor: executor, logger: logger)
    try scheduler.recover()
    lake = try DataLake(root: folder + "/lance_storage", shownAs: "lance_storage")
    var configuration = MoonlakeServer.Configuration(scriptRoot: folder + "/scripts", baseDirectory: folder)
    configuration.port = 0
    configuration.version = "9.9-test"
    configuration.shutdownSeconds = 2
    configuration.webDirectory = folder + "/web"
    configuration.dataRoots = [folder + "/data"]
    configuration.taskLimits = TaskLimits(wallSeconds: 100)
    configure(&configuration)
    let server = MoonlakeServer(configuration, scheduler: scheduler, lake: lake, logger: logger)
    self.server = server
    let (ports, continuation) = AsyncStream<Int>.makeStream()
    running = Task {
      do { try await server.run(handlesSignals: false) { continuation.yield($0) } } catch {}
      continuation.finish()
    }
    var iterator = ports.makeAsyncIterator()
    guard let port = await iterator.next() else { throw Failure(.ioError, "the server did not start") }
    self.port = port
  }

  func close() async {
    await server.shutDown()
    await running.value
    let scheduler = self.scheduler
    _ = try? await blocking { scheduler.stop() }
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// Makes a server for one test.
  static func with(
    _ configure: (inout MoonlakeServer.Configuration) -> Void = { _ in }, _ body: (Site) async throws -> Void
  ) async throws {
    let site = try await Site(configure: configure)
    do { try await body(site) } catch {
      await site.close()
      throw error
    }
    await site.close()
  }

  /// One request on a connection of its own.
  func call(_ method: String, _ path: String, body: String? = nil, fields: [String: String] = [:]) async throws -> Reply {
    let port = self.port
    return try await blocking {
      let wire = try Wire(port: port)
      var all = ["Host": "localhost:\(port)", "Connection": "close"]
      if let body {
        all["Content-Type"] = "application/json"
        all["Content-Length"] = "\(body.utf8.count)"
      }
      for (name, value) in fields { all[name] = value.isEmpty ? nil : value }
      wire.send("\(method) \(path) HTTP/1.1\r\n" + all.map { "\($0.key): \($0.value)\r\n" }.joined() + "\r\n" + (body ?? ""))
      guard let reply = wire.reply(head: method == "HEAD") else { throw Failure(.ioError, "no answer to \(method) \(path)") }
      return reply
    }
  }

  func get(_ path: String) async throws -> Reply { try await call("GET", path) }

  /// Sends bytes as they are and reads one answer, or nil when the connection just ends.
  func raw(_ text: String) async throws -> Reply? { try await raw(Array(text.utf8)) }
  func raw(_ bytes: [UInt8]) async throws -> Reply? {
    let port = self.port
    return try await blocking {
      let wire = try Wire(port: port)
      wire.send(bytes)
      return wire.reply()
    }
  }

  static func request(
    name: String = "t", script: String = "x.lua", input: String = "", output: String = "", params: JSONValue = [:]
  ) -> JSONValue {
    ["name": .string(name), "input": .string(input), "script": .string(script), "output": .string(output), "params": params]
  }

  func submit(_ body: JSONValue, query: String = "") async throws -> Reply {
    try await call("POST", "/api/v1/tasks" + query, body: body.text())
  }

  /// The task once it is over.
  func end(_ id: String) async throws -> JSONValue {
    let reply = try await get("/api/v1/tasks/\(id)?wait=10s")
    #expect(["completed", "failed", "cancelled"].contains(reply.json["status"]?.stringValue ?? ""), "\(reply.text)")
    return reply.json
  }
}
