package import Core

/// One run of a task's script, as an executor gets it.
package struct Job: Sendable {
  package var task: String
  package var attempt: Int
  package var request: TaskRequest
  /// All that is set holds; nil is unlimited.
  package var limits: TaskLimits
  /// True when `limits.wallSeconds` came with the request: then it also ends a task that serves.
  package var wallLimitIsExplicit: Bool

  package init(
    task: String, attempt: Int, request: TaskRequest, limits: TaskLimits = TaskLimits(), wallLimitIsExplicit: Bool = false
  ) {
    self.task = task
    self.attempt = attempt
    self.request = request
    self.limits = limits
    self.wallLimitIsExplicit = wallLimitIsExplicit
  }
}

/// What an executor tells about a job, in order, from one thread of its own. `ended` is the last.
package enum JobReport: Sendable {
  /// The worker exists but has not been given the job: it gets it when the receiver returns, and is killed when it throws.
  case spawned(ProcessIdentity?)
  case progress(TaskProgress)
  case metric(MetricPoint)
  case lines([LogLine])
  /// The script serves at this URL.
  case ready(String)
  /// What was used so far; comes every `JobReport.tickSeconds` or so, and last just before `ended`.
  case usage(TaskUsage)
  case ended(JobEnding)

  package static let tickSeconds = 0.1
}

/// Takes the reports of one job.
package typealias JobReceiver = @Sendable (JobReport) throws(Failure) -> Void

/// How a job ended. It is reported when nothing of the worker is left.
package enum JobEnding: Sendable, Hashable {
  case result(JSONValue)
  case error(TaskError)
  /// Ended by `JobHandle.stop(.cancel)`.
  case cancelled
  /// Ended by `JobHandle.stop(.shutdown)`.
  case stopped
}

/// Why a job is to end before it is done.
package enum StopReason: Sendable { case cancel, shutdown }

/// A running job.
package protocol JobHandle: AnyObject, Sendable {
  /// Asks for the end of the job; it comes within the grace period. False when the outcome is already known: too late.
  @discardableResult func stop(_ reason: StopReason) -> Bool
}

/// Runs jobs: `ProcessExecutor` in worker processes, `ClosureExecutor` in this one (tests).
package protocol Executor: Sendable {
  /// Starts `job` on a thread of its own and returns at once. A worker that cannot be started is an `ended` report.
  func start(_ job: Job, report: @escaping JobReceiver) -> any JobHandle
  /// Kills what is left of a worker of an earlier server. Never touches a process that only has the same number.
  func sweep(_ identity: ProcessIdentity)
}
