import Columnar
import Core
import Foundation
import Lake
import LanceIndex
import LanceTable
import ObjectStore
import Synchronization
import TestSupport
import Testing
import Upkeep

@Suite("Upkeep") struct UpkeepTests {
  private let lake = DataLake(store: MemoryStore(), shownAs: "lake")

  private func append(_ ids: Range<Int>, to name: String, in lake: DataLake? = nil) throws {
    let batch = try RecordBatch(["id": try Column.int64(ids.map { Int64($0) })])
    let place = (lake ?? self.lake).location(.dataset, name)
    let mode: WriteMode = try LanceTable.exists(place) ? .append : .create
    try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: place, mode: mode)
  }

  private func ids(_ name: String) throws -> [Int64] {
    let table = try lake.open(.dataset, name)
    let column = try table.take(Array(0..<table.rowCount)).columns[0]
    return withExtendedLifetime(column) { Array(column.values(of: Int64.self)) }
  }

  /// A clock that is set by hand.
  private final class Clock: Sendable {
    private let time = Mutex(Instant.now.timeInterval)
    var now: Double { time.withLock { $0 } }
    func pass(_ seconds: Double) { time.withLock { $0 += seconds } }
  }

  /// A table that grows row by row stays in few files, and its rows are not moved again and again.
  @Test func manyAppendsStayFewFiles() throws {
    var options = UpkeepOptions()
    options.bytesPerSecond = nil
    let upkeep = LakeUpkeep(lake, options)
    var moved = 0
    for i in 0..<400 {
      try append(i..<i + 1, to: "t")
      if i % 10 == 9 {
        for report in try upkeep.pass() {
          #expect(report.failures.isEmpty)
          moved += report.compaction?.rows ?? 0
        }
        #expect(try lake.open(.dataset, "t").fragments.count <= 8 + 10)
      }
    }
    #expect(try ids("t") == (0..<400).map { Int64($0) })
    // log2(400) = 8.6; all of it every time would be 8,200 rows.
    #expect(moved >= 400 && moved < 400 * 9, "\(moved) rows were moved")
    #expect(try upkeep.pass().isEmpty)
  }

  @Test func deletedRowsGoAndIndicesCatchUp() throws {
    try append(0..<1000, to: "t")
    let place = lake.location(.dataset, "t")
    _ = try place.createIndex(on: "id")
    try append(1000..<1100, to: "t")
    // Half of the first fragment, nothing of the second.
    let filter = RowFilter(columns: ["id"], text: "id < 500") { batch throws(Failure) in
      batch.count > 100 ? (0..<500).map { Int32($0) } : []
    }
    _ = try place.delete(where: filter)
    var options = UpkeepOptions()
    let reports = try LakeUpkeep(lake, options).pass()
    #expect(reports.count == 1 && reports[0].compaction?.deletedRowsDropped == 500 && reports[0].indices == 0)
    options.fewestRowsToIndex = 600
    #expect(try LakeUpkeep(lake, options).pass().map(\.indices) == [1])
    #expect(try lake.open(.dataset, "t").indexList().map(\.unindexedRows) == [0])
    // Rewritten rows go behind those that stay.
    #expect(try ids("t") == (Array(1000..<1100) + Array(500..<1000)).map { Int64($0) })
  }

  @Test func oldVersionsGoUnlessTheyAreOpenOrNamed() throws {
    for i in 0..<4 { try append(i..<i + 1, to: "t") }
    let place = lake.location(.dataset, "t")
    _ = try place.setTag("kept", .number(1))
    let open = try LanceTable(place, version: .number(2))
    var options = UpkeepOptions()
    options.keepVersionsSeconds = 3600
    #expect(try LakeUpkeep(lake, options).pass().isEmpty)
    options.keepVersionsSeconds = 0
    let clean = try LakeUpkeep(lake, options).pass()
    withExtendedLifetime(open) {}
    #expect(clean.map { $0.cleanup?.versionsRemoved } == [[3]] && clean[0].cleanup?.inUse == [2])
    #expect(try ids("t") == [0, 1, 2, 3])
  }

  /// What fails rests, longer each time, and is no obstacle to the rest.
  @Test func aStepThatFailsRests() throws {
    for name in ["a", "b"] { for i in 0..<10 { try append(i * 5..<i * 5 + 5, to: name) } }
    let file = try #require(try lake.store.list("datasets/a.lance/data", recursive: true).first)
    var bytes = try lake.store.read(file.path).array()
    bytes[0] ^= 1
    try lake.store.put(file.path, bytes)
    let clock = Clock()
    let upkeep = LakeUpkeep(lake, now: { clock.now })
    let first = try upkeep.pass()
    try #require(first.map(\.table) == ["a", "b"])
    #expect(first[0].failures.map(\.step) == ["compact"] && first[0].failures[0].failure.code == .corruptData)
    #expect(first[1].compaction?.fragmentsAdded == 1 && first[1].failures.isEmpty)
    #expect(try upkeep.pass().isEmpty)
    clock.pass(601)
    #expect(try upkeep.pass().map(\.table) == ["a"])
    clock.pass(601)
    #expect(try upkeep.pass().isEmpty)
    clock.pass(600)
    #expect(try upkeep.pass().map(\.failures.count) == [1])
    // Nothing was lost, and it goes on when the file is whole again.
    bytes[0] ^= 1
    try lake.store.put(file.path, bytes)
    clock.pass(86400)
    #expect(try upkeep.pass().map { $0.compaction?.fragmentsAdded } == [1])
    #expect(try ids("a") == (0..<50).map { Int64($0) })
  }

  /// Slow work ends soon after it is told to, and leaves the table as it was.
  @Test func stopsWhenTold() throws {
    for i in 0..<10 { try append(i * 1000..<i * 1000 + 1000, to: "t") }
    var options = UpkeepOptions()
    options.bytesPerSecond = 1000
    let start = ContinuousClock.now
    let reports = try Cancellation.within(stop: { ContinuousClock.now - start > .milliseconds(200) }) { () throws(Failure) in
      try LakeUpkeep(lake, options).pass()
    }
    #expect(reports.isEmpty && ContinuousClock.now - start < .seconds(20))
    let table = try lake.open(.dataset, "t")
    #expect(table.version == 10 && table.fragments.count == 10)
    #expect(try lake.store.list("datasets/t.lance/data", recursive: true).count == 10)
  }

  /// Told to stop at any moment: joining, indexing, cleaning up. The table is whole, and the next pass does what is left.
  @Test func mayBeStoppedAnywhere() throws {
    var options = UpkeepOptions()
    options.bytesPerSecond = nil
    options.fewestRowsToIndex = 1
    options.keepVersionsSeconds = 0
    var steps = 0
    var moment = 0
    var isStopped = true
    while isStopped {
      let name = "t\(moment)"
      try append(0..<100, to: name)
      let place = lake.location(.dataset, name)
      _ = try place.createIndex(on: "id")
      for i in 1..<10 { try append(i * 100..<i * 100 + 100, to: name) }
      let left = Mutex(moment)
      let stop: @Sendable () -> Bool = {
        left.withLock { left in
          left -= 1
          return left < 0
        }
      }
      let upkeep = LakeUpkeep(lake, options)
      for report in try Cancellation.within(stop: stop, { () throws(Failure) in try upkeep.pass() }) {
        #expect(report.failures.isEmpty)
      }
      isStopped = left.withLock { $0 < 0 }
      #expect(try ids(name) == (0..<1000).map { Int64($0) }, "stopped at moment \(moment)")
      #expect(try place.verify(.allVersions).isGood)
      for _ in 0..<3 { _ = try upkeep.pass() }
      // Fragments that different indices cover are not joined.
      #expect(try lake.open(.dataset, name).fragments.count <= 2)
      #expect(try lake.open(.dataset, name).indexList().map(\.unindexedRows) == [0])
      #expect(try place.versionList().count == 1)
      try lake.deleteDataset(name)
      moment += isStopped ? 1 + moment / 8 : 0
      steps += 1
    }
    #expect(steps > 10)
  }

  /// A pass that changed something, or during which others wrote, is followed by another look.
  @Test func looksAgainAfterWork() throws {
    var options = UpkeepOptions()
    options.bytesPerSecond = nil
    options.keepVersionsSeconds = nil
    for i in 0..<10 { try append(i..<i + 1, to: "t") }
    let upkeep = LakeUpkeep(lake, options)
    #expect(try upkeep.pass().map { $0.compaction?.fragmentsAdded } == [1])
    for i in 10..<19 { try append(i..<i + 1, to: "t") }
    #expect(try upkeep.pass().map { $0.compaction?.isChanged } == [true])
    #expect(try upkeep.pass().isEmpty && upkeep.pass().isEmpty)
    // Deleted and made anew with as many versions: another table.
    let version = try lake.open(.dataset, "t").version
    try lake.deleteDataset("t")
    for i in 0..<Int(version) { try append(i..<i + 1, to: "t") }
    #expect(try lake.open(.dataset, "t").version == version)
    #expect(try upkeep.pass().map { $0.compaction?.fragmentsAdded } == [1])
  }

  /// Another process is one that has its own lock on the manifest.
  @Test func versionsOpenElsewhereStay() throws {
    let root = temporaryFolder()
    let local = try DataLake(root: root)
    for i in 0..<3 { try append(i..<i + 1, to: "t", in: local) }
    let place = local.location(.dataset, "t")
    let manifest = try #require(
      try local.store.list("datasets/t.lance/_versions", recursive: false).filter { $0.name.hasSuffix(".manifest") }.last?.path)
    #expect(try !local.store.isHeld(manifest))
    let hold = try #require(try LocalStore(root: root).hold(manifest))
    let isHeld = try withExtendedLifetime(hold) { try local.store.isHeld(manifest) }
    #expect(isHeld)
    var options = CleanupOptions()
    options.olderThanSeconds = 0
    let report = try withExtendedLifetime(hold) { try place.cleanup(options) }
    #expect(report.inUse == [1] && report.versionsRemoved == [2])  // names go down as versions go up
    #expect(try local.store.hold("datasets/t.lance/none") == nil && !local.store.isHeld("datasets/t.lance/none"))
  }
}
