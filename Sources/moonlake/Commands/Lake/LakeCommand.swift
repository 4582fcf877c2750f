import ArgumentParser
import Core
import Foundation
import Lake
import LanceTable

/// `moonlake lake ...`: the lake on disk, without a server.
struct LakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lake",
    abstract: "Look at data sets and models on disk, change and check them; no server needed.",
    discussion: """
      A table is named as everywhere: mnist_clean, mnist_clean#3, mnist_cnn@champion, lance_storage/models/mnist_cnn.lance.
      Examples:
        moonlake lake ls
        moonlake lake show mnist_clean --where "label = 3 AND split = 'test'" --rows 5
        moonlake lake versions mnist_clean --json
        moonlake lake delete-rows mnist_clean --where "label NOT BETWEEN 0 AND 9"
      """,
    subcommands: [
      LakeList.self, Show.self, LakeVersions.self, LakeStats.self, LakeTag.self, LakeRestore.self, LakeDeleteRows.self,
      LakeVerify.self,
      LakeDoctor.self, LakeCompact.self, LakeCleanup.self, LakeUpkeepOnce.self, LakeIndex.self,
    ])
}

/// Options of all commands below `lake`.
struct LakeOptions: ParsableArguments {
  @Option(help: "Configuration file.") var config: String?
  @Flag(help: "Print JSON.") var json = false

  func settings() throws(Failure) -> Configuration { try Configuration.load(config) }
  func lake() throws(Failure) -> DataLake { try settings().openLake() }
}

struct LakeList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "List data sets and models.",
    discussion: "Examples:\n  moonlake lake ls\n  moonlake lake ls --json")
  @OptionGroup var options: LakeOptions

  func run() throws {
    let lake = try options.lake()
    let datasets = try lake.datasets()
    let models = try lake.models()
    if options.json {
      let list: JSONValue = [
        "datasets": .array(datasets.map { .object($0.json) }),
        "models": .array(models.map { .object($0.json(detailed: false)) }),
      ]
      return print(list.text(pretty: true))
    }
    let rows =
      datasets.map { found in
        [
          "data set", found.id, found.error == nil ? "\(found.rowCount)" : "", found.error == nil ? "\(found.version)" : "",
          found.error == nil ? Quantity.text(bytes: found.bytes) : "damaged: \(found.error?.message ?? "")",
        ]
      }
      + models.map { found in
        [
          "model", found.id, "", found.error == nil ? "\(found.version)" : "",
          found.error.map { "damaged: \($0.message)" } ?? "",
        ]
      }
    print(rows.isEmpty ? "the lake is empty" : Terminal.table(["KIND", "NAME", "ROWS", "VERSION", "SIZE"], rows))
  }
}

struct LakeVersions: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "versions", abstract: "List the versions of a table, oldest first.",
    discussion: "Example:\n  moonlake lake versions mnist_clean")
  @Argument(help: "Name or path of a data set or model.") var name: String
  @OptionGroup var options: LakeOptions

  func run() throws {
    let lake = try options.lake()
    let found = try lake.resolve(name)
    let versions = try lake.location(found.kind ?? .dataset, found.id).versionList()
    if options.json { return print(JSONValue.array(versions.map { .object($0.json) }).text(pretty: true)) }
    print(
      Terminal.table(
        ["VERSION", "TIME", "OPERATION", "ROWS", "FRAGMENTS", "TAGS"],
        versions.map { info in
          [
            "\(info.version)", info.time?.description ?? "", info.error.map { "damaged: \($0)" } ?? info.operation ?? "",
            info.error == nil ? "\(info.rowCount)" : "", info.error == nil ? "\(info.fragments)" : "",
            info.tags.joined(separator: ", "),
          ]
        }))
  }
}
