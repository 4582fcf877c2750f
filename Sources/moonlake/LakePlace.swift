import Core
import Foundation
import Lake
import ObjectStore
import ObjectStoreS3
import Yams

/// Where the lake is.
enum LakePlace: Sendable {
  case directory(String)
  case bucket(BucketLake)

  /// The directory, absolute, or `s3://BUCKET/PREFIX`.
  var name: String {
    switch self {
    case .directory(let path): path
    case .bucket(let bucket): bucket.settings.location
    }
  }
}

/// A lake in a bucket, its data files read through a directory of this machine (docs/s3.md).
struct BucketLake: Sendable {
  var settings: S3Settings
  /// Absolute.
  var cacheDirectory: String
  /// 0: no cache.
  var cacheLimitBytes: Int

  /// - Throws: `INVALID_ARGUMENT` for an endpoint or credentials that cannot be. No request is made.
  func open() throws(Failure) -> DataLake {
    let bucket = try S3Store(settings, environment: ProcessInfo.processInfo.environment)
    guard cacheLimitBytes > 0 else { return DataLake(store: bucket, shownAs: settings.location) }
    let store = try CachedStore(bucket, directory: cacheDirectory, limitBytes: cacheLimitBytes, keeps: DataLake.neverChanges)
    return DataLake(store: store, shownAs: settings.location)
  }

  /// What workers need of this process's environment, and do not get otherwise.
  var environment: [String: String] {
    ProcessInfo.processInfo.environment.filter { S3Credentials.environmentNames.contains($0.key) }
  }

  init(settings: S3Settings, cacheDirectory: String, cacheLimitBytes: Int) {
    self.settings = settings
    self.cacheDirectory = cacheDirectory
    self.cacheLimitBytes = cacheLimitBytes
  }

  /// The member `storage` of a worker's job.
  var json: JSONObject {
    var object = settings.json
    object["cache"] = .string(cacheDirectory)
    object["cache_limit_bytes"] = .int(Int64(cacheLimitBytes))
    return object
  }

  init(json: JSONValue) throws(Failure) {
    settings = try S3Settings(json: json)
    guard let directory = json["cache"]?.stringValue, let limit = json["cache_limit_bytes"]?.intValue, limit >= 0 else {
      throw Failure(.invalidArgument, "storage: cache must be text and cache_limit_bytes a number")
    }
    cacheDirectory = directory
    cacheLimitBytes = Int(limit)
  }
}

/// `storage:` of the configuration: how a bucket is reached. Says nothing about a lake in a directory.
struct StorageSettings: Sendable {
  var endpoint: String?
  var region: String?
  var usesPathStyle: Bool?
  var allowsHTTP = false
  var credentialsFile: String?
  var cachePath: String?
  var cacheLimitBytes = 4 << 30

  mutating func apply(_ keys: Node, _ reader: YAMLReader) throws(Failure) {
    for (key, node) in try reader.mapping(keys, "storage") {
      switch key {
      case "endpoint": endpoint = try reader.string(node, "storage.endpoint")
      case "region": region = try reader.string(node, "storage.region")
      case "path_style": usesPathStyle = try reader.bool(node, "storage.path_style")
      case "allow_http": allowsHTTP = try reader.bool(node, "storage.allow_http")
      case "credentials": credentialsFile = try reader.string(node, "storage.credentials")
      case "cache_path": cachePath = try reader.string(node, "storage.cache_path")
      case "cache_limit": cacheLimitBytes = try reader.bytes(node, "storage.cache_limit") ?? Int.max
      default:
        throw reader.unknown(
          "storage." + key, node,
          ["endpoint", "region", "path_style", "allow_http", "credentials", "cache_path", "cache_limit"].map { "storage." + $0 }
        )
      }
    }
  }
}

extension Configuration {
  /// Whether `storage_path` names a bucket.
  var isBucket: Bool { storagePath.hasPrefix(S3Settings.scheme) }

  /// The lake's root as people write it: `lance_storage`, `s3://bucket/lake`.
  var shownStorage: String { storagePath.hasPrefix("./") ? String(storagePath.dropFirst(2)) : storagePath }

  /// - Throws: `INVALID_CONFIGURATION` for a bucket whose settings cannot be.
  func lakePlace() throws(Failure) -> LakePlace {
    guard isBucket else { return .directory(resolve(storagePath)) }
    let environment = ProcessInfo.processInfo.environment
    do throws(Failure) {
      var settings = try S3Settings(
        location: storagePath, region: storage.region ?? S3Settings.region(from: environment) ?? "us-east-1",
        allowsHTTP: storage.allowsHTTP)
      settings.endpoint = storage.endpoint
      settings.usesPathStyle = storage.usesPathStyle
      settings.credentialsFile = storage.credentialsFile.map(resolve)
      settings = settings.completed(from: environment)
      return .bucket(
        BucketLake(
          settings: settings, cacheDirectory: storage.cachePath.map(resolve) ?? stateDirectory + "/cache",
          cacheLimitBytes: storage.cacheLimitBytes))
    } catch {
      throw Failure(.invalidConfiguration, "server.storage_path: \(error.message)")
    }
  }

  func openLake() throws(Failure) -> DataLake {
    switch try lakePlace() {
    case .directory(let path): try DataLake(root: path, shownAs: shownStorage)
    case .bucket(let bucket): try bucket.open()
    }
  }
}
