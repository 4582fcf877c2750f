import Columnar
import Core
import LanceTable
import ObjectStore

/// Changes of one small table, each acknowledged on its own: what the tests of crashes and faults go through.
struct TableStep: Sendable {
  let name: String
  let run: @Sendable (TableLocation) throws -> Void

  static let schema = Schema([Field("id", .int64, isNullable: false), Field("text", .utf8)])

  static func rows(_ ids: Range<Int>) throws -> InMemoryReader {
    let batch = try RecordBatch(
      schema: schema,
      columns: [try Column.int64(ids.map { Int64($0) }), try Column.utf8(ids.map { $0 % 3 == 0 ? nil : "row \($0)" })])
    return InMemoryReader(schema: schema, [batch])
  }

  private static func write(_ ids: Range<Int>, _ mode: WriteMode, rowsPerFile: Int = 1 << 20)
    -> @Sendable (TableLocation) throws -> Void
  {
    { location in
      var options = WriteOptions()
      options.maxRowsPerFile = rowsPerFile
      try LanceTable.write(try rows(ids), to: location, mode: mode, options: options)
    }
  }

  private static func filter(_ text: String, _ matches: @escaping @Sendable (Int64) -> Bool) -> RowFilter {
    RowFilter(columns: ["id"], text: text) { batch throws(Failure) in
      let ids = try batch.column("id")
      return withExtendedLifetime(ids) {
        let values = ids.values(of: Int64.self)
        return values.indices.filter { matches(values[$0]) }.map { Int32($0) }
      }
    }
  }
  private static let even = filter("id % 2 = 0") { $0 % 2 == 0 }
  private static let small = filter("id < 105") { $0 < 105 }

  static let all: [TableStep] = [
    TableStep(name: "create", run: write(0..<20, .create, rowsPerFile: 8)),
    TableStep(name: "append", run: write(20..<25, .append)),
    TableStep(name: "delete") { _ = try $0.delete(where: even) },
    TableStep(name: "tag") { _ = try $0.setTag("first", .number(1)) },
    TableStep(name: "compact") { _ = try $0.compact() },
    TableStep(name: "overwrite", run: write(100..<110, .overwrite)),
    TableStep(name: "append again", run: write(110..<112, .append)),
    TableStep(name: "update") { location in
      let update = RowUpdate(columns: ["text"], reads: ["id"]) { batch throws(Failure) in
        [try Column.utf8((0..<batch.count).map { "changed \($0)" })]
      }
      _ = try location.update(update, where: small)
    },
    TableStep(name: "add a column") { location in
      _ = try location.addColumns([Field("double", .int64)], reads: ["id"]) { batch throws(Failure) in
        let ids = try batch.column("id")
        return [try Column.int64(withExtendedLifetime(ids) { ids.values(of: Int64.self).map { $0 * 2 } })]
      }
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

  /// What a reader of `table` sees, as text: every row, in order.
  static func content(_ table: LanceTable) throws -> String {
    var lines = [table.schema.names.joined(separator: " ")]
    let scan = try table.scan()
    while let batch = try scan.next() { for i in 0..<batch.count { lines.append(JSONValue.object(batch.json(row: i)).text()) } }
    return lines.joined(separator: "\n")
  }
}
