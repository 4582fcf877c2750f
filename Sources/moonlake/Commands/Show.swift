import ArgumentParser
import Columnar
import Core
import DataFrames
import Foundation
import Lake
import LanceTable
import Plan

struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Schema and first rows of a data set; no server needed.",
    discussion: """
      Examples:
        moonlake show mnist_clean
        moonlake show mnist_clean --where "label = 3 AND split = 'test'" --select label,split --order=-label
        moonlake show lance_storage/models/mnist_cnn_v1.lance --rows 1 --json
      """)
  @Argument(help: "Name or path of a data set or model.") var path: String
  @Option(help: "Rows to show.") var rows = 10
  @Option(name: .customLong("where"), help: "Only rows for which this is true, in SQL's words.") var condition: String?
  @Option(help: "Only these columns, with commas between.") var select: String?
  @Option(help: "Sort by these columns, with commas between; -name: descending.") var order: String?
  @Option(help: "Configuration file.") var config: String?
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let settings = try Configuration.load(config)
    guard (0...100_000).contains(rows) else { throw Failure(.invalidArgument, "--rows must be from 0 to 100000") }
    let lake = try settings.openLake()
    let table = try lake.open(path)
    let batch = try rows(of: table)
    if json {
      var schema = JSONObject()
      for field in table.schema.fields { schema[field.name] = .string(field.type.description) }
      print(
        JSONValue.object([
          "path": .string(path), "version": .int(Int64(clamping: table.version)), "num_rows": .int(Int64(table.rowCount)),
          "schema": .object(schema), "rows": .array((0..<batch.count).map { .object(batch.json(row: $0)) }),
        ]).text(pretty: true))
      return
    }
    print("\(path): \(table.rowCount) rows, version \(table.version)")
    print(
      Terminal.table(
        ["COLUMN", "TYPE", "NULLABLE"],
        table.schema.fields.map { [$0.name, $0.type.description, $0.isNullable ? "yes" : "no"] }))
    guard batch.count > 0 else { return }
    print("")
    print(
      Terminal.table(
        batch.schema.names,
        (0..<batch.count).map { row in batch.json(row: row).values.map(Show.cell) }))
  }

  private func rows(of table: LanceTable) throws(Failure) -> RecordBatch {
    let names = { (text: String) in text.split(separator: ",").map(String.init) }
    if condition == nil, order == nil {
      return try table.take(Array(0..<min(rows, table.rowCount)), columns: select.map(names))
    }
    var frame = Frame(LanceSource(table))
    if let condition { frame = try frame.filter(try Expr(parsing: condition)) }
    if let order { frame = try frame.sort(names(order).map { SortKey(named: $0) }) }
    if let select { frame = try frame.select(names(select).map { Expr.column($0) }) }
    return try frame.limit(rows).collect()
  }

  /// One value in at most 40 characters.
  static func cell(_ value: JSONValue) -> String {
    let text: String =
      switch value {
      case .string(let text): text
      case .array(let items) where items.count > 6:
        "[" + items.prefix(4).map { $0.text() }.joined(separator: ", ") + ", ... \(items.count) values]"
      default: value.text()
      }
    return text.count > 40 ? text.prefix(37) + "..." : text
  }
}
