import Core
import Foundation
import GRDB
import Tasks
import Testing

/// A folder that goes away with the test.
final class Scratch: Sendable {
  let path = NSTemporaryDirectory() + "moonlake-tasks-" + randomUUID()
  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// What every store must do, run for each.
@Suite struct TaskStoreTests {
  enum Kind: String, CaseIterable { case memory, sqlite }
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  func make(_ kind: Kind) throws -> any TaskStore {
    switch kind {
    case .memory: MemoryTaskStore()
    case .sqlite: try SQLiteTaskStore(path: scratch.path + "/a/b/tasks.sqlite")
    }
  }
  let request = TaskRequest(
    name: "näme \u{1F600}", script: "a/b.lua", input: "in", output: "", params: ["epochs": 3, "rate": 0.1, "x": [nil, true]],
    limits: TaskLimits(wallSeconds: 1.5, memoryBytes: 1 << 40))

  @Test(arguments: Kind.allCases) func createsInOrder(_ kind: Kind) throws {
    let store = try make(kind)
    let time = Instant(microseconds: 1_700_000_000_123_456)
    let first = try store.create(request, at: time)
    let second = try store.create(TaskRequest(name: "b", script: "c.lua"), at: .now)
    #expect(first.id == "task-001" && second.id == "task-002")
    #expect(first.status == .pending && first.createdAt == time && first.request == request)
    #expect(try store.record(id: "task-001") == first)
    #expect(try store.record(id: "task-003") == nil && store.record(id: "nonsense") == nil)
    #expect(try store.events(id: "task-001", after: 0).map(\.reason) == ["created"])
    #expect(try store.counts()[.pending] == 2)
    try store.close()
    #expect(throws: Failure.self) { _ = try store.record(id: "task-001") }
  }

  @Test(arguments: Kind.allCases) func savesAllFieldsOfARecord(_ kind: Kind) throws {
    let store = try make(kind)
    var record = try store.create(request, at: .now)
    record.attempt = 1
    var events = [try record.move(to: .running, reason: "worker process 5")]
    record.progress = TaskProgress(done: 3, total: 10, phase: "train")
    record.usage = TaskUsage(wallSeconds: 1.25, cpuSeconds: 0.5, peakRSSBytes: 123_456_789_012)
    record.endpoint = "http://127.0.0.1:8080"
    record.cancelRequestedAt = Instant(seconds: 5)
    let identity = ProcessIdentity(pid: 5, startTicks: UInt64.max - 3, bootID: "boot", token: "t")
    try store.save(record, events: events, attempt: TaskAttempt(number: 1, startedAt: .now, identity: identity))
    #expect(try store.record(id: record.id) == record)

    record.error = TaskError("SCRIPT_ERROR", "no", signal: "SIGSEGV", exitCode: 3)
    record.error?.script = "a.lua"
    record.error?.line = 12
    record.error?.excerpt = "12 | error 'no'"
    record.error?.traceback = "stack\ntraceback"
    record.result = ["n": 70000, "deep": [[[1.5]]], "text": "\u{0}\"\\"]
    events = [try record.move(to: .failed, reason: "SCRIPT_ERROR: no")]
    let ended = TaskAttempt(
      number: 1, startedAt: Instant(seconds: 9), endedAt: Instant(seconds: 10), identity: identity,
      outcome: "failed: SCRIPT_ERROR")
    try store.save(record, events: events, attempt: ended)
    #expect(try store.record(id: record.id) == record)
    #expect(try store.attempts(id: record.id) == [ended])
    #expect(try store.events(id: record.id, after: 1).map(\.status) == [.running, .failed])
    #expect(try store.events(id: record.id, after: 3).isEmpty && store.events(id: "task-999", after: 0).isEmpty)
    let counts = try store.counts()
    #expect(counts[.failed] == 1 && (counts[.running] ?? 0) == 0)
  }

