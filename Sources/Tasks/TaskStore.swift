package import Core

/// Which tasks, newest first.
package struct TaskQuery: Sendable {
  /// Empty is all states.
  package var statuses: Set<TaskStatus> = []
  package var name: String?
  package var script: String?
  /// Only tasks created before the one with this sequence number: the page after it.
  package var before: Int64?
  package var limit: Int = 100
  /// Texts (parameters, results) that a page may hold; it ends after the record that passes this.
  package var limitBytes = 16 << 20

  package init(
    statuses: Set<TaskStatus> = [], name: String? = nil, script: String? = nil, before: Int64? = nil, limit: Int = 100
  ) {
    self.statuses = statuses
    self.name = name
    self.script = script
    self.before = before
    self.limit = limit
  }
}

/// Some of the records that a query asks for.
package struct TaskPage: Sendable {
  package var records: [TaskRecord]
  /// True when the page ended for `limit` or `limitBytes` with records left.
  package var hasMore: Bool
}

/// Keeps tasks, their attempts, events, log lines and metric points.
///
/// Calls block and may come from any thread. What a call wrote is kept when it returns (`SQLiteTaskStore`: also over a power
/// cut). Unknown ids give empty answers where nothing is written. All implementations pass `TaskStoreTests`.
package protocol TaskStore: AnyObject, Sendable {
  /// Stores a new `pending` task under the next number, with its first event.
  func create(_ request: TaskRequest, at time: Instant) throws(Failure) -> TaskRecord

  /// Stores a record as it is now, its new events and, if given, the attempt with `attempt.number`: all or nothing.
  /// - Throws: `ILLEGAL_TRANSITION` when the stored record is in a terminal state; `TASK_NOT_FOUND`.
  func save(_ record: TaskRecord, events: [TaskEvent], attempt: TaskAttempt?) throws(Failure)

  func record(id: String) throws(Failure) -> TaskRecord?
  /// The records that `query` asks for, and whether there are more.
  func page(_ query: TaskQuery) throws(Failure) -> TaskPage
  /// Tasks by state; a state without tasks may be absent.
  func counts() throws(Failure) -> [TaskStatus: Int]
  func attempts(id: String) throws(Failure) -> [TaskAttempt]
  /// Events with a number above `after`, in order.
  func events(id: String, after: Int) throws(Failure) -> [TaskEvent]

  /// Stores log lines, whose numbers go on from those before, and metric points.
  func append(logs: [LogLine], metrics: [MetricPoint], id: String) throws(Failure)
  /// At most `limit` lines with a number above `after`, in order.
  func logs(id: String, after: Int, limit: Int) throws(Failure) -> [LogLine]
  /// The number of the newest line; 0 without lines.
  func lastLogNumber(id: String) throws(Failure) -> Int
  /// Puts `points` in the place of all points of the metric `name`.
  func replaceMetrics(name: String, points: [MetricPoint], id: String) throws(Failure)
  /// The points that came after `position` (0: all), as they came, and the position to go on from. A metric whose points were
  /// replaced comes again.
  func metrics(id: String, after position: Int64) throws(Failure) -> (points: [MetricPoint], position: Int64)

  /// Writes everything out and lets go of files; the store answers with errors afterwards.
  func close() throws(Failure)
}

extension TaskStore {
  func mustBeOpen(_ record: TaskRecord?, id: String) throws(Failure) {
    guard let record else { throw Failure(.taskNotFound, "Task '\(id)' does not exist") }
    guard !record.status.isTerminal else {
      throw Failure(.illegalTransition, "task '\(id)' is '\(record.status.rawValue)', which is final: nothing more is stored")
    }
  }
}
