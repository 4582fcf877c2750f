import Columnar
import Compute
import Core
import DataFrames
import LanceTable
import ObjectStore
import Plan
import TestSupport
import Testing

/// A table of people in fragments of three rows.
private func people(_ store: any ObjectStore = MemoryStore(), rowsPerFile: Int = 3) throws -> TableLocation {
  let location = TableLocation(store, "people.lance")
  let frame = try Frame(columns: [
    ("id", try Column.int64([1, 2, 3, 4, 5, 6, 7, 8])),
    ("name", try Column.utf8(["ann", "bob", "cid", nil, "eve", "fay", "gus", "hal"])),
    ("age", try Column.int32([30, 41, nil, 22, 55, 30, 18, 70])),
    ("score", try Column.float32([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5])),
  ])
  var options = WriteOptions()
  options.maxRowsPerFile = rowsPerFile
  _ = try frame.write(to: location, mode: .create, options: options)
  return location
}

/// Rows by id: `1 "ann" 30 1.5`.
private func rows(_ location: TableLocation, _ version: TableVersion = .latest) throws -> [String] {
  let batch = try Frame(LanceSource(LanceTable(location, version: version))).sort([SortKey(.column("id"))]).collect()
  return (0..<batch.count).map { i in batch.columns.map { $0.json(i).text() }.joined(separator: " ") }
}

private func col(_ name: String) -> Expr { .column(name) }
private func int(_ value: Int64) -> Expr { .literal(.int(value)) }
private func text(_ value: String) -> Expr { .literal(.string(value)) }

@Suite("Changing rows by expressions")
struct RowExpressionTests {
  @Test func delete() throws {
    let location = try people()
    #expect(try location.delete(where: .compare(.less, col("age"), int(31))).deleted == 4)
    // A condition that is null is not true: row 3 stays.
    #expect(try rows(location).map { $0.prefix(1) } == ["2", "3", "5", "8"])
    #expect(try location.versionList().map(\.operation) == ["create", "delete"])
    #expect(try location.delete(where: .literal(.bool(false))).isChanged == false)
    #expect(try location.delete(where: .function(.isNull, [col("name")])).isChanged == false)
    #expect(try location.delete(where: .literal(.bool(true))) == ChangeReport(version: 3, deleted: 4))
    #expect(try LanceTable(location).rowCount == 0)
  }

  @Test func update() throws {
    let location = try people()
    // All values are made from the old row; constants take the column's type; an int64 is checked into an int32.
    let report = try location.update(
      set: [
        ("age", .arithmetic(.add, col("id"), int(100))), ("score", .arithmetic(.multiply, col("score"), col("age"))),
        ("name", text("old")),
      ], where: .compare(.greaterOrEqual, col("age"), int(41)))
    #expect(report == ChangeReport(version: 2, updated: 3))
    #expect(
      try rows(location) == [
        "1 \"ann\" 30 1.5", "2 \"old\" 102 102.5", "3 \"cid\" null 3.5", "4 null 22 4.5", "5 \"old\" 105 302.5",
        "6 \"fay\" 30 6.5",
        "7 \"gus\" 18 7.5", "8 \"old\" 108 595",
      ])
    #expect(try location.update(set: [("name", .literal(.null))]).updated == 8)
    #expect(try rows(location)[0] == "1 null 30 1.5")
    #expect(try rows(location, .number(1))[0] == "1 \"ann\" 30 1.5")
  }

  @Test func refusals() throws {
    let location = try people()
    let objects = try location.store.list("", recursive: true)
    func message(_ body: () throws -> Void) -> String { failure(body)?.description ?? "no error" }
    #expect(
      message { _ = try location.delete(where: col("age")) } == "TYPE_MISMATCH: age: a condition must be Boolean, not Int32")
    #expect(message { _ = try location.delete(where: .function(.isNull, [col("nam")])) }.contains("did you mean 'name'?"))
    #expect(
      message { _ = try location.update(set: [("age", col("score"))]) }
        == "TYPE_MISMATCH: column 'age' of table 'people' is Int32, the value score is Float32; cast it")
    #expect(message { _ = try location.update(set: [("agee", int(1))]) }.contains("did you mean 'age'?"))
    #expect(message { _ = try location.update(set: [("age", int(1)), ("age", int(2))]) }.contains("sets column 'age' twice"))
    #expect(message { _ = try location.update(set: []) }.contains("sets no column"))
    #expect(message { _ = try location.update(set: [("age", .aggregate(.sum, col("age")))]) }.contains("an aggregate cannot"))
    // A value that does not fit is seen on the way; nothing is changed.
    #expect(
      message { _ = try location.update(set: [("age", .arithmetic(.multiply, col("id"), int(1_000_000_000)))]) }
        .contains("column 'age'"))
    #expect(try location.store.list("", recursive: true) == objects)
  }

  @Test func changes() throws {
    let location = try people()
    _ = try location.update(set: [("age", int(1))], where: .compare(.equal, col("id"), int(2)))
    _ = try Frame(columns: [("id", try Column.int64([20]))]).write(to: location, mode: .append)
    _ = try location.delete(where: .compare(.equal, col("id"), int(3)))
    let frame = try Frame.changes(of: location, since: .number(1))
    #expect(try frame.select([Expr.column("id")]).sort([SortKey(col("id"))]).collect().columns[0].json(1) == 20)
    #expect(try frame.filter(.compare(.greater, col("id"), int(10))).count() == 1 && frame.count() == 2)
    #expect(try Frame.changes(of: location, since: .number(2), to: .number(3)).count() == 1)
    #expect(try Frame.changes(of: location, since: .latest).count() == 0)
  }
}

