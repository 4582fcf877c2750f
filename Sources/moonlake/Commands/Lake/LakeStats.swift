import ArgumentParser
import Columnar
import Core
import DataFrames
import Foundation
import Lake

struct LakeStats: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Statistics of the columns: values, nulls, least, greatest, mean.",
    discussion: "Example:\n  moonlake lake stats mnist_clean label split")
  @Argument(help: "Name or path of a data set.") var name: String
  @Argument(help: "Columns; all of them when left out.") var columns: [String] = []
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    let table = try options.lake().open(name)
    let found = try Frame(LanceSource(table)).statistics(of: columns.isEmpty ? nil : columns)
    if options.json { return print(JSONValue.array(found.map { .object($0.json) }).text(pretty: true)) }
    print(
      Terminal.table(
        ["COLUMN", "TYPE", "COUNT", "NULLS", "MIN", "MAX", "MEAN"],
        found.map { column in
          [
            column.name, column.type.description, "\(column.count)", "\(column.nullCount)", column.least.map(Show.cell) ?? "",
            column.greatest.map(Show.cell) ?? "", column.mean.map { JSONValue.double($0).text() } ?? "",
          ]
        }))
  }
}
