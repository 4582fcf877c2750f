import Core
import Synchronization

/// While a service runs, a request to stop the task is held back, so that what has begun is still answered; for `seconds`
/// after it came, in case a handler never ends.
final class StopHold: Sendable {
  private let isHeld = Atomic<Bool>(true)

  init(seconds: Double) {
    Cancellation.hold()
    Task.detached { [weak self] in
      while !Cancellation.isAsked {
        try? await Task.sleep(nanoseconds: 50_000_000)
        guard let self, self.isHeld.load(ordering: .relaxed) else { return }
      }
      try? await Task.sleep(nanoseconds: UInt64(min(seconds, 3600) * 1e9))
      self?.letGo()
    }
  }

  /// Lets a stop hold again: at once when none was asked for, else after a pause in which the script may return its result.
  func end(afterSeconds seconds: Double) {
    guard Cancellation.isAsked, seconds > 0 else {
      letGo()
      return
    }
    Task.detached {
      try? await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
      self.letGo()
    }
  }

  private func letGo() {
    if isHeld.exchange(false, ordering: .relaxed) { Cancellation.letGo() }
  }
}
