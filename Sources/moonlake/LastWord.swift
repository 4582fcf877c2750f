import Core
import Foundation
import Synchronization

/// Ends this process when the script inside does not: Lua's library has C loops (a pattern that backtracks) which look at
/// no flag. A task of the server ends by the kill of its worker; `moonlake run` is its own worker and says the last word
/// itself: at the second signal at once, else `graceSeconds` after the first one or after the time limit.
final class LastWord: Sendable {
  static let graceSeconds = 5.0
  private let signals = Atomic<Int>(0)
  private let timeLimitSeconds: Double?

  init(timeLimitSeconds: Double?) { self.timeLimitSeconds = timeLimitSeconds }

  /// From here on SIGINT and SIGTERM ask the script to stop, and this object sees to it.
  func watch() {
    WorkerProcess.stopOnSignals { [self] in
      Cancellation.request()
      if signals.add(1, ordering: .relaxed).newValue > 1 { LastWord.end("it was told to stop twice", code: 130) }
    }
    let started = Date()
    Thread.detachNewThread { [self] in
      while !Cancellation.isRequested { usleep(50_000) }
      let timedOut = timeLimitSeconds.map { Date().timeIntervalSince(started) >= $0 } ?? false
      usleep(UInt32(LastWord.graceSeconds * 1e6))
      // A time limit that did its work took its request back.
      guard Cancellation.isRequested else { return }
      LastWord.end(
        timedOut ? "its time limit was reached [TIMEOUT]" : "it was told to stop [CANCELLED]", code: timedOut ? 1 : 130)
    }
  }

  private static func end(_ why: String, code: Int32) -> Never {
    let line = "error: the script was in one long call and did not end by itself; \(why)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    _exit(code)
  }
}
