import Core

#if canImport(Glibc)
  import CDispatch  // home of timespec and stat where Dispatch is loaded too
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A mutex and a condition, for the places where a thread waits for another.
final class Monitor: @unchecked Sendable {  // Sendable: pthread objects are made for use by several threads.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>

  init() {
    lock = .allocate(capacity: 1)
    changed = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    #if os(Linux)
      var attributes = pthread_condattr_t()
      pthread_condattr_init(&attributes)
      pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
      pthread_cond_init(changed, &attributes)
      pthread_condattr_destroy(&attributes)
    #else
      pthread_cond_init(changed, nil)
    #endif
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  func locked<Result>(_ body: () -> Result) -> Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }

  /// Wakes all waiting threads. Call it inside `locked`.
  func signal() { pthread_cond_broadcast(changed) }

  /// Inside `locked`: waits until `condition` holds or `seconds` are over, with the lock given back meanwhile.
  func wait(seconds: Double, until condition: () -> Bool) {
    guard !condition(), seconds > 0 else { return }
    var deadline = timespec()
    #if os(Linux)
      clock_gettime(CLOCK_MONOTONIC, &deadline)
    #else
      clock_gettime(CLOCK_REALTIME, &deadline)
    #endif
    let nanoseconds = Int(min(seconds, 1e6) * 1e9) + deadline.tv_nsec
    deadline.tv_sec += nanoseconds / 1_000_000_000
    deadline.tv_nsec = nanoseconds % 1_000_000_000
    while !condition(), pthread_cond_timedwait(changed, lock, &deadline) == 0 {}
  }
}

/// A door that opens once; threads wait for it.
final class Gate: @unchecked Sendable {  // Sendable: the monitor guards `isOpen`.
  private let monitor = Monitor()
  private var isOpen = false

  func open() {
    monitor.locked {
      isOpen = true
      monitor.signal()
    }
  }

  func wait(seconds: Double) {
    monitor.locked { monitor.wait(seconds: seconds) { isOpen } }
  }
}
