import Columnar
import Compute
import Core
import LanceIndex
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf
import TestSupport
import Testing

/// A comparison of a column with one value, as a question and as the plain answer.
struct Condition: Sendable, CustomStringConvertible {
  let column: String
  let op: ComparisonOperator
  let value: Column

  var description: String { "\(column) \(op.rawValue) \(value.json(0).text())" }

  var query: ScalarQuery {
    let (op, value) = (op, value)
    let interval: ScalarQuery.Interval =
      switch op {
      case .equal: .init(low: value, high: value)
      case .notEqual: .init()
      case .less, .lessOrEqual: .init(high: value)
      case .greater, .greaterOrEqual: .init(low: value)
      }
    return ScalarQuery(column: column, intervals: [interval], takesNulls: false) { values throws(Failure) in
      try Selection.indices(try Comparison.apply(op, Operand(values), Operand(constant: value, count: values.count)))
    }
  }

  /// Live positions in the whole table.
  func plain(_ table: LanceTable) throws -> [Int] {
    let all = try table.take(Array(0..<table.rowCount), columns: [column]).columns[0]
    return try query.matching(all).map { Int($0) }
  }
}

@Suite("Scalar indices")
struct ScalarIndexTests {
  func options(_ kind: IndexKind) -> IndexOptions {
    var options = IndexOptions()
    options.kind = kind
    return options
  }

  func positions(_ table: LanceTable, _ rows: IndexedRows) -> [Int] {
    rows.live.flatMap { fragment, live in live.map { table.firstRow(fragment: fragment) + Int($0) } }.sorted()
  }

  /// Numbers with NaN, infinities, nulls; text; times: 10,000 rows in fragments of 3,000.
  func batch(_ first: Int, _ count: Int) throws -> RecordBatch {
    let rows = first..<first + count
    return try RecordBatch([
      "id": try Column.int64(rows.map { Int64($0) }),
      "n": try Column.int64(rows.map { $0 % 13 == 0 ? nil : Int64(($0 * 7919) % 5000) }),
      "x": try Column.float64(
        rows.map { $0 % 17 == 0 ? .nan : $0 % 19 == 0 ? nil : $0 == 100 ? -.infinity : Double(($0 * 31) % 1000) / 8 }),
      "s": try Column.utf8(rows.map { $0 % 23 == 0 ? nil : "k\(($0 * 7) % 300)" }),
      "t": try Column.make(.timestamp(.microsecond, timeZone: nil), rows.map { Int64($0 * 1000) }),
      "b": try Column.bool(rows.map { $0 % 5 == 0 ? nil : $0 % 2 == 0 }),
    ])
  }

  func conditions(_ column: String, _ values: [Column]) -> [Condition] {
    values.flatMap { value in ComparisonOperator.allCases.map { Condition(column: column, op: $0, value: value) } }
  }

  @Test(arguments: [IndexKind.btree, .bitmap]) func answersAreThoseOfAScan(_ kind: IndexKind) throws {
    let location = memoryTable()
    try write([try batch(0, 10_000)], location, rowsPerFile: 3000)
    try delete(location) { $0 % 50 == 7 }
    for column in ["n", "x", "s", "t", "b"] { _ = try location.createIndex(on: column, options(kind)) }
    try delete(location) { $0 % 50 == 8 }
    let table = try LanceTable(location)
    #expect(try table.indexList().map(\.kind) == [kind, kind, kind, kind, kind])
    var all = conditions("n", [try .int64([0]), try .int64([2500]), try .int64([-1]), try .int64([99_999])])
    all += conditions("x", [try .float64([0]), try .float64([62.5]), try .float64([.infinity]), try .float64([.nan])])
    all += conditions("s", [try .utf8(["k150"]), try .utf8(["a"]), try .utf8(["z"])])
    all += conditions("t", [try Column.make(.timestamp(.microsecond, timeZone: nil), [5_000_000 as Int64])])
    all += conditions("b", [try .bool([true])])
    for condition in all {
      let rows = try #require(try table.rows(matching: condition.query, share: 1))
      #expect(try positions(table, rows) == condition.plain(table), "\(kind.name): \(condition)")
    }
    let nulls = ScalarQuery(column: "n", intervals: [], takesNulls: true) { column throws(Failure) in
      (0..<Int32(column.count)).filter { !column.isValid(Int($0)) }
    }
    let wanted = try table.take(Array(0..<table.rowCount), columns: ["n"]).columns[0]
    let isNull = (0..<wanted.count).filter { !wanted.isValid($0) }
    #expect(positions(table, try #require(try table.rows(matching: nulls))) == isNull && !isNull.isEmpty)
  }

