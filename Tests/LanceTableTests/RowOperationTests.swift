import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf
import TestSupport
import Testing

@Suite("Deleting and updating rows")
struct RowOperationTests {
  /// `count` rows in fragments of `rows`.
  static func table(_ store: any ObjectStore, _ count: Int, rows: Int = 100, _ version: LanceFileVersion = .default) throws
    -> TableLocation
  {
    let location = TableLocation(store, "t.lance")
    var options = WriteOptions()
    (options.maxRowsPerFile, options.fileVersion) = (rows, version)
    try LanceTable.write(SampleRows.reader(Array(0..<count)), to: location, mode: .create, options: options)
    return location
  }
  static func ids(_ table: LanceTable) throws -> [Int64] {
    values(try table.take(Array(0..<table.rowCount), columns: ["id"]).columns[0], Int64.self)
  }
  static func filter(_ text: String = "", matches: @escaping @Sendable (Int64) -> Bool) -> RowFilter {
    RowFilter(columns: ["id"], text: text) { batch throws(Failure) in
      let ids = values(batch.columns[0], Int64.self)
      return ids.indices.filter { matches(ids[$0]) }.map { Int32($0) }
    }
  }

  @Test(arguments: ["memory", "local"]) func delete(_ kind: String) throws {
    let store: any ObjectStore = kind == "memory" ? MemoryStore() : try LocalStore(root: temporaryFolder())
    let location = try RowOperationTests.table(store, 350)
    let report = try location.delete(where: RowOperationTests.filter("id % 7 = 0") { $0 % 7 == 0 && $0 < 300 })
    #expect(report == ChangeReport(version: 2, deleted: 43))
    var left = Array(0..<350).filter { $0 % 7 != 0 || $0 >= 300 }
    let table = try LanceTable(location)
    #expect(try SampleRows.difference(table, left) == nil)
    #expect(table.fragments.map(\.rowCount) == [85, 86, 86, 50])
    let transaction = try #require(table.file.transaction)
    #expect(transaction.operationName == "delete" && transaction.delete.predicate == "id % 7 = 0")
    #expect(transaction.delete.updatedFragments.map(\.id) == [0, 1, 2] && transaction.delete.deletedFragmentIds == [])
    #expect(table.manifest.readerFeatureFlags == 1 && table.manifest.writerFeatureFlags == 1)
    // On top of deletions, and a whole fragment.
    #expect(try location.delete(where: RowOperationTests.filter { $0 >= 95 && $0 < 200 }).deleted == 90)
    left.removeAll { $0 >= 95 && $0 < 200 }
    let third = try LanceTable(location)
    #expect(try SampleRows.difference(third, left) == nil)
    #expect(third.fragments.map(\.id) == [0, 2, 3])
    #expect(third.file.transaction?.delete.deletedFragmentIds == [1])
    // Old versions are what they were; an append goes behind.
    #expect(try SampleRows.difference(LanceTable(location, version: .number(1)), Array(0..<350)) == nil)
    try LanceTable.write(SampleRows.reader([900]), to: location, mode: .append)
    #expect(try SampleRows.difference(LanceTable(location), left + [900]) == nil)
    #expect(try LanceTable(location).fragments.last?.id == 4)
  }

  @Test func nothingToDoMakesNoVersion() throws {
    let location = try RowOperationTests.table(MemoryStore(), 20)
    let objects = try location.store.list("", recursive: true)
    #expect(try location.delete(where: RowOperationTests.filter { $0 > 100 }) == ChangeReport(version: 1, isChanged: false))
    #expect(try location.update(ConflictTableTests.zero, where: RowOperationTests.filter { $0 > 100 }).isChanged == false)
    #expect(try location.store.list("", recursive: true) == objects)
  }

  @Test func deleteAll() throws {
    let location = try RowOperationTests.table(MemoryStore(), 250)
    #expect(try location.delete(where: .all) == ChangeReport(version: 2, deleted: 250))
    let table = try LanceTable(location)
    #expect(table.rowCount == 0 && table.fragments.isEmpty && table.manifest.readerFeatureFlags == 0)
    try LanceTable.write(SampleRows.reader([3]), to: location, mode: .append)
    #expect(try SampleRows.difference(LanceTable(location), [3]) == nil)
  }

