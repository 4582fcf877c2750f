import Core
import Foundation
import Glibc
import Logging
import Synchronization
import Tasks
import Testing

/// A scheduler over fake workers: `/bin/sh` programs that speak the worker protocol.
final class Bench: Sendable {
  let scratch: Scratch
  let scheduler: TaskScheduler
  let store: any TaskStore

  init(
    _ program: String, options: TaskScheduler.Options = .init(), store: (any TaskStore)? = nil,
    configure: (inout ProcessExecutor.Options) -> Void = { _ in }
  ) throws {
    scratch = try Scratch()
    var executor = ProcessExecutor.Options(
      arguments: ["/bin/sh", "-c", program, "worker"],
      places: WorkerPlaces(scriptRoot: "/scripts", lake: "/lake", dataRoots: ["/data"], luaLib: "/lib"))
    executor.graceSeconds = 0.4
    executor.sampleSeconds = 0.02
    executor.environment["SCRATCH"] = scratch.path
    configure(&executor)
    self.store = store ?? MemoryTaskStore()
    scheduler = TaskScheduler(
      store: self.store, executor: ProcessExecutor(executor), options: options,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try scheduler.start()
  }
  deinit { scheduler.stop() }

  func submit(_ limits: TaskLimits = TaskLimits(), params: JSONValue = [:]) throws -> String {
    try scheduler.submit(
      TaskRequest(name: "t", script: "a/x.lua", input: "in", output: "out", params: params, limits: limits)
    ).id
  }

  /// Runs one task to its end.
  func run(_ limits: TaskLimits = TaskLimits(), params: JSONValue = [:]) async throws -> TaskRecord {
    try await end(try submit(limits, params: params))
  }

  func end(_ id: String, within seconds: Double = 20) async throws -> TaskRecord {
    let record = try await scheduler.wait(for: id, timeoutSeconds: seconds) { $0.status.isTerminal }
    #expect(record.status.isTerminal, "\(id) is still \(record.status)")
    return record
  }

  func texts(_ id: String = "task-001") throws -> [String] { try scheduler.logs(id: id).map(\.text) }

  /// Waits for the fake worker to make a file, and reads it.
  func file(_ name: String) async throws -> String {
    for _ in 0..<1000 {
      if let text = try? String(contentsOfFile: scratch.path + "/" + name, encoding: .utf8), text.hasSuffix("\n") {
        return text
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw Failure(.fileNotFound, "the worker did not make \(name)")
  }
}

/// True while the process exists and is no zombie.
func isAlive(_ pid: Int32) -> Bool {
  guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else {
    return false
  }
  return !text[end...].hasPrefix(") Z")
}

let resultLine = #"echo '{"event":"result","result":{"total_records":70000}}' >&3"#

/// Tests with worker processes look at the clock: one after the other.
@Suite(.serialized) enum Timed {}

extension Timed {
  @Suite(.timeLimit(.minutes(2))) struct WorkerEndingTests {
    @Test func aResultCompletes() async throws {
      let bench = try Bench("read job; echo out; echo err >&2; \(resultLine)")
      let record = try await bench.run()
      #expect(record.status == .completed && record.result == ["total_records": 70000] && record.error == nil)
      #expect(record.attempt == 1 && record.startedAt != nil && record.completedAt != nil)
      #expect(record.usage.map { $0.wallSeconds > 0 && $0.wallSeconds < 10 } == true)
      let lines = try bench.scheduler.logs(id: record.id)
      #expect(Set(lines.map { "\($0.stream.rawValue)/\($0.level): \($0.text)" }) == ["stdout/info: out", "stderr/error: err"])
      #expect(lines.map(\.number) == [1, 2])
      #expect(try bench.scheduler.events(id: record.id).map(\.status) == [.pending, .running, .completed])
      let attempt = try #require(try bench.scheduler.attempts(id: record.id).first)
      #expect(attempt.outcome == "completed" && attempt.endedAt == record.completedAt && attempt.identity != nil)
    }

    @Test func theJobLineIsTheProtocols() async throws {
      let bench = try Bench(#"read -r job; printf '{"event":"result","result":%s}\n' "$job" >&3"#)
      let record = try await bench.run(TaskLimits(wallSeconds: 60), params: ["text": "a\n\"b", "n": 1.5])
      #expect(
        record.result == [
          "task": "task-001", "attempt": 1, "name": "t", "script": "/scripts/a/x.lua", "script_root": "/scripts", "input": "in",
          "output": "out", "params": ["text": "a\n\"b", "n": 1.5], "lake": "/lake", "data_roots": ["/data"], "lualib": "/lib",
          "limits": ["wall_s": 60, "cpu_s": nil, "memory_bytes": nil],
        ])
    }

    @Test func aBigJobPassesThePipe() async throws {
      let bench = try Bench(#"sleep 0.1; read -r job; echo "{\"event\":\"result\",\"result\":${#job}}" >&3"#)
      let record = try await bench.run(params: ["big": .string(String(repeating: "x", count: 1_000_000))])
      #expect(record.result?.intValue.map { $0 > 1_000_000 } == true)
    }

    @Test func anErrorFails() async throws {
      let bench = try Bench(
        #"""
        read job
        echo '{"event":"error","error":{"code":"SCRIPT_ERROR","message":"no such file","script":"a/x.lua","line":7,"excerpt":"7 | x","traceback":"stack"}}' >&3
        exit 1
        """#)
      let record = try await bench.run()
      #expect(record.status == .failed && record.result == nil)
      #expect(
        record.error?.json == [
          "code": "SCRIPT_ERROR", "message": "no such file", "script": "a/x.lua", "line": 7, "excerpt": "7 | x",
          "traceback": "stack",
        ])
      #expect(try bench.scheduler.events(id: record.id).last?.reason == "SCRIPT_ERROR: no such file")
    }

    @Test(arguments: [("SEGV", "SIGSEGV"), ("ABRT", "SIGABRT"), ("KILL", "SIGKILL"), ("TERM", "SIGTERM")])
    func aSignalIsNamed(_ signal: String, _ name: String) async throws {
      let record = try await Bench("read job; ulimit -c 0; kill -\(signal) $$").run()
      #expect(record.status == .failed && record.error?.code == "WORKER_CRASHED" && record.error?.signal == name)
      #expect(record.error?.message.hasPrefix("the worker process died by \(name)") == true)
    }

    @Test(arguments: [0, 3]) func anExitWithoutAResultIsACrash(_ code: Int) async throws {
      let record = try await Bench("read job; exit \(code)").run()
      #expect(
        record.error
          == TaskError("WORKER_CRASHED", "the worker process exited with code \(code) and without a result", exitCode: code))
    }

    @Test func aProgramThatIsNotThereIsNamed() async throws {
      let bench = try Bench("") { $0.arguments = ["/nowhere/moonlake", "worker"] }
      let record = try await bench.run()
      #expect(
        record.error
          == TaskError("WORKER_NOT_STARTED", "cannot start the worker '/nowhere/moonlake': No such file or directory"))
      #expect(try bench.scheduler.events(id: record.id).map(\.status) == [.pending, .running, .failed])
      #expect(try await bench.run().id == "task-002")  // the slot came back
    }

    @Test func garbageOnTheEventPipeIsTold() async throws {
      let bench = try Bench(
        #"""
        read job
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo 'garbage' >&3; done
        printf '\377\000{}\n[]\n{"event":"nonsense"}\n{"event":"progress"}\n\n' >&3
        """#)
      let record = try await bench.run()
      #expect(
        record.error?.message
          == "the worker process exited with code 0 and without a result; 16 of its events could not be read")
      let lines = try bench.texts()
      #expect(lines.count == 10)  // not one for each
      #expect(lines.first == "an unreadable event from the worker: invalid JSON at line 1, column 1: unexpected character 'g'")
    }

    @Test func aResultAfterGarbageStillCounts() async throws {
      let record = try await Bench("read job; echo '{\"event\":' >&3; \(resultLine)").run()
      #expect(record.status == .completed)
    }

    @Test func theFirstOutcomeCounts() async throws {
      let record = try await Bench("read job; \(resultLine); echo '{\"event\":\"error\",\"error\":{}}' >&3; exit 1").run()
      #expect(record.status == .completed && record.result == ["total_records": 70000])
    }

    @Test func aResultWithoutALineEndCounts() async throws {
      let record = try await Bench(#"read job; printf '{"event":"result","result":[1]}' >&3"#).run()
      #expect(record.result == [1])
    }

    @Test func aResultThatIsTooLargeFails() async throws {
      let program =
        #"read job; (printf '{"event":"result","result":"'; head -c 300000 /dev/zero | tr '\0' a; printf '"}\n') >&3; sleep 30"#
      let bench = try Bench(program) { $0.resultLimitBytes = 100_000 }
      let record = try await bench.run()
      #expect(
        record.error
          == TaskError("RESULT_TOO_LARGE", "the result is larger than 100000 bytes of JSON; write data to a data set"))
    }

    @Test func aWorkerThatDoesNotExitAfterItsResultIsEnded() async throws {
      let begin = monotonicSeconds()
      let bench = try Bench("read job; \(resultLine); trap '' TERM; sleep 30")
      let record = try await bench.run()
      #expect(record.status == .completed && monotonicSeconds() - begin < 5)
      #expect(try bench.texts() == ["the worker did not exit within 0.4 s after its result"])
    }

    @Test func closedEventsAloneAreNoEnd() async throws {
      let record = try await Bench("read job; exec 3>&-; sleep 0.2; exit 4").run()
      #expect(record.error?.exitCode == 4 && record.usage.map { $0.wallSeconds >= 0.2 } == true)
    }

    @Test func noDescriptorLeaks() async throws {
      let extra = open("/dev/null", O_RDONLY)  // without O_CLOEXEC, as a library might
      defer { close(extra) }
      let bench = try Bench(#"read job; printf '{"event":"result","result":"%s"}\n' "$(ls /proc/$$/fd | tr '\n' ' ')" >&3"#)
      let seen = try #require(try await bench.run().result?.stringValue)
      #expect(!seen.split(separator: " ").contains("\(extra)"), "\(seen)")
      #expect(seen.hasPrefix("0 1 2 3"))
      func count() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
      for _ in 0..<3 { _ = try await bench.run() }
      let before = try count()
      for _ in 0..<20 { _ = try await bench.run() }
      #expect(try count() <= before + 12)  // other tests run beside this one
    }

    @Test func theEnvironmentIsSmall() async throws {
      setenv("MOONLAKE_TEST_SECRET", "hunter2", 1)
      let bench = try Bench("read job; env; \(resultLine)")
      _ = try await bench.run()
      let lines = try bench.texts()
      #expect(lines.contains("MOONLAKE_TASK=task-001") && lines.contains { $0.hasPrefix("PATH=") })
      #expect(!lines.contains { $0.contains("hunter2") })
    }

    @Test func progressMetricsAndLogLinesAreKept() async throws {
      let bench = try Bench(
        #"""
        read job
        echo '{"event":"started","pid":1}' >&3
        for i in 1 2 3; do
          echo "{\"event\":\"progress\",\"done\":$i,\"total\":3,\"phase\":\"train\"}" >&3
          echo "{\"event\":\"metric\",\"name\":\"loss\",\"value\":0.$i,\"step\":$i}" >&3
        done
        echo '{"event":"metric","name":"loss","value":null,"step":4}' >&3
        printf '%s\n' '{"event":"log","level":"warn","message":"two\nlines"}' >&3
        echo '{"event":"log","level":"shout","message":"odd level"}' >&3
        echo '{"event":"usage","cpu_s":1,"peak_rss_bytes":99999999999}' >&3
        echo '{"event":"result","result":null}' >&3
        """#)
      let record = try await bench.run()
      #expect(record.status == .completed && record.result == .null)
      #expect(record.progress == TaskProgress(done: 3, total: 3, phase: "train"))
      #expect(record.usage?.peakRSSBytes == 99_999_999_999)
      let points = try bench.scheduler.metrics(id: record.id).points
      #expect(points.map(\.step) == [1, 2, 3, 4] && points[1].value == 0.2 && points[3].value.isNaN)
      #expect(
        try bench.scheduler.logs(id: record.id).map { "\($0.level) \($0.text)" } == ["warning two\nlines", "info odd level"])
    }
  }
}

extension Timed {
  @Suite(.timeLimit(.minutes(2))) struct WorkerStopTests {
    /// Cancels a running task; the whole end must take less than `graceSeconds` (0.4) and some.
    func cancel(_ bench: Bench, when file: String = "up", within seconds: Double = 2) async throws -> (TaskRecord, Double) {
      let id = try bench.submit()
      _ = try await bench.file(file)
      let asked = try bench.scheduler.cancel(id: id)
      #expect(asked.status == .running && asked.cancelRequestedAt != nil)
      #expect(try bench.scheduler.cancel(id: id).cancelRequestedAt == asked.cancelRequestedAt)  // idempotent
      let record = try await bench.end(id)
      let took = (record.completedAt?.timeInterval ?? .infinity) - (asked.cancelRequestedAt?.timeInterval ?? 0)
      #expect(record.status == .cancelled && took < seconds, "took \(took) s")
      #expect(try bench.scheduler.cancel(id: id) == record)
      #expect(try bench.scheduler.events(id: id).map(\.kind) == [.status, .status, .cancelRequested, .status])
      return (record, took)
    }

    @Test func theCancelCommandComesFirst() async throws {
      let bench = try Bench(#"read job; echo x > $SCRATCH/up; read command; echo "$command" > $SCRATCH/command; exit 0"#)
      let (_, took) = try await cancel(bench)
      #expect(took < 0.4)
      #expect(try await bench.file("command") == #"{"command":"cancel"}"# + "\n")
    }

    @Test func thenSIGTERM() async throws {
      let bench = try Bench("read job; trap 'echo bye; exit 0' TERM; echo x > $SCRATCH/up; while :; do sleep 0.01; done")
      let (record, _) = try await cancel(bench)
      #expect(try bench.texts(record.id).contains("bye"))
    }

    @Test func thenSIGKILLOfTheGroup() async throws {
      let bench = try Bench(
        """
        read job; trap '' TERM
        (trap '' TERM; sleep 300) & echo $! > $SCRATCH/child
        setsid sh -c 'trap "" TERM; echo $$ > $SCRATCH/escaped; sleep 300' &
        echo x > $SCRATCH/up; while :; do sleep 1; done
        """)
      let (_, took) = try await cancel(bench)
      #expect(took >= 0.4)
      for name in ["child", "escaped"] {
        let pid = try #require(Int32(try await bench.file(name).trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(!isAlive(pid), "\(name) \(pid) lives")
      }
    }

    @Test func aStoppedWorkerIsEndedToo() async throws {
      let bench = try Bench("read job; trap '' TERM; echo x > $SCRATCH/up; kill -STOP $$; while :; do kill -STOP $$; done")
      _ = try await cancel(bench)
    }

    @Test func grandchildrenEndWithACompletedTask() async throws {
      let bench = try Bench("read job; sleep 300 & echo $! > $SCRATCH/child; \(resultLine)")
      let record = try await bench.run()
      #expect(record.status == .completed)
      let pid = try #require(Int32(try await bench.file("child").trimmingCharacters(in: .whitespacesAndNewlines)))
      #expect(!isAlive(pid))
    }

    @Test func aResultThatComesAfterTheCancelDoesNotComplete() async throws {
      let bench = try Bench("read job; echo x > $SCRATCH/up; read command; \(resultLine)")
      let (record, _) = try await cancel(bench)
      #expect(record.result == nil && record.error == nil)
    }

    @Test func aCancelAfterTheOutcomeIsTooLate() async throws {
      let bench = try Bench("read job; \(resultLine); echo x > $SCRATCH/up; sleep 0.3")
      let id = try bench.submit()
      _ = try await bench.file("up")
      try await Task.sleep(for: .milliseconds(60))
      #expect(try bench.scheduler.cancel(id: id).cancelRequestedAt == nil)
      #expect(try await bench.end(id).status == .completed)
      let failure = #expect(throws: Failure.self) { try bench.scheduler.cancel(id: id) }
      #expect(failure?.code == .taskNotCancellable)
      #expect(failure?.message == "Task 'task-001' has already completed; only a pending or running task can be cancelled")
    }

    @Test func aHundredCancelsAtOnceAreOne() async throws {
      let bench = try Bench("read job; echo x > $SCRATCH/up; read command; exit 0")
      let id = try bench.submit()
      _ = try await bench.file("up")
      DispatchQueue.concurrentPerform(iterations: 100) { _ in _ = try? bench.scheduler.cancel(id: id) }
      #expect(try await bench.end(id).status == .cancelled)
      #expect(try bench.scheduler.events(id: id).filter { $0.kind == .cancelRequested }.count == 1)
    }

    @Test func aWaitingTaskIsCancelledAtOnce() async throws {
      let bench = try Bench("read job; echo x > $SCRATCH/up; read command; exit 0")
      let first = try bench.submit()
      let second = try bench.submit()
      let record = try bench.scheduler.cancel(id: second)
      #expect(record.status == .cancelled && record.startedAt == nil && record.completedAt != nil)
      #expect(try bench.scheduler.events(id: second).map(\.reason) == ["created", "cancelled before it ran"])
      _ = try await bench.file("up")
      _ = try bench.scheduler.cancel(id: first)
      #expect(try await bench.end(first).status == .cancelled)
      let unknown = #expect(throws: Failure.self) { try bench.scheduler.cancel(id: "task-099") }
      #expect(unknown?.message == "Task 'task-099' does not exist")
    }

    @Test func aCancelDuringTheStartLosesNothing() async throws {
      let bench = try Bench("read job; read command; exit 0")
      for _ in 0..<20 {
        let id = try bench.submit()
        _ = try bench.scheduler.cancel(id: id)
        #expect(try await bench.end(id).status == .cancelled)
      }
      #expect(bench.scheduler.counts[.cancelled] == 20 && (bench.scheduler.counts[.running] ?? 0) == 0)
    }

    @Test func timeIsLimited() async throws {
      let record = try await Bench("read job; trap '' TERM; while :; do sleep 1; done").run(TaskLimits(wallSeconds: 0.3))
      #expect(record.error == TaskError("TIMEOUT", "the task ran longer than its limit of 0.3 s"))
      #expect(record.usage.map { $0.wallSeconds < 2 } == true)
    }

    @Test func processorTimeIsLimited() async throws {
      let record = try await Bench("read job; (while :; do :; done) & while :; do :; done").run(TaskLimits(cpuSeconds: 0.5))
      #expect(record.error == TaskError("CPU_LIMIT", "the task used more than its limit of 0.5 s of processor time"))
      #expect(record.usage.map { $0.cpuSeconds > 0.5 && $0.cpuSeconds < 5 } == true)
    }

    @Test func memoryIsLimited() async throws {
      let program = #"read job; x=$(head -c 200000000 /dev/zero | tr '\0' a); sleep 30"#
      let record = try await Bench(program).run(TaskLimits(memoryBytes: 50_000_000))
      #expect(record.error?.code == "MEMORY_LIMIT")
      #expect(record.error?.message.hasSuffix("bytes of memory; the limit is 50000000") == true)
      #expect(record.usage.map { $0.peakRSSBytes > 50_000_000 } == true)
    }

    @Test(arguments: ["yes", "head -c 400000000 /dev/zero", "yes >&2", "yes >&3", "cat /dev/urandom"])
    func outputIsLimited(_ flood: String) async throws {
      let bench = try Bench("read job; \(flood); sleep 30") { $0.logLimitBytes = 200_000 }
      let record = try await bench.run()
      #expect(
        record.error?.code == "LOG_LIMIT" || flood.contains("head") && record.error?.code == "LOG_LIMIT",
        "\(String(describing: record.error))")
      #expect(record.error?.message == "the task wrote more than 200000 bytes of output and log lines and was ended")
      let bytes = try bench.texts().reduce(0) { $0 + $1.utf8.count }
      #expect(bytes < 4_000_000)
    }

    @Test func aLimitDoesNotTurnACancelIntoAFailure() async throws {
      let bench = try Bench("read job; trap '' TERM; echo x > $SCRATCH/up; while :; do sleep 1; done")
      let id = try bench.submit(TaskLimits(wallSeconds: 0.5))
      _ = try await bench.file("up")
      _ = try bench.scheduler.cancel(id: id)
      #expect(try await bench.end(id).status == .cancelled)
    }
  }
}
