package import Core
import Foundation
import GRDB

extension Failure.Code {
  /// The disk is full.
  package static let insufficientStorage = Failure.Code("INSUFFICIENT_STORAGE")
  /// Somebody else has it open.
  package static let inUse = Failure.Code("IN_USE")
}

/// Tasks in a SQLite database: write-ahead log, `synchronous = FULL`, so a call that returned survives a power cut.
/// One server at a time: `PATH.lock` is held while the store is open.
package final class SQLiteTaskStore: TaskStore {
  private let pool: DatabasePool
  private let lock: StoreLock

  /// Opens or creates the store at `path`; missing folders are made.
  /// - Throws: `IN_USE` when another server has it, `CORRUPT_DATA` when it is damaged or from a newer Moonlake, `IO_ERROR`.
  package init(path: String) throws(Failure) {
    lock = try StoreLock(path: path + ".lock")
    pool = try SQLiteTaskStore.attempt("cannot open the task store '\(path)'") {
      var configuration = Configuration()
      configuration.maximumReaderCount = 4
      configuration.busyMode = .timeout(5)
      let pool = try DatabasePool(path: path, configuration: configuration)
      // GRDB sets NORMAL for a pool; the writer is one connection that lives as long as the pool.
      try pool.writeWithoutTransaction { db in
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.execute(sql: "PRAGMA wal_autocheckpoint = 1000")
      }
      let migrator = SQLiteSchema.migrator
      if try pool.read(migrator.hasBeenSuperseded) {
        throw Failure(
          .corruptData, "the task store '\(path)' was written by a newer Moonlake; use that version or move it away")
      }
      try migrator.migrate(pool)
      return pool
    }
  }

  /// SQLite's and our errors as a `Failure`.
  private static func attempt<T>(_ what: String, _ body: () throws -> T) throws(Failure) -> T {
    do { return try body() } catch let failure as Failure { throw failure } catch let error as DatabaseError {
      let text = "\(what): \(error.message ?? "SQLite error") (\(error.extendedResultCode))"
      switch error.resultCode {
      case .SQLITE_FULL: throw Failure(.insufficientStorage, text)
      case .SQLITE_CORRUPT, .SQLITE_NOTADB: throw Failure(.corruptData, text)
      default: throw Failure(.ioError, text)
      }
    } catch { throw Failure(.ioError, "\(what): \(error)") }
  }

  private func read<T>(_ body: (Database) throws -> T) throws(Failure) -> T {
    try SQLiteTaskStore.attempt("cannot read the task store") { try pool.read(body) }
  }
  private func write<T>(_ body: (Database) throws -> T) throws(Failure) -> T {
    try SQLiteTaskStore.attempt("cannot write the task store") { try pool.write(body) }
  }

  /// `PRAGMA synchronous` and `journal_mode` of the writer, for tests: ("2", "wal").
  package func durability() throws(Failure) -> (synchronous: String, journal: String) {
    try SQLiteTaskStore.attempt("cannot read the task store") {
      try pool.writeWithoutTransaction { db in
        (
          try String.fetchOne(db, sql: "PRAGMA synchronous") ?? "", try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? ""
        )
      }
    }
  }

  package func create(_ request: TaskRequest, at time: Instant) throws(Failure) -> TaskRecord {
    try write { db in
      try db.cachedStatement(
        sql: """
          INSERT INTO task (name, script, input, output, params, limits, status, created_at, attempt, event_count)
          VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, 0, 1)
          """
      ).execute(arguments: [
        request.name, request.script, request.input, request.output, request.params.text(), request.limits.json.text(),
        time.microseconds,
      ])
      var record = TaskRecord(sequence: db.lastInsertedRowID, request: request, createdAt: time)
      try insert(record.note(.status, reason: "created", at: time), of: record.sequence, db)
      return record
    }
  }

  package func save(_ record: TaskRecord, events: [TaskEvent], attempt: TaskAttempt?) throws(Failure) {
    try write { db in
      try db.cachedStatement(
        sql: """
          UPDATE task SET status = ?, started_at = ?, completed_at = ?, cancel_requested_at = ?, attempt = ?, event_count = ?,
            result = ?, error = ?, progress = ?, usage = ?, endpoint = ?
          WHERE sequence = ? AND status IN ('pending', 'running')
          """
      ).execute(arguments: [
        record.status.rawValue, record.startedAt?.microseconds, record.completedAt?.microseconds,
        record.cancelRequestedAt?.microseconds, record.attempt, record.eventCount, record.result?.text(),
        record.error?.json.text(), record.progress?.json.text(), record.usage?.json.text(), record.endpoint, record.sequence,
      ])
      if db.changesCount == 0 { try mustBeOpen(try fetch(record.sequence, db), id: record.id) }
      for event in events { try insert(event, of: record.sequence, db) }
      if let attempt {
        try db.cachedStatement(
          sql: """
            INSERT OR REPLACE INTO attempt (task, number, started_at, ended_at, pid, start_ticks, boot_id, token, outcome)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ).execute(arguments: [
          record.sequence, attempt.number, attempt.startedAt.microseconds, attempt.endedAt?.microseconds,
          attempt.identity?.pid, attempt.identity.map { Int64(bitPattern: $0.startTicks) }, attempt.identity?.bootID,
          attempt.identity?.token, attempt.outcome,
        ])
      }
    }
  }

  private func insert(_ event: TaskEvent, of sequence: Int64, _ db: Database) throws {
    try db.cachedStatement(
      sql: "INSERT INTO event (task, number, at, kind, status, reason) VALUES (?, ?, ?, ?, ?, ?)"
    ).execute(arguments: [
      sequence, event.number, event.at.microseconds, event.kind.rawValue, event.status.rawValue, event.reason,
    ])
  }

  private func fetch(_ sequence: Int64, _ db: Database) throws -> TaskRecord? {
    try Row.fetchOne(try db.cachedStatement(sql: "SELECT * FROM task WHERE sequence = ?"), arguments: [sequence])
      .map(SQLiteTaskStore.record)
  }

  private static func record(_ row: Row) throws -> TaskRecord {
    func json(_ column: String) throws -> JSONValue? {
      guard let text = row[column] as String? else { return nil }
      return try JSONValue(parsing: text, limits: .init(depth: 1024, values: Int.max))
    }
    func time(_ column: String) -> Instant? { (row[column] as Int64?).map { Instant(microseconds: $0) } }
    let request = TaskRequest(
      name: row["name"], script: row["script"], input: row["input"], output: row["output"],
      params: try json("params") ?? .null, limits: TaskLimits(json: try json("limits") ?? .null))
    var record = TaskRecord(sequence: row["sequence"], request: request, createdAt: Instant(microseconds: row["created_at"]))
    record.status = TaskStatus(rawValue: row["status"]) ?? .failed
    record.startedAt = time("started_at")
    record.completedAt = time("completed_at")
    record.cancelRequestedAt = time("cancel_requested_at")
    record.attempt = row["attempt"]
    record.eventCount = row["event_count"]
    record.result = try json("result")
    record.error = try json("error").map { TaskError(json: $0) }
    record.progress = try json("progress").flatMap { TaskProgress(json: $0) }
    record.usage = try json("usage").map { TaskUsage(json: $0) }
    record.endpoint = row["endpoint"]
    return record
  }

  package func record(id: String) throws(Failure) -> TaskRecord? {
    guard let sequence = TaskRecord.sequence(of: id) else { return nil }
    return try read { db in try fetch(sequence, db) }
  }

  package func page(_ query: TaskQuery) throws(Failure) -> TaskPage {
    try read { db in
      var conditions: [String] = []
      var arguments = StatementArguments()
      if !query.statuses.isEmpty {
        let names = query.statuses.map(\.rawValue).sorted()
        conditions.append("status IN (\(names.map { _ in "?" }.joined(separator: ", ")))")
        arguments += StatementArguments(names)
      }
      if let name = query.name {
        conditions.append("name = ?")
        arguments += [name]
      }
      if let script = query.script {
        conditions.append("script = ?")
        arguments += [script]
      }
      if let before = query.before {
        conditions.append("sequence < ?")
        arguments += [before]
      }
      arguments += [max(0, min(query.limit, 1_000_000)) + 1]
      let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
      let rows = try Row.fetchCursor(
        db, sql: "SELECT * FROM task \(filter) ORDER BY sequence DESC LIMIT ?", arguments: arguments)
      var page = TaskPage(records: [], hasMore: false)
      var bytes = 0
      while let row = try rows.next() {
        guard page.records.count < query.limit, bytes < query.limitBytes else {
          page.hasMore = true
          break
        }
        let record = try SQLiteTaskStore.record(row)
        bytes += record.approximateBytes
        page.records.append(record)
      }
      return page
    }
  }

  package func counts() throws(Failure) -> [TaskStatus: Int] {
    try read { db in
      try Row.fetchAll(db, sql: "SELECT status, count(*) AS n FROM task GROUP BY status").reduce(into: [:]) { counts, row in
        if let status = TaskStatus(rawValue: row["status"]) { counts[status] = row["n"] }
      }
    }
  }

  package func attempts(id: String) throws(Failure) -> [TaskAttempt] {
    try read { db in
      try Row.fetchAll(
        db, sql: "SELECT * FROM attempt WHERE task = ? ORDER BY number", arguments: [TaskRecord.sequence(of: id)]
      ).map { row in
        var identity: ProcessIdentity?
        if let pid = row["pid"] as Int32?, let ticks = row["start_ticks"] as Int64?, let boot = row["boot_id"] as String?,
          let token = row["token"] as String?
        {
          identity = ProcessIdentity(pid: pid, startTicks: UInt64(bitPattern: ticks), bootID: boot, token: token)
        }
        return TaskAttempt(
          number: row["number"], startedAt: Instant(microseconds: row["started_at"]),
          endedAt: (row["ended_at"] as Int64?).map { Instant(microseconds: $0) }, identity: identity, outcome: row["outcome"])
      }
    }
  }

  package func events(id: String, after: Int) throws(Failure) -> [TaskEvent] {
    try read { db in
      try Row.fetchAll(
        try db.cachedStatement(sql: "SELECT * FROM event WHERE task = ? AND number > ? ORDER BY number"),
        arguments: [TaskRecord.sequence(of: id), after]
      ).compactMap { row in
        guard let kind = TaskEvent.Kind(rawValue: row["kind"]), let status = TaskStatus(rawValue: row["status"]) else {
          return nil
        }
        return TaskEvent(
          number: row["number"], at: Instant(microseconds: row["at"]), kind: kind, status: status, reason: row["reason"])
      }
    }
  }

  package func append(logs: [LogLine], metrics: [MetricPoint], id: String) throws(Failure) {
    try write { db in
      let sequence = try existing(id, db)
      let statement = try db.cachedStatement(
        sql: "INSERT INTO log (task, number, at, attempt, stream, level, text) VALUES (?, ?, ?, ?, ?, ?, ?)")
      for line in logs {
        try statement.execute(arguments: [
          sequence, line.number, line.at.microseconds, line.attempt, line.stream.rawValue, line.level, line.text,
        ])
      }
      for point in metrics { try insert(point, of: sequence, db) }
    }
  }

  private func existing(_ id: String, _ db: Database) throws -> Int64 {
    guard let sequence = TaskRecord.sequence(of: id),
      try Bool.fetchOne(db, sql: "SELECT 1 FROM task WHERE sequence = ?", arguments: [sequence]) != nil
    else { throw Failure(.taskNotFound, "Task '\(id)' does not exist") }
    return sequence
  }

  private func insert(_ point: MetricPoint, of sequence: Int64, _ db: Database) throws {
    try db.cachedStatement(sql: "INSERT INTO metric (task, name, step, value, at) VALUES (?, ?, ?, ?, ?)").execute(arguments: [
      sequence, point.name, point.step, point.value.isNaN ? nil : point.value, point.at.microseconds,
    ])
  }

  package func logs(id: String, after: Int, limit: Int) throws(Failure) -> [LogLine] {
    try read { db in
      try Row.fetchAll(
        try db.cachedStatement(sql: "SELECT * FROM log WHERE task = ? AND number > ? ORDER BY number LIMIT ?"),
        arguments: [TaskRecord.sequence(of: id), after, max(0, limit)]
      ).map { row in
        LogLine(
          number: row["number"], at: Instant(microseconds: row["at"]), attempt: row["attempt"],
          stream: LogLine.Stream(rawValue: row["stream"]) ?? .system, level: row["level"], text: row["text"])
      }
    }
  }

  package func lastLogNumber(id: String) throws(Failure) -> Int {
    try read { db in
      try Int.fetchOne(db, sql: "SELECT max(number) FROM log WHERE task = ?", arguments: [TaskRecord.sequence(of: id)]) ?? 0
    }
  }

  package func replaceMetrics(name: String, points: [MetricPoint], id: String) throws(Failure) {
    try write { db in
      let sequence = try existing(id, db)
      try db.execute(sql: "DELETE FROM metric WHERE task = ? AND name = ?", arguments: [sequence, name])
      for point in points { try insert(point, of: sequence, db) }
    }
  }

  package func metrics(id: String, after position: Int64) throws(Failure) -> (points: [MetricPoint], position: Int64) {
    try read { db in
      let rows = try Row.fetchAll(
        try db.cachedStatement(sql: "SELECT id, name, step, value, at FROM metric WHERE task = ? AND id > ? ORDER BY id"),
        arguments: [TaskRecord.sequence(of: id), position])
      let points = rows.map { row in
        MetricPoint(
          name: row["name"], step: row["step"], value: row["value"] as Double? ?? .nan,
          at: Instant(microseconds: row["at"]))
      }
      return (points, rows.last?["id"] ?? position)
    }
  }

  package func close() throws(Failure) {
    try SQLiteTaskStore.attempt("cannot close the task store") { try pool.close() }
    lock.release()
  }
}