@Suite("Changing columns by expressions")
struct ColumnExpressionTests {
  @Test func add() throws {
    let location = try people()
    _ = try location.delete(where: .compare(.equal, col("id"), int(2)))
    let report = try location.addColumns([
      NamedExpr("twice", .arithmetic(.multiply, col("age"), int(2))), NamedExpr("kind", text("p")),
      NamedExpr("empty", .cast(.literal(.null), .float64, lenient: false)),
    ])
    #expect(report == ChangeReport(version: 3))
    #expect(try LanceTable(location).schema.fields.suffix(3).map(\.type) == [.int32, .utf8, .float64])
    #expect(
      try rows(location).first == "1 \"ann\" 30 1.5 60 \"p\" null" && rows(location)[1] == "3 \"cid\" null 3.5 null \"p\" null")
    #expect(failure { _ = try location.addColumns([NamedExpr("twice", int(1))]) }?.code == .alreadyExists)
    #expect(failure { _ = try location.addColumns([NamedExpr("n", .literal(.null))]) }?.code == .invalidSchema)
    #expect(failure { _ = try location.addColumns([NamedExpr("n", col("no"))]) }?.code == .columnNotFound)
    #expect(
      failure { _ = try location.addColumns([NamedExpr("n", .aggregate(.sum, col("age")))]) }?.code == .typeMismatch)
    #expect(try LanceTable(location).version == 3)
  }

  @Test func addFromAFrame() throws {
    let location = try people()
    let frame = try Frame(columns: [
      ("id", try Column.int32([8, 1, nil, 99])), ("city", try Column.utf8(["Bonn", "Kiel", "none", "Ulm"])),
      ("rank", try Column.int64([1, 2, 3, 4])),
    ])
    _ = try location.addColumns(from: frame, key: ["id"], columns: ["city"])
    #expect(
      try rows(location).map { $0.split(separator: " ").last.map(String.init) } == [
        "\"Kiel\"", "null", "null", "null", "null", "null", "null", "\"Bonn\"",
      ])
    _ = try location.addColumns(from: frame, key: ["id", "city"])
    #expect(try rows(location)[7].hasSuffix(" 1") && rows(location)[0].hasSuffix(" 2"))
    let double = try Frame(columns: [("id", try Column.int64([1, 5, 1])), ("x", try Column.int64([1, 2, 3]))])
    let error = failure { _ = try location.addColumns(from: double, key: ["id"]) }
    #expect(error?.code == .invalidArgument && error?.message == "the frame has two rows with the key id = 1")
    #expect(error?.details["key"] == ["id": 1])
    #expect(failure { _ = try location.addColumns(from: frame, key: ["rang"]) }?.code == .columnNotFound)
    #expect(failure { _ = try location.addColumns(from: frame, key: ["id"], columns: ["city"]) }?.code == .alreadyExists)
    #expect(failure { _ = try location.addColumns(from: frame, key: []) }?.code == .invalidArgument)
    #expect(
      failure {
        _ = try location.addColumns(
          from: Frame(columns: [("id", try Column.utf8(["a"])), ("x", try Column.int64([1]))]), key: ["id"])
      }?
      .message == "column 'id' is Int64 in table 'people' and String in the frame; cast it")
  }

  @Test func cast() throws {
    let location = try people()
    _ = try location.castColumn("age", to: .utf8)
    #expect(try LanceTable(location).schema.names == ["id", "name", "age", "score"])
    #expect(try rows(location)[1] == "2 \"bob\" \"41\" 2.5" && rows(location)[2] == "3 \"cid\" null 3.5")
    _ = try location.castColumn("score", to: .int8)
    #expect(try rows(location)[1] == "2 \"bob\" \"41\" 2")
    let error = failure { _ = try location.castColumn("name", to: .int32) }
    #expect(error?.code == .invalidArgument && error?.message.contains("column 'name' of table 'people'") == true)
    _ = try location.castColumn("name", to: .int32, lenient: true)
    #expect(try rows(location)[1] == "2 null \"41\" 2")
    #expect(try location.castColumn("id", to: .int64).isChanged == false)
    #expect(failure { _ = try location.castColumn("id", to: .structure([])) }?.code == .typeMismatch)
  }
}

