import Core
import Glibc
import ObjectStore
import Synchronization
import Testing

/// A store to test, and what cleans up after it.
struct StoreCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let make: @Sendable () throws -> any ObjectStore
}

let stores = [
  StoreCase(testDescription: "memory") { MemoryStore() },
  StoreCase(testDescription: "local") { try LocalStore(root: temporaryFolder()) },
]

/// A new directory below /tmp; removed by nobody but the next boot, as tests may be looked at after a failure.
func temporaryFolder() -> String {
  let path = "/tmp/moonlake-test-\(getpid())-\(randomUUID())"
  mkdir(path, 0o755)
  return path
}

/// The failure that `body` throws; nil when it throws none.
func failure(_ body: () throws -> Void) -> Failure? {
  do { try body() } catch { return error as? Failure }
  return nil
}

func text(_ buffer: Buffer) -> String { String(decoding: buffer.array(), as: UTF8.self) }

/// What holds for every store.
@Suite("ObjectStore conformance")
struct ConformanceTests {
  @Test(arguments: stores) func writesAndReads(_ kind: StoreCase) throws {
    let store = try kind.make()
    try store.put("a/b/c.bin", Array("hello".utf8))
    #expect(text(try store.read("a/b/c.bin")) == "hello")
    #expect(text(try store.read("a/b/c.bin", range: 1..<3)) == "el")
    #expect(try store.read("a/b/c.bin", range: 5..<5).byteCount == 0)
    try store.put("a/b/c.bin", Array("other".utf8))
    #expect(text(try store.read("a/b/c.bin")) == "other")
    try store.put("empty", [])
    #expect(try store.read("empty").byteCount == 0)
    let info = try #require(try store.head("a/b/c.bin"))
    #expect(info.size == 5 && !info.isFolder && info.name == "c.bin")
    #expect(abs(info.modified.timeInterval - Instant.now.timeInterval) < 60)
    #expect(try store.head("a/b")?.isFolder == true)
    #expect(try store.head("a/x") == nil)
  }

  @Test(arguments: stores) func errorsNameTheFile(_ kind: StoreCase) throws {
    let store = try kind.make()
    #expect(failure { _ = try store.read("no/such") }?.message == "file 'no/such' does not exist in \(store.name)")
    #expect(failure { _ = try store.read("no/such", range: 0..<1) }?.code == .fileNotFound)
    try store.put("five", Array("12345".utf8))
    let short = failure { _ = try store.read("five", range: 3..<6) }
    #expect(short?.code == .corruptData)
    #expect(short?.message.hasSuffix("has 5 bytes; 3 to 6 were asked for") == true)
  }

