import ArgumentParser
import Core
import Lake
import LanceTable
import Upkeep

struct LakeUpkeepOnce: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upkeep",
    abstract: "Do once what the service does by itself: join small files, let indices catch up, remove old versions.",
    discussion: """
      Goes through all data sets, as the section `upkeep` of the configuration says. Exit code 1: something failed.
      Example:
        moonlake lake upkeep --json
      """)
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    let settings = try options.settings()
    let reports = try LakeUpkeep(try options.lake(), settings.upkeep).pass()
    try Cancellation.check()
    if options.json {
      print(JSONValue.array(reports.map(\.json)).text(pretty: true))
    } else {
      for report in reports { print(Terminal.clean(LakeUpkeepOnce.line(report))) }
      if reports.isEmpty { print("nothing to do") }
    }
    if reports.contains(where: { !$0.failures.isEmpty }) { throw ExitCode(1) }
  }

  private static func line(_ report: TableUpkeep) -> String {
    var parts: [String] = []
    if let done = report.compaction, done.isChanged {
      parts.append("\(done.fragmentsRemoved) fragments became \(done.fragmentsAdded)")
    }
    if report.indices > 0 { parts.append("\(report.indices) indices caught up") }
    if let done = report.cleanup, done.filesRemoved > 0 {
      parts.append("\(done.versionsRemoved.count) versions removed, \(Quantity.text(bytes: done.bytesFreed)) freed")
    }
    parts += report.failures.map { "\($0.step) FAILED: \($0.failure.message)" }
    return "\(report.table): \(parts.joined(separator: "; "))"
  }
}