@Suite("Merging frames into tables")
struct MergeTests {
  func source() throws -> Frame {
    try Frame(columns: [
      ("name", try Column.utf8(["BOB", "new", "none", "GUS"])), ("id", try Column.int64([2, 20, nil, 7])),
    ])
  }

  @Test(arguments: ["memory", "local"]) func upsert(_ kind: String) throws {
    let location = try people(kind == "memory" ? MemoryStore() : LocalStore(root: "/tmp/moonlake-test-\(randomUUID())"))
    let report = try location.merge(source(), key: ["id"])
    #expect(report == ChangeReport(version: 2, inserted: 2, updated: 2))
    #expect(
      try rows(location).sorted() == [
        "1 \"ann\" 30 1.5", "2 \"BOB\" 41 2.5", "20 \"new\" null null", "3 \"cid\" null 3.5", "4 null 22 4.5",
        "5 \"eve\" 55 5.5",
        "6 \"fay\" 30 6.5", "7 \"GUS\" 18 7.5", "8 \"hal\" 70 8.5", "null \"none\" null null",
      ])
    // Again: the null key matches nothing and comes once more.
    #expect(try location.merge(source(), key: ["id"]) == ChangeReport(version: 3, inserted: 1, updated: 3))
    #expect(try rows(location, .number(1)).count == 8)
  }

  @Test func insertWhatIsNotThere() throws {
    let location = try people()
    #expect(try location.merge(source(), key: ["id"], whenMatched: .keep) == ChangeReport(version: 2, inserted: 2))
    #expect(try rows(location).contains("2 \"bob\" 41 2.5"))
    #expect(try location.merge(source(), key: ["id"], whenMatched: .keep, whenMissing: .skip).isChanged == false)
    #expect(try location.merge(source(), key: ["id"], whenMissing: .skip) == ChangeReport(version: 3, updated: 3))
    let error = failure { _ = try location.merge(try source(), key: ["id"], whenMatched: .fail) }
    #expect(error?.code == .alreadyExists && error?.message.hasPrefix("table 'people' has a row with the key id = ") == true)
    #expect(try LanceTable(location).version == 3)
  }

  @Test func replaceAPartition() throws {
    let location = try people()
    // Of the rows with age >= 30, exactly the frame's are left.
    let report = try location.merge(
      source(), key: ["id"], notInSource: .delete(where: .compare(.greaterOrEqual, col("age"), int(30))))
    #expect(report == ChangeReport(version: 2, inserted: 2, updated: 2, deleted: 4))
    #expect(try rows(location).map { $0.split(separator: " ")[0] }.sorted() == ["2", "20", "3", "4", "7", "null"])
    // All others.
    #expect(try location.merge(source(), key: ["id"], whenMissing: .skip, notInSource: .delete(where: nil)).deleted == 3)
    #expect(try rows(location).map { $0.split(separator: " ")[0] } == ["2", "7", "20"])
  }

  @Test func keysOfTwoColumns() throws {
    let location = try people()
    let frame = try Frame(columns: [
      ("name", try Column.utf8(["ann", "ann", nil])), ("id", try Column.int32([1, 2, 4])),
      ("age", try Column.int64([99, 98, 97])),
    ])
    // (1, ann) matches; (2, ann) is new; (4, null) matches nothing although the row (4, null) is there.
    #expect(try location.merge(frame, key: ["id", "name"]) == ChangeReport(version: 2, inserted: 2, updated: 1))
    #expect(try rows(location).count == 10)
    // Only key columns: there is nothing to update.
    let keys = try frame.select([Expr.column("id"), Expr.column("name")]).limit(1)
    #expect(try location.merge(keys, key: ["name", "id"]).isChanged == false)
  }

  @Test func refusals() throws {
    let location = try people()
    func message(_ frame: Frame, _ key: [String]) -> String {
      failure { _ = try location.merge(frame, key: key) }?.description ?? "no error"
    }
    let double = try Frame(columns: [("id", try Column.int64([5, 9, 5])), ("name", try Column.utf8(["a", "b", "c"]))])
    #expect(message(double, ["id"]) == "INVALID_ARGUMENT: the frame has two rows with the key id = 5")
    #expect(message(double, []) == "INVALID_ARGUMENT: rows are matched by a key; none is given")
    #expect(message(double, ["id", "id"]).contains("given twice"))
    #expect(message(double, ["age"]).hasPrefix("COLUMN_NOT_FOUND"))
    #expect(message(try double.rename([("name", "nam")]), ["id"]).contains("did you mean 'name'?"))
    #expect(
      message(try double.with([NamedExpr("age", text("x"))]), ["id"])
        == "TYPE_MISMATCH: column 'age' is Int32 in table 'people' and String in the frame; cast it")
    #expect(try LanceTable(location).version == 1)
    #expect(failure { _ = try TableLocation(MemoryStore(), "no.lance").merge(double, key: ["id"]) }?.code == .datasetNotFound)
  }

  @Test func writeModeMerge() throws {
    let location = TableLocation(MemoryStore(), "people.lance")
    let first = try source().filter(.function(.isNotNull, [col("id")])).write(to: location, mode: .merge, key: ["id"])
    #expect(first.version == 1 && first.rows == 3 && first.inserted == 3 && first.updated == 0)
    let frame = try Frame(columns: [("id", try Column.int64([7, 8])), ("name", try Column.utf8(["G", "H"]))])
    let second = try frame.write(to: location, mode: .merge, key: ["id"])
    #expect(second.version == 2 && second.rows == 2 && second.inserted == 1 && second.updated == 1 && second.deleted == 0)
    #expect(try rows(location).sorted() == ["\"BOB\" 2", "\"G\" 7", "\"H\" 8", "\"new\" 20"])
    #expect(failure { _ = try frame.write(to: location, mode: .append, key: ["id"]) }?.code == .invalidArgument)
    #expect(failure { _ = try frame.write(to: location, mode: .merge) }?.message == "rows are matched by a key; none is given")
    // The frame may read the table that it changes.
    let self7 = try Frame(LanceSource(LanceTable(location))).with([NamedExpr("name", text("me"))])
    #expect(try self7.write(to: location, mode: .merge, key: ["id"]).updated == 4)
    #expect(try rows(location).allSatisfy { $0.hasPrefix("\"me\"") })
  }

  /// Two merges at once that insert the same key: one of them sees the other's row.
  @Test func sameKeyAtOnce() throws {
    let location = try people()
    let threads = Parallel.threads
    Parallel.setThreads(4)
    defer { Parallel.setThreads(threads) }
    nonisolated(unsafe) var problems = Array(repeating: "", count: 4)
    problems.withUnsafeMutableBufferPointer { slots in
      nonisolated(unsafe) let slots = slots
      Parallel.forEach(count: 4, grain: 1) { range in
        for writer in range {
          do {
            for id in 100..<105 {
              let frame = try Frame(columns: [
                ("id", try Column.int64([Int64(id)])), ("age", try Column.int32([Int32(writer)])),
              ])
              var options = ChangeOptions()
              options.attempts = 1000
              _ = try location.merge(frame, key: ["id"], options: options)
            }
          } catch { slots[writer] = "\(error)" }
        }
      }
    }
    #expect(problems == ["", "", "", ""])
    #expect(try LanceTable(location).rowCount == 13)
  }
}
