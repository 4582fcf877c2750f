import ArgumentParser
import Core
import Foundation
import Lake
import Logging
import Server
import Tasks

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Start the service: REST API, page, tasks.",
    discussion: """
      Examples:
        moonlake serve
        moonlake serve --config config.yaml --port 0
      SIGTERM or Ctrl-C ends it: running tasks are stopped first. The state is kept under the storage path.
      """)
  @Option(help: "Configuration file; config.yaml of this folder by default.") var config: String?
  @Option(help: "Port instead of the configured one; 0 takes a free one.") var port: Int?
  @Option(help: "Lowest level of the server's own log: debug, info, warning, error.") var logLevel = "info"
  @Flag(help: "Print the address as JSON once it listens.") var json = false

  func run() async throws {
    var settings = try Configuration.load(config)
    if let port {
      guard (0...65535).contains(port) else { throw Failure(.invalidArgument, "--port must be from 0 to 65535") }
      settings.port = port
    }
    guard let level = Logger.Level(rawValue: logLevel) else {
      throw Failure(.invalidArgument, "--log-level: '\(logLevel)' is none of debug, info, warning, error")
    }
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "moonlake")
    logger.logLevel = level

    try settings.makeFolders()
    let lake = try settings.openLake()
    let store = try SQLiteTaskStore(path: settings.stateDirectory + "/tasks.sqlite")
    var options = TaskScheduler.Options()
    options.slots = settings.slots
    options.limits = settings.taskLimits
    let scheduler = TaskScheduler(
      store: store, executor: ProcessExecutor(try settings.workers()), options: options, logger: logger)
    try scheduler.recover()

    var server = MoonlakeServer.Configuration(scriptRoot: settings.scriptDirectory, baseDirectory: settings.baseDirectory)
    server.host = settings.host
    server.port = settings.port
    server.version = Moonlake.version
    server.webDirectory = settings.webDirectory
    server.dataRoots = settings.dataDirectories
    server.taskLimits = settings.taskLimits
    server.bodyLimitBytes = settings.bodyLimitBytes
    server.uploadLimitBytes = settings.uploadLimitBytes
    server.uploadDirectory = settings.stateDirectory
    server.headTimeoutSeconds = settings.headerTimeoutSeconds
    server.idleTimeoutSeconds = settings.idleTimeoutSeconds
    server.maxConnections = settings.maxConnections
    server.upkeepSeconds = settings.upkeepSeconds
    server.upkeep = settings.upkeep
    let (shownHost, json) = (URLComponents(string: settings.address)?.host ?? settings.host, json)
    try await MoonlakeServer(server, scheduler: scheduler, lake: lake, logger: logger).run { port in
      let address = "http://\(shownHost):\(port)"
      print(
        json
          ? JSONValue.object(["url": .string(address), "pid": .int(Int64(getpid()))]).text()
          : "Moonlake serves \(address) (API \(address)/docs)")
      fflush(nil)
    }
  }
}

extension Configuration {
  var taskLimits: TaskLimits {
    TaskLimits(wallSeconds: wallLimitSeconds, cpuSeconds: cpuLimitSeconds, memoryBytes: memoryLimitBytes)
  }

  /// How workers are started: this program, with the folders of this configuration.
  func workers() throws(Failure) -> ProcessExecutor.Options {
    let place = try lakePlace()
    var options = ProcessExecutor.Options(
      arguments: [Resources.executablePath(), "worker"],
      places: WorkerPlaces(
        scriptRoot: realPath(scriptDirectory) ?? scriptDirectory, lake: place.name, dataRoots: dataDirectories,
        luaLib: luaLibDirectory))
    if case .bucket(let bucket) = place {
      options.places.storage = .object(bucket.json)
      options.environment = bucket.environment
    }
    // MOONLAKE_THREADS of the server's own environment is handed on where the configuration leaves it open.
    if threads != nil || getenv("MOONLAKE_THREADS") == nil {
      options.environment["MOONLAKE_THREADS"] = String(threads ?? max(1, Parallel.threads / slots))
    }
    options.graceSeconds = cancelGraceSeconds
    options.logLimitBytes = logLimitBytes
    return options
  }

  /// The folders that the server writes to.
  func makeFolders() throws(Failure) {
    for (key, folder) in [("script_root", scriptDirectory), ("lualib_path", luaLibDirectory)] {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
        throw Failure(.invalidConfiguration, "server.\(key): the folder '\(folder)' does not exist")
      }
    }
    for folder in (isBucket ? [] : [resolve(storagePath)]) + [stateDirectory] {
      do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
        throw Failure(.ioError, "the folder '\(folder)' cannot be made: \(error.localizedDescription)")
      }
    }
  }
}