  @Test(arguments: stores) func refusesPathsThatLeaveTheRoot(_ kind: StoreCase) throws {
    let store = try kind.make()
    let bad = [
      "", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "a/./b", "nul\0l", String(repeating: "x", count: 256),
    ]
    for path in bad {
      #expect(failure { try store.put(path, [1]) }?.code == .pathNotAllowed, "\(path)")
      #expect(failure { _ = try store.read(path) }?.code == .pathNotAllowed)
      #expect(failure { _ = try store.head(path) }?.code == .pathNotAllowed)
      #expect(failure { try store.delete(path) }?.code == .pathNotAllowed)
      #expect(failure { try store.deleteTree(path) }?.code == .pathNotAllowed)
      #expect(failure { _ = try store.create(path) }?.code == .pathNotAllowed)
      #expect(failure { _ = try store.putIfAbsent(path, [1]) }?.code == .pathNotAllowed)
    }
    #expect(
      failure { try store.put("a/../b", [1]) }?.message
        == "'a/../b' is not a path inside the store: '.' and '..' are not allowed")
    #expect(try store.list("", recursive: true).isEmpty)
  }

  @Test(arguments: stores) func lists(_ kind: StoreCase) throws {
    let store = try kind.make()
    for path in ["b", "a/2", "a/10", "a/c/1", "ab/1"] { try store.put(path, [1, 2, 3]) }
    #expect(try store.list("", recursive: true).map(\.path) == ["a/10", "a/2", "a/c/1", "ab/1", "b"])
    #expect(try store.list("", recursive: false).map(\.path) == ["a", "ab", "b"])
    #expect(try store.list("", recursive: false).map(\.isFolder) == [true, true, false])
    #expect(try store.list("a", recursive: false).map(\.path) == ["a/10", "a/2", "a/c"])
    #expect(try store.list("a", recursive: true).map(\.size) == [3, 3, 3])
    #expect(try store.list("nothing", recursive: true).isEmpty)
  }

  @Test(arguments: stores) func putIfAbsentNeverReplaces(_ kind: StoreCase) throws {
    let store = try kind.make()
    #expect(try store.putIfAbsent("v/1", [1]) == .written)
    #expect(try store.putIfAbsent("v/1", [2]) == .alreadyExists)
    #expect(try store.read("v/1").array() == [1])
    #expect(try store.list("", recursive: true).count == 1)
  }

  @Test(arguments: stores) func putIfAbsentHasOneWinner(_ kind: StoreCase) throws {
    let store = try kind.make()
    for round in 0..<20 {
      let winners = Mutex<[Int]>([])
      Parallel.forEach(count: 8, grain: 1) { range in
        for i in range {
          let result = try? store.putIfAbsent("race/\(round)", [UInt8](repeating: UInt8(i), count: 1000))
          if result == .written { winners.withLock { $0.append(i) } }
        }
      }
      let won = winners.withLock { $0 }
      #expect(won.count == 1)
      #expect(try store.read("race/\(round)").array() == [UInt8](repeating: UInt8(won.first ?? 99), count: 1000))
    }
    #expect(try store.list("", recursive: true).count == 20)
  }

  @Test(arguments: stores) func streamsLargeObjects(_ kind: StoreCase) throws {
    let store = try kind.make()
    let writer = try store.create("big/one")
    var expected: [UInt8] = []
    for i in 0..<50 {
      let part = [UInt8](repeating: UInt8(i), count: i * 997 + (i == 20 ? 600_000 : 0))
      try writer.append(part)
      expected += part
      #expect(writer.count == expected.count)
    }
    #expect(try store.head("big/one") == nil)
    try writer.finish()
    #expect(try store.read("big/one").array() == expected)
    writer.abort()
    #expect(try store.head("big/one")?.size == expected.count)
    #expect(failure { try writer.append([1]) }?.message == "the writer of 'big/one' is closed")
    #expect(failure { try writer.finish() }?.code == .internalError)
    #expect(try store.list("", recursive: true).map(\.path) == ["big/one"])
  }

  @Test(arguments: stores) func givenUpWritersLeaveNothing(_ kind: StoreCase) throws {
    let store = try kind.make()
    do {
      let aborted = try store.create("x/a")
      try aborted.append([1, 2, 3])
      aborted.abort()
      aborted.abort()
      let dropped = try store.create("x/b")
      try dropped.append([UInt8](repeating: 1, count: 1 << 20))
    }
    #expect(try store.list("", recursive: true).isEmpty)
  }

  @Test(arguments: stores) func readBytesOutliveTheObject(_ kind: StoreCase) throws {
    let store = try kind.make()
    let bytes = [UInt8]((0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    try store.put("d", bytes)
    let kept = try store.read("d")
    try store.put("d", [1])
    #expect(kept.array() == bytes)
    try store.delete("d")
    try store.delete("d")
    #expect(kept.array() == bytes)
    #expect(try store.head("d") == nil)
  }

  @Test(arguments: stores) func trees(_ kind: StoreCase) throws {
    let store = try kind.make()
    for path in ["t/a", "t/b/c", "tt/a", "u/x"] { try store.put(path, [1]) }
    #expect(failure { try store.moveTree("t", to: "u") }?.message == "'u' exists already in \(store.name)")
    #expect(failure { try store.moveTree("none", to: "z") }?.message == "folder 'none' does not exist in \(store.name)")
    try store.moveTree("t", to: "trash/t1")
    #expect(try store.list("", recursive: true).map(\.path) == ["trash/t1/a", "trash/t1/b/c", "tt/a", "u/x"])
    try store.deleteTree("trash")
    try store.deleteTree("trash")
    #expect(try store.list("", recursive: true).map(\.path) == ["tt/a", "u/x"])
  }
}
