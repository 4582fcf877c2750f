import Core
import Foundation
import Upkeep
import Yams

/// `config.yaml` as values. Every key has a default; unknown keys, wrong types and bad values are errors that name
/// file, line and key. Relative paths are relative to the folder of the file.
struct Configuration: Sendable {
  var host = "127.0.0.1"
  var port = 8000
  /// The public address as written, shown to people: `http://localhost:8000`.
  var address = "http://localhost:8000"
  var storagePath = "./lance_storage"
  var statePath: String?
  var scriptRoot = "."
  var dataRoots = ["./data"]
  var webPath: String?
  var luaLibPath: String?
  var slots = 1
  /// Of one task's kernels; nil: the machine's cores, shared out among the slots.
  var threads: Int?
  var wallLimitSeconds: Double?
  var cpuLimitSeconds: Double?
  var memoryLimitBytes: Int? = 4 << 30
  var logLimitBytes = 16 << 20
  var cancelGraceSeconds = 1.0
  var bodyLimitBytes = 2 << 20
  var uploadLimitBytes = 1 << 30
  var headerTimeoutSeconds = 10.0
  var idleTimeoutSeconds = 60.0
  var maxConnections = 1000
  var storage = StorageSettings()
  /// Between two looks at the tables; nil: nobody looks after them.
  var upkeepSeconds: Double? = 600
  var upkeep = UpkeepOptions()

  /// The folder that relative paths are relative to.
  var baseDirectory = FileManager.default.currentDirectoryPath

  /// Reads `path`; with nil, `config.yaml` of the current folder when there is one, else the defaults.
  static func load(_ path: String?) throws(Failure) -> Configuration {
    var configuration = Configuration()
    let file = path ?? "config.yaml"
    guard let data = FileManager.default.contents(atPath: file) else {
      if let path { throw Failure(.fileNotFound, "configuration file '\(path)' cannot be read; is the path right?") }
      return configuration
    }
    guard let text = String(data: data, encoding: .utf8) else {
      throw Failure(.invalidConfiguration, "configuration file '\(file)' is not UTF-8 text")
    }
    configuration.baseDirectory = URL(fileURLWithPath: file).deletingLastPathComponent().path
    let root: Node?
    do { root = try Yams.compose(yaml: text) } catch {
      throw Failure(.invalidConfiguration, "\(file): not valid YAML: \(error)")
    }
    if let root { try configuration.apply(root, file: file) }
    return configuration
  }

