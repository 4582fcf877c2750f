import AsyncHTTPClient
import Core
import Dispatch
import NIOCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One try of a request that is on its way.
final class Exchange: Sendable {
  let request: S3Request
  private let task: HTTPClient.Task<S3Response>
  private let outcome = Mutex<Result<S3Response, any Error>?>(nil)
  private let arrived = DispatchSemaphore(value: 0)

  enum Outcome {
    case answer(S3Response)
    /// No whole answer came. What was asked for may have been done.
    case lost(any Error)
  }

  init(request: S3Request, http: HTTPClient, signed: HTTPClient.Request, deadline: NIODeadline) {
    self.request = request
    task = http.execute(request: signed, delegate: ResponseReceiver(request.landing), deadline: deadline)
    task.futureResult.whenComplete { [self] result in
      outcome.withLock { $0 = result }
      arrived.signal()
    }
  }

  /// Blocks the calling thread until the answer is there, or until the process is to stop and the request is interruptible.
  /// - Throws: `CANCELLED`; a `Failure` of the receiver as it is.
  func wait() throws(Failure) -> Outcome {
    while arrived.wait(timeout: .now() + .milliseconds(50)) == .timedOut {
      if request.isInterruptible, Cancellation.isRequested {
        giveUp()
        throw Failure(.cancelled, "cancelled")
      }
    }
    // For a second wait, and for `giveUp` after it.
    arrived.signal()
    switch outcome.withLock({ $0 }) {
    case .success(let response)?: return .answer(response)
    case .failure(let error)?:
      if let failure = error as? Failure { throw failure }
      return .lost(error)
    case nil: throw Failure(.internalError, "an exchange ended without an outcome")
    }
  }

  /// Ends the exchange if it is still under way, and waits until nothing of it writes into memory any more.
  func giveUp() {
    task.cancel()
    arrived.wait()
    arrived.signal()
  }
}

/// Blocks the calling thread for `seconds`, at most one.
func pauseThread(_ seconds: Double) { usleep(UInt32(max(0, min(seconds, 1)) * 1e6)) }
