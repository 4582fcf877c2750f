import Core
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct CoreTests {
  @Test func instantsRoundTrip() throws {
    let instant = try #require(Instant("2026-02-10T10:00:00Z"))
    #expect(instant.description == "2026-02-10T10:00:00Z")
    #expect(Instant(seconds: -1).description == "1969-12-31T23:59:59Z")
    #expect(Instant("1969-12-31T23:59:59.5Z")?.text(fractionDigits: 3) == "1969-12-31T23:59:59.500Z")
    #expect(Instant("2026-02-10 10:00:00Z") == nil && Instant("2026-13-10T10:00:00Z") == nil)
  }

  /// In a process of its own: the budget is the whole process's.
  @Test func bufferBudgetHolds() async {
    await #expect(processExitsWith: .success) {
      let before = MemoryBudget.usedBytes
      do {
        let buffer = try Buffer(byteCount: 1000)
        #expect(UInt(bitPattern: buffer.pointer) % 64 == 0 && buffer.withBytes { $0.allSatisfy { $0 == 0 } })
        #expect(MemoryBudget.usedBytes >= before + 1000)
      }
      #expect(MemoryBudget.usedBytes == before)
    }
  }

  @Test func impossibleSizesAreRefused() {
    #expect(throws: Failure.self) { _ = try Buffer(byteCount: -1) }
    #expect(throws: Failure.self) { _ = try Buffer(byteCount: Int.max) }
    #expect(throws: Failure.self) { _ = try Buffer(byteCount: 8).slice(offset: 4, byteCount: 8) }
  }

  @Test(arguments: [1, 2, 7]) func parallelCoversEveryIndexOnce(_ grain: Int) throws {
    let buffer = try Buffer(byteCount: 1001)
    nonisolated(unsafe) let counts = buffer.mutableValues(of: UInt8.self)
    Parallel.forEach(count: 1001, grain: grain) { range in for i in range { counts[i] += 1 } }
    #expect(counts.allSatisfy { $0 == 1 })
  }

  /// Work inside of `within` ends on all its threads; what is around it goes on.
  @Test func aStopMayConcernOnlyAPart() throws {
    let calls = Atomic(0)
    let done = Atomic(0)
    let error = failure {
      try Cancellation.within(stop: { calls.add(1, ordering: .relaxed).newValue > 40 }) { () throws(Failure) in
        try Cancellation.check()
        Parallel.forEach(count: 100_000, grain: 1) { _ in done.add(1, ordering: .relaxed) }
        try Cancellation.check()
      }
    }
    #expect(error?.code == .cancelled && done.load(ordering: .relaxed) <= 40)
    #expect(!Cancellation.isRequested)
    let inner = try Cancellation.within(stop: { false }) { () throws(Failure) in
      try Cancellation.within(stop: { false }) { () throws(Failure) in Cancellation.isRequested }
    }
    let outer = try Cancellation.within(stop: { true }) { () throws(Failure) in
      try Cancellation.within(stop: { false }) { () throws(Failure) in Cancellation.isRequested }
    }
    #expect(!inner && outer)
  }

  @Test func readsAreChecked() throws {
    let bytes: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 2]
    try bytes.withUnsafeBytes { raw throws in
      var reader = ByteReader(raw, what: "header")
      #expect(try reader.read(UInt32.self) == 1)
      #expect(try reader.readBigEndian(UInt32.self) == 2)
      let failure = #expect(throws: Failure.self) { _ = try reader.read(UInt8.self) }
      #expect(failure?.message == "header is cut short: 1 bytes wanted at 8, 8 there")
    }
  }

  @Test func nearNamesAreNamed() {
    #expect(
      nearNames("lable", known: ["image", "label"], what: "columns")
        == "'lable'; did you mean 'label'? columns are: image, label")
  }
}

@Test func uuids() {
  var seen: Set<String> = []
  for _ in 0..<1000 {
    let text = randomUUID()
    #expect(text.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
    seen.insert(text)
  }
  #expect(seen.count == 1000)
}