  private mutating func apply(_ root: Node, file: String) throws(Failure) {
    let reader = YAMLReader(file: file)
    for (section, keys) in try reader.mapping(root, "the file") {
      switch section {
      case "server":
        for (key, node) in try reader.mapping(keys, "server") {
          switch key {
          case "host": try setAddress(try reader.string(node, "server.host"), reader, node)
          case "storage_path": storagePath = try reader.string(node, "server.storage_path")
          case "state_path": statePath = try reader.string(node, "server.state_path")
          case "script_root": scriptRoot = try reader.string(node, "server.script_root")
          case "data_roots": dataRoots = try reader.strings(node, "server.data_roots")
          case "web_path": webPath = try reader.string(node, "server.web_path")
          case "lualib_path": luaLibPath = try reader.string(node, "server.lualib_path")
          default:
            throw reader.unknown(
              "server." + key, node,
              ["host", "storage_path", "state_path", "script_root", "data_roots", "web_path", "lualib_path"].map {
                "server." + $0
              })
          }
        }
      case "tasks":
        for (key, node) in try reader.mapping(keys, "tasks") {
          switch key {
          case "slots": slots = Int(try reader.number(node, "tasks.slots", 1...64))
          case "threads":
            threads =
              try reader.string(node, "tasks.threads") == "auto" ? nil : Int(try reader.number(node, "tasks.threads", 1...64))
          case "wall_limit": wallLimitSeconds = try reader.seconds(node, "tasks.wall_limit")
          case "cpu_limit": cpuLimitSeconds = try reader.seconds(node, "tasks.cpu_limit")
          case "memory_limit": memoryLimitBytes = try reader.bytes(node, "tasks.memory_limit")
          case "log_limit": logLimitBytes = try reader.bytes(node, "tasks.log_limit") ?? Int.max
          case "cancel_grace": cancelGraceSeconds = try reader.seconds(node, "tasks.cancel_grace") ?? 1
          default:
            throw reader.unknown(
              "tasks." + key, node,
              ["slots", "threads", "wall_limit", "cpu_limit", "memory_limit", "log_limit", "cancel_grace"].map { "tasks." + $0 }
            )
          }
        }
      case "http":
        for (key, node) in try reader.mapping(keys, "http") {
          switch key {
          case "body_limit": bodyLimitBytes = try reader.bytes(node, "http.body_limit") ?? Int.max
          case "upload_limit": uploadLimitBytes = try reader.bytes(node, "http.upload_limit") ?? Int.max
          case "header_timeout": headerTimeoutSeconds = try reader.seconds(node, "http.header_timeout") ?? 3600
          case "idle_timeout": idleTimeoutSeconds = try reader.seconds(node, "http.idle_timeout") ?? 3600
          case "max_connections": maxConnections = Int(try reader.number(node, "http.max_connections", 1...100_000))
          default:
            throw reader.unknown(
              "http." + key, node,
              ["body_limit", "upload_limit", "header_timeout", "idle_timeout", "max_connections"].map { "http." + $0 })
          }
        }
      case "upkeep":
        for (key, node) in try reader.mapping(keys, "upkeep") {
          switch key {
          case "interval":
            upkeepSeconds = try reader.positive(try reader.seconds(node, "upkeep.interval"), node, "upkeep.interval")
          case "memory_limit": upkeep.memoryBytes = try reader.bytes(node, "upkeep.memory_limit") ?? Int.max
          case "rate": upkeep.bytesPerSecond = try reader.positive(try reader.bytes(node, "upkeep.rate"), node, "upkeep.rate")
          case "keep_versions_for": upkeep.keepVersionsSeconds = try reader.seconds(node, "upkeep.keep_versions_for")
          default:
            throw reader.unknown(
              "upkeep." + key, node, ["interval", "memory_limit", "rate", "keep_versions_for"].map { "upkeep." + $0 })
          }
        }
      case "storage": try storage.apply(keys, reader)
      default: throw reader.unknown(section, keys, ["server", "tasks", "http", "upkeep", "storage"])
      }
    }
  }

  /// `http://localhost:8000`: the name `localhost` binds to loopback.
  private mutating func setAddress(_ text: String, _ reader: YAMLReader, _ node: Node) throws(Failure) {
    guard let url = URLComponents(string: text), url.scheme == "http", let name = url.host, !name.isEmpty,
      url.path.isEmpty || url.path == "/"
    else { throw reader.failure("server.host", node, "'\(text)' is not an address such as http://localhost:8000") }
    host = name == "localhost" ? "127.0.0.1" : name.trimmingCharacters(in: ["[", "]"])
    port = url.port ?? 8000
    address = text.hasSuffix("/") ? String(text.dropLast()) : text
  }

  /// `path` made absolute against the folder of the configuration file.
  func resolve(_ path: String) -> String {
    let absolute = path.hasPrefix("/") ? path : baseDirectory + "/" + path
    return URL(fileURLWithPath: absolute).standardizedFileURL.path
  }

  /// The server's own files: beside the data, or in `.moonlake` here when the lake is a bucket.
  var stateDirectory: String { resolve(statePath ?? (isBucket ? "./.moonlake" : storagePath + "/.moonlake")) }
  var scriptDirectory: String { resolve(scriptRoot) }
  var dataDirectories: [String] { dataRoots.map(resolve) }
  var webDirectory: String { Resources.directory("web", configured: webPath.map(resolve)) }
  var luaLibDirectory: String { Resources.directory("LuaLib", configured: luaLibPath.map(resolve)) }
}

extension Failure.Code {
  static let invalidConfiguration = Failure.Code("INVALID_CONFIGURATION")
}

