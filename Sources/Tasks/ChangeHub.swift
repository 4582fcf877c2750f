import Synchronization

/// Tells waiting readers that a task has changed; what has changed they read themselves.
///
/// A reader holds at most one unread notice, so a slow one costs no memory: it finds everything new at its next look.
final class ChangeHub: Sendable {
  private struct State {
    var next = 0
    /// Readers by task id; "" is every task.
    var readers: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
  }
  private let state = Mutex(State())

  /// Notices for the task `id`, or for all tasks. Begin to listen, then look at the task: nothing is missed.
  func changes(of id: String?) -> AsyncStream<Void> {
    let key = id ?? ""
    return AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
      let number = state.withLock { state in
        state.next += 1
        state.readers[key, default: [:]][state.next] = continuation
        return state.next
      }
      continuation.onTermination = { [weak self] _ in
        self?.state.withLock { state in
          state.readers[key]?[number] = nil
          if state.readers[key]?.isEmpty == true { state.readers[key] = nil }
        }
      }
    }
  }

  func notify(_ id: String) {
    let found = state.withLock { state -> [AsyncStream<Void>.Continuation] in
      if state.readers.isEmpty { return [] }
      return Array((state.readers[id] ?? [:]).values) + Array((state.readers[""] ?? [:]).values)
    }
    for reader in found { reader.yield() }
  }

  func notifyAll() {
    for reader in state.withLock({ $0.readers.values.flatMap(\.values) }) { reader.yield() }
  }

  /// Ends all streams: the server stops.
  func finish() {
    let found = state.withLock { state -> [AsyncStream<Void>.Continuation] in
      let all = state.readers.values.flatMap(\.values)
      state.readers = [:]
      return all
    }
    for reader in found { reader.finish() }
  }

  /// Readers now, for tests.
  var count: Int { state.withLock { $0.readers.values.reduce(0) { $0 + $1.count } } }
}