  @Test(arguments: Kind.allCases) func terminalStatesAreFinalInTheStoreToo(_ kind: Kind) throws {
    let store = try make(kind)
    let pending = try store.create(request, at: .now)
    var cancelled = pending
    let moved = try cancelled.move(to: .cancelled, reason: "c")
    try store.save(cancelled, events: [moved], attempt: nil)
    cancelled = try #require(try store.record(id: pending.id))
    // A second writer that still holds the pending record must not win.
    var late = pending
    let event = try late.move(to: .running, reason: "r")
    let failure = #expect(throws: Failure.self) { try store.save(late, events: [event], attempt: nil) }
    #expect(failure?.message == "task 'task-001' is 'cancelled', which is final: nothing more is stored")
    #expect(try store.record(id: pending.id) == cancelled && store.events(id: pending.id, after: 0).count == 2)
    let unknown = TaskRecord(sequence: 77, request: request, createdAt: .now)
    let missing = #expect(throws: Failure.self) { try store.save(unknown, events: [], attempt: nil) }
    #expect(missing?.code == .taskNotFound)
  }

  @Test(arguments: Kind.allCases) func queriesAreNewestFirstAndPaged(_ kind: Kind) throws {
    let store = try make(kind)
    for i in 1...25 {
      var record = try store.create(TaskRequest(name: i % 2 == 0 ? "even" : "odd", script: "s\(i % 3).lua"), at: .now)
      guard i % 5 == 0 else { continue }
      let moved = try record.move(to: .cancelled, reason: "")
      try store.save(record, events: [moved], attempt: nil)
    }
    #expect(try store.page(TaskQuery(limit: 3)).records.map(\.sequence) == [25, 24, 23])
    #expect(try store.page(TaskQuery(before: 3, limit: 10)).records.map(\.sequence) == [2, 1])
    #expect(try store.page(TaskQuery(statuses: [.cancelled])).records.map(\.sequence) == [25, 20, 15, 10, 5])
    #expect(
      try store.page(TaskQuery(statuses: [.cancelled, .pending], name: "even", limit: 2)).records.map(\.sequence) == [24, 22])
    #expect(try store.page(TaskQuery(name: "x' OR 1=1 --")).records.isEmpty)
    #expect(try store.page(TaskQuery(script: "s0.lua", before: 10)).records.map(\.sequence) == [9, 6, 3])
    #expect(try store.page(TaskQuery(limit: 0)).records.isEmpty)
    #expect(try store.page(TaskQuery(limit: 25)).hasMore == false && store.page(TaskQuery(limit: 24)).hasMore)
    var small = TaskQuery(limit: 25)
    small.limitBytes = 1500  // two records of some 600 bytes each, and the one that passes the limit
    let page = try store.page(small)
    #expect(page.hasMore && page.records.count == 3)
  }

  @Test(arguments: Kind.allCases) func keepsLinesAndPoints(_ kind: Kind) throws {
    let store = try make(kind)
    let id = try store.create(request, at: .now).id
    let lines = (1...50).map {
      LogLine(
        number: $0, at: .now, attempt: 1, stream: LogLine.Stream.allCases[$0 % 4], level: "warn", text: "line \($0) \u{1B}[0m")
    }
    let points = [
      MetricPoint(name: "loss", step: 1, value: 0.5, at: .now), MetricPoint(name: "loss", step: 2, value: .nan, at: .now),
      MetricPoint(name: "accuracy", value: -.infinity, at: .now),
    ]
    try store.append(logs: Array(lines[..<20]), metrics: [points[0]], id: id)
    try store.append(logs: Array(lines[20...]), metrics: Array(points[1...]), id: id)
    #expect(try store.logs(id: id, after: 0, limit: .max) == lines)
    #expect(try store.logs(id: id, after: 48, limit: 10).map(\.number) == [49, 50])
    #expect(try store.logs(id: id, after: 10, limit: 2).map(\.number) == [11, 12])
    #expect(try store.lastLogNumber(id: id) == 50 && store.lastLogNumber(id: "task-009") == 0)
    let all = try store.metrics(id: id, after: 0)
    #expect(all.points == points)
    #expect(try store.metrics(id: id, after: all.position).points.isEmpty)
    #expect(try store.metrics(id: id, after: all.position).position == all.position)
    try store.replaceMetrics(name: "loss", points: [points[1]], id: id)
    #expect(try store.metrics(id: id, after: 0).points == [points[2], points[1]])
    #expect(try store.metrics(id: id, after: all.position).points == [points[1]])
    #expect(throws: Failure.self) { try store.append(logs: [lines[0]], metrics: [], id: "task-009") }
    #expect(throws: Failure.self) { try store.replaceMetrics(name: "x", points: [], id: "task-009") }
  }

