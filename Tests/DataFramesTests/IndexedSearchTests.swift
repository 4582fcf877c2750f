import Columnar
import Compute
import Core
import DataFrames
import LanceIndex
import LanceTable
import ObjectStore
import Plan
import Testing

@Suite("Indices under frames") struct IndexedSearchTests {
  let location = TableLocation(MemoryStore(), "t.lance")

  /// id, n (null for every thirteenth), s, v: two numbers that grow with the id.
  func batch(_ ids: Range<Int>) throws -> RecordBatch {
    let vectors = try Buffer(ids.flatMap { [Float($0), Float($0 % 10)] })
    return try RecordBatch([
      "id": try Column.int64(ids.map { Int64($0) }),
      "n": try Column.int32(ids.map { $0 % 13 == 0 ? nil : Int32($0 * 7919 % 5000) }),
      "s": try Column.utf8(ids.map { "k\($0 % 400)" }),
      "v": Column.vectors(.float32, size: 2, count: ids.count, buffer: vectors),
    ])
  }

  func write(_ ids: Range<Int>, _ mode: WriteMode) throws {
    var options = WriteOptions()
    options.maxRowsPerFile = 4000
    let batch = try batch(ids)
    try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: location, mode: mode, options: options)
  }

  func column(_ name: String) -> Expr { .column(name) }
  func int(_ value: Int64) -> Expr { .literal(.int(value)) }

  @Test func filtersAnswerTheSameWithAndWithoutIndices() throws {
    try write(0..<10_000, .create)
    let conditions: [Expr] = [
      .compare(.equal, column("n"), int(2512)), .compare(.less, int(4990), column("n")),
      .function(.between, [column("n"), int(100), int(120)]),
      .function(.isIn([.int(5), .int(77), .int(99_999)]), [column("n")]),
      .function(.isNull, [column("n")]), .compare(.equal, column("s"), .literal(.string("k17"))),
      .and(.compare(.equal, column("s"), .literal(.string("k17"))), .compare(.less, column("id"), int(3000))),
      .and(.compare(.less, column("n"), int(9)), .compare(.equal, column("s"), .literal(.string("k9")))),
      .compare(.notEqual, column("n"), int(3)), .compare(.greater, column("n"), .literal(.double(4999.5))),
    ]
    func answers() throws -> [[String]] {
      let frame = Frame(LanceSource(try LanceTable(location)))
      return try conditions.map { try rows(frame.filter($0)) }
    }
    let before = try answers()
    var options = IndexOptions()
    options.kind = .btree
    _ = try location.createIndex(on: "n", options)
    options.kind = .bitmap
    _ = try location.createIndex(on: "s", options)
    #expect(try answers() == before)
    let frame = Frame(LanceSource(try LanceTable(location)))
    #expect(
      try frame.filter(conditions[0]).explain() == "scan lance t version 3: id, n, s, v; filter n == 2512; index n_idx (BTREE)")
    #expect(try !frame.filter(conditions[8]).explain().contains("index"))
    // Rows that came later and rows that went.
    _ = try location.delete(where: .compare(.less, column("id"), int(20)))
    try write(10_000..<10_500, .append)
    let indexed = try answers()
    try location.dropIndex("n_idx")
    try location.dropIndex("s_idx")
    #expect(try answers() == indexed && indexed != before)
  }

  @Test func searchFiltersFirst() throws {
    try write(0..<10_000, .create)
    var options = IndexOptions()
    options.kind = .btree
    _ = try location.createIndex(on: "n", options)
    _ = try location.delete(where: .compare(.equal, column("id"), int(400)))
    let table = try LanceTable(location)
    var query = VectorQuery(column: "v")
    query.k = 3
    // n > 4000 and the vector near that of row 400.
    let filter = Expr.compare(.greater, column("n"), int(4000))
    let found = try table.search([400, 0], query, where: filter, select: ["id"])
    let far = { (id: Int) in (id - 400) * (id - 400) + (id % 10) * (id % 10) }
    let expected = (0..<10_000).filter { $0 % 13 != 0 && $0 * 7919 % 5000 > 4000 && $0 != 400 }.sorted {
      (far($0), $0) < (far($1), $1)
    }
    #expect(found.schema.names == ["id", "_distance"] && found.count == 3)
    #expect((0..<3).map { found.json(row: $0)["id"]?.intValue } == expected.prefix(3).map { Int64($0) })
    #expect((0..<3).map { found.json(row: $0)["_distance"]?.doubleValue } == expected.prefix(3).map { Double(far($0)) })
    // All columns but the vectors when nothing is said; a condition that nothing meets.
    #expect(try table.search([1, 1], query).schema.names == ["id", "n", "s", "_distance"])
    #expect(try table.search([1, 1], query, where: .compare(.greater, column("n"), int(6000))).count == 0)
    #expect(try table.search([[1, 1], [9000, 0]], query, select: []).map(\.count) == [3, 3])
    #expect(
      message { _ = try table.search([1, 1], query, where: .compare(.equal, column("m"), int(1))) }.hasPrefix(
        "COLUMN_NOT_FOUND"))
    #expect(
      message { _ = try table.search([1, 1], query, where: column("n")) }
        == "TYPE_MISMATCH: n: a condition must be Boolean, not Int32")
  }
}
