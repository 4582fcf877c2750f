package import Core
import Glibc
package import ObjectStore
import Synchronization
import Testing

/// One rule of `ObjectStore`, to be checked on a fresh, empty store.
package struct StoreCheck: Sendable, CustomTestStringConvertible {
  package let testDescription: String
  package let run: @Sendable (any ObjectStore) throws -> Void
}

/// What holds for every store. The rooms of stores run all of it on each of theirs.
package enum StoreConformance {
  package static let checks: [StoreCheck] = [
    StoreCheck(testDescription: "writesAndReads", run: writesAndReads),
    StoreCheck(testDescription: "errorsNameTheFile", run: errorsNameTheFile),
    StoreCheck(testDescription: "refusesPathsThatLeaveTheRoot", run: refusesPathsThatLeaveTheRoot),
    StoreCheck(testDescription: "lists", run: lists),
    StoreCheck(testDescription: "putIfAbsentNeverReplaces", run: putIfAbsentNeverReplaces),
    StoreCheck(testDescription: "putIfAbsentHasOneWinner", run: putIfAbsentHasOneWinner),
    StoreCheck(testDescription: "streamsLargeObjects", run: streamsLargeObjects),
    StoreCheck(testDescription: "givenUpWritersLeaveNothing", run: givenUpWritersLeaveNothing),
    StoreCheck(testDescription: "readBytesOutliveTheObject", run: readBytesOutliveTheObject),
    StoreCheck(testDescription: "trees", run: trees),
    StoreCheck(testDescription: "keepsEveryName", run: keepsEveryName),
    StoreCheck(testDescription: "readsAndWritesManyParts", run: readsAndWritesManyParts),
  ]

  private static func writesAndReads(_ store: any ObjectStore) throws {
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

  private static func errorsNameTheFile(_ store: any ObjectStore) throws {
    #expect(failure { _ = try store.read("no/such") }?.message == "file 'no/such' does not exist in \(store.name)")
    #expect(failure { _ = try store.read("no/such", range: 0..<1) }?.code == .fileNotFound)
    try store.put("five", Array("12345".utf8))
    let short = failure { _ = try store.read("five", range: 3..<6) }
    #expect(short?.code == .corruptData)
    #expect(short?.message.hasSuffix("has 5 bytes; 3 to 6 were asked for") == true)
  }

  private static func refusesPathsThatLeaveTheRoot(_ store: any ObjectStore) throws {
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

  private static func lists(_ store: any ObjectStore) throws {
    for path in ["b", "a/2", "a/10", "a/c/1", "ab/1"] { try store.put(path, [1, 2, 3]) }
    #expect(try store.list("", recursive: true).map(\.path) == ["a/10", "a/2", "a/c/1", "ab/1", "b"])
    #expect(try store.list("", recursive: false).map(\.path) == ["a", "ab", "b"])
    #expect(try store.list("", recursive: false).map(\.isFolder) == [true, true, false])
    #expect(try store.list("a", recursive: false).map(\.path) == ["a/10", "a/2", "a/c"])
    #expect(try store.list("a", recursive: true).map(\.size) == [3, 3, 3])
    #expect(try store.list("nothing", recursive: true).isEmpty)
  }

  private static func putIfAbsentNeverReplaces(_ store: any ObjectStore) throws {
    #expect(try store.putIfAbsent("v/1", [1]) == .written)
    #expect(try store.putIfAbsent("v/1", [2]) == .alreadyExists)
    #expect(try store.read("v/1").array() == [1])
    #expect(try store.list("", recursive: true).count == 1)
  }

  private static func putIfAbsentHasOneWinner(_ store: any ObjectStore) throws {
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

  private static func streamsLargeObjects(_ store: any ObjectStore) throws {
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

  private static func givenUpWritersLeaveNothing(_ store: any ObjectStore) throws {
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

  private static func readBytesOutliveTheObject(_ store: any ObjectStore) throws {
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

  private static func trees(_ store: any ObjectStore) throws {
    for path in ["t/a", "t/b/c", "tt/a", "u/x"] { try store.put(path, [1]) }
    #expect(failure { try store.moveTree("t", to: "u") }?.message == "'u' exists already in \(store.name)")
    #expect(failure { try store.moveTree("none", to: "z") }?.message == "folder 'none' does not exist in \(store.name)")
    try store.moveTree("t", to: "trash/t1")
    #expect(try store.list("", recursive: true).map(\.path) == ["trash/t1/a", "trash/t1/b/c", "tt/a", "u/x"])
    try store.deleteTree("trash")
    try store.deleteTree("trash")
    #expect(try store.list("", recursive: true).map(\.path) == ["tt/a", "u/x"])
  }

  /// All but backslashes and control characters, which some servers turn into something else.
  private static func keepsEveryName(_ store: any ObjectStore) throws {
    let names = [
      "a b", "a+b", "a%20b", "a&b", "a<b>", "a'b\"c", "a#b", "a?b=c", "a=b;c", "a:b@c", "ü", "日本", "a~b", "*", "..a",
      "a*(b)!$,",
    ]
    for (i, name) in names.enumerated() { try store.put("odd/\(name)/x", [UInt8](repeating: 7, count: i)) }
    let listed = try store.list("odd", recursive: true)
    #expect(Set(listed.map(\.path)) == Set(names.map { "odd/\($0)/x" }))
    #expect(Set(try store.list("odd", recursive: false).map(\.name)) == Set(names))
    for (i, name) in names.enumerated() {
      #expect(try store.read("odd/\(name)/x").byteCount == i, "\(name)")
      #expect(try store.head("odd/\(name)/x")?.size == i, "\(name)")
    }
    try store.delete("odd/a+b/x")
    #expect(try store.head("odd/a b/x") != nil && store.head("odd/a+b/x") == nil)
    try store.moveTree("odd", to: "even")
    #expect(try store.list("even", recursive: true).count == names.count - 1)
    try store.deleteTree("even")
    #expect(try store.list("", recursive: true).isEmpty)
  }

  /// 21 MiB and a bit: more than two parts of any store that cuts large objects.
  private static func readsAndWritesManyParts(_ store: any ObjectStore) throws {
    let count = 21 << 20 + 123
    let bytes = try Buffer(byteCount: count)
    let words = bytes.mutableValues(of: UInt32.self)
    for i in words.indices { words[i] = UInt32(truncatingIfNeeded: i) &* 2_654_435_761 }
    let writer = try store.create("parts/one")
    var at = 0
    while at < count {
      let end = min(count, at + 700_001)
      try writer.append(UnsafeRawBufferPointer(rebasing: bytes.bytes[at..<end]))
      at = end
    }
    try writer.finish()
    let whole = try store.read("parts/one")
    #expect(whole.byteCount == count && memcmp(whole.pointer, bytes.pointer, count) == 0)
    for range in [0..<count, 1..<count, 8 << 20 - 1..<8 << 20 + 1, 5..<count - 5, count - 1..<count, count..<count] {
      let part = try store.read("parts/one", range: range)
      #expect(part.byteCount == range.count)
      #expect(memcmp(part.pointer, bytes.pointer + range.lowerBound, range.count) == 0, "\(range)")
      withExtendedLifetime(part) {}
    }
    #expect(failure { _ = try store.read("parts/one", range: 10..<count + 1) }?.code == .corruptData)
    withExtendedLifetime((bytes, whole)) {}
  }
}

/// A buffer as UTF-8 text.
package func text(_ buffer: Buffer) -> String { String(decoding: buffer.array(), as: UTF8.self) }
