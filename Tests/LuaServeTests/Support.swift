import Core
import Foundation
import LuaHost
import LuaServe
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Runs blocking test code on a thread of its own, so that it does not hold one of Swift's.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withTaskExecutorPreference(ThreadExecutor()) { try body() }
}

/// A thread per job; the task, and with it the test that is to blame for a failure, stays the same.
private final class ThreadExecutor: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

/// Waits until `check` holds; false when it does not within `seconds`.
func eventually(within seconds: Double = 3, _ check: () -> Bool) -> Bool {
  let end = monotonicSeconds() + seconds
  while !check() {
    if monotonicSeconds() > end { return false }
    usleep(2000)
  }
  return true
}

/// A raw TCP client: says exactly what a test wants, and reads with a deadline.
final class Client {
  let descriptor: Int32
  private var rest: [UInt8] = []

  struct Reply {
    var status: Int
    var headers: [String: String]
    var body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSONValue? { try? JSONValue(parsing: body) }
    var code: String? { json?["error"]?["code"]?.stringValue }
    var message: String? { json?["error"]?["message"]?.stringValue }
  }
  struct Broken: Error, CustomStringConvertible { var description: String }

  init(port: Int, seconds: Double = 5) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    // `deinit` closes the descriptor, also after this throw. Closed here as well, its number could be another thread's by then.
    guard status == 0 else { throw Broken(description: "connect: \(String(cString: strerror(errno)))") }
    var limit = timeval(tv_sec: Int(seconds), tv_usec: Int(seconds.truncatingRemainder(dividingBy: 1) * 1e6))
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
  }
  private var isOpen = true
  deinit { leave() }

  func leave() {
    if isOpen { close(descriptor) }
    isOpen = false
  }

  func send(_ text: String) throws { try send(Array(text.utf8)) }
  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let n = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard n > 0 else { throw Broken(description: "send: \(String(cString: strerror(errno)))") }
      sent += n
    }
  }

  /// False at the end of the stream; throws when the deadline passes.
  private func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65536)
    let n = recv(descriptor, &chunk, chunk.count, 0)
    if n < 0, errno == EAGAIN { throw Broken(description: "nothing came in time") }
    guard n > 0 else { return false }
    rest += chunk[..<n]
    return true
  }

  /// The next answer; nil when the connection ended before one began.
  func reply(hasBody: Bool = true) throws -> Reply? {
    let end: Int
    while true {
      if let at = rest.indices.first(where: { $0 + 3 < rest.count && rest[$0...($0 + 3)].elementsEqual([13, 10, 13, 10]) }) {
        end = at
        break
      }
      guard try fill() else { return nil }
    }
    let lines = String(decoding: rest[..<end], as: UTF8.self).components(separatedBy: "\r\n")
    rest.removeSubrange(..<(end + 4))
    let status = Int(lines[0].split(separator: " ")[1]) ?? 0
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    if status == 100 { return Reply(status: status, headers: headers, body: []) }
    let length = hasBody ? Int(headers["content-length"] ?? "0") ?? 0 : 0
    while rest.count < length { guard try fill() else { throw Broken(description: "the body was cut off") } }
    let body = Array(rest[..<length])
    rest.removeSubrange(..<length)
    return Reply(status: status, headers: headers, body: body)
  }

  /// True when the other side closes, whatever it sends before.
  func isClosed() -> Bool {
    while true {
      do { if try !fill() { return true } } catch { return false }
    }
  }

  /// One request, one answer.
  func ask(_ method: String, _ path: String, body: String? = nil, headers: [String] = []) throws -> Reply {
    var text = "\(method) \(path) HTTP/1.1\r\n"
    if !headers.contains(where: { $0.lowercased().hasPrefix("host:") }) { text += "Host: localhost\r\n" }
    for header in headers { text += header + "\r\n" }
    if let body {
      if !headers.contains(where: { $0.lowercased().hasPrefix("content-type:") }) {
        text += "Content-Type: application/json\r\n"
      }
      text += "Content-Length: \(body.utf8.count)\r\n\r\n" + body
    } else {
      text += "\r\n"
    }
    try send(text)
    guard let reply = try reply(hasBody: method != "HEAD") else { throw Broken(description: "no answer") }
    return reply
  }
}

