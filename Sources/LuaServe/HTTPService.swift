package import Core
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One route of a service. Which code answers it is the business of the thread that takes requests from the queue: it
/// finds the route by its position.
package struct Route: Sendable {
  package var method: String
  package var pattern: RoutePattern
  /// The declared body; nil takes any bytes.
  package var body: BodyShape?
  /// The declared answer, for the document only.
  package var returns: BodyShape?
  package var summary: String?

  package init(
    method: String, pattern: RoutePattern, body: BodyShape? = nil, returns: BodyShape? = nil, summary: String? = nil
  ) {
    self.method = method
    self.pattern = pattern
    self.body = body
    self.returns = returns
    self.summary = summary
  }
}

/// An HTTP service: Hummingbird on the network thread, in front of a bounded queue of requests.
///
/// Knows nothing of Lua. The owner starts it, takes requests from `queue`, answers them with `PendingRequest.finish`, and
/// ends it: `stopAccepting()`, answer what is left, `close()`.
package final class HTTPService: Sendable {
  package struct Options: Sendable {
    package var title = "Moonlake service"
    /// Most bytes of a body.
    package var bodyLimitBytes = 1 << 20
    /// Most seconds from a complete request to its answer.
    package var timeoutSeconds = 30.0
    /// Most requests that wait or run.
    package var maxInFlight = 256
    package var maxConnections = 1024
    package var headSeconds = 10.0
    package var bodySeconds = 30.0
    package var idleSeconds = 60.0
    package var writeSeconds = 30.0
    /// Names by which clients may call the service beside its addresses and `localhost`; `*` allows all.
    package var hosts: [String] = []
    /// Origins of pages elsewhere that may call the service; `*` allows all. None by default.
    package var corsOrigins: [String] = []
    package init() {}
  }

  package let options: Options
  package let routes: [Route]
  package let queue: RequestQueue
  package let statistics = Statistics()
  package let host: String
  package let port: Int
  private let connections: ConnectionTable
  private let services: ServiceGroup
  private let running: Task<Void, Never>
  private let ended: Gate
  private let listener: any Channel
  private let isClosed = Atomic<Bool>(false)

  /// Listens. Blocks until connections are accepted; must not be called on a Swift concurrency thread.
  /// - Throws: `PORT_IN_USE`, `PORT_NOT_ALLOWED`, or `INVALID_ARGUMENT` for a host that is no address of this machine and
  ///   for routes that hide each other.
  package init(
    options: Options = Options(), routes: [Route], files: [StaticFiles] = [], host: String = "127.0.0.1", port: Int
  ) throws(Failure) {
    guard (0...65535).contains(port) else {
      throw Failure(.invalidArgument, "port \(port) is not possible; 0 to 65535 are, and 0 picks a free one")
    }
    let queue = RequestQueue(limit: options.maxInFlight)
    let connections = ConnectionTable()
    let statistics = statistics
    let responder = ServiceResponder(
      options: options, table: try RouteTable(routes), files: files, queue: queue, connections: connections,
      statistics: statistics, checksHost: HTTPService.isLoopback(host), host: host)
    let limits = ConnectionGuard.Limits(
      bodyBytes: options.bodyLimitBytes, headSeconds: options.headSeconds, bodySeconds: options.bodySeconds,
      idleSeconds: options.idleSeconds, writeSeconds: options.writeSeconds)
    let network = Network.shared
    let logger = Logger(label: "moonlake.http", factory: { _ in SwiftLogNoOpLogHandler() })
    let channel = HTTP1Channel(
      responder: { request, writer, channel in try await responder.respond(to: request, writer, channel) },
      configuration: .init(
        additionalChannelHandlers: [
          ConnectionGuard(limits: limits, table: connections, queue: queue, statistics: statistics)
        ],
        httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
    let started = Gate()
    let ended = Gate()
    let bound = Mutex<Result<any Channel, Failure>?>(nil)
    let server = channel.server(
      configuration: .init(
        address: .hostname(host, port: port), backlog: 512,
        availableConnectionsDelegate: MaximumAvailableConnections(
          HTTPService.connectionLimit(options.maxConnections), logger: logger)),
      onServerRunning: { channel in
        bound.withLock { $0 = .success(channel) }
        started.open()
      }, eventLoopGroup: network.loops, logger: logger)
    let services = ServiceGroup(configuration: .init(services: [server], logger: logger))
    let running = Task(executorPreference: network.executor) {
      do {
        try await services.run()
      } catch {
        let failure = HTTPService.failure(error, host: host, port: port)
        bound.withLock { if $0 == nil { $0 = .failure(failure) } }
      }
      started.open()
      ended.open()
    }
    started.wait(seconds: .infinity)
    switch bound.withLock({ $0 }) {
    case .success(let channel):
      listener = channel
      self.port = channel.localAddress?.port ?? port
    case .failure(let failure):
      ended.wait(seconds: 2)
      throw failure
    case nil: throw Failure(.internalError, "the service on \(host):\(port) did not start")
    }
    self.options = options
    self.routes = routes
    self.queue = queue
    self.host = host
    self.connections = connections
    self.services = services
    self.running = running
    self.ended = ended
  }

  /// `http://127.0.0.1:8080`, with a host that a client on this machine can use.
  package var url: String {
    let name = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host
    return "http://\(name.contains(":") ? "[\(name)]" : name):\(port)"
  }

  /// Open connections.
  package var connectionCount: Int { connections.count }

  /// Closes the listening socket and idle connections, and refuses new requests; those under way may still be answered.
  package func stopAccepting() {
    queue.close()
    let services = services
    Task { await services.triggerGracefulShutdown() }
  }

  /// Ends everything. Blocks until all connections are closed; safe to call again.
  package func close() {
    guard !isClosed.exchange(true, ordering: .relaxed) else { return }
    stopAccepting()
    queue.refuseWaiting(.stopping)
    // Nothing may be accepted any more when the server is cancelled (see `ConnectionGuard.channelActive`). The graceful shutdown closes
    // the listener as well, once a task of the runtime gets to it.
    let closed = Gate()
    listener.closeFuture.whenComplete { _ in closed.open() }
    listener.close(promise: nil)
    closed.wait(seconds: 2)
    // A moment for the last answers to leave, then the connections that are still open are cut.
    ended.wait(seconds: 0.2)
    running.cancel()
    ended.wait(seconds: 1)
  }

  deinit { close() }

  static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || host.hasPrefix("127.")
  }

  /// Leaves descriptors for the rest of the process.
  private static func connectionLimit(_ asked: Int) -> Int {
    var files = rlimit()
    #if os(Linux)
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
    #else
      getrlimit(RLIMIT_NOFILE, &files)
    #endif
    let open = Int(clamping: files.rlim_cur)
    return max(1, min(asked, open - 48))
  }

  private static func failure(_ error: any Error, host: String, port: Int) -> Failure {
    if let error = error as? IOError {
      switch error.errnoCode {
      case EADDRINUSE:
        return Failure(
          .portInUse, "port \(port) on \(host) is in use by another program; choose another port, or 0 for a free one",
          details: ["port": .int(Int64(port))])
      case EACCES:
        return Failure(.portNotAllowed, "port \(port) needs more rights than this program has; ports from 1024 do not")
      case EADDRNOTAVAIL:
        return Failure(.invalidArgument, "host '\(host)' is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are")
      default: break
      }
    }
    if error is SocketAddressError || error is SocketAddressError.UnknownHost {
      return Failure(.invalidArgument, "host '\(host)' is not known; give an address such as 127.0.0.1 or 0.0.0.0")
    }
    return Failure(.ioError, "cannot listen on \(host):\(port): \(error)")
  }
}

extension Failure.Code {
  package static let portInUse = Failure.Code("PORT_IN_USE")
  package static let portNotAllowed = Failure.Code("PORT_NOT_ALLOWED")
}

/// The one network thread of this process, for all its services. It is started by the first and never ended: NIO must not
/// be asked for anything after its loop has ended, and freed connections ask.
private struct Network {
  static let shared = Network()
  let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  let executor: LoopExecutor
  private init() { executor = LoopExecutor(loops.any()) }
}

/// Runs Swift tasks on the event loop's own thread: a request is read, routed and answered without changing threads.
private final class LoopExecutor: TaskExecutor {
  private let loop: any EventLoop
  init(_ loop: any EventLoop) { self.loop = loop }
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