  @Test(arguments: LanceFileVersion.allCases) func update(_ version: LanceFileVersion) throws {
    let location = try RowOperationTests.table(MemoryStore(), 250, version)
    let update = RowUpdate(columns: ["score", "text"], reads: ["id"]) { batch throws(Failure) in
      let ids = values(batch.columns[0], Int64.self)
      return [try Column.float64(ids.map { $0 == 20 ? nil : Double($0) * 100 }), try Column.utf8(ids.map { "now \($0)" })]
    }
    let report = try location.update(update, where: RowOperationTests.filter { $0 % 10 == 0 && $0 < 200 })
    #expect(report == ChangeReport(version: 2, updated: 20))
    let table = try LanceTable(location)
    #expect(table.rowCount == 250 && table.fragments.map(\.rowCount) == [90, 90, 50, 20])
    let ids = try RowOperationTests.ids(table)
    let kept = (0..<250).filter { $0 % 10 != 0 || $0 >= 200 }
    #expect(ids == (kept + Array(stride(from: 0, to: 200, by: 10))).map { Int64($0) })
    for position in [0, 100, 229] {
      #expect(try table.take([position]).json(row: 0) == SampleRows.batch([Int(ids[position])]).json(row: 0))
    }
    let moved = try table.take(Array(230..<250))
    let old = try SampleRows.batch(Array(stride(from: 0, to: 200, by: 10)))
    for i in 0..<20 {
      var expected = old.json(row: i)
      expected["score"] = i == 2 ? .null : .double(Double(i) * 1000)
      expected["text"] = .string("now \(i * 10)")
      #expect(moved.json(row: i) == expected)
    }
    let transaction = try #require(table.file.transaction)
    #expect(transaction.update.updatedFragments.map(\.id) == [0, 1] && transaction.update.newFragments.map(\.id) == [0])
    #expect(transaction.update.fieldsForPreservingFragBitmap == [4, 6])
    #expect(table.manifest.fragments.last?.id == 3 && table.manifest.maxFragmentID == 3)
    #expect(table.manifest.fragments.last?.files.first?.fileMinorVersion == version.minor)
  }

  @Test func updateEverything() throws {
    let location = try RowOperationTests.table(MemoryStore(), 250)
    #expect(try location.update(ConflictTableTests.zero).updated == 250)
    let table = try LanceTable(location)
    #expect(table.rowCount == 250 && table.fragments.map(\.id) == [3])
    #expect(table.file.transaction?.update.removedFragmentIds == [0, 1, 2])
    #expect(try Set(values(table.read(fragment: 0, columns: ["small"]).columns[0], UInt8.self)) == [0])
    #expect(table.manifest.readerFeatureFlags == 0)
  }

