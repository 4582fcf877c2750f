import Core
import Tasks
import Testing

@Suite struct TaskStateTests {
  static let legal: Set<[TaskStatus]> = [
    [.pending, .running], [.pending, .cancelled], [.running, .completed], [.running, .failed], [.running, .cancelled],
  ]

  /// A record in each state, reached by legal steps.
  static func record(in status: TaskStatus) throws -> TaskRecord {
    var record = TaskRecord(sequence: 7, request: TaskRequest(name: "n", script: "s.lua"), createdAt: Instant(seconds: 100))
    switch status {
    case .pending: break
    case .running: _ = try record.move(to: .running, reason: "r")
    case .cancelled: _ = try record.move(to: .cancelled, reason: "c")
    case .completed, .failed:
      _ = try record.move(to: .running, reason: "r")
      _ = try record.move(to: status, reason: "e")
    }
    return record
  }

  @Test(arguments: TaskStatus.allCases, TaskStatus.allCases)
  func allPairs(_ from: TaskStatus, _ to: TaskStatus) throws {
    var record = try Self.record(in: from)
    let before = record
    if Self.legal.contains([from, to]) {
      let event = try record.move(to: to, reason: "why", at: Instant(seconds: 5_000_000_000))
      #expect(record.status == to && event.status == to && event.kind == .status && event.reason == "why")
      #expect(event.number == before.eventCount + 1 && record.eventCount == event.number)
      #expect((record.completedAt != nil) == to.isTerminal)
    } else {
      let failure = #expect(throws: Failure.self) { _ = try record.move(to: to, reason: "why") }
      #expect(failure?.code.rawValue == "ILLEGAL_TRANSITION")
      #expect(failure?.message.contains("task 'task-007' cannot go from '\(from.rawValue)' to '\(to.rawValue)'") == true)
      #expect(record == before)
    }
  }

  @Test func messagesNameTheRule() throws {
    var record = try Self.record(in: .completed)
    #expect(throws: Failure.self) { try record.move(to: .running, reason: "") }
    do { _ = try record.move(to: .failed, reason: "") } catch {
      #expect(error.message == "task 'task-007' cannot go from 'completed' to 'failed': 'completed' is final")
    }
    record = try Self.record(in: .pending)
    do { _ = try record.move(to: .failed, reason: "") } catch {
      #expect(
        error.message == "task 'task-007' cannot go from 'pending' to 'failed': 'pending' goes to 'running' or 'cancelled'")
    }
  }

  @Test func aClockSetBackDoesNotReverseTimes() throws {
    var record = try Self.record(in: .pending)
    _ = try record.move(to: .running, reason: "", at: Instant(seconds: 50))
    _ = try record.move(to: .completed, reason: "", at: Instant(seconds: 20))
    #expect(record.startedAt == Instant(seconds: 100) && record.completedAt == Instant(seconds: 100))
  }

  @Test func idsGrowBeyond999() {
    #expect(
      TaskRecord.id(of: 1) == "task-001" && TaskRecord.id(of: 999) == "task-999" && TaskRecord.id(of: 1000) == "task-1000")
    #expect(TaskRecord.sequence(of: "task-042") == 42 && TaskRecord.sequence(of: "task-12345") == 12345)
    for bad in [
      "task-42", "task-0042", "task-000", "task--01", "task-+42", "Task-042", "task-", "042", "task-99999999999999999999",
    ] {
      #expect(TaskRecord.sequence(of: bad) == nil, "\(bad)")
    }
  }

  @Test func instantsKeepMicroseconds() {
    #expect(Instant(microseconds: -1).text(fractionDigits: 6) == "1969-12-31T23:59:59.999999Z")
    #expect(Instant(microseconds: Instant.now.microseconds).microseconds > 1_700_000_000_000_000)
  }
}

@Suite struct MetricSeriesTests {
  @Test func keepsTheShapeOfALongCurve() {
    var series = MetricSeries(capacity: 64)
    var thinned = 0
    for step in 0..<10_000 {
      if case .thinned = series.add(MetricPoint(name: "loss", step: Int64(step), value: Double(step), at: Instant(seconds: 1)))
      {
        thinned += 1
      }
    }
    let steps = series.points.compactMap(\.step)
    #expect(steps.count < 64 && steps.count >= 31 && thinned > 5)
    #expect(steps.first == 0 && steps == steps.sorted() && Set(zip(steps, steps.dropFirst()).map { $1 - $0 }).count == 1)
    #expect(steps.last.map { $0 > 9_000 } == true)
  }
}
