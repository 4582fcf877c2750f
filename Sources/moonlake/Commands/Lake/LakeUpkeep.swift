import ArgumentParser
import Core
import Foundation
import Lake
import LanceTable

struct LakeVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read every byte of tables against their checksums. Exit code 1: something is damaged.",
    discussion: """
      Examples:
        moonlake lake verify mnist_clean
        moonlake lake verify --all --all-versions --json
      """)
  @Argument(help: "Names or paths of data sets and models.") var names: [String] = []
  @Flag(help: "All data sets and models of the lake.") var all = false
  @Flag(help: "All versions instead of the newest.") var allVersions = false
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    let lake = try options.lake()
    var places: [(place: TableLocation, version: TableVersion)] = []
    if all {
      guard names.isEmpty else { throw Failure(.invalidArgument, "give either names or --all") }
      for kind in LakeKind.allCases { places += try lake.names(kind).map { (lake.location(kind, $0), .latest) } }
    } else {
      guard !names.isEmpty else { throw Failure(.invalidArgument, "give the names of tables, or --all") }
      for name in names {
        let found = try lake.resolve(name)
        places.append((lake.location(found.kind ?? .dataset, found.id), found.version))
      }
    }
    var reports: [VerifyReport] = []
    for (place, version) in places {
      let report = try place.verify(allVersions ? .allVersions : .version(version))
      reports.append(report)
      guard !options.json else { continue }
      print(
        "\(report.table): \(report.isGood ? "good" : "DAMAGED"), \(report.goodCount) files good, \(report.damagedCount) damaged, "
          + "\(report.missingCount) missing, \(report.withoutChecksumCount) without checksum, \(Quantity.text(bytes: report.byteCount))"
      )
      for file in report.files where file.state == .damaged || file.state == .missing {
        print("  \(file.state.rawValue): \(Terminal.clean(file.path)): \(Terminal.clean(file.message ?? ""))")
      }
    }
    if options.json { print(JSONValue.array(reports.map(\.json)).text(pretty: true)) }
    if !reports.allSatisfy(\.isGood) { throw ExitCode(1) }
  }
}

struct LakeDoctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look for what is damaged, missing or left over in a table. Exit code 1: it is not healthy.",
    discussion: """
      With --repair, damaged manifests are moved to _quarantine/, so that the last good version is the newest. Nothing is deleted.
      Examples:
        moonlake lake doctor mnist_clean
        moonlake lake doctor mnist_clean --repair
      """)
  @Argument(help: "Name or path of a data set or model.") var name: String
  @Flag(help: "Repair what can be repaired.") var repair = false
  @OptionGroup var options: LakeOptions

  func run() throws {
    // A table whose newest manifest is damaged cannot be opened, and is found all the same.
    let report = try options.location(name).doctor(repair: repair)
    if options.json {
      print(report.json.text(pretty: true))
    } else {
      print(
        "\(report.table): \(report.isHealthy ? "healthy" : "NOT healthy"), last good version \(report.lastGoodVersion.map { "\($0)" } ?? "none")"
      )
      for finding in report.findings {
        print("  \(finding.severity.rawValue)\(finding.isRepaired ? " (repaired)" : ""): \(Terminal.clean(finding.message))")
      }
    }
    if !report.isHealthy { throw ExitCode(1) }
  }
}

struct LakeCompact: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact", abstract: "Join small fragments and drop deleted rows, as a new version.",
    discussion: "Example:\n  moonlake lake compact mnist_clean")
  @Argument(help: "Name or path of a data set.") var name: String
  @Option(help: "Rows of a fragment that are aimed at.") var targetRows: Int?
  @Option(help: "A fragment of which more than this share is deleted is rewritten (0.1).") var deletedShare: Double?
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    var how = CompactOptions()
    if let targetRows {
      guard targetRows > 0 else { throw Failure(.invalidArgument, "--target-rows must be at least 1") }
      how.targetRowsPerFragment = targetRows
    }
    if let deletedShare {
      guard (0...1).contains(deletedShare) else { throw Failure(.invalidArgument, "--deleted-share must be from 0 to 1") }
      how.deletedShare = deletedShare
    }
    let report = try options.location(name).compact(how)
    if options.json { return print(report.json.text(pretty: true)) }
    print(
      report.isChanged
        ? "\(name): version \(report.version), \(report.fragmentsRemoved) fragments became \(report.fragmentsAdded), "
          + "\(report.deletedRowsDropped) deleted rows dropped, \(Quantity.text(bytes: report.bytesBefore)) -> \(Quantity.text(bytes: report.bytesAfter))"
        : "\(name): nothing to do, version \(report.version)")
  }
}

struct LakeCleanup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cleanup", abstract: "Remove old versions and files that nothing refers to.",
    discussion: """
      Versions with a tag stay, whatever their age.
      Examples:
        moonlake lake cleanup mnist_clean --dry-run
        moonlake lake cleanup mnist_clean --older-than 7d --keep 10
      """)
  @Argument(help: "Name or path of a data set or model.") var name: String
  @Option(help: "Versions older than this go: 14d, 12h, 0s.") var olderThan = "14d"
  @Option(help: "The newest versions that stay.") var keep = 1
  @Flag(help: "Only say what would go.") var dryRun = false
  @OptionGroup var options: LakeOptions

  func run() throws {
    WorkerProcess.stopOnSignals { Cancellation.request() }
    var how = CleanupOptions()
    guard let age = Quantity.seconds(olderThan) else {
      throw Failure(.invalidArgument, "--older-than: '\(olderThan)' is no duration such as 14d, 12h or 30m")
    }
    guard keep >= 1 else { throw Failure(.invalidArgument, "--keep must be at least 1") }
    how.olderThanSeconds = age
    how.keepVersions = keep
    how.dryRun = dryRun
    let report = try options.location(name).cleanup(how)
    if options.json { return print(report.json.text(pretty: true)) }
    print(
      "\(name): \(report.versionsRemoved.count) versions and \(report.filesRemoved) files \(dryRun ? "would go" : "are gone"), "
        + "\(Quantity.text(bytes: report.bytesFreed)) freed; \(report.versionsKept.count) versions stay")
    if !report.inUse.isEmpty { print("  in use: \(report.inUse.map { "\($0)" }.joined(separator: ", "))") }
  }
}
