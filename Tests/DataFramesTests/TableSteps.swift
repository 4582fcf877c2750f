import Columnar
import Compute
import Core
import DataFrames
import LanceIndex
import LanceTable
import ObjectStore
import Plan

/// Changes of one small table, each acknowledged on its own: what the tests of crashes and faults go through.
struct TableStep: Sendable {
  let name: String
  let run: @Sendable (TableLocation) throws -> Void

  static let schema = Schema([
    Field("id", .int64, isNullable: false), Field("text", .utf8), Field("place", .vector(.float32, 2)),
  ])

  /// Rows `id`, `text` (null for every third) and `place`, a vector that grows with the id.
  static func batch(_ ids: Range<Int>, _ word: String = "row") throws -> RecordBatch {
    let places = try Buffer(ids.flatMap { [Float($0), Float($0 % 5)] })
    return try RecordBatch(
      schema: schema,
      columns: [
        try Column.int64(ids.map { Int64($0) }), try Column.utf8(ids.map { $0 % 3 == 0 ? nil : "\(word) \($0)" }),
        Column.vectors(.float32, size: 2, count: ids.count, buffer: places),
      ])
  }

  static func rows(_ ids: Range<Int>) throws -> InMemoryReader { InMemoryReader(schema: schema, [try batch(ids)]) }

  private static func write(_ ids: Range<Int>, _ mode: WriteMode, rowsPerFile: Int = 1 << 20)
    -> @Sendable (TableLocation) throws -> Void
  {
    { location in
      var options = WriteOptions()
      options.maxRowsPerFile = rowsPerFile
      try LanceTable.write(try rows(ids), to: location, mode: mode, options: options)
    }
  }

  private static let id = Expr.column("id")
  private static func int(_ value: Int64) -> Expr { .literal(.int(value)) }

  private static func index(_ column: String, _ kind: IndexKind) -> @Sendable (TableLocation) throws -> Void {
    { location in
      var options = IndexOptions()
      options.kind = kind
      _ = try location.createIndex(on: column, options)
    }
  }

  private static func merge(_ ids: Range<Int>, _ notInSource: NotInSourceAction = .keep)
    -> @Sendable (TableLocation) throws -> Void
  {
    { location in
      let batch = try batch(ids, "merged")
      let frame = try Frame(columns: zip(schema.names, batch.columns).map { ($0, $1) })
      _ = try location.merge(frame, key: ["id"], notInSource: notInSource)
    }
  }

  static let all: [TableStep] = [
    TableStep(name: "create", run: write(0..<20, .create, rowsPerFile: 8)),
    TableStep(name: "append", run: write(20..<25, .append)),
    TableStep(name: "delete") { _ = try $0.delete(where: .compare(.equal, .arithmetic(.modulo, id, int(2)), int(0))) },
    TableStep(name: "tag") { _ = try $0.setTag("first", .number(1)) },
    TableStep(name: "compact") { _ = try $0.compact() },
    TableStep(name: "overwrite", run: write(100..<110, .overwrite)),
    TableStep(name: "append again", run: write(110..<112, .append)),
    TableStep(name: "index", run: index("id", .btree)),
    TableStep(name: "index of vectors", run: index("place", .ivfPQ)),
    TableStep(name: "update") {
      _ = try $0.update(set: [("text", .literal(.string("changed")))], where: .compare(.less, id, int(105)))
    },
    TableStep(name: "merge", run: merge(109..<116)),
    TableStep(name: "merge and delete", run: merge(112..<118, .delete(where: .compare(.greater, id, int(110))))),
    TableStep(name: "indices catch up") { _ = try $0.optimizeIndices() },
    TableStep(name: "drop an index") { try $0.dropIndex("id_idx") },
    TableStep(name: "index of values", run: index("text", .bitmap)),
    TableStep(name: "add a column") {
      _ = try $0.addColumns([NamedExpr("double", .arithmetic(.multiply, id, int(2)))])
    },
    TableStep(name: "drop a column") { _ = try $0.dropColumns(["text"]) },
    TableStep(name: "config") { _ = try $0.updateConfig(set: ["owner": "test"]) },
    TableStep(name: "move the tag") { _ = try $0.setTag("first", .number(3)) },
    TableStep(name: "compact again") { _ = try $0.compact() },
    TableStep(name: "restore") { _ = try $0.restore(.number(2)) },
    TableStep(name: "branch") { _ = try $0.createBranch("side") },
    TableStep(name: "cleanup") { location in
      var options = CleanupOptions()
      options.olderThanSeconds = 0
      _ = try location.cleanup(options)
    },
  ]

  /// What a reader of `table` sees, as text: every row, in order, and what its indices find.
  static func content(_ table: LanceTable) throws -> String {
    var lines = [table.schema.names.joined(separator: " ")]
    let scan = try table.scan()
    while let batch = try scan.next() { for i in 0..<batch.count { lines.append(JSONValue.object(batch.json(row: i)).text()) } }
    for index in try table.indexList() {
      let found: RecordBatch
      switch index.column {
      case "id": found = try Frame(LanceSource(table)).filter(.compare(.equal, id, int(104))).collect()
      case "text":
        found = try Frame(LanceSource(table)).filter(.compare(.equal, .column("text"), .literal(.string("changed")))).collect()
      default: found = try table.search([104, 0], VectorQuery(column: "place"), select: ["id"])
      }
      lines.append(
        "\(index.name): " + (0..<found.count).map { JSONValue.object(found.json(row: $0)).text() }.joined(separator: " "))
    }
    return lines.joined(separator: "\n")
  }
}