/// Where the files that belong to the program are: as configured, beside the working folder, or beside the executable.
enum Resources {
  static func directory(_ name: String, configured: String?) -> String {
    if let configured { return configured }
    let executable = executablePath()
    var candidates = [FileManager.default.currentDirectoryPath + "/" + name]
    // .build/release/moonlake -> the checkout; bin/moonlake -> share/moonlake.
    var folder = URL(fileURLWithPath: executable).deletingLastPathComponent()
    candidates.append(folder.deletingLastPathComponent().appendingPathComponent("share/moonlake/" + name).path)
    for _ in 0..<4 {
      folder.deleteLastPathComponent()
      candidates.append(folder.appendingPathComponent(name).path)
    }
    return candidates.first { FileManager.default.fileExists(atPath: $0) } ?? candidates[0]
  }

  /// This program's own file, with symlinks followed.
  static func executablePath() -> String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
  }
}

/// Typed access to YAML nodes with errors that name file, line and key.
struct YAMLReader {
  let file: String

  func failure(_ key: String, _ node: Node, _ what: String) -> Failure {
    Failure(.invalidConfiguration, "\(file)\(node.mark.map { ":\($0.line)" } ?? ""): \(key): \(what)")
  }
  func unknown(_ key: String, _ node: Node, _ known: [String]) -> Failure {
    Failure(
      .invalidConfiguration,
      "\(file)\(node.mark.map { ":\($0.line)" } ?? ""): unknown key \(nearNames(key, known: known, what: "keys"))")
  }

  func mapping(_ node: Node, _ key: String) throws(Failure) -> [(String, Node)] {
    if case .scalar(let scalar) = node, scalar.string.isEmpty { return [] }
    guard case .mapping(let mapping) = node else { throw failure(key, node, "expected keys and values") }
    var pairs: [(String, Node)] = []
    for (name, value) in mapping {
      guard let text = name.string else { throw failure(key, name, "a key must be text") }
      if pairs.contains(where: { $0.0 == text }) { throw failure(key, name, "key '\(text)' appears twice") }
      pairs.append((text, value))
    }
    return pairs
  }

  func string(_ node: Node, _ key: String) throws(Failure) -> String {
    guard case .scalar(let scalar) = node, !scalar.string.isEmpty else { throw failure(key, node, "expected text") }
    return scalar.string
  }

  func bool(_ node: Node, _ key: String) throws(Failure) -> Bool {
    switch try string(node, key) {
    case "true": return true
    case "false": return false
    default: throw failure(key, node, "expected true or false")
    }
  }

  func strings(_ node: Node, _ key: String) throws(Failure) -> [String] {
    guard case .sequence(let sequence) = node else { throw failure(key, node, "expected a list such as [./data]") }
    var items: [String] = []
    for item in sequence { items.append(try string(item, key)) }
    return items
  }

  func number(_ node: Node, _ key: String, _ range: ClosedRange<Double>) throws(Failure) -> Double {
    guard let value = Double(try string(node, key)), range.contains(value) else {
      throw failure(
        key, node,
        "expected a number from \(JSONValue.double(range.lowerBound).text()) to \(JSONValue.double(range.upperBound).text())")
    }
    return value
  }

  /// `90`, `1.5s`, `30m`, `2h`; `none` is no limit.
  func seconds(_ node: Node, _ key: String) throws(Failure) -> Double? {
    let text = try string(node, key)
    if text == "none" { return nil }
    guard let value = Quantity.seconds(text) else {
      throw failure(key, node, "expected a duration such as 90, 1.5s, 30m, 2h or none, not '\(text)'")
    }
    return value
  }

  /// `value`, unless it is 0.
  func positive<T: Numeric>(_ value: T?, _ node: Node, _ key: String) throws(Failure) -> T? {
    if let value, value == 0 { throw failure(key, node, "0 is not possible; none turns it off") }
    return value
  }

  /// `1048576`, `64KiB`, `4GiB`; `none` is no limit.
  func bytes(_ node: Node, _ key: String) throws(Failure) -> Int? {
    let text = try string(node, key)
    if text == "none" { return nil }
    guard let value = Quantity.bytes(text) else {
      throw failure(key, node, "expected a size such as 65536, 64KiB, 4GiB or none, not '\(text)'")
    }
    return value
  }
}
