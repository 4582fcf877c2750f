import Core
import Synchronization

/// A request on its way from the network side to the thread that runs handlers.
package final class PendingRequest: Sendable {
  package let route: Int
  package let method: String
  package let path: String
  package let parameters: [(name: String, value: String)]
  package let query: [(name: String, value: String)]
  /// Lower-case names; repeated fields are joined by `, `.
  package let headers: [(name: String, value: String)]
  package let body: RequestBodyContent
  package let requestID: String

  /// How the wait of the network side ended.
  package enum Outcome: Sendable {
    case answered(Answer)
    case refused(Answer)
    case timedOut
    /// The client closed its connection.
    case left
  }
  private enum State {
    case made
    case awaited(UnsafeContinuation<Outcome, Never>)
    case done
  }
  private let state = Mutex<State>(.made)

  package init(
    route: Int, method: String, path: String, parameters: [(name: String, value: String)] = [],
    query: [(name: String, value: String)] = [], headers: [(name: String, value: String)] = [],
    body: RequestBodyContent = .none, requestID: String = ""
  ) {
    self.route = route
    self.method = method
    self.path = path
    self.parameters = parameters
    self.query = query
    self.headers = headers
    self.body = body
    self.requestID = requestID
  }

  /// True while somebody waits for the answer: not once it was given, the time was over or the client left.
  package var isWanted: Bool { state.withLock { if case .done = $0 { false } else { true } } }

  /// Hands the request to `queue` and waits for the outcome.
  func outcome(from queue: RequestQueue) async -> Outcome {
    await withUnsafeContinuation { continuation in
      state.withLock { $0 = .awaited(continuation) }
      if let refusal = queue.submit(self) { finish(.refused(refusal)) }
    }
  }

  /// Ends the wait; the first call counts. False when it was over already.
  @discardableResult
  package func finish(_ outcome: Outcome) -> Bool {
    let continuation = state.withLock { state -> UnsafeContinuation<Outcome, Never>? in
      guard case .awaited(let continuation) = state else { return nil }
      state = .done
      return continuation
    }
    continuation?.resume(returning: outcome)
    return continuation != nil
  }
}

/// The body of a request as the handler gets it.
package enum RequestBodyContent: Sendable {
  case none
  /// A route without a declared body: the bytes as they came.
  case bytes([UInt8])
  case checked(BodyValue)
}

/// A bounded queue between the network side (many) and the one thread that runs handlers.
package final class RequestQueue: @unchecked Sendable {  // Sendable: `monitor` guards all mutable state.
  private let monitor = Monitor()
  private let limit: Int
  private var waiting: [PendingRequest] = []
  private var running = 0
  private var arriving = 0
  private var isOpen = true

  /// At most `limit` requests wait or run at a time.
  package init(limit: Int) { self.limit = max(1, limit) }

  /// Requests that wait or run.
  package var inFlight: Int { monitor.locked { waiting.count + running } }
  /// True once new requests are refused.
  package var isClosed: Bool { monitor.locked { !isOpen } }
  /// True when closed and nothing waits or runs.
  package var isDrained: Bool { monitor.locked { !isOpen && waiting.isEmpty && running == 0 } }

  /// Notes that a request has begun to arrive (+1), or that it is complete or gone (-1): the batcher waits for these.
  package func noteArriving(_ change: Int) {
    monitor.locked {
      arriving += change
      if arriving == 0 { monitor.signal() }
    }
  }

  /// Nil when the request was taken in, else the refusal.
  func submit(_ request: PendingRequest) -> Answer? {
    monitor.locked {
      guard isOpen else { return .stopping }
      guard waiting.count + running < limit else { return .overloaded }
      waiting.append(request)
      monitor.signal()
      return nil
    }
  }

  /// Takes a request out that nobody waits for any more, if it has not been taken for running yet.
  func forget(_ request: PendingRequest) {
    monitor.locked { waiting.removeAll { $0 === request } }
  }

  /// The next request, within `seconds`; nil when there is none. The caller calls `finished()` for each one it got.
  ///
  /// - Parameter onlyIfArriving: return at once when no request is on its way.
  package func take(within seconds: Double, onlyIfArriving: Bool = false) -> PendingRequest? {
    monitor.locked {
      monitor.wait(seconds: seconds) { !waiting.isEmpty || !isOpen || onlyIfArriving && arriving == 0 }
      guard !waiting.isEmpty else { return nil }
      running += 1
      return waiting.removeFirst()
    }
  }

  /// One taken request is done with, answered or not.
  package func finished() { monitor.locked { running -= 1 } }

  /// Refuses new requests from now on; the waiting ones stay.
  package func close() {
    monitor.locked {
      isOpen = false
      monitor.signal()
    }
  }

  /// Ends all waiting requests with `answer`.
  package func refuseWaiting(_ answer: Answer) {
    let left = monitor.locked {
      defer { waiting.removeAll() }
      return waiting
    }
    for request in left { request.finish(.refused(answer)) }
  }
}
