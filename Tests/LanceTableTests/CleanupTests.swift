import Columnar
import Core
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@Suite("Cleanup") struct CleanupTests {
  /// Versions 1 to 4, each an overwrite with one row.
  private func table() throws -> TableLocation {
    let location = TableLocation(MemoryStore(), "t.lance")
    for id in 1...4 { try LanceTable.write(SampleRows.reader([id]), to: location, mode: .overwrite) }
    return location
  }
  private func options(olderThan: Double = 0) -> CleanupOptions {
    var options = CleanupOptions()
    options.olderThanSeconds = olderThan
    return options
  }
  private func files(_ location: TableLocation) throws -> Set<String> {
    Set(try location.store.list("", recursive: true).map(\.path))
  }

  @Test func oldVersionsGo() throws {
    let location = try table()
    let before = try location.store.list("", recursive: true)
    #expect(before.count == 4 * 3 + 1)
    var dry = options()
    dry.dryRun = true
    let planned = try location.cleanup(dry)
    #expect(
      planned.isDryRun && planned.versionsRemoved == [1, 2, 3] && planned.versionsKept == [4] && planned.filesRemoved == 9)
    #expect(try files(location) == Set(before.map(\.path)))
    let report = try location.cleanup(options())
    #expect(!report.isDryRun && report.versionsRemoved == [1, 2, 3] && report.filesRemoved == 9)
    #expect(report.bytesFreed == planned.bytesFreed && report.bytesFreed > 3000)
    #expect(try files(location).count == 4)
    #expect(try SampleRows.difference(LanceTable(location), [4]) == nil)
    #expect(try location.verify(.allVersions).isGood && location.doctor().findings.isEmpty)
    #expect(try location.cleanup(options()).filesRemoved == 0)
    #expect(report.json["versions_removed"] == [1, 2, 3] && report.json["dry_run"] == .bool(false))
  }

  @Test func youngOnesStay() throws {
    let location = try table()
    #expect(try location.cleanup(options(olderThan: 3600)).versionsRemoved.isEmpty)
    #expect(try location.cleanup().versionsRemoved.isEmpty)
    var two = options()
    two.keepVersions = 2
    #expect(try location.cleanup(two).versionsRemoved == [1, 2])
    #expect(try SampleRows.difference(LanceTable(location, version: .number(3)), [3]) == nil)
  }

  @Test func tagsBranchesAndOpenTablesKeepTheirVersions() throws {
    let location = try table()
    _ = try location.setTag("good", .number(1))
    _ = try location.createBranch("side", from: .number(2))
    var open: LanceTable? = try LanceTable(location, version: .number(3))
    let report = try location.cleanup(options())
    #expect(
      report.versionsRemoved.isEmpty && report.inUse == [3] && report.named == [1, 2] && report.versionsKept == [1, 2, 3, 4])
    #expect(try SampleRows.difference(try #require(open), [3]) == nil)
    // The same version opened twice, by another path: still in use after one of them is gone.
    let second = try LanceTable(TableLocation(location.store, "t.lance"), version: .number(3))
    open = nil
    #expect(try location.cleanup(options()).inUse == [3])
    _ = try withExtendedLifetime(second) { try SampleRows.difference(second, [3]) }
    try location.deleteTag("good")
    #expect(try location.cleanup(options()).versionsRemoved.first == 1)
    #expect(try SampleRows.difference(LanceTable(location.branch("side")), [2]) == nil)
  }

  @Test func filesThatNobodyNeeds() throws {
    let location = try table()
    try LanceTable.write(SampleRows.reader([5]), to: location, mode: .append)
    for path in [
      "data/orphan.lance", "_deletions/1-1-1.bin", "_indices/x/page_data.lance", "_transactions/9-x.txn",
      "_versions/1.manifest.0000000000000000.tmp",
    ] {
      try location.store.put("t.lance/\(path)", [1, 2, 3])
    }
    try location.store.put("t.lance/data/notes.txt", [1])
    // Young: maybe somebody is about to commit them.
    #expect(try location.cleanup(options(olderThan: 3600)).filesRemoved == 0)
    var all = options(olderThan: 3600)
    all.unreferencedOlderThanSeconds = 0
    #expect(try location.cleanup(all).filesRemoved == 6)
    #expect(try SampleRows.difference(LanceTable(location), [4, 5]) == nil)
    #expect(try location.verify(.allVersions).isGood)
  }

  @Test func sharedFilesStay() throws {
    let location = TableLocation(MemoryStore(), "t.lance")
    try LanceTable.write(SampleRows.reader([0, 1, 2]), to: location, mode: .create)
    try deleteRows([1], ofFragment: 0, location)
    try LanceTable.write(SampleRows.reader([3]), to: location, mode: .append)
    try deleteRows([0, 1], ofFragment: 0, location)
    let report = try location.cleanup(options())
    #expect(report.versionsRemoved == [1, 2, 3])
    #expect(try location.store.list("t.lance/_deletions", recursive: true).count == 1)
    #expect(try location.store.list("t.lance/data", recursive: true).count == 2)
    #expect(try SampleRows.difference(LanceTable(location), [2, 3]) == nil)
  }

  @Test func aDamagedManifestStopsIt() throws {
    let location = try table()
    let path = "t.lance/_versions/\(ManifestNaming.v2.name(of: 2))"
    try location.store.put(path, [])
    let before = try files(location)
    let error = failure { _ = try location.cleanup(options()) }
    #expect(
      error?.code == .corruptData && error?.message.hasSuffix("nothing is cleaned up before doctor has moved it away") == true)
    #expect(try files(location) == before)
    _ = try location.doctor(repair: true)
    #expect(try location.cleanup(options()).versionsRemoved == [1, 3])
    var wrong = CleanupOptions()
    wrong.keepVersions = 0
    #expect(failure { _ = try location.cleanup(wrong) }?.code == .invalidArgument)
    #expect(failure { _ = try TableLocation(MemoryStore(), "x").cleanup() }?.code == .datasetNotFound)
  }

  /// A cleanup that has decided and is about to remove its first manifest when `action` happens.
  private func cleanup(
    _ location: TableLocation, _ options: CleanupOptions, meanwhile action: @escaping @Sendable (TableLocation) throws -> Void
  ) throws -> Result<CleanupReport, Failure> {
    let store = MeanwhileStore(location.store)
    store.before("head", ".manifest") { try action(location) }
    let result = Result { () throws(Failure) in try TableLocation(store, location.folder).cleanup(options) }
    #expect(store.hasRun && store.error == nil, "\(store.error ?? "nothing happened meanwhile")")
    return result
  }

  @Test func aTableMadeAnewMeanwhileIsLeftAlone() throws {
    let location = try table()
    let result = try cleanup(location, options()) { location in
      try location.store.moveTree("t.lance", to: "grave")
      for id in 5...8 { try LanceTable.write(SampleRows.reader([id]), to: location, mode: .overwrite) }
    }
    #expect(throws: Failure.self) { try result.get() }
    if case .failure(let failure) = result { #expect(failure.code == .versionConflict) }
    for id in 5...8 {
      #expect(try SampleRows.difference(LanceTable(location, version: .number(UInt64(id - 4))), [id]) == nil)
    }
    #expect(try location.verify(.allVersions).isGood)
    // Deleted, and not made anew.
    let gone = try cleanup(location, options()) { try $0.store.moveTree("t.lance", to: "grave 2") }
    if case .failure(let failure) = gone { #expect(failure.code == .versionConflict) } else { Issue.record("it went well") }
  }

  @Test func whatIsNamedOpenedOrRestoredMeanwhileStays() throws {
    let location = try table()
    let tagged = try cleanup(location, options()) { try $0.setTag("good", .number(2)) }.get()
    #expect(tagged.versionsRemoved == [1, 3] && tagged.named == [2] && tagged.versionsKept == [2, 4])
    #expect(try SampleRows.difference(LanceTable(location, version: .tag("good")), [2]) == nil)
    #expect(try location.verify(.allVersions).isGood)

    let second = try table()
    let opened = Mutex<LanceTable?>(nil)
    let report = try cleanup(second, options()) { location in
      let table = try LanceTable(location, version: .number(2))
      opened.withLock { $0 = table }
    }.get()
    #expect(report.versionsRemoved == [1, 3] && report.inUse == [2])
    #expect(try SampleRows.difference(try #require(opened.withLock { $0 }), [2]) == nil)

    let third = try table()
    let restored = try cleanup(third, options()) { _ = try $0.restore(.number(2)) }.get()
    #expect(restored.versionsRemoved == [1, 2, 3] && restored.versionsKept == [4, 5])
    #expect(try SampleRows.difference(LanceTable(third), [2]) == nil)
    #expect(try third.verify(.allVersions).isGood)
  }

  /// A version that was removed cannot be restored by who had looked at it before.
  @Test func aRemovedVersionIsNotRestored() throws {
    let location = try table()
    let store = MeanwhileStore(location.store)
    // A competing commit makes the restore look again.
    store.before {
      try LanceTable.write(SampleRows.reader([9]), to: location, mode: .append)
      try location.store.delete("t.lance/_versions/\(ManifestNaming.v2.name(of: 2))")
    }
    let error = failure { _ = try TableLocation(store, "t.lance").restore(.number(2)) }
    #expect(error?.code == .versionNotFound)
    #expect(try SampleRows.difference(LanceTable(location), [4, 9]) == nil)
  }

  /// How long a version has been old counts from the commit after it.
  @Test func readersHaveTimeAfterTheNextCommit() throws {
    let location = try table()
    for version in 1...3 as ClosedRange<UInt64> {
      var file = try location.manifest(version, .v2)
      file.manifest.timestamp.seconds -= 3600 * Int64(5 - version)
      try location.store.put("t.lance/_versions/\(ManifestNaming.v2.name(of: version))", try file.encoded())
    }
    // Committed 4, 3, 2 and 0 hours ago; superseded 3, 2 and 0 hours ago.
    #expect(try location.cleanup(options(olderThan: 3 * 3600 + 60)).versionsRemoved.isEmpty)
    #expect(try location.cleanup(options(olderThan: 3600)).versionsRemoved == [1, 2])
    #expect(try SampleRows.difference(LanceTable(location, version: .number(3)), [3]) == nil)
  }

  @Test func unknownFeaturesStopIt() throws {
    let location = try table()
    var file = try location.manifest(2, .v2)
    file.manifest.readerFeatureFlags |= 64
    try location.store.put("t.lance/_versions/\(ManifestNaming.v2.name(of: 2))", try file.encoded())
    let before = try files(location)
    let error = failure { _ = try location.cleanup(options()) }
    #expect(error?.code == .unsupported && error?.message.contains("64 (overlays)") == true)
    #expect(try files(location) == before)
  }

  /// Without a look for lost files only those of removed versions go.
  @Test func lostFilesAreLookedForWhenAsked() throws {
    let location = try table()
    try location.store.put("t.lance/data/orphan.lance", [1])
    var quick = options()
    quick.unreferencedOlderThanSeconds = 0
    quick.looksForLostFiles = false
    let report = try location.cleanup(quick)
    #expect(report.versionsRemoved == [1, 2, 3] && report.filesRemoved == 9)
    #expect(try location.cleanup(quick).filesRemoved == 0)
    quick.looksForLostFiles = true
    #expect(try location.cleanup(quick).filesRemoved == 1)
    #expect(try location.verify(.allVersions).isGood)
  }

  /// What a version did that is gone is not known: a commit that began before it is refused, whatever it is.
  @Test func aCommitDoesNotSkipVersionsThatAreGone() throws {
    for isWhole in [false, true] {
      let location = TableLocation(MemoryStore(), "t.lance")
      for part in 0..<4 { try LanceTable.write(SampleRows.reader([part]), to: location, mode: part == 0 ? .create : .append) }
      let store = MeanwhileStore(location.store)
      // Computed on version 4; then 5 replaces all rows, 6 adds one, and 5 is gone.
      store.before {
        try LanceTable.write(SampleRows.reader([7]), to: location, mode: isWhole ? .overwrite : .append)
        try LanceTable.write(SampleRows.reader([8]), to: location, mode: .append)
        try location.store.delete("t.lance/_versions/\(ManifestNaming.v2.name(of: 5))")
      }
      let error = failure { _ = try TableLocation(store, "t.lance").compact() }
      #expect(store.hasRun && store.error == nil)
      #expect(error?.code == .versionConflict && error?.message.contains("it was removed meanwhile") == true)
      #expect(try SampleRows.difference(LanceTable(location), isWhole ? [7, 8] : [0, 1, 2, 3, 7, 8]) == nil)
    }
  }

  @Test func aBranchIsNotCleanedUp() throws {
    let location = try table()
    _ = try location.createBranch("side", from: .number(4))
    #expect(failure { _ = try location.branch("side").cleanup(options()) }?.code == .unsupported)
  }
}