  @Test func rowsThatCameLater() throws {
    let location = memoryTable()
    try write([try batch(0, 5000)], location)
    let first = try location.createIndex(on: "n", options(.btree))
    #expect(first.indexedRows == 5000 && first.unindexedRows == 0 && first.parts == 1 && first.column == "n")
    try write([try batch(5000, 500)], location, mode: .append)
    let condition = Condition(column: "n", op: .equal, value: try .int64([77]))
    var table = try LanceTable(location)
    // Fragment 1 is not known to the index.
    #expect(try table.rows(matching: condition.query)?.live.keys.sorted() == [0])
    #expect(try table.indexList()[0].unindexedRows == 500)
    #expect(try location.optimizeIndices() == 1)
    #expect(try location.optimizeIndices() == 0)
    table = try LanceTable(location)
    #expect(try table.indexList()[0].parts == 2)
    #expect(try positions(table, #require(try table.rows(matching: condition.query))) == condition.plain(table))
    // Many parts become one again.
    for i in 0..<8 {
      try write([try batch(5500 + i * 10, 10)], location, mode: .append)
      #expect(try location.ensureIndex(on: "n", options(.btree)).unindexedRows == 0)
    }
    table = try LanceTable(location)
    #expect(try table.indexList()[0].parts < 8)
    #expect(try positions(table, #require(try table.rows(matching: condition.query))) == condition.plain(table))
  }

  @Test func namesKindsAndWhatIsWrong() throws {
    let location = memoryTable()
    try write([try Cloud(300, dim: 4).batch()], location)
    _ = try location.createIndex(on: "id", options(.btree))
    #expect(
      failure { _ = try location.createIndex(on: "id", options(.btree)) }?.message == "table 't' has an index 'id_idx' already")
    var other = options(.bitmap)
    other.replace = true
    #expect(try location.createIndex(on: "id", other).kind == .bitmap)
    #expect(try LanceTable(location).indexList().count == 1)
    #expect(failure { _ = try location.ensureIndex(on: "id", options(.btree)) }?.code == .alreadyExists)
    #expect(failure { _ = try location.createIndex(on: "v", options(.btree)) }?.code == .typeMismatch)
    #expect(failure { _ = try location.createIndex(on: "id", options(.ivfPQ)) }?.code == .typeMismatch)
    #expect(failure { _ = try location.createIndex(on: "w") }?.code == .columnNotFound)
    #expect(
      failure { try location.dropIndex("id_id") }?.message
        == "table 't' has no index 'id_id'; did you mean 'id_idx'? indices are: id_idx")
    try location.dropIndex("id_idx")
    #expect(try LanceTable(location).indexList().isEmpty)
    #expect(failure { _ = try location.optimizeIndices(["x"]) }?.code == .invalidArgument)
    #expect(IndexKind(named: "ivf_pq") == .ivfPQ && IndexKind(named: "hnsw") == nil)
  }

  @Test func anEmptyTableAndAMissingFile() throws {
    let location = memoryTable()
    try write([try batch(0, 0)], location)
    #expect(try location.createIndex(on: "n").indexedRows == 0)
    try write([try batch(0, 100)], location, mode: .append)
    #expect(try location.optimizeIndices() == 1)
    let condition = Condition(column: "n", op: .less, value: try .int64([3000]))
    var table = try LanceTable(location)
    #expect(try positions(table, #require(try table.rows(matching: condition.query, share: 1))) == condition.plain(table))
    for object in try location.store.list("t.lance/_indices", recursive: true) { try location.store.delete(object.path) }
    table = try LanceTable(location)
    let failed = failure { _ = try table.rows(matching: condition.query) }
    #expect(failed?.code == .corruptData && failed?.message.contains("page_data.lance' is missing") == true)
  }

  /// Rows that are moved leave their indices: those of an index that cannot be built here can be spared.
  @Test func fragmentsOfForeignIndicesCanStay() throws {
    let location = memoryTable()
    func append(_ ids: Range<Int64>) throws {
      for id in ids {
        let batch = try RecordBatch(["id": try Column.int64([id])])
        let mode: WriteMode = id == 0 ? .create : .append
        try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: location, mode: mode)
      }
    }
    try append(0..<6)
    _ = try location.createIndex(on: "id")
    #expect(try LanceTable(location).fragmentsOfForeignIndices().isEmpty)
    // The same index, said to be of a kind that is not known here.
    let table = try LanceTable(location)
    var file = table.file
    var section = try PBIndexSection(serializedBytes: try #require(file.indexSection))
    section.indices[0].indexDetails.typeURL = "/lance.table.SomethingElseIndexDetails"
    file.indexSection = try section.serializedBytes()
    try location.store.put("\(location.folder)/_versions/\(table.naming.name(of: table.version))", try file.encoded())
    try append(6..<12)
    #expect(try LanceTable(location).fragmentsOfForeignIndices() == Set(0..<6))
    var options = CompactOptions()
    options.spares = { table throws(Failure) in try table.fragmentsOfForeignIndices() }
    #expect(try location.compact(options).fragmentsRemoved == 6)
    #expect(try LanceTable(location).fragments.map(\.rowCount) == [1, 1, 1, 1, 1, 1, 6])
    #expect(try LanceTable(location).indexEntries().map { try $0.coveredFragments().count } == [6])
  }
}
