import ArgumentParser
import Core
import DataFrames
import Foundation
import Lake
import LanceTable
import Plan

extension LakeOptions {
  /// The place of a table, for a change of it.
  /// - Throws: `INVALID_ARGUMENT` for a name with a version, which cannot be changed.
  func location(_ name: String) throws(Failure) -> TableLocation {
    let lake = try lake()
    let found = try lake.resolve(name)
    guard found.version == .latest else {
      throw Failure(.invalidArgument, "'\(name)' names a version; give the table's name alone")
    }
    return lake.location(found.kind ?? .dataset, found.id)
  }

  func show(_ report: ChangeReport, _ name: String) {
    if json { return print(report.json.text(pretty: true)) }
    guard report.isChanged else { return print("\(name): nothing changed, version \(report.version)") }
    let counts = [("inserted", report.inserted), ("updated", report.updated), ("deleted", report.deleted)].filter { $0.1 > 0 }
    print("\(name): version \(report.version)" + counts.map { ", \($0.1) rows \($0.0)" }.joined())
  }
}

/// `4`, or the name of a tag.
func tableVersion(_ text: String) -> TableVersion { UInt64(text).map { .number($0) } ?? .tag(text) }

struct LakeTag: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tag", abstract: "List a table's tags, set one, or take one away.",
    discussion: """
      Examples:
        moonlake lake tag mnist_clean
        moonlake lake tag mnist_clean golden --version 3
        moonlake lake tag mnist_clean golden --delete
      """)
  @Argument(help: "Name or path of a data set or model.") var name: String
  @Argument(help: "The tag.") var tag: String?
  @Option(help: "The version to name: a number or another tag; the newest when left out.") var version: String?
  @Flag(help: "Take the tag away.") var delete = false
  @OptionGroup var options: LakeOptions

  func run() throws {
    let place = try options.location(name)
    if let tag, delete {
      try place.deleteTag(tag)
      return print(options.json ? "{}" : "\(name): tag \(tag) is gone")
    }
    if let tag {
      let made = try place.setTag(tag, version.map(tableVersion) ?? .latest)
      return print(
        options.json ? JSONValue.object(made.json).text(pretty: true) : "\(name): tag \(made.name) is version \(made.version)")
    }
    guard version == nil, !delete else { throw Failure(.invalidArgument, "give the tag") }
    _ = try LanceTable(place)
    let tags = try place.tagList()
    if options.json { return print(JSONValue.array(tags.map { .object($0.json) }).text(pretty: true)) }
    print(tags.isEmpty ? "no tags" : Terminal.table(["TAG", "VERSION"], tags.map { [$0.name, "\($0.version)"] }))
  }
}

struct LakeRestore: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Make an older version the newest again, as a new version.",
    discussion: "Examples:\n  moonlake lake restore mnist_clean 3\n  moonlake lake restore mnist_clean golden")
  @Argument(help: "Name or path of a data set or model.") var name: String
  @Argument(help: "The version: its number or a tag.") var version: String
  @OptionGroup var options: LakeOptions

  func run() throws {
    options.show(try options.location(name).restore(tableVersion(version)), name)
  }
}

struct LakeDeleteRows: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete-rows", abstract: "Delete the rows for which a condition is true.",
    discussion: """
      Example:
        moonlake lake delete-rows mnist_clean --where "label NOT BETWEEN 0 AND 9"
      """)
  @Argument(help: "Name or path of a data set.") var name: String
  @Option(name: .customLong("where"), help: "The condition, in SQL's words.") var condition: String
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    let expr = try Expr(parsing: condition)
    options.show(try options.location(name).delete(where: expr), name)
  }
}
