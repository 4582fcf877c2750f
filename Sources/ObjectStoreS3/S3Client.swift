import AsyncHTTPClient
import Core
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Signs requests, sends them, and tries again what may be tried again.
///
/// `start` puts a request on its way and returns; `finish` waits for the answer on the calling thread. Several requests may be on
/// their way at once.
final class S3Client: Sendable {
  let settings: S3Settings
  let retries: RetryPolicy
  private let endpoint: S3Endpoint
  private let timeouts: S3Timeouts
  private let signature: SignatureV4
  private let source: CredentialSource
  private let credentials: Mutex<S3Credentials>
  /// Seconds to add to this machine's clock to have the server's.
  private let clockOffset = Mutex<Int64>(0)
  private let http: HTTPClient

  /// Lives as long as the process, and is used by nothing else: whoever waits here never waits for itself.
  private static let loops = MultiThreadedEventLoopGroup(numberOfThreads: 2)

  /// - Throws: `INVALID_ARGUMENT` for an endpoint or credentials that cannot be.
  init(_ settings: S3Settings, _ source: CredentialSource, retries: RetryPolicy, timeouts: S3Timeouts) throws(Failure) {
    self.settings = settings
    self.retries = retries
    self.timeouts = timeouts
    self.source = source
    endpoint = try S3Endpoint(settings)
    signature = SignatureV4(region: settings.region)
    credentials = Mutex(try source.load())
    // A redirect could lead anywhere, with our signature: it is an error that is reported.
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.httpVersion = .http1Only
    configuration.timeout.connect = .of(seconds: timeouts.connectSeconds)
    configuration.timeout.read = .of(seconds: timeouts.silenceSeconds)
    configuration.timeout.write = .of(seconds: timeouts.silenceSeconds)
    configuration.connectionPool.idleTimeout = .seconds(30)
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 16
    // Tries are counted here.
    configuration.connectionPool.retryConnectionEstablishment = false
    http = HTTPClient(eventLoopGroupProvider: .shared(S3Client.loops), configuration: configuration)
  }

  deinit { http.shutdown { _ in } }

  /// An answer that is good or expected, and whether an earlier try of the same request may have taken effect unseen.
  struct Answer: Sendable {
    var response: S3Response
    var isAfterLoss: Bool
  }

  /// Sends a request and waits.
  /// - Parameter doing: for messages: `read 'x'`.
  /// - Throws: `IO_ERROR` naming bucket, key and the server's code; `CANCELLED`; what the landing throws (`MEMORY_LIMIT`).
  func send(_ request: S3Request, _ doing: @autoclosure () -> String) throws(Failure) -> Answer {
    try finish(try start(request), doing())
  }

  func start(_ request: S3Request) throws(Failure) -> Exchange {
    let clock = Instant.now
    let time = Instant(seconds: clock.seconds &+ clockOffset.withLock { $0 }, nanoseconds: clock.nanoseconds)
    let signed = try sign(request, at: time)
    return Exchange(
      request: request, http: http, signed: signed,
      deadline: .now() + .of(seconds: timeouts.wholeSeconds))
  }

  /// Waits for `exchange`; after a fault that passes, sends its request anew.
  func finish(_ first: Exchange, _ doing: @autoclosure () -> String) throws(Failure) -> Answer {
    let request = first.request
    var exchange = first
    var (isAfterLoss, hasSetClock, hasReloaded) = (false, false, false)
    var attempt = 1
    while true {
      let problem: Failure
      var pause: Double?
      switch try exchange.wait() {
      case .answer(let response):
        if response.isGood || request.expected.contains(response.status) {
          return Answer(response: response, isAfterLoss: isAfterLoss)
        }
        let error = S3Error(response)
        if error.isClockSkew, !hasSetClock, let date = response.fields.first(name: "date").flatMap(HTTPDate.parse) {
          hasSetClock = true
          clockOffset.withLock { $0 = date.seconds - Instant.now.seconds }
          exchange = try start(request)
          continue
        }
        if error.isExpiry, !hasReloaded, let renewed = try? source.load(), renewed != credentials.withLock({ $0 }) {
          hasReloaded = true
          credentials.withLock { $0 = renewed }
          exchange = try start(request)
          continue
        }
        problem = error.failure(doing(), store: settings.location, settings: settings, tries: attempt)
        guard error.isPassing else { throw problem }
        // An overloaded gateway may have passed the request on.
        isAfterLoss = true
        pause = response.fields.first(name: "retry-after").flatMap { Double($0) }
      case .lost(let error):
        problem = Failure(
          .ioError,
          "cannot \(doing()) in \(settings.location): no answer from \(endpoint.origin) (\(words(error))); tried \(attempt) times; check the endpoint and the network"
        )
        isAfterLoss = true
      }
      guard attempt < retries.attempts else { throw problem }
      try rest(retries.delaySeconds(attempt, asked: pause), isInterruptible: request.isInterruptible)
      attempt += 1
      exchange = try start(request)
    }
  }

  /// Why no answer came.
  private func words(_ error: any Error) -> String {
    switch error {
    case let error as HTTPClientError where error == .readTimeout || error == .writeTimeout:
      return "nothing was heard for \(timeouts.silenceSeconds) s"
    case let error as HTTPClientError where error == .connectTimeout: return "no connection within \(timeouts.connectSeconds) s"
    case let error as HTTPClientError where error == .deadlineExceeded: return "it took longer than \(timeouts.wholeSeconds) s"
    case let error as HTTPClientError where error == .remoteConnectionClosed: return "the connection was closed"
    case let error as NIOConnectionError:
      if let first = error.connectionErrors.first { return "\(first.error)" }
      return "the name cannot be resolved"
    default: return String("\(error)".prefix(200))
    }
  }

  private func rest(_ seconds: Double, isInterruptible: Bool) throws(Failure) {
    let end = monotonicSeconds() + seconds
    repeat {
      if isInterruptible { try Cancellation.check() }
      let left = end - monotonicSeconds()
      if left > 0 { pauseThread(min(left, 0.05)) }
    } while monotonicSeconds() < end
  }

  private func sign(_ request: S3Request, at time: Instant) throws(Failure) -> HTTPClient.Request {
    let credentials = credentials.withLock { $0 }
    let path = endpoint.path(request.key)
    var fields = request.fields
    fields += [("host", endpoint.host), ("x-amz-content-sha256", request.bodyHash), ("x-amz-date", SignatureV4.stamp(time))]
    if let token = credentials.sessionToken { fields.append(("x-amz-security-token", token)) }
    let parts = SignatureV4.Parts(
      method: request.method.rawValue, path: path, query: request.query, fields: fields, bodyHash: request.bodyHash)
    let authorization = signature.authorization(parts, credentials, at: time)
    fields.append(("authorization", authorization))
    let query = SignatureV4.query(request.query)
    do {
      return try HTTPClient.Request(
        url: endpoint.origin + path + (query.isEmpty ? "" : "?" + query), method: request.method, headers: HTTPHeaders(fields),
        body: request.body.map { .byteBuffer($0) })
    } catch {
      throw Failure(.internalError, "no request can be made for '\(path)' at \(endpoint.origin): \(error)")
    }
  }
}

extension TimeAmount {
  static func of(seconds: Double) -> TimeAmount { .nanoseconds(Int64(seconds * 1e9)) }
}
