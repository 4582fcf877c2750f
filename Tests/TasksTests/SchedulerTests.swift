import Core
import Foundation
import Glibc
import Logging
import Synchronization
import Tasks
import Testing

@Suite(.timeLimit(.minutes(2))) struct SchedulerTests {
  func scheduler(
    slots: Int = 1, store: any TaskStore = MemoryTaskStore(), cached: Int = 2048,
    _ body: @escaping @Sendable (ClosureExecutor.Run) throws -> JSONValue
  ) throws -> TaskScheduler {
    var options = TaskScheduler.Options()
    options.slots = slots
    options.cachedRecords = cached
    options.queueLimit = 500
    let scheduler = TaskScheduler(
      store: store, executor: ClosureExecutor(body), options: options,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try scheduler.start()
    return scheduler
  }
  let request = TaskRequest(name: "t", script: "x.lua")

  @Test(arguments: [1, 3]) func runsAsManyAsThereAreSlotsInOrder(_ slots: Int) async throws {
    struct Seen { var now = 0, most = 0, order: [String] = [] }
    let seen = Mutex(Seen())
    let box = Box(seen)
    let scheduler = try scheduler(slots: slots) { run in
      box.value.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
        $0.order.append(run.job.task)
      }
      usleep(3000)
      box.value.withLock { $0.now -= 1 }
      return .null
    }
    let ids = try (0..<20).map { _ in try scheduler.submit(request).id }
    for id in ids {
      #expect(try await scheduler.wait(for: id, timeoutSeconds: 10) { $0.status.isTerminal }.status == .completed)
    }
    box.value.withLock {
      #expect($0.most == slots)
      if slots == 1 { #expect($0.order == ids) }
    }
    #expect(scheduler.counts.filter { $0.value != 0 } == [.completed: 20])
  }

  @Test func aServingTaskGivesItsSlotBack() async throws {
    let scheduler = try scheduler { run in
      if run.job.task == "task-001" {
        try run.report(.ready("http://127.0.0.1:8080"))
        while run.stopReason == nil { usleep(1000) }
      }
      return ["task": .string(run.job.task)]
    }
    let server = try scheduler.submit(request).id
    let batch = try scheduler.submit(request).id
    #expect(try await scheduler.wait(for: batch, timeoutSeconds: 10) { $0.status.isTerminal }.status == .completed)
    let record = try scheduler.record(id: server)
    #expect(record.status == .running && record.endpoint == "http://127.0.0.1:8080")
    #expect(try scheduler.events(id: server).last?.kind == .ready)
    _ = try scheduler.cancel(id: server)
    let end = try await scheduler.wait(for: server, timeoutSeconds: 10) { $0.status.isTerminal }
    #expect(end.status == .cancelled && end.endpoint == nil)
    // One slot, as before: two more tasks run one after the other.
    for _ in 0..<2 {
      let id = try scheduler.submit(request).id
      #expect(try await scheduler.wait(for: id, timeoutSeconds: 10) { $0.status.isTerminal }.status == .completed)
    }
  }

  @Test func aThrownErrorFails() async throws {
    let scheduler = try scheduler { _ in throw Failure(.datasetNotFound, "Dataset 'x' does not exist") }
    let id = try scheduler.submit(request).id
    let record = try await scheduler.wait(for: id, timeoutSeconds: 10) { $0.status.isTerminal }
    #expect(record.error == TaskError("DATASET_NOT_FOUND", "Dataset 'x' does not exist"))
  }

  @Test func aFullQueueRefuses() throws {
    let scheduler = try scheduler { run in
      while run.stopReason == nil { usleep(1000) }
      return .null
    }
    var refusal: Failure?
    for _ in 0..<600 {
      do { _ = try scheduler.submit(request) } catch {
        refusal = error
        break
      }
    }
    #expect(refusal?.code.rawValue == "QUEUE_FULL" && refusal?.message == "500 tasks wait already; try again later")
    scheduler.stop()
    let late = #expect(throws: Failure.self) { try scheduler.submit(request) }
    #expect(late?.code.rawValue == "SHUTTING_DOWN")
  }

  @Test func aStopEndsRunningTasksAndKeepsWaitingOnes() async throws {
    let store = MemoryTaskStore()
    let first = try scheduler(store: store) { run in
      while run.stopReason == nil { usleep(1000) }
      return .null
    }
    let running = try first.submit(request).id
    let waiting = try first.submit(request).id
    _ = try await first.wait(for: running, timeoutSeconds: 5) { $0.status == .running }
    first.stop()
    #expect(try store.record(id: running)?.error?.code == "LOST_ON_RESTART")
    #expect(try store.record(id: waiting)?.status == .pending)
    let second = try scheduler(store: store) { _ in "again" }
    let record = try await second.wait(for: waiting, timeoutSeconds: 5) { $0.status.isTerminal }
    #expect(record.result == "again")
    #expect(try second.record(id: running).status == .failed)
  }

  @Test func finishedRecordsLeaveMemoryAndComeBack() async throws {
    let scheduler = try scheduler(cached: 8) { _ in 1 }
    var last = ""
    for _ in 0..<30 { last = try scheduler.submit(request).id }
    _ = try await scheduler.wait(for: last, timeoutSeconds: 10) { $0.status.isTerminal }
    let inMemory = (1...30).filter { scheduler.cachedRecord(id: TaskRecord.id(of: $0)) != nil }
    #expect(inMemory.count <= 9)
    #expect(try scheduler.record(id: "task-001").status == .completed)
    #expect(scheduler.cachedRecord(id: "task-001") != nil)
  }

  @Test func aLargeRecordIsNotKeptInMemory() async throws {
    let large = String(repeating: "x", count: 100_000)
    let scheduler = try scheduler { _ in .string(large) }
    let id = try scheduler.submit(request).id
    let record = try await scheduler.wait(for: id, timeoutSeconds: 10) { $0.status.isTerminal }
    #expect(record.status == .completed && record.result == .string(large))
    #expect(scheduler.cachedRecord(id: id) == nil && scheduler.revision(of: id) == nil)
    #expect(try scheduler.record(id: id) == record)
  }

  @Test func parametersOfWaitingTasksAreLimited() throws {
    var options = TaskScheduler.Options()
    options.queueLimitBytes = 250_000
    let scheduler = TaskScheduler(
      store: MemoryTaskStore(), executor: ClosureExecutor { _ in .null }, options: options,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    var request = request
    request.params = ["text": .string(String(repeating: "x", count: 100_000))]
    for _ in 0..<3 { _ = try scheduler.submit(request) }
    let refusal = #expect(throws: Failure.self) { try scheduler.submit(request) }
    #expect(
      refusal?.code.rawValue == "QUEUE_FULL"
        && refusal?.message.hasPrefix("the parameters of the waiting tasks take 30") == true)
    _ = try scheduler.cancel(id: "task-002")
    _ = try scheduler.submit(request)
  }

  @Test func noticesComeAndAreBounded() async throws {
    let scheduler = try scheduler { run in
      for i in 1...1000 { try run.report(.progress(TaskProgress(done: Double(i), total: 1000))) }
      try run.report(.lines([LogLine(at: .now, attempt: 1, stream: .log, text: "hello")]))
      return .null
    }
    var ends = 0
    let notices = scheduler.changes()
    let id = try scheduler.submit(request).id
    _ = try await scheduler.wait(for: id, timeoutSeconds: 5) { $0.status.isTerminal }
    for await _ in notices {  // nobody read in the meantime: what came is one notice
      ends += 1
      if try scheduler.record(id: id).status.isTerminal { break }
    }
    #expect(ends <= 2)
    #expect(try scheduler.logs(id: id).map(\.text) == ["hello"])
    #expect(try scheduler.record(id: id).progress?.done == 1000)
  }

  @Test func aMillionMetricPointsStaySmall() async throws {
    let scheduler = try scheduler { run in
      for i in 0..<200_000 {
        try run.report(.metric(MetricPoint(name: "loss", step: Int64(i), value: 1, at: Instant(seconds: 1))))
        if i % 1000 == 0 { try run.report(.usage(TaskUsage())) }
      }
      for i in 0..<400 { try run.report(.metric(MetricPoint(name: "m\(i)", value: 1, at: Instant(seconds: 1)))) }
      return .null
    }
    let id = try scheduler.submit(request).id
    _ = try await scheduler.wait(for: id, timeoutSeconds: 60) { $0.status.isTerminal }
    let points = try scheduler.metrics(id: id).points
    let loss = points.filter { $0.name == "loss" }
    #expect(loss.count <= 8192 && loss.count >= 4096 && loss.first?.step == 0)
    #expect(Set(points.map(\.name)).count == 256)
    #expect(try scheduler.logs(id: id).map(\.text).first?.contains("has 256 metrics already") == true)
  }

  @Test func aThousandTasksHalfOfThemCancelledGiveBothSlotsBack() async throws {
    var options = TaskScheduler.Options()
    options.slots = 2
    let scheduler = TaskScheduler(
      store: MemoryTaskStore(), executor: ClosureExecutor { _ in .null }, options: options,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try scheduler.start()
    let ids = try (0..<1000).map { _ in try scheduler.submit(request).id }
    for id in ids where id.utf8.last.map({ $0 % 2 == 0 }) == true { _ = try? scheduler.cancel(id: id) }
    for id in ids { #expect(try await scheduler.wait(for: id, timeoutSeconds: 20) { $0.status.isTerminal }.status.isTerminal) }
    let counts = scheduler.counts
    #expect((counts[.pending] ?? 0) == 0 && (counts[.running] ?? 0) == 0)
    #expect((counts[.completed] ?? 0) + (counts[.cancelled] ?? 0) == 1000)
  }
}

/// Lets a closure that must be `@Sendable` share a mutex.
final class Box<T: ~Copyable & Sendable>: Sendable {
  let value: T
  init(_ value: consuming T) { self.value = value }
}

extension Timed {
  @Suite(.timeLimit(.minutes(2))) struct RestartTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    func options(_ program: String) -> ProcessExecutor.Options {
      var options = ProcessExecutor.Options(
        arguments: ["/bin/sh", "-c", program], places: WorkerPlaces(scriptRoot: "/s", lake: "/l", luaLib: "/lib"))
      options.environment["SCRATCH"] = scratch.path
      return options
    }
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// A worker as a killed server leaves it: alive, its row `running`, nobody waiting for it.
    func leftover(_ store: any TaskStore, token: String) throws -> (record: TaskRecord, process: Process) {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", "trap '' TERM HUP; sleep 300 & wait"]
      process.environment = ["MOONLAKE_WORKER": token, "PATH": "/usr/bin:/bin"]
      try process.run()
      usleep(50_000)
      let stat = try String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)
      let fields = stat[stat.index(after: stat.lastIndex(of: ")")!)...].split(separator: " ")
      let boot = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
      let identity = ProcessIdentity(
        pid: process.processIdentifier, startTicks: UInt64(fields[19])!,
        bootID: boot.trimmingCharacters(in: .whitespacesAndNewlines),
        token: token)
      var record = try store.create(TaskRequest(name: "t", script: "x.lua"), at: .now)
      record.attempt = 1
      let moved = try record.move(to: .running, reason: "")
      try store.save(
        record, events: [moved],
        attempt: TaskAttempt(number: 1, startedAt: .now, identity: identity))
      return (record, process)
    }

    @Test func aRunningRowIsLostAndItsWorkerKilled() async throws {
      let path = scratch.path + "/tasks.sqlite"
      let before = try SQLiteTaskStore(path: path)
      let (record, process) = try leftover(before, token: "token-\(randomUUID())")
      let pending = try before.create(TaskRequest(name: "p", script: "x.lua"), at: .now)
      try before.close()  // nothing else is written: as after kill -9

      let store = try SQLiteTaskStore(path: path)
      let scheduler = TaskScheduler(
        store: store, executor: ProcessExecutor(options("read job; \(resultLine)")), logger: logger)
      try scheduler.start()
      let lost = try scheduler.record(id: record.id)
      #expect(lost.status == .failed)
      #expect(
        lost.error
          == TaskError("LOST_ON_RESTART", "the server ended while the task ran, and its worker with it; submit the task again"))
      #expect(try scheduler.attempts(id: record.id).first?.outcome == "failed: LOST_ON_RESTART")
      process.waitUntilExit()
      #expect(process.terminationStatus == SIGKILL)
      let next = try await scheduler.wait(for: pending.id, timeoutSeconds: 10) { $0.status.isTerminal }
      #expect(next.status == .completed && next.attempt == 1)
      #expect(scheduler.counts.filter { $0.value != 0 } == [.failed: 1, .completed: 1])
      scheduler.stop()
    }

    @Test func aRecycledPidIsNotTouched() throws {
      let store = MemoryTaskStore()
      let (record, process) = try leftover(store, token: "new")
      let executor = ProcessExecutor(options(""))
      let identity = try #require(try store.attempts(id: record.id).first?.identity)
      defer {
        var rest = identity
        rest.token = "new"
        executor.sweep(rest)
        process.waitUntilExit()
      }
      // The row names this pid, but a process that started at another time and has another token.
      var other = identity
      other.token = "old"
      other.startTicks -= 1
      executor.sweep(other)
      #expect(isAlive(process.processIdentifier))
      other.startTicks += 1  // the very process, but on another boot of the machine
      other.bootID = "another"
      executor.sweep(other)
      #expect(isAlive(process.processIdentifier))
    }

    @Test func aGracefulStopEndsWorkers() async throws {
      let store = try SQLiteTaskStore(path: scratch.path + "/tasks.sqlite")
      let scheduler = TaskScheduler(
        store: store,
        executor: ProcessExecutor(options("read job; echo $$ > $SCRATCH/up; trap '' TERM; while :; do sleep 1; done")),
        logger: logger)
      try scheduler.start()
      let id = try scheduler.submit(TaskRequest(name: "t", script: "x.lua")).id
      var pid: Int32?
      for _ in 0..<500 where pid == nil {
        pid = (try? String(contentsOfFile: scratch.path + "/up", encoding: .utf8)).flatMap {
          Int32($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        try await Task.sleep(for: .milliseconds(5))
      }
      let begin = monotonicSeconds()
      scheduler.stop()
      #expect(monotonicSeconds() - begin < 2)
      #expect(!isAlive(try #require(pid)))
      #expect(try store.record(id: id)?.error?.message == "the server was stopped while the task ran; submit the task again")
      try store.close()
    }

    @Test func twentyRestartsRunEveryTaskOnce() async throws {
      let path = scratch.path + "/tasks.sqlite"
      for round in 1...20 {
        let store = try SQLiteTaskStore(path: path)
        let scheduler = TaskScheduler(
          store: store, executor: ProcessExecutor(options("read job; echo $MOONLAKE_TASK >> $SCRATCH/ran; \(resultLine)")),
          logger: logger)
        try scheduler.start()
        for _ in 0..<2 { _ = try scheduler.submit(TaskRequest(name: "r\(round)", script: "x.lua")) }
        usleep(useconds_t(round * 700))
        scheduler.stop()
        try store.close()
      }
      let store = try SQLiteTaskStore(path: path)
      let scheduler = TaskScheduler(
        store: store, executor: ProcessExecutor(options("read job; echo $MOONLAKE_TASK >> $SCRATCH/ran; \(resultLine)")),
        logger: logger)
      try scheduler.start()
      for sequence in 1...40 {
        let record = try await scheduler.wait(for: TaskRecord.id(of: Int64(sequence)), timeoutSeconds: 20) {
          $0.status.isTerminal
        }
        #expect(record.status == .completed || record.error?.code == "LOST_ON_RESTART")
        #expect(record.attempt == 1)
      }
      scheduler.stop()
      let ran = try String(contentsOfFile: scratch.path + "/ran", encoding: .utf8).split(separator: "\n")
      #expect(ran.count == Set(ran).count)  // no twin runs
      #expect(scheduler.counts.values.reduce(0, +) == 40)
    }
  }
}
