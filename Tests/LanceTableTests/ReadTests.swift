import Columnar
import Core
import LanceProto
import LanceTable
import ObjectStore
import Synchronization
import TestSupport
import Testing

@Suite("Reading tables")
struct ReadTests {
  func ids(_ batch: RecordBatch) throws -> [Int64] { try values(batch.column("id"), Int64.self) }

  /// The row of the golden tables whose id is `id`, as JSON.
  func goldenRow(_ id: Int) -> JSONObject {
    [
      "id": .int(Int64(id)), "name": id % 5 == 3 ? .null : .string("row \(id)"),
      "vector": .array([.double(Double(id)), .double(Double(id) + 0.5), .double(-Double(id)), .double(0.25)]),
    ]
  }

  @Test func deletedRowsAreLeftOut() throws {
    let table = try LanceTable(try golden("basic"))
    let live = (0..<16).filter { ![0, 7, 9, 12].contains($0) }
    let first = try table.read(fragment: 0)
    #expect(try ids(first) == [1, 2, 3, 4, 5, 6, 8])
    #expect((0..<first.count).map { first.json(row: $0) } == live[..<7].map { goldenRow($0) })
    #expect(try ids(table.read(fragment: 1)) == [10, 11, 13, 14, 15])
    #expect(try ids(table.read(fragment: 0, columns: ["name", "id"], rows: .range(5..<7))) == [6, 8])
    #expect(try table.read(fragment: 0, columns: ["name", "id"]).schema.names == ["name", "id"])
    #expect(try table.read(fragment: 0, rows: .range(3..<3)).count == 0)
    #expect(try ids(table.read(fragment: 1, rows: .positions([0, 2, 2, 4]))) == [10, 13, 13, 15])
    #expect(try table.read(fragment: 1, columns: []).count == 5)
    // The version before has all of them.
    let before = try LanceTable(try golden("basic"), version: .tag("golden"))
    let scan = try before.scan(batchRows: 4)
    var rows: [JSONObject] = []
    while let batch = try scan.next() { for i in 0..<batch.count { rows.append(batch.json(row: i)) } }
    #expect(rows == (0..<16).map { goldenRow($0) })
  }

