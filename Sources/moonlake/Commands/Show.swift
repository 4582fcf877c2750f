import ArgumentParser
import Columnar
import Core
import Foundation
import Lake
import LanceTable

struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Schema and first rows of a data set; no server needed.",
    discussion: "Examples:\n  moonlake show mnist_clean\n  moonlake show lance_storage/models/mnist_cnn_v1.lance --rows 1 --json")
  @Argument(help: "Name or path of a data set or model.") var path: String
  @Option(help: "Rows to show.") var rows = 10
  @Option(help: "Configuration file.") var config: String?
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let settings = try Configuration.load(config)
    guard (0...100_000).contains(rows) else { throw Failure(.invalidArgument, "--rows must be from 0 to 100000") }
    let lake = try settings.openLake()
    let table = try lake.open(path)
    let batch = try table.take(Array(0..<min(rows, table.rowCount)))
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
    print(Terminal.table(["COLUMN", "TYPE", "NULLABLE"], table.schema.fields.map { [$0.name, $0.type.description, $0.isNullable ? "yes" : "no"] }))
    guard batch.count > 0 else { return }
    print("")
    print(
      Terminal.table(
        batch.schema.names,
        (0..<batch.count).map { row in batch.json(row: row).values.map(Show.cell) }))
  }

  /// One value in at most 40 characters.
  static func cell(_ value: JSONValue) -> String {
    let text: String =
      switch value {
      case .string(let text): text
      case .array(let items) where items.count > 6: "[" + items.prefix(4).map { $0.text() }.joined(separator: ", ") + ", ... \(items.count) values]"
      default: value.text()
      }
    return text.count > 40 ? text.prefix(37) + "..." : text
  }
}
