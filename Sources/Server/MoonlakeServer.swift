package import Core
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
package import Lake
package import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
package import Tasks
import UnixSignals
package import Upkeep

/// The REST API and the platform's page over a scheduler and a lake.
///
///     let server = MoonlakeServer(configuration, scheduler: scheduler, lake: lake, logger: logger)
///     try await server.run { port in print("listening on port \(port)") }
package struct MoonlakeServer: Sendable {
  package struct Configuration: Sendable {
    /// The address to bind: a name or number; loopback unless set.
    package var host = "127.0.0.1"
    /// 0 takes any free port.
    package var port = 8000
    package var version = "0.1"
    /// The folder of the platform's page; nil serves none.
    package var webDirectory: String?
    /// Absolute folders.
    package var scriptRoot: String
    package var dataRoots: [String] = []
    /// What a relative `input` outside the lake is relative to.
    package var baseDirectory: String
    /// The most that a task may ask for.
    package var taskLimits = TaskLimits()
    package var bodyLimitBytes = 2 << 20
    /// Of the rows of an import.
    package var uploadLimitBytes = 1 << 30
    /// Where the rows of an import wait while they come; best on the disk of the lake.
    package var uploadDirectory = "/tmp"
    package var headLimitBytes = 64 << 10
    package var urlLimitBytes = 8 << 10
    /// From the connection to the first whole head.
    package var headTimeoutSeconds = 10.0
    /// From a head to the end of its body, and for each further MiB of it.
    package var bodyTimeoutSeconds = 30.0
    /// Of a connection between requests.
    package var idleTimeoutSeconds = 60.0
    /// Of a client that does not read its answer.
    package var writeTimeoutSeconds = 30.0
    package var maxConnections = 1000
    /// How long `POST /tasks` waits for a task to be `running` when a slot is free.
    package var startWaitSeconds = 0.03
    /// How long a cancel waits for the end before it answers 202.
    package var cancelWaitSeconds = 0.25
    /// Between comment lines of a stream that has nothing to say.
    package var heartbeatSeconds = 15.0
    /// How long open requests may take after the server was told to end.
    package var shutdownSeconds = 8.0
    /// Between two looks at the tables of the lake; nil: nobody looks after them.
    package var upkeepSeconds: Double?
    package var upkeep = UpkeepOptions()

    package init(scriptRoot: String, baseDirectory: String) {
      self.scriptRoot = scriptRoot
      self.baseDirectory = baseDirectory
    }
  }

  let configuration: Configuration
  let scheduler: TaskScheduler
  let lake: DataLake
  let logger: Logger
  let metrics = ServerMetrics()
  private let services = RunningServices()
  let table: RouteTable

  /// `scheduler` must have recovered its tasks; `run` resumes it once the port is there, and stops it at the end.
  package init(_ configuration: Configuration, scheduler: TaskScheduler, lake: DataLake, logger: Logger) {
    self.configuration = configuration
    self.scheduler = scheduler
    self.lake = lake
    self.logger = logger
    table = MoonlakeServer.makeTable(configuration, scheduler, lake, metrics)
  }

  private static func makeTable(
    _ configuration: Configuration, _ scheduler: TaskScheduler, _ lake: DataLake, _ metrics: ServerMetrics
  ) -> RouteTable {
    let tasks = TaskRoutes(
      scheduler: scheduler, reader: TaskRequestReader(configuration: configuration, lake: lake), metrics: metrics,
      configuration: configuration)
    let datasets =
      DatasetReadRoutes(lake: lake).routes + DatasetChangeRoutes(lake: lake).routes
      + DatasetUpkeepRoutes(lake: lake).routes + DatasetSearchRoutes(lake: lake).routes
      + DatasetImportRoutes(
        lake: lake, uploadFolder: configuration.uploadDirectory, limitBytes: configuration.uploadLimitBytes
      ).routes
    let api = tasks.routes + LakeRoutes(lake: lake).routes + datasets
    @Sendable func system() -> SystemRoutes {
      SystemRoutes(scheduler: scheduler, lake: lake, metrics: metrics, configuration: configuration) { api + system().routes }
    }
    return RouteTable(api + system().routes)
  }

  /// Methods and paths of all routes, `GET /api/v1/tasks`, for tests and documents.
  package var routeNames: [String] { table.routes.map { "\($0.method.rawValue) \($0.path)" } }
  /// The OpenAPI 3.1 document.
  package var document: JSONValue { OpenAPIDocument.document(table.routes, version: configuration.version) }

  /// Ends `run` as SIGTERM does: connections that were accepted are served. (To cancel its task drops those that nobody has taken yet, and
  /// NIO ends the process for it: apple/swift-nio#2637.)
  package func shutDown() async { await services.group.withLock { $0 }?.triggerGracefulShutdown() }

  /// Serves until SIGTERM or SIGINT (or the task is cancelled). Then running tasks are ended (`TaskScheduler.stop`), open
  /// streams and requests finish, and the call returns. A second signal, or `shutdownSeconds`, ends it at once.
  /// - Parameter onRunning: called with the port when connections are taken.
  /// - Throws: `PORT_IN_USE` naming address and port; `IO_ERROR`.
  package func run(
    handlesSignals: Bool = true, onRunning: @escaping @Sendable (_ port: Int) -> Void = { _ in }
  ) async throws(Failure) {
    // One thread reads, routes and answers: nothing here takes long (what blocks goes to `offload`), and a request that stays
    // on its thread costs less than one that is handed over twice.
    let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let executor = LoopExecutor(loops.next())
    let responder = Responder(table: table, metrics: metrics, configuration: configuration, logger: logger)
    let (limits, metrics, scheduler) = (configuration, metrics, scheduler)
    var http = HTTP1Channel.Configuration(
      additionalChannelHandlers: [ConnectionGuard(limits: limits, metrics: metrics)],
      idleTimeout: .milliseconds(Int64(configuration.idleTimeoutSeconds * 1000)))
    http.httpDecoder = .init(
      maxHeaderFieldSize: configuration.headLimitBytes, maxHeaderListSize: configuration.headLimitBytes,
      maxHeaderFieldCount: 200)
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    let application = Application(
      responder: responder, server: .http1(configuration: http),
      configuration: ApplicationConfiguration(
        address: .hostname(configuration.host, port: configuration.port), backlog: 512,
        availableConnectionsDelegate: .maximum(configuration.maxConnections, logger: quiet)),
      onServerRunning: { channel in
        scheduler.resume()
        onRunning(channel.localAddress?.port ?? 0)
      }, eventLoopGroupProvider: .shared(loops),
      logger: quiet)
    if !HostRule.isLoopback(configuration.host) {
      logger.warning("listening on '\(configuration.host)': anybody who reaches this port can run scripts on this machine")
    }
    // Services are shut down from the last to the first: tasks and streams end, then connections.
    var parts: [any Service] = [
      application, SchedulerService(scheduler: scheduler, heartbeatSeconds: configuration.heartbeatSeconds),
    ]
    if let seconds = configuration.upkeepSeconds {
      parts.append(
        UpkeepService(
          upkeep: LakeUpkeep(lake, configuration.upkeep), intervalSeconds: min(max(0.01, seconds), 1e9), metrics: metrics,
          logger: logger)
      )
    }
    var group = ServiceGroupConfiguration(
      services: parts,
      gracefulShutdownSignals: handlesSignals ? [.sigterm, .sigint] : [], logger: quiet)
    group.maximumGracefulShutdownDuration = .seconds(configuration.shutdownSeconds)
    do {
      let services = ServiceGroup(configuration: group)
      self.services.group.withLock { $0 = services }
      defer { self.services.group.withLock { $0 = nil } }
      let result: Result<Void, any Error> = await withTaskExecutorPreference(executor) {
        do { return .success(try await services.run()) } catch { return .failure(error) }
      }
      try? await loops.shutdownGracefully()
      try result.get()
    } catch let error as IOError where error.errnoCode == EADDRINUSE {
      throw Failure(
        Failure.Code("PORT_IN_USE"),
        "port \(configuration.port) of \(configuration.host) is in use; is another server running? server.host in config.yaml sets it"
      )
    } catch is CancellationError {
      return
    } catch {
      throw Failure(.ioError, "the server ended: \(error)")
    }
  }
}

/// Runs Swift tasks on an event loop's thread.
private final class LoopExecutor: TaskExecutor {
  private let loop: any EventLoop
  init(_ loop: any EventLoop) { self.loop = loop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

/// What `run` runs now.
private final class RunningServices: Sendable {
  let group = Mutex<ServiceGroup?>(nil)
}

/// Stops the scheduler when the server is told to end, and wakes streams so that they show they live.
private struct SchedulerService: Service {
  let scheduler: TaskScheduler
  let heartbeatSeconds: Double

  func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(max(0.05, heartbeatSeconds / 3)))
          scheduler.wakeReaders()
        }
      }
      try? await gracefulShutdown()
      group.cancelAll()
    }
    do throws(Failure) { try await offload { () throws(Failure) in scheduler.stop() } } catch {}
  }
}
