import Core
import Foundation
import Glibc
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Power cuts, kills and failing calls at every point of every change of a table: what was acknowledged is there, and the table
/// opens. `MOONLAKE_TEST_ALL=1` tries every call and more random losses.
@Suite("Crashes and faults") struct CrashTests {
  private static let folder = "t.lance"

  /// The state of a table after each step.
  private struct State {
    var files: [(path: String, bytes: [UInt8])] = []
    var version: UInt64 = 0
    var tags: [TagInfo] = []
    /// By version.
    var contents: [UInt64: String] = [:]
  }

  /// Runs all steps undisturbed.
  private func states() throws -> [State] {
    let location = TableLocation(MemoryStore(), Self.folder)
    var states: [State] = []
    var state = State()
    for step in TableStep.all {
      try step.run(location)
      let table = try LanceTable(location)
      state.version = table.version
      state.tags = try location.tagList()
      for version in try VersionListing(location).versions where state.contents[version] == nil {
        state.contents[version] = try TableStep.content(LanceTable(location, version: .number(version)))
      }
      state.files = try location.store.list("", recursive: true).map { ($0.path, try location.store.read($0.path).array()) }
      states.append(state)
    }
    return states
  }

  /// A store in memory as it is after `done` steps.
  private func memory(_ states: [State], done: Int) throws -> MemoryStore {
    let store = MemoryStore()
    if done > 0 { for file in states[done - 1].files { try store.put(file.path, file.bytes) } }
    return store
  }

  /// A directory as it is after `done` steps, written without waiting for the disk.
  private func directory(_ states: [State], done: Int) throws -> String {
    let root = temporaryFolder()
    for file in done > 0 ? states[done - 1].files : [] {
      let url = URL(fileURLWithPath: root + "/" + file.path)
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(file.bytes).write(to: url)
    }
    return root
  }

  /// What is wrong with a table after `done` steps were acknowledged and, maybe, the next one was on its way; nil when nothing is.
  private func problem(_ store: any ObjectStore, done: Int, _ states: [State]) -> String? {
    let location = TableLocation(store, Self.folder)
    do {
      guard try LanceTable.exists(location) else { return done == 0 ? nil : "the table is gone" }
      let table = try LanceTable(location)
      let least = done == 0 ? 1 : states[done - 1].version
      let most = done < states.count ? states[done].version : states[states.count - 1].version
      guard table.version >= least, table.version <= most else { return "version \(table.version), not \(least) to \(most)" }
      let expected = states[min(done, states.count - 1)].contents[table.version]
      let content = try TableStep.content(table)
      guard content == expected else { return "version \(table.version) has \(content), not \(expected ?? "anything")" }
      if done > 0, done < states.count {
        let tags = try location.tagList()
        guard tags == states[done - 1].tags || tags == states[done].tags else { return "tags \(tags)" }
      }
      let report = try location.doctor()
      guard report.isHealthy, report.lastGoodVersion == table.version else { return "doctor: \(report.json.text())" }
      let bytes = try location.verify(.allVersions)
      guard bytes.isGood, bytes.withoutChecksumCount == 0 else { return "verify: \(bytes.json.text())" }
      return nil
    } catch { return "\(error)" }
  }

  @Test func powerCutsAtEveryChange() throws {
    let states = try states()
    let disk = RecordingFileSystem()
    let store = try LocalStore(root: temporaryFolder(), disk: disk)
    for step in TableStep.all {
      try step.run(TableLocation(store, Self.folder))
      disk.mark(step.name)
    }
    let changes = disk.changes
    #expect(changes.count > 25 * TableStep.all.count)
    var checked = 0
    for count in 0...changes.count {
      let cut = PowerCut(after: changes[..<count], root: store.root)
      var losses: [PowerCut.Loss] = [.everything, .bytes, .zeroed, .nothing]
      losses += (0..<(isThorough ? 100 : 3)).map { .random(seed: UInt64(count * 1000 + $0)) }
      for loss in losses {
        let found = problem(try cut.disk(loss), done: cut.marks.count, states)
        #expect(found == nil, "change \(count) of \(changes.count), \(loss), after \(cut.marks)")
        checked += 1
      }
    }
    #expect(checked >= 7 * changes.count)
    print("power cuts: \(TableStep.all.count) operations, \(changes.count) changes of the disk, \(checked) disks looked at")
  }