  @Test func nullsWhereNoneAreAllowed() throws {
    let location = try RowOperationTests.table(MemoryStore(), 20)
    let update = RowUpdate(columns: ["id"], reads: ["id"]) { batch throws(Failure) in
      [try Column.nulls(.int64, count: batch.count)]
    }
    let objects = try location.store.list("", recursive: true)
    let error = failure { _ = try location.update(update) }
    #expect(error?.code == .invalidSchema && error?.message.contains("column 'id' of table 't' does not allow nulls") == true)
    let wrong = RowUpdate(columns: ["label"], reads: []) { batch throws(Failure) in
      [try Column.float64(Array(repeating: 1, count: batch.count))]
    }
    #expect(failure { _ = try location.update(wrong) }?.code == .typeMismatch)
    #expect(
      failure { _ = try location.update(RowUpdate(columns: ["lable"], reads: []) { _ throws(Failure) in [] }) }?.code
        == .columnNotFound)
    #expect(try location.store.list("", recursive: true) == objects)
  }

  @Test func onlyOnThisVersion() throws {
    let location = try RowOperationTests.table(MemoryStore(), 20)
    var options = ChangeOptions()
    options.ifVersion = 1
    options.properties = ["message": "cleaned"]
    #expect(try location.delete(where: RowOperationTests.filter { $0 == 1 }, options: options).version == 2)
    #expect(try LanceTable(location).file.transaction?.properties == ["message": "cleaned"])
    let error = failure { _ = try location.delete(where: RowOperationTests.filter { $0 == 2 }, options: options) }
    #expect(error?.code == .versionConflict && error?.message == "table 't' is at version 2, not 1")
    var write = WriteOptions()
    write.ifVersion = 1
    for mode in [WriteMode.append, .overwrite] {
      let late = failure { try LanceTable.write(SampleRows.reader([1]), to: location, mode: mode, options: write) }
      #expect(late?.message == "table 't' is at version 2, not 1")
    }
    write.ifVersion = 2
    #expect(try LanceTable.write(SampleRows.reader([1]), to: location, mode: .append, options: write).version == 3)
    let none = failure {
      try LanceTable.write(
        SampleRows.reader([1]), to: TableLocation(MemoryStore(), "u.lance"), mode: .overwrite, options: write)
    }
    #expect(none?.message == "table 'u' does not exist, version 2 was asked for")
    // One that comes in between, and would fit otherwise.
    let store = MeanwhileStore(MemoryStore())
    _ = try RowOperationTests.table(store.base, 20)
    store.before { try LanceTable.write(SampleRows.reader([50]), to: TableLocation(store.base, "t.lance"), mode: .append) }
    let late = failure {
      _ = try TableLocation(store, "t.lance").delete(where: RowOperationTests.filter { $0 == 2 }, options: options)
    }
    #expect(late?.code == .versionConflict && late?.message.contains("no version may come in between") == true)
    #expect(failure { _ = try TableLocation(store, "u.lance").delete(where: .all) }?.code == .datasetNotFound)
  }

  /// Writers that delete, update and append at once: the result is that of some order.
  @Test func manyWriters() throws {
    let location = try RowOperationTests.table(try LocalStore(root: temporaryFolder()), 64, rows: 16)
    let threads = Parallel.threads
    Parallel.setThreads(4)
    defer { Parallel.setThreads(threads) }
    nonisolated(unsafe) var failures = Array(repeating: "", count: 4)
    var options = ChangeOptions()
    options.attempts = 1000
    let patient = options
    failures.withUnsafeMutableBufferPointer { slots in
      nonisolated(unsafe) let slots = slots
      Parallel.forEach(count: 4, grain: 1) { range in
        for writer in range {
          do {
            for i in 0..<4 {
              let id = Int64(writer * 4 + i)
              // One row of each fragment, all writers in the same fragments.
              _ = try location.delete(where: RowOperationTests.filter { $0 == id + 16 }, options: patient)
              _ = try location.update(ConflictTableTests.zero, where: RowOperationTests.filter { $0 == id }, options: patient)
              try LanceTable.write(SampleRows.reader([1000 + Int(id)]), to: location, mode: .append)
            }
          } catch { slots[writer] = "\(error)" }
        }
      }
    }
    #expect(failures == ["", "", "", ""])
    let table = try LanceTable(location)
    let expected: [Int] = Array(0..<16) + Array(32..<64) + Array(1000..<1016)
    #expect(try RowOperationTests.ids(table).sorted() == expected.map { Int64($0) })
    let small = values(try table.take(Array(0..<table.rowCount), columns: ["small"]).columns[0], UInt8.self)
    for (id, value) in zip(try RowOperationTests.ids(table), small) { #expect(value == (id < 16 ? 0 : UInt8(id % 251))) }
    #expect(table.version == 49)
  }

  @Test func stableRowIDs() throws {
    let location = try RowOperationTests.table(MemoryStore(), 20)
    // A table as its maker says it: rows have ids of their own.
    var file = try location.manifest(1, .v2)
    file.manifest.readerFeatureFlags |= 2
    file.manifest.writerFeatureFlags |= 2
    file.manifest.nextRowID = 20
    var sequence = PBRowIdSequence()
    var segment = PBU64Segment()
    segment.range.end = 20
    sequence.segments = [segment]
    file.manifest.fragments[0].inlineRowIds = try sequence.serializedData()
    try location.store.put("t.lance/_versions/\(ManifestNaming.v2.name(of: 1))", try file.encoded())
    #expect(try location.delete(where: RowOperationTests.filter { $0 == 1 }).deleted == 1)
    try LanceTable.write(SampleRows.reader([50, 51]), to: location, mode: .append)
    let table = try LanceTable(location)
    #expect(table.manifest.nextRowID == 22)
    let added = table.manifest.fragments[1]
    let ids = try PBRowIdSequence(serializedBytes: added.inlineRowIds)
    #expect(ids.segments.map(\.range.start) == [20] && ids.segments.map(\.range.end) == [22])
    let made = try PBRowVersionSequence(serializedBytes: added.inlineCreatedAtVersions)
    #expect(made.runs.map(\.version) == [3] && made.runs.map(\.span.range.end) == [2])
    #expect(added.inlineLastUpdatedAtVersions == added.inlineCreatedAtVersions)
    let error = failure { _ = try location.update(ConflictTableTests.zero) }
    #expect(error?.code == .unsupported && error?.message.contains("stable row ids") == true)
  }
}