  @Test func bitmapDeletions() throws {
    let table = try LanceTable(try golden("bitmap"))
    let live = (0..<20000).filter { $0 % 3 != 0 }.map { Int32($0) }
    #expect(table.rowCount == live.count)
    #expect(try values(table.read(fragment: 0).columns[0], Int32.self) == live)
    #expect(
      try values(table.read(fragment: 0, rows: .range(5000..<9001)).columns[0], Int32.self)
        == Array(live[5000..<9001]))
    #expect(
      try values(table.take([0, 13332, 77, 77, 5]).columns[0], Int32.self) == [0, 13332, 77, 77, 5].map { live[$0] })
  }

  @Test func takeKeepsTheAskedOrder() throws {
    let table = try LanceTable(try golden("basic"))
    let live = (0..<16).filter { ![0, 7, 9, 12].contains($0) }
    for positions in [[0], [11, 0, 6, 7], [3, 3, 3], Array((0..<12).reversed()), Array(0..<12), []] {
      let batch = try table.take(positions)
      #expect((0..<batch.count).map { batch.json(row: $0) } == positions.map { goldenRow(live[$0]) })
    }
    #expect(try table.take([8], columns: ["name"]).schema.names == ["name"])
    #expect(failure { _ = try table.take([12]) }?.message == "row 12 is not in table 'basic' of 12 rows")
    #expect(failure { _ = try table.take([-1]) }?.code == .invalidArgument)
  }

  @Test func columnsAddedDroppedAndCast() throws {
    let location = try golden("columns")
    let table = try LanceTable(location)
    let batch = try table.take(Array(0..<table.rowCount))
    #expect(try values(batch.column("id"), Int32.self) == [0, 1, 3, 4, 5, 6, 7, 100])
    #expect(try values(batch.column("twice"), Int64.self) == [0, 2, 6, 8, 10, 12, 14, 200])
    // The appended fragment has no names.
    #expect((0..<8).map { batch.columns[1].isValid($0) } == [true, true, false, true, true, true, true, false])
    #expect(try batch.column("name").string(0) == "row 0")
    #expect(try LanceTable(location, version: .number(1)).read(fragment: 0).json(row: 3) == goldenRow(3))
    #expect(
      failure { _ = try table.read(fragment: 0, columns: ["vector"]) }?.message
        == "column 'vector'; columns are: id, name, twice")
  }

  @Test func storageVersionTwoZero() throws {
    let table = try LanceTable(try golden("old"))
    let batch = try table.read(fragment: 0)
    #expect((0..<5).map { batch.json(row: $0) } == (0..<5).map { goldenRow($0) })
  }

  @Test func wrongRequestsAreNamed() throws {
    let table = try LanceTable(try golden("basic"))
    #expect(failure { _ = try table.read(fragment: 2) }?.message == "table 'basic' has 2 fragments; fragment 2 was asked for")
    #expect(
      failure { _ = try table.read(fragment: 0, rows: .range(0..<8)) }?.message
        == "row 7 is not in fragment 0 of table 'basic', which has 7 rows")
    #expect(failure { _ = try table.read(fragment: 0, rows: .positions([7])) }?.code == .invalidArgument)
    #expect(
      failure { _ = try table.read(fragment: 0, columns: ["nam"]) }?.message
        == "column 'nam'; did you mean 'name'? columns are: id, name, vector")
  }

  @Test func severalThreadsReadOneTable() throws {
    let table = try LanceTable(try golden("bitmap"))
    let live = (0..<20000).filter { $0 % 3 != 0 }.map { Int32($0) }
    let wrong = Mutex(0)
    Parallel.forEach(count: 64, grain: 1) { range in
      for i in range {
        let start: Int = i * 200
        var rows: [Int32] = []
        if let batch = try? table.read(fragment: 0, rows: .range(start..<start + 200)) {
          rows = values(batch.columns[0], Int32.self)
        }
        let expected = live[start..<start + 200]
        if rows[...] != expected { wrong.withLock { $0 += 1 } }
      }
    }
    #expect(wrong.withLock { $0 } == 0)
  }

  @Test func missingAndCutFilesAreNamed() throws {
    let location = try goldenInMemory("basic")
    let file = try #require(try location.store.list("basic.lance/data", recursive: true).first).path
    let bytes = try location.store.read(file).array()
    try location.store.put(file, Array(bytes.dropLast()))
    let fragment = try #require(try LanceTable(location).fragments.firstIndex { file.hasSuffix($0.proto.files[0].path) })
    #expect(
      failure { _ = try LanceTable(location).read(fragment: fragment) }?.message
        == "table 'basic': data file '\(file)' has \(bytes.count - 1) bytes, the manifest says \(bytes.count)")
    try location.store.delete(file)
    #expect(
      failure { _ = try LanceTable(location).read(fragment: fragment) }?.message
        == "table 'basic': data file '\(file)' is missing")
    for object in try location.store.list("basic.lance/_deletions", recursive: true) { try location.store.delete(object.path) }
    let missing = failure { _ = try LanceTable(location).read(fragment: 1 - fragment) }
    #expect(missing?.code == .corruptData && missing?.message.hasSuffix(".arrow' is missing") == true)
  }

  /// Flipped bytes in a deletion file: an error or fewer rows, never a trap or rows that the manifest does not count.
  @Test func damagedDeletionFilesNeverTrap() throws {
    for (name, rows) in [("basic", 7), ("bitmap", 13333)] {
      let location = try goldenInMemory(name)
      let fragment = try #require(try LanceTable(location).fragments.first)
      let file = fragment.proto.deletionFile
      let path = "\(name).lance/_deletions/0-\(file.readVersion)-\(file.id).\(file.fileType == .bitmap ? "bin" : "arrow")"
      let whole = try location.store.read(path).array()
      var generator = SystemRandomNumberGenerator()
      for round in 0..<(name == "basic" ? 1500 : 100) {
        var bytes = whole
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
        if round % 10 == 0 { bytes = Array(whole[..<Int.random(in: 0..<whole.count, using: &generator)]) }
        try location.store.put(path, bytes)
        do {
          #expect(try LanceTable(location).read(fragment: 0, columns: ["id"]).count == rows)
        } catch {
          #expect([.corruptData, .unsupported].contains(error.code), "\(error)")
        }
      }
    }
  }

  /// Of a fragment with few rows left only these are read; a range gives the same as reading all and taking.
  @Test func rangesOfMostlyDeletedFragments() throws {
    let location = TableLocation(MemoryStore(), "t.lance")
    try LanceTable.write(SampleRows.reader(Array(0..<5000)), to: location, mode: .create)
    let live = (0..<5000).filter { $0 % 97 == 13 || (1000..<1100).contains($0) }
    try deleteRows(Set(0..<5000).subtracting(live).sorted().map { UInt32($0) }, ofFragment: 0, location)
    let table = try LanceTable(location)
    #expect(try SampleRows.difference(table, live) == nil)
    for range in [0..<live.count, 0..<1, 3..<4, 3..<40, 5..<115, 20..<20, live.count - 3..<live.count] {
      let batch = try table.read(fragment: 0, rows: .range(range))
      let expected = try SampleRows.batch(Array(live[range]))
      #expect(batch.count == range.count && (0..<batch.count).allSatisfy { batch.json(row: $0) == expected.json(row: $0) })
    }
  }
}