func ask(_ port: Int, _ method: String, _ path: String, body: String? = nil, headers: [String] = []) throws -> Client.Reply {
  try Client(port: port).ask(method, path, body: body, headers: headers)
}

/// A service whose handlers are a Swift closure on a thread, in place of the Lua loop.
final class Rig: @unchecked Sendable {  // Sendable: the closure is, and the rest is.
  let service: HTTPService
  private let handle: @Sendable (PendingRequest) -> Answer
  private let done = DispatchSemaphore(value: 0)

  init(
    _ routes: [Route] = [], files: [StaticFiles] = [], options: HTTPService.Options = .init(), port: Int = 0,
    handle: @escaping @Sendable (PendingRequest) -> Answer = { _ in .json(["ok": true]) }
  ) throws {
    service = try HTTPService(options: options, routes: routes, files: files, port: port)
    self.handle = handle
    let (service, done) = (service, done)
    Thread.detachNewThread {
      while !service.queue.isDrained {
        guard let request = service.queue.take(within: 0.02) else { continue }
        request.finish(.answered(handle(request)))
        service.queue.finished()
      }
      done.signal()
    }
  }
  var port: Int { service.port }
  func stop() {
    service.stopAccepting()
    if done.wait(timeout: .now() + 5) != .success { Issue.record("a handler did not end") }
    service.close()
  }
}

func route(_ method: String, _ path: String, body: BodyShape? = nil) throws -> Route {
  Route(method: method, pattern: try RoutePattern(path), body: body)
}

/// `{"image": [784 numbers from 0 to 1]}`.
let imageShape = BodyShape.object([
  .init(name: "image", shape: .list(of: .number(.init(least: 0, greatest: 1)), .init(least: 4, greatest: 4)))
])

/// A Lua service: runs `script`, which ends in `server:wait()`, on its own thread.
final class LuaRig: @unchecked Sendable {  // Sendable: the state stays on its thread; results cross by the semaphore.
  private let done = DispatchSemaphore(value: 0)
  private let ready = DispatchSemaphore(value: 0)
  private var outcome: Result<JSONValue, Failure>?
  private var lines: [String] = []
  private let lock = NSLock()
  private(set) var port = 0

  static let library = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("LuaLib").path

  /// `ready(url_port)` in the script lets the test go on.
  init(_ script: String, root: String = "/tmp", watched: Bool = false) throws {
    Thread.detachNewThread {
      do {
        var configuration = State.Configuration()
        configuration.modules = [
          ModuleEntry("http", LuaServe.module), ModuleEntry("_http", LuaServe.internals),
          ModuleEntry(
            "rig",
            Module(
              "rig", "Test.",
              [
                Fn("ready", "fun(port: integer)", "Listens.") { call in
                  self.port = try call.integer(1)
                  self.ready.signal()
                  return 0
                },
                Fn("sleep", "fun(seconds: number)", "Sleeps.") { call in
                  usleep(UInt32(try call.number(1) * 1e6))
                  return 0
                },
              ])),
        ]
        configuration.libraryRoot = LuaRig.library
        configuration.print = { line in self.lock.withLock { self.lines.append(line) } }
        let state = try State(configuration)
        state.provide(ConfinedPaths(roots: [root], base: root))
        let chunk = try state.load(script, name: "serve.lua")
        let run = { () throws(Failure) -> JSONValue in try state.run(chunk, results: 1) { call in try call.json(1) } }
        self.outcome = .success(watched ? try state.watched(run) : try run())
        state.close()
      } catch {
        self.outcome = .failure(Failure.wrapping(error))
      }
      self.ready.signal()
      self.done.signal()
    }
    guard ready.wait(timeout: .now() + 10) == .success else { throw Client.Broken(description: "the script did not get ready") }
    if port == 0, case .failure(let failure) = outcome { throw failure }
  }

  /// What the script returned.
  func result(within seconds: Double = 20) throws -> JSONValue {
    guard done.wait(timeout: .now() + seconds) == .success, let outcome else {
      throw Client.Broken(description: "the script did not end")
    }
    return try outcome.get()
  }
  var log: String { lock.withLock { lines.joined(separator: "\n") } }
}
