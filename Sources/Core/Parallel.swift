import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Data parallelism over index ranges on the machine's cores.
///
/// The split into blocks depends on `count` and `grain` only, never on the number of threads, so a kernel that keeps
/// each block's arithmetic to itself gives the same bits on 1 thread and on 2.
public enum Parallel {
  private static let configured = Atomic<Int>(0)

  /// Threads used for one `forEach`; the machine's cores unless set, or `MOONLAKE_THREADS`.
  public static var threads: Int {
    let value = configured.load(ordering: .relaxed)
    if value > 0 { return value }
    var count = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    if let text = getenv("MOONLAKE_THREADS"), let asked = Int(String(cString: text)), asked > 0 { count = asked }
    count = min(max(1, count), 64)
    configured.store(count, ordering: .relaxed)
    return count
  }
  /// Sets the number of threads (tests compare 1 and 2; a config may cap it).
  public static func setThreads(_ count: Int) { configured.store(min(max(1, count), 64), ordering: .relaxed) }

  /// Runs `body` for `0 ..< count` in blocks of `grain` indices. Blocks run in any order on several threads.
  ///
  /// Stops early, with blocks left out, once `Cancellation.isRequested`; the caller then throws away the result
  /// (`Cancellation.check()` after the call).
  public static func forEach(count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let grain = max(1, grain)
    let blocks = (count + grain - 1) / grain
    let workers = min(threads, blocks)
    if workers <= 1 || ThreadPool.isInside {
      for block in 0..<blocks {
        if Cancellation.isRequested { return }
        body(block * grain..<min(count, (block + 1) * grain))
      }
      return
    }
    let next = Atomic<Int>(0)
    let scope = StopScope.current
    func work() {
      while !Cancellation.isRequested {
        let block = next.add(1, ordering: .relaxed).oldValue
        if block >= blocks { return }
        body(block * grain..<min(count, (block + 1) * grain))
      }
    }
    ThreadPool.shared.run(on: workers) { if let scope { scope.around(work) } else { work() } }
  }
}

/// The request that this process stop what it does: set by a signal handler or a watchdog, polled by loops.
///
/// A service that is asked to stop still answers what it has begun. It holds stops back meanwhile: `hold()`, look at
/// `isAsked`, finish, `letGo()`.
public enum Cancellation {
  private static let requested = Atomic<Bool>(false)
  private static let asked = Atomic<Bool>(false)
  private static let holds = Atomic<Int>(0)

  /// True once a stop was asked for and nobody holds it back, or `stop` of the `within` around says so.
  public static var isRequested: Bool { requested.load(ordering: .relaxed) || StopScope.current?.isStopped == true }
  /// True once a stop was asked for, held back or not.
  public static var isAsked: Bool { asked.load(ordering: .relaxed) }
  /// Asks for a stop. Async-signal-safe.
  public static func request() {
    asked.store(true, ordering: .sequentiallyConsistent)
    if holds.load(ordering: .sequentiallyConsistent) == 0 { requested.store(true, ordering: .relaxed) }
  }
  /// Takes the request back (the REPL, after it stopped an expression; tests).
  public static func reset() {
    asked.store(false, ordering: .relaxed)
    requested.store(false, ordering: .relaxed)
  }
  /// Holds a stop back until `letGo()`; calls nest.
  public static func hold() { holds.add(1, ordering: .sequentiallyConsistent) }
  /// Ends a `hold()`; a stop that was asked for meanwhile now holds.
  public static func letGo() {
    let left = holds.subtract(1, ordering: .sequentiallyConsistent).newValue
    if left == 0, asked.load(ordering: .sequentiallyConsistent) { requested.store(true, ordering: .relaxed) }
  }
  /// Runs `body`, which is to end as if a stop was asked for once `stop` says so: work beside which the process goes on. `stop` is asked
  /// often, by any thread that works for `body`.
  public static func within<Result>(stop: @escaping @Sendable () -> Bool, _ body: () throws(Failure) -> Result) throws(Failure)
    -> Result
  {
    try StopScope(stop: stop, outer: StopScope.current).around(body)
  }
  /// - Throws: `CANCELLED` once a stop was asked for.
  public static func check() throws(Failure) {
    if isRequested { throw Failure(.cancelled, "cancelled") }
  }
}

/// What `Cancellation.within` says for the thread that runs its body, and the threads that help it.
private final class StopScope: Sendable {
  private let stop: @Sendable () -> Bool
  private let outer: StopScope?

  init(stop: @escaping @Sendable () -> Bool, outer: StopScope?) {
    self.stop = stop
    self.outer = outer
  }

  var isStopped: Bool { stop() || outer?.isStopped == true }

  // Bodies are synchronous, so a thread's own value serves; a task-local one crashed in swift_task_localValuePush (Swift 6.3.1).
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()
  static var current: StopScope? {
    pthread_getspecific(key).map { Unmanaged<StopScope>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Runs `body` with this as the thread's scope, which stays alive meanwhile.
  func around<Result, E>(_ body: () throws(E) -> Result) throws(E) -> Result {
    let before = pthread_getspecific(StopScope.key)
    pthread_setspecific(StopScope.key, Unmanaged.passUnretained(self).toOpaque())
    defer { withExtendedLifetime(self) { _ = pthread_setspecific(StopScope.key, before) } }
    return try body()
  }
}
