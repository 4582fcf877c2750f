package import Core
import Foundation
import Synchronization

/// Runs jobs as Swift closures, each on a thread of this process. For tests of what stands on an `Executor`.
package struct ClosureExecutor: Executor {
  /// What a closure can see and say of its job.
  package final class Run: JobHandle, Sendable {
    package let job: Job
    package let report: JobReceiver
    private let reason = Mutex<StopReason?>(nil)

    init(job: Job, report: @escaping JobReceiver) {
      self.job = job
      self.report = report
    }

    /// Why the closure should return, nil as long as it need not.
    package var stopReason: StopReason? { reason.withLock { $0 } }

    package func stop(_ reason: StopReason) -> Bool {
      self.reason.withLock { $0 = $0 ?? reason }
      return true
    }
  }

  private let body: @Sendable (Run) throws -> JSONValue

  /// `body` gives the result or throws; what it returns after a stop does not count.
  package init(_ body: @escaping @Sendable (Run) throws -> JSONValue) { self.body = body }

  package func start(_ job: Job, report: @escaping JobReceiver) -> any JobHandle {
    let run = Run(job: job, report: report)
    let body = self.body
    Thread.detachNewThread {
      var ending: JobEnding
      do {
        try report(.spawned(nil))
        ending = .result(try body(run))
      } catch {
        let failure = Failure.wrapping(error)
        ending = .error(TaskError(failure.code.rawValue, failure.message))
      }
      switch run.stopReason {
      case .cancel: ending = .cancelled
      case .shutdown: ending = .stopped
      case nil: break
      }
      try? report(.ended(ending))
    }
    return run
  }

  package func sweep(_ identity: ProcessIdentity) {}
}