  @Test(arguments: Kind.allCases) func manyThreadsCreateDistinctIds(_ kind: Kind) throws {
    let store = try make(kind)
    let request = self.request
    DispatchQueue.concurrentPerform(iterations: 40) { _ in _ = try? store.create(request, at: .now) }
    #expect(Set(try store.page(TaskQuery()).records.map(\.id)).count == 40)
  }
}

/// What only the store on disk can show.
@Suite struct SQLiteTaskStoreTests {
  let scratch: Scratch
  let path: String
  init() throws {
    scratch = try Scratch()
    path = scratch.path + "/tasks.sqlite"
  }

  @Test func writesAreDurable() throws {
    let store = try SQLiteTaskStore(path: path)
    let setting = try store.durability()
    #expect(setting.synchronous == "2" && setting.journal == "wal")
  }

  @Test func everythingIsThereAfterReopening() throws {
    var record: TaskRecord
    do {
      let store = try SQLiteTaskStore(path: path)
      record = try store.create(TaskRequest(name: "a", script: "a.lua", params: ["k": [1, 2.5]]), at: .now)
      let moved = try record.move(to: .running, reason: "r")
      try store.save(record, events: [moved], attempt: TaskAttempt(number: 1, startedAt: .now))
      try store.close()
    }
    let store = try SQLiteTaskStore(path: path)
    #expect(try store.record(id: "task-001") == record)
    #expect(try store.create(TaskRequest(name: "b", script: "b.lua"), at: .now).id == "task-002")
  }

  @Test func aSecondServerIsRefused() throws {
    let store = try SQLiteTaskStore(path: path)
    let failure = #expect(throws: Failure.self) { _ = try SQLiteTaskStore(path: path) }
    #expect(failure?.code.rawValue == "IN_USE")
    #expect(
      failure?.message
        == "another Moonlake server (process \(getpid())) uses the task store '\(path)'; stop it or give this one another server.storage_path"
    )
    try store.close()
    try SQLiteTaskStore(path: path).close()
  }

  @Test func aDamagedFileIsAnError() throws {
    try Data("this is no database, but it is long enough to be looked at".utf8).write(to: URL(fileURLWithPath: path))
    let failure = #expect(throws: Failure.self) { _ = try SQLiteTaskStore(path: path) }
    #expect(failure?.code == .corruptData && failure?.message.contains("cannot open the task store '\(path)'") == true)
  }

  @Test func aNewerFormatIsRefused() throws {
    try SQLiteTaskStore(path: path).close()
    let queue = try DatabaseQueue(path: path)
    try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99-from-the-future')") }
    try queue.close()
    let failure = #expect(throws: Failure.self) { _ = try SQLiteTaskStore(path: path) }
    #expect(failure?.message == "the task store '\(path)' was written by a newer Moonlake; use that version or move it away")
  }

  @Test func aFolderThatCannotBeMadeIsNamed() throws {
    try Data().write(to: URL(fileURLWithPath: scratch.path + "/file"))
    let failure = #expect(throws: Failure.self) { _ = try SQLiteTaskStore(path: scratch.path + "/file/x/tasks.sqlite") }
    #expect(failure?.message == "cannot make the folder '\(scratch.path)/file/x': Not a directory")
  }
}