  /// Life goes on after a cut: the steps that were not acknowledged can be done again.
  @Test func workGoesOnAfterAPowerCut() throws {
    let disk = RecordingFileSystem()
    let store = try LocalStore(root: temporaryFolder(), disk: disk)
    try TableStep.all[0].run(TableLocation(store, Self.folder))
    let start = disk.changes.count
    try TableStep.all[1].run(TableLocation(store, Self.folder))
    for count in start...disk.changes.count {
      let after = try PowerCut(after: disk.changes[..<count], root: store.root).disk(.random(seed: UInt64(count)))
      let location = TableLocation(after, Self.folder)
      let before = try LanceTable(location).version
      try TableStep.all[1].run(location)
      let table = try LanceTable(location)
      #expect(table.version == before + 1 && table.rowCount == (before == 1 ? 25 : 30))
    }
  }

  /// A kill between a branch's first version and its entry: the branch can be made again, unless somebody worked on it.
  @Test func aBranchWhoseMakingWasCutShort() throws {
    let location = TableLocation(MemoryStore(), Self.folder)
    try TableStep.all[0].run(location)
    try location.createBranch("side")
    try location.store.delete(location.path("_refs/branches/side.json"))
    #expect(try location.branchList().isEmpty)
    try location.createBranch("side")
    let side = try location.branch("side")
    #expect(try TableStep.content(LanceTable(side)) == TableStep.content(LanceTable(location)))
    #expect(failure { try location.createBranch("side") }?.code == .alreadyExists)
    try LanceTable.write(TableStep.rows(0..<1), to: side, mode: .append)
    try location.store.delete(location.path("_refs/branches/side.json"))
    #expect(
      failure { try location.createBranch("side") }?.message == "table 't' has files of a branch 'side' that is not listed")
  }

  /// One failing call of the store, or all from there on.
  @Test(arguments: FaultyStore.Moment.allCases, [false, true]) func failingStoreCalls(
    _ moment: FaultyStore.Moment, _ forGood: Bool
  ) throws {
    let states = try states()
    for (done, step) in TableStep.all.enumerated() {
      var failing = 1
      while true {
        let store = try memory(states, done: done)
        let plan = FaultPlan(failing: failing, forGood: forGood)
        let error = failure { try step.run(TableLocation(FaultyStore(store, plan, moment), Self.folder)) }
        if plan.struck == 0 {
          #expect(error == nil && failing > 1)
          break
        }
        let found = problem(store, done: error == nil ? done + 1 : done, states)
        #expect(found == nil, "\(step.name), call \(failing) of the store: \(error?.message ?? "no error")")
        failing += isThorough ? 1 : 3
      }
    }
  }

  /// One failing system call, or all from there on: a full disk, a broken one.
  @Test(arguments: [ENOSPC, EIO], [false, true]) func failingSystemCalls(_ code: Int32, _ forGood: Bool) throws {
    let states = try states()
    var checked = 0
    for (done, step) in TableStep.all.enumerated() {
      var failing = 1
      while true {
        let root = try directory(states, done: done)
        let plain = try LocalStore(root: root)
        let plan = FaultPlan(failing: failing, forGood: forGood)
        let error = failure {
          try step.run(TableLocation(try LocalStore(root: root, disk: FaultyFileSystem(plan, errno: code)), Self.folder))
        }
        if plan.struck == 0 {
          #expect(error == nil && failing > 1)
          break
        }
        let found = problem(plain, done: error == nil ? done + 1 : done, states)
        #expect(found == nil, "\(step.name), system call \(failing): \(error?.message ?? "no error")")
        if !forGood {
          let left = try plain.list("", recursive: true).filter { $0.path.hasSuffix(".tmp") }
          #expect(left.count <= (error == nil ? 1 : 0), "\(step.name), system call \(failing) leaves \(left.map(\.path))")
        }
        try FileManager.default.removeItem(atPath: root)
        failing += isThorough ? 1 : 3
        checked += 1
      }
    }
    print("failing system calls, errno \(code)\(forGood ? " for good" : ""): \(checked) points")
  }
}
