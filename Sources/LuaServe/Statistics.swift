import Synchronization

/// What a service has done since it started.
package final class Statistics: Sendable {
  private let answered = Atomic<Int>(0)
  private let failed = Atomic<Int>(0)

  /// Requests answered, with any status.
  package var requests: Int { answered.load(ordering: .relaxed) }
  /// Requests answered with a status of 500 or more.
  package var errors: Int { failed.load(ordering: .relaxed) }

  func count(status: Int) {
    answered.add(1, ordering: .relaxed)
    if status >= 500 { failed.add(1, ordering: .relaxed) }
  }
}
