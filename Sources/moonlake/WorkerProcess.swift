import CLuaHost
import Core
import Foundation
import Script

/// What a worker process does to itself before a script runs: no life without the server, limits, signals.
enum WorkerProcess {
  /// The kernel ends this process when the server dies, however it dies (Linux).
  static func dieWithParent() {
    #if os(Linux)
      host_die_with_parent()
      // The server may have died before the call above.
      if getppid() == 1, getsid(0) == getpid(), isOrphan() { _exit(70) }
    #endif
  }

  /// True when stdin is already at its end, as it is when the server is gone.
  private static func isOrphan() -> Bool {
    var state = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    return poll(&state, 1, 0) == 1 && state.revents & Int16(POLLIN) == 0 && state.revents & Int16(POLLHUP) != 0
  }

  /// Memory of buffers and CPU seconds of the process; no core dumps. The supervisor limits the rest from outside.
  static func limit(_ job: ScriptJob) {
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(resource(RLIMIT_CORE), &none)
    if let memory = job.memoryLimitBytes { MemoryBudget.setLimit(bytes: memory) }
    if let cpu = job.cpuLimitSeconds, cpu < 1e9 {
      // The soft limit is left to the supervisor, which reports it by name; the hard limit holds without one.
      var seconds = rlimit(rlim_cur: rlim_t(cpu.rounded(.up)) + 2, rlim_max: rlim_t(cpu.rounded(.up)) + 3)
      setrlimit(resource(RLIMIT_CPU), &seconds)
    }
  }

  #if canImport(Glibc)
    private static let ownProcess = __rusage_who_t(RUSAGE_SELF.rawValue)
    private static func resource(_ which: __rlimit_resource) -> __rlimit_resource_t { __rlimit_resource_t(which.rawValue) }
  #else
    private static let ownProcess = RUSAGE_SELF
    private static func resource(_ which: Int32) -> Int32 { which }
  #endif

  /// Runs `stop` on SIGTERM and SIGINT. The handler runs on its own queue, not in signal context.
  static func stopOnSignals(_ stop: @escaping @Sendable () -> Void) {
    for number in [SIGTERM, SIGINT] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: DispatchQueue(label: "moonlake.signals"))
      source.setEventHandler(handler: stop)
      source.resume()
      sources.withLock { $0.append(source) }
    }
  }
  private static let sources = Locked<[any DispatchSourceSignal]>([])

  /// What this process has used: the `usage` event.
  static func usage() -> JSONValue {
    var usage = rusage()
    getrusage(ownProcess, &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return [
      "event": "usage", "cpu_s": .double(seconds(usage.ru_utime) + seconds(usage.ru_stime)),
      "peak_rss_bytes": .int(Int64(usage.ru_maxrss) * 1024),
    ]
  }
}

/// A value behind a lock.
final class Locked<Value>: @unchecked Sendable {  // Sendable: every access goes through the lock.
  private let lock = NSLock()
  private var value: Value
  init(_ value: Value) { self.value = value }
  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}
