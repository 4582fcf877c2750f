import CLuaHost
package import Core
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A thread beside a running script that stops it when the process is asked to stop (`Cancellation`) or when its time is
/// over. It looks every 10 ms; the script pays nothing until then.
///
/// A script in one long C loop inside a library call cannot be stopped so: the process kill is the last word.
final class Watchdog {
  /// What the thread may touch while the state runs.
  private final class Shared: @unchecked Sendable {  // Sendable: the account outlives the thread, see `stop`.
    let account: UnsafeMutablePointer<host_account>
    let deadline: Double?
    let done = Atomic<Bool>(false)
    let timedOut = Atomic<Bool>(false)
    init(_ account: UnsafeMutablePointer<host_account>, _ deadline: Double?) {
      self.account = account
      self.deadline = deadline
    }

    func watch() {
      while !done.load(ordering: .acquiring) {
        if Cancellation.isRequested {
          host_request_stop(account, Int32(timedOut.load(ordering: .relaxed) ? HOST_STOP_TIMEOUT : HOST_STOP_CANCELLED))
        } else if let deadline, monotonicSeconds() >= deadline {
          timedOut.store(true, ordering: .relaxed)
          host_request_stop(account, Int32(HOST_STOP_TIMEOUT))
          Cancellation.request()  // kernels and waiting calls look at this one
        }
        usleep(10_000)
      }
    }
  }

  private let shared: Shared
  private var thread = pthread_t()
  private var isRunning = false

  init(_ account: UnsafeMutablePointer<host_account>, seconds: Double?) {
    shared = Shared(account, seconds.map { monotonicSeconds() + $0 })
    let argument = Unmanaged.passRetained(shared)
    let status = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        Unmanaged<Shared>.fromOpaque(raw).takeRetainedValue().watch()
        return nil
      }, argument.toOpaque())
    if status == 0 { isRunning = true } else { argument.release() }
  }

  /// Ends the thread and takes a time-out's request back. Must be called before the state closes.
  func stop() {
    guard isRunning else { return }
    isRunning = false
    shared.done.store(true, ordering: .releasing)
    pthread_join(thread, nil)
    if shared.timedOut.load(ordering: .relaxed) { Cancellation.reset() }
  }
}

extension State {
  /// Runs `body` under a watchdog: `Cancellation.request()` ends the script in `CANCELLED`, `timeLimitSeconds` in `TIMEOUT`.
  package func watched<R>(timeLimitSeconds: Double? = nil, _ body: () throws(Failure) -> R) throws(Failure) -> R {
    guard let account else { throw Failure(.internalError, "the Lua state was closed") }
    if let timeLimitSeconds {
      let shown =
        timeLimitSeconds == timeLimitSeconds.rounded() && timeLimitSeconds < 1e9
        ? "\(Int(timeLimitSeconds))" : "\(timeLimitSeconds)"
      stopMessage = "the time limit of \(shown) s was reached"
    }
    let watchdog = Watchdog(account, seconds: timeLimitSeconds)
    defer {
      watchdog.stop()
      host_clear_stop(account)
      stopMessage = nil
    }
    return try body()
  }
}
