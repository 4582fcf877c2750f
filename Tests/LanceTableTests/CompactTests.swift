import Columnar
import Core
import Foundation
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@Suite("Compaction") struct CompactTests {
  /// One fragment for each list of ids.
  private func table(_ parts: [[Int]], _ version: LanceFileVersion = .default) throws -> TableLocation {
    let location = TableLocation(MemoryStore(), "t.lance")
    var options = WriteOptions()
    options.fileVersion = version
    for (i, ids) in parts.enumerated() {
      try LanceTable.write(SampleRows.reader(ids), to: location, mode: i == 0 ? .create : .append, options: options)
    }
    return location
  }
  private func options(target: Int) -> CompactOptions {
    var options = CompactOptions()
    options.targetRowsPerFragment = target
    return options
  }

  @Test(arguments: LanceFileVersion.allCases) func smallFragmentsBecomeOne(_ version: LanceFileVersion) throws {
    let location = try table((0..<8).map { Array($0 * 10..<$0 * 10 + 10) }, version)
    let before = try LanceTable(location)
    var options = CompactOptions()
    options.properties = ["task": "upkeep"]
    let report = try location.compact(options)
    #expect(report.version == 10 && report.isChanged && report.fragmentsRemoved == 8 && report.fragmentsAdded == 1)
    #expect(report.rows == 80 && report.deletedRowsDropped == 0)
    let after = try LanceTable(location)
    #expect(try report.bytesBefore == before.byteCount() && report.bytesAfter == after.byteCount())
    #expect(report.bytesAfter < report.bytesBefore)
    #expect(after.fragments.map(\.id) == [8] && after.fileVersion == version.rawValue)
    #expect(try SampleRows.difference(after, Array(0..<80)) == nil && SampleRows.difference(before, Array(0..<80)) == nil)
    #expect(try location.versionList().suffix(2).map(\.operation) == ["reserve_fragments", "compact"])
    #expect(after.file.transaction?.properties == ["task": "upkeep"])
    #expect(try location.verify(.allVersions).isGood && location.doctor().findings.isEmpty)
    // There is nothing left to do, and the table lives on.
    #expect(try !location.compact(options).isChanged && LanceTable(location).version == 10)
    #expect(try LanceTable.write(SampleRows.reader([80]), to: location, mode: .append).fragments.map(\.id) == [8, 9])
  }

  /// Official readers refuse a table whose fragments do not stand by their ids, and new ones have the highest.
  @Test func rewrittenRowsGoBehindThoseThatStay() throws {
    // 4 and 4 rows join to 8; 30 rows are large enough; 3, 3, 3 and 3 rows become 10 and 2.
    let location = try table([
      [0, 1, 2, 3], [4, 5, 6, 7], Array(8..<38), [38, 39, 40], [41, 42, 43], [44, 45, 46], [47, 48, 49],
    ])
    let report = try location.compact(options(target: 10))
    #expect(report.fragmentsRemoved == 6 && report.fragmentsAdded == 3 && report.rows == 20)
    let after = try LanceTable(location)
    #expect(after.fragments.map(\.rowCount) == [30, 8, 10, 2] && after.fragments.map(\.id) == [2, 7, 8, 9])
    #expect(try SampleRows.difference(after, Array(8..<38) + Array(0..<8) + Array(38..<50)) == nil)
    #expect(try !location.compact(options(target: 10)).isChanged)
  }

  @Test func deletedRowsAreDropped() throws {
    let location = try table([Array(0..<50), Array(50..<100), Array(100..<150)])
    try deleteRows([0, 1, 2, 3, 4], ofFragment: 0, location)  // 10 %: stays
    try deleteRows([0, 7, 8, 9, 48, 49], ofFragment: 1, location)  // 12 %
    let report = try location.compact(options(target: 50))
    #expect(report.fragmentsRemoved == 1 && report.fragmentsAdded == 1 && report.rows == 44 && report.deletedRowsDropped == 6)
    let after = try LanceTable(location)
    #expect(after.fragments.map(\.id) == [0, 2, 3] && after.fragments.map(\.proto.hasDeletionFile) == [true, false, false])
    let gone = Set(Array(0..<5) + [50, 57, 58, 59, 98, 99])
    let order = Array(0..<50) + Array(100..<150) + Array(50..<100)
    #expect(try SampleRows.difference(after, order.filter { !gone.contains($0) }) == nil)
    // Fragments that no longer have a row disappear.
    try deleteRows((0..<50).map { UInt32($0) }, ofFragment: 1, location)
    let empty = try location.compact(options(target: 44))
    #expect(empty.fragmentsRemoved == 1 && empty.fragmentsAdded == 0)
    #expect(try LanceTable(location).fragments.map(\.id) == [0, 3])
  }

  /// Fragments are joined only with those that the same indices cover, and leave the indices' bitmaps.
  @Test func indicesForgetRewrittenFragments() throws {
    let location = try table([[0], [1], [2], [3], [4]])
    var index = PBIndexMetadata()
    index.uuid.uuid = .init(repeating: 7, count: 16)
    index.name = "by_id"
    index.fields = [0]
    index.fragmentBitmap = .init(RoaringBitmap.encode([0, 1, 2]))
    let added = index
    _ = try location.commit(options: ChangeOptions()) { _, _ in CreateIndexIntent(added: [added], removed: []) }
    let report = try location.compact()
    #expect(report.fragmentsRemoved == 5 && report.fragmentsAdded == 2)
    let after = try LanceTable(location)
    let section = try PBIndexSection(serializedBytes: try #require(after.file.indexSection))
    #expect(section.indices.map(\.name) == ["by_id"])
    #expect(try RoaringBitmap.decode(Array(section.indices[0].fragmentBitmap), what: "x").isEmpty)
    #expect(try SampleRows.difference(after, Array(0..<5)) == nil)
  }

  /// A store that lets somebody else work before the n-th new file is begun.
  private final class Interrupted: ObjectStore {
    private let base: any ObjectStore
    private let meanwhile: Mutex<[@Sendable () throws -> Void]>
    init(_ base: any ObjectStore, _ meanwhile: [@Sendable () throws -> Void]) {
      self.base = base
      self.meanwhile = Mutex(meanwhile)
    }
    var name: String { base.name }
    func read(_ path: String) throws(Failure) -> Buffer { try base.read(path) }
    func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer { try base.read(path, range: range) }
    func head(_ path: String) throws(Failure) -> ObjectInfo? { try base.head(path) }
    func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] { try base.list(folder, recursive: recursive) }
    func put(_ path: String, _ bytes: [UInt8]) throws(Failure) { try base.put(path, bytes) }
    func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult { try base.putIfAbsent(path, bytes) }
    func create(_ path: String) throws(Failure) -> any ObjectWriter {
      let next = meanwhile.withLock { $0.isEmpty ? nil : $0.removeFirst() }
      do { try next?() } catch { throw Failure.wrapping(error) }
      return try base.create(path)
    }
    func delete(_ path: String) throws(Failure) { try base.delete(path) }
    func deleteTree(_ folder: String) throws(Failure) { try base.deleteTree(folder) }
    func moveTree(_ folder: String, to target: String) throws(Failure) { try base.moveTree(folder, to: target) }
  }

  @Test func othersWorkMeanwhile() throws {
    let location = try table([[0, 1], [2, 3], [4, 5]])
    let slow = TableLocation(
      Interrupted(
        location.store,
        [
          // An append stays where it is; a delete in a fragment that is being rewritten starts the work anew.
          { try LanceTable.write(SampleRows.reader([6]), to: location, mode: .append) }
        ]), location.folder)
    let report = try slow.compact()
    #expect(report.fragmentsRemoved == 3 && report.fragmentsAdded == 1)
    #expect(try LanceTable(location).fragments.map(\.id) == [3, 4])
    #expect(try SampleRows.difference(LanceTable(location), [6] + Array(0..<6)) == nil)
    let filter = RowFilter(columns: ["id"], text: "id = 3") { batch throws(Failure) in
      let ids = values(try batch.column("id"), Int64.self)
      return ids.indices.filter { ids[$0] == 3 }.map { Int32($0) }
    }
    let again = TableLocation(Interrupted(location.store, [{ _ = try location.delete(where: filter) }]), location.folder)
    #expect(try again.compact().deletedRowsDropped == 1)
    #expect(try SampleRows.difference(LanceTable(location), [6, 0, 1, 2, 4, 5]) == nil)
    #expect(try LanceTable(location).fragments.count == 1)
    // Nothing of the first attempt is left.
    let needed = Set(
      try VersionListing(location).versions.flatMap { version in
        try location.manifest(version, .v2).manifest.fragments.flatMap(\.files).map { "t.lance/data/\($0.path)" }
      })
    #expect(Set(try location.store.list("t.lance/data", recursive: true).map(\.path)) == needed)
    // One that is deleted and made anew under the same name, with the same numbers of versions and fragments, is another table.
    for rows in [2, 5] {
      let old = try table([[0, 1, 2, 3]])
      try deleteRows([1, 2], ofFragment: 0, old)
      let anew = TableLocation(
        Interrupted(
          old.store,
          [
            {
              try old.store.deleteTree(old.folder)
              for i in 0..<rows {
                try LanceTable.write(SampleRows.reader([100 + i]), to: old, mode: i == 0 ? .create : .append)
              }
            }
          ]), old.folder)
      let error = failure { _ = try anew.compact() }
      #expect(
        error?.code == .versionConflict && error?.message.contains("was deleted and made anew") == true, "\(error as Any)")
      #expect(try SampleRows.difference(LanceTable(old), (0..<rows).map { 100 + $0 }) == nil)
    }
    // A table that is replaced meanwhile is not compacted.
    try LanceTable.write(SampleRows.reader([7]), to: location, mode: .append)
    let replaced = TableLocation(
      Interrupted(location.store, [{ try LanceTable.write(SampleRows.reader([9]), to: location, mode: .overwrite) }]),
      location.folder)
    #expect(failure { _ = try replaced.compact() }?.code == .versionConflict)
    #expect(try SampleRows.difference(LanceTable(location), [9]) == nil)
  }

  @Test func littleMemory() throws {
    let location = try table([Array(0..<3000), Array(3000..<5000)])
    var options = CompactOptions()
    options.memoryBytes = 100_000
    #expect(try location.compact(options).rows == 5000)
    #expect(try SampleRows.difference(LanceTable(location), Array(0..<5000)) == nil)
  }

  @Test func refusals() throws {
    let location = try table([[0], [1]])
    #expect(failure { _ = try location.compact(options(target: 0)) }?.code == .invalidArgument)
    #expect(failure { _ = try TableLocation(MemoryStore(), "x").compact() }?.code == .datasetNotFound)
  }

  /// Rows of 64 KiB in 1 MiB of memory: no batch takes more than its quarter, from the first one on.
  @Test func wideRowsKeepToTheMemory() throws {
    var random = SeededRandom(seed: 4)
    let location = TableLocation(MemoryStore(), "t.lance")
    func bytes() -> [UInt8] { (0..<64 << 10).map { _ in UInt8.random(in: 0...255, using: &random) } }
    for part in 0..<3 {
      let batch = try RecordBatch(["blob": try Column.binary((0..<20).map { _ in bytes() })])
      let mode: WriteMode = part == 0 ? .create : .append
      try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: location, mode: mode)
    }
    let before = try LanceTable(location).take(Array(0..<60))
    let largest = Mutex(0)
    var options = CompactOptions()
    options.memoryBytes = 1 << 20
    options.pace = { bytes throws(Failure) in largest.withLock { $0 = max($0, bytes) } }
    #expect(try location.compact(options).fragmentsAdded == 1)
    #expect(largest.withLock { $0 } <= 1 << 18 && largest.withLock { $0 } > 0, "\(largest.withLock { $0 }) bytes at once")
    let after = try LanceTable(location).take(Array(0..<60))
    #expect((0..<60).allSatisfy { before.json(row: $0) == after.json(row: $0) })
  }

  @Test func sparedFragmentsStay() throws {
    let location = try table((0..<5).map { [$0] })
    var options = CompactOptions()
    options.spares = { table throws(Failure) in [table.fragments[2].id] }
    #expect(try location.compact(options).fragmentsRemoved == 4)
    #expect(try LanceTable(location).fragments.map(\.id) == [2, 5, 6])
  }
}
