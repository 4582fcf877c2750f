import Core
import Foundation
import ObjectStore
import ObjectStoreS3
import TestSupport
import Testing

/// Data files of a bucket, kept in a directory.
@Suite("CachedStore over S3")
struct CacheTests {
  @Test func secondReadsComeFromTheDirectory() throws {
    let server = try FakeS3()
    let (origin, folder) = (try server.store(), temporaryFolder())
    func open() throws -> CachedStore {
      try CachedStore(origin, directory: folder, limitBytes: 1 << 30) { $0.hasPrefix("data/") }
    }
    let bytes = [UInt8]((0..<9_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) })
    try origin.put("data/a", bytes)
    #expect(try open().read("data/a").array() == bytes)
    // Mapped: nothing of it is charged. Other tests take memory meanwhile, but not during every one of these reads.
    let isCharged = try (0..<30).map { _ in
      let before = MemoryBudget.usedBytes
      let again = try open().read("data/a")
      #expect(again.array() == bytes)
      return withExtendedLifetime(again) { MemoryBudget.usedBytes - before >= bytes.count }
    }
    #expect(isCharged.contains(false))
    #expect(server.calls.filter { $0 == "GET data/a" }.count == 2)  // 9 MB are two ranges, fetched once
    #expect(server.calls.last == "HEAD data/a")
    // Other objects are not kept.
    try origin.put("_versions/1", [1])
    _ = try open().read("_versions/1")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 1)
    #expect(try FileManager.default.attributesOfItem(atPath: folder)[.posixPermissions] as? Int == 0o700)
  }

  @Test func replacedAndDeletedObjectsAreNotAnswered() throws {
    let server = try FakeS3()
    let origin = try server.store()
    let store = try CachedStore(origin, directory: temporaryFolder(), limitBytes: 1 << 20) { _ in true }
    try origin.put("data/a", [1, 2, 3])
    #expect(try store.read("data/a").array() == [1, 2, 3])
    try origin.put("data/a", [4, 5, 6])
    #expect(try store.read("data/a").array() == [4, 5, 6])
    try origin.delete("data/a")
    #expect(failure { _ = try store.read("data/a") }?.code == .fileNotFound)
  }

  @Test func aCutCopyIsFetchedAnew() throws {
    let server = try FakeS3()
    let (origin, folder) = (try server.store(), temporaryFolder())
    let store = try CachedStore(origin, directory: folder, limitBytes: 1 << 20) { _ in true }
    try origin.put("data/a", [UInt8](repeating: 3, count: 1000))
    _ = try store.read("data/a")
    let copy = folder + "/" + (try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first))
    try Data([3, 3]).write(to: URL(fileURLWithPath: copy))
    #expect(try store.read("data/a").byteCount == 1000)
    #expect(try Data(contentsOf: URL(fileURLWithPath: copy)).count == 1000)
  }

  @Test func theLeastUsedGoesFirst() throws {
    let server = try FakeS3()
    let (origin, folder) = (try server.store(), temporaryFolder())
    let store = try CachedStore(origin, directory: folder, limitBytes: 3500) { _ in true }
    for name in ["a", "b", "c"] {
      try origin.put("data/" + name, [UInt8](repeating: 1, count: 1000))
      _ = try store.read("data/" + name)
      usleep(20_000)
    }
    let kept = try store.read("data/a")
    usleep(20_000)
    try origin.put("data/d", [UInt8](repeating: 1, count: 1000))
    _ = try store.read("data/d")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).map { String($0.prefix(1)) }.sorted()
    #expect(names == ["a", "c", "d"])
    #expect(kept.byteCount == 1000)
    // One that is larger than all of it is read, not kept.
    try origin.put("data/e", [UInt8](repeating: 1, count: 4000))
    #expect(try store.read("data/e").byteCount == 4000)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 3)
  }

  @Test func threadsFetchOnce() throws {
    let server = try FakeS3()
    let origin = try server.store()
    let store = try CachedStore(origin, directory: temporaryFolder(), limitBytes: 1 << 30) { _ in true }
    try origin.put("data/a", [UInt8](repeating: 9, count: 500_000))
    #expect(winners(of: 8) { _ in try store.read("data/a").array() == [UInt8](repeating: 9, count: 500_000) }.count == 8)
    #expect(server.calls.filter { $0 == "GET data/a" }.count == 1)
  }

  @Test func withoutRoomObjectsAreReadIntoMemory() throws {
    let server = try FakeS3()
    let (origin, folder) = (try server.store(), temporaryFolder())
    let store = try CachedStore(origin, directory: folder, limitBytes: 1 << 20) { _ in true }
    try origin.put("data/a", [1, 2, 3])
    try FileManager.default.removeItem(atPath: folder)
    #expect(try store.read("data/a").array() == [1, 2, 3])
  }
}
