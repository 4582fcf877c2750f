import ArgumentParser
import Core
import DataFrames
import Foundation
import Lake
import LanceIndex
import LanceTable

struct LakeIndex: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "index", abstract: "List a table's indices, build one, bring all up to date, or drop one.",
    discussion: """
      Examples:
        moonlake lake index products
        moonlake lake index products embedding --type ivf_pq --metric cosine
        moonlake lake index products category --type bitmap --replace
        moonlake lake index products --optimize
        moonlake lake index products --drop category_idx
      """)
  @Argument(help: "Name or path of a data set.") var name: String
  @Argument(help: "The column to index.") var column: String?
  @Option(help: "btree, bitmap, ivf_flat or ivf_pq; by the column's type when left out.") var type: String?
  @Option(help: "Of vectors: l2, cosine or dot.") var metric = "l2"
  @Option(help: "Partitions of an ivf index.") var partitions: Int?
  @Option(help: "Sub-vectors of an ivf_pq index; must divide the dimension.") var subVectors: Int?
  @Option(help: "The index's name; COLUMN_idx when left out.") var indexName: String?
  @Flag(help: "Replace an index of that name.") var replace = false
  @Flag(help: "Add rows that are not indexed yet to all indices.") var optimize = false
  @Option(help: "Drop the index of this name.") var drop: String?
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    let place = try options.location(name)
    guard [column != nil, optimize, drop != nil].count(where: \.self) < 2 else {
      throw Failure(.invalidArgument, "give one of a column, --optimize and --drop")
    }
    if let column {
      try show([try place.createIndex(on: column, try how())])
    } else if let drop {
      try place.dropIndex(drop)
      print(options.json ? "{}" : "\(name): index \(drop) is gone")
    } else {
      if optimize { _ = try place.optimizeIndices() }
      try show(try LanceTable(place).indexList())
    }
  }

  private func how() throws(Failure) -> IndexOptions {
    var how = IndexOptions()
    if let type {
      guard let kind = IndexKind(named: type) else {
        throw Failure(
          .invalidArgument, "--type \(nearNames(type, known: ["btree", "bitmap", "ivf_flat", "ivf_pq"], what: "types"))")
      }
      how.kind = kind
    }
    guard let metric = VectorMetric(rawValue: metric) else {
      throw Failure(
        .invalidArgument, "--metric \(nearNames(metric, known: VectorMetric.allCases.map(\.rawValue), what: "metrics"))")
    }
    for (option, value) in [("--partitions", partitions), ("--sub-vectors", subVectors)] {
      if let value, value < 1 { throw Failure(.invalidArgument, "\(option) must be at least 1") }
    }
    how.metric = metric
    how.partitions = partitions
    how.subVectors = subVectors
    how.name = indexName
    how.replace = replace
    return how
  }

  private func show(_ list: [IndexInfo]) throws {
    if options.json { return print(JSONValue.array(list.map(\.json)).text(pretty: true)) }
    print(
      list.isEmpty
        ? "no indices"
        : Terminal.table(
          ["NAME", "COLUMN", "TYPE", "INDEXED", "NOT INDEXED", "SIZE"],
          list.map { info in
            [
              info.name, info.column, info.kind.name + (info.isUsable ? "" : " (not usable)"), "\(info.indexedRows)",
              "\(info.unindexedRows)", Quantity.text(bytes: info.byteCount),
            ]
          }))
  }
}
