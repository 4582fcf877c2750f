import Core
import Foundation
import Glibc
import Synchronization

/// Runs each job in a process of its own: `arguments` with the job on its descriptor 0 (docs/worker-protocol.md).
package struct ProcessExecutor: Executor {
  package struct Options: Sendable {
    /// The program and its arguments, `["/usr/bin/moonlake", "worker"]`.
    package var arguments: [String]
    package var places: WorkerPlaces
    /// Added to the few variables that a worker gets.
    package var environment: [String: String] = [:]
    /// Between the polite end (command, SIGTERM) and SIGKILL.
    package var graceSeconds = 1.0
    /// Bytes of output and log lines after which a task ends with `LOG_LIMIT`.
    package var logLimitBytes = 16 << 20
    /// Bytes of JSON that a result may have; more ends in `RESULT_TOO_LARGE`.
    package var resultLimitBytes = 8 << 20
    /// How often CPU time and memory of the worker are read.
    package var sampleSeconds = 0.05

    package init(arguments: [String], places: WorkerPlaces) {
      self.arguments = arguments
      self.places = places
    }
  }

  let options: Options

  package init(_ options: Options) {
    self.options = options
    signal(SIGPIPE, SIG_IGN)  // a worker may close its input at any time
  }

  package func start(_ job: Job, report: @escaping JobReceiver) -> any JobHandle {
    let handle = WorkerHandle()
    let options = self.options
    let thread = Thread {
      let run = WorkerRun(job: job, options: options, handle: handle, report: report)
      run.run()
    }
    thread.name = job.task
    thread.stackSize = 1 << 20
    thread.start()
    return handle
  }

  package func sweep(_ identity: ProcessIdentity) {
    guard identity.bootID == ProcessTable.bootID else { return }  // the machine was restarted: nothing is left
    let deadline = monotonicSeconds() + 2
    while true {
      // The token decides, not the number: a recycled pid does not have it. Members of the leader's group may have
      // cleared their environment; they count while the leader itself still is the process we started.
      var left = Set(ProcessTable.holders(ofToken: identity.token))
      if let leader = ProcessTable.entry(identity.pid), leader.startTicks == identity.startTicks {
        left.formUnion(ProcessTable.members(ofSession: identity.pid).map(\.pid))
      }
      if left.isEmpty || monotonicSeconds() > deadline { return }
      for pid in left { kill(pid, SIGKILL) }
      usleep(5000)
    }
  }
}

/// What other threads may do to a run: ask for its end.
final class WorkerHandle: JobHandle {
  private struct State {
    var reason: StopReason?
    var isTooLate = false
    var wake: Int32 = -1
  }
  private let state = Mutex(State())

  func stop(_ reason: StopReason) -> Bool {
    state.withLock { state in
      if state.isTooLate { return false }
      if state.reason == nil { state.reason = reason }
      if state.wake >= 0 { _ = write(state.wake, "x", 1) }
      return true
    }
  }

  /// The outcome is known: from here on a stop changes nothing. False when a stop came before.
  func settle() -> Bool {
    state.withLock { state in
      if state.reason != nil { return false }
      state.isTooLate = true
      return true
    }
  }

  var reason: StopReason? { state.withLock { $0.reason } }

  /// Gives the write end of a pipe that wakes the run's thread; -1 takes it back. The old one is closed.
  func setWake(_ descriptor: Int32) {
    state.withLock { state in
      if state.wake >= 0 { close(state.wake) }
      state.wake = descriptor
    }
  }
}
