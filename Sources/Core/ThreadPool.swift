import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Threads that wait for work of `Parallel.forEach`. A waiting thread watches for some microseconds before it sleeps: the steps of a
/// small network follow each other faster than the system wakes a thread.
///
/// One job at a time. Who comes while another job runs does its own work alone: two tasks share the cores, not twice as many threads.
final class ThreadPool: Sendable {
  static let shared = ThreadPool()

  /// How long a thread watches before it sleeps.
  private static let watchNanoseconds: UInt64 = 50_000

  private let isBusy = Atomic(false)
  /// Goes up with each job.
  private let generation = Atomic(0)
  /// Helpers that the job wants; 0 while there is none to join.
  private let wanted = Atomic(0)
  /// Helpers at work on the job.
  private let active = Atomic(0)
  private let sleepers = Atomic(0)
  private let started = Atomic(0)
  // What the helpers run. Sendable proof: written before `wanted` is, and by nobody while a helper may read it (`active`).
  nonisolated(unsafe) private var job: (() -> Void)?
  // Sendable proof: made once, used by pthread functions only.
  nonisolated(unsafe) private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  nonisolated(unsafe) private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  private init() {
    pthread_mutex_init(lock, nil)
    pthread_cond_init(wake, nil)
  }

  /// True on a thread that already runs a job: inner loops then stay serial.
  static var isInside: Bool { pthread_getspecific(insideKey) != nil }
  private static let insideKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// Runs `body` on this thread and on up to `threads - 1` others at once; returns when all are done. A helper that comes too late does
  /// not run it at all: `body` is a loop that takes pieces until none is left.
  func run(on threads: Int, _ body: () -> Void) {
    guard isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
      return ThreadPool.inside(body)
    }
    start(threads - 1)
    withoutActuallyEscaping(body) { body in
      job = body
      wanted.store(threads - 1, ordering: .sequentiallyConsistent)
      generation.add(1, ordering: .sequentiallyConsistent)
      if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(lock)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(lock)
      }
      ThreadPool.inside(body)
      // From here on nobody joins; those who did are waited for.
      wanted.store(0, ordering: .sequentiallyConsistent)
      var turns = 0
      while active.load(ordering: .sequentiallyConsistent) > 0 {
        turns += 1
        if turns > 1000 { sched_yield() }
      }
      job = nil
    }
    isBusy.store(false, ordering: .releasing)
  }

  private static func inside(_ body: () -> Void) {
    pthread_setspecific(insideKey, UnsafeRawPointer(bitPattern: 1))
    body()
    pthread_setspecific(insideKey, nil)
  }

  /// Makes sure that there are `count` helpers. Called by who holds `isBusy`.
  private func start(_ count: Int) {
    while started.load(ordering: .relaxed) < count {
      let number = started.load(ordering: .relaxed)
      var thread = pthread_t()
      var attributes = pthread_attr_t()
      pthread_attr_init(&attributes)
      pthread_attr_setstacksize(&attributes, 8 << 20)
      pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
      defer { pthread_attr_destroy(&attributes) }
      let context = UnsafeMutableRawPointer(bitPattern: number + 1)
      let failed = pthread_create(
        &thread, &attributes,
        { context in
          ThreadPool.shared.help(number: Int(bitPattern: context) - 1)
          return nil
        }, context)
      // Without helpers the work is done all the same.
      if failed != 0 { return }
      started.add(1, ordering: .relaxed)
    }
  }

  private func help(number: Int) {
    // Signals are for the threads that people know of.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    pthread_setspecific(ThreadPool.insideKey, UnsafeRawPointer(bitPattern: 1))
    var seen = 0
    while true {
      seen = next(after: seen)
      active.add(1, ordering: .sequentiallyConsistent)
      if number < wanted.load(ordering: .sequentiallyConsistent) { job?() }
      active.subtract(1, ordering: .sequentiallyConsistent)
    }
  }

  /// Waits for a job other than number `seen`.
  private func next(after seen: Int) -> Int {
    var end: UInt64 = 0
    while true {
      for _ in 0..<64 {
        let now = generation.load(ordering: .acquiring)
        if now != seen { return now }
      }
      let time = ThreadPool.now
      if end == 0 { end = time + ThreadPool.watchNanoseconds }
      if time >= end { break }
    }
    pthread_mutex_lock(lock)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    var now = generation.load(ordering: .sequentiallyConsistent)
    while now == seen {
      pthread_cond_wait(wake, lock)
      now = generation.load(ordering: .sequentiallyConsistent)
    }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(lock)
    return now
  }

  private static var now: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
