import Columnar
import Core
import LanceProto
import LanceTable
import ObjectStore
import Synchronization
import TestSupport
import Testing

@Suite("Commits side by side")
struct ConflictTests {
  /// Rows of one id; before they are given out, `meanwhile` runs: what another writer does during our write.
  final class Slow: RecordBatchReader {
    let schema = SampleRows.schema
    private var ids: [Int]
    private let meanwhile: () throws -> Void
    init(_ ids: [Int], _ meanwhile: @escaping () throws -> Void) {
      self.ids = ids
      self.meanwhile = meanwhile
    }
    func next() throws(Failure) -> RecordBatch? {
      if ids.isEmpty { return nil }
      do {
        try meanwhile()
        defer { ids = [] }
        return try SampleRows.batch(ids)
      } catch { throw Failure.wrapping(error) }
    }
  }

  func table() throws -> TableLocation {
    let location = TableLocation(MemoryStore(), "t.lance")
    try LanceTable.write(SampleRows.reader([0]), to: location, mode: .create)
    return location
  }
  func write(_ ids: [Int], _ location: TableLocation, _ mode: WriteMode) throws {
    try LanceTable.write(SampleRows.reader(ids), to: location, mode: mode)
  }

  /// Commits a version that `change` makes of the newest one, as a foreign writer would.
  func commit(_ location: TableLocation, _ change: (inout PBManifest, inout PBTransaction) -> Void) throws {
    let listing = try VersionListing(location)
    let latest = try #require(listing.latest)
    var file = try location.manifest(latest, listing.naming)
    var transaction = PBTransaction()
    transaction.readVersion = latest
    transaction.uuid = randomUUID()
    file.manifest.version = latest + 1
    change(&file.manifest, &transaction)
    file.transaction = transaction
    try location.store.put("t.lance/_versions/\(listing.naming.name(of: latest + 1))", try file.encoded())
  }

  @Test func appendGoesOnTopOfAppend() throws {
    let location = try table()
    let mine = try LanceTable.write(Slow([1]) { try write([2], location, .append) }, to: location, mode: .append)
    #expect(mine.version == 3 && mine.fragments.map(\.id) == [0, 1, 2])
    #expect(try SampleRows.difference(mine, [0, 2, 1]) == nil)
  }

  @Test func appendConflictsWithOverwrite() throws {
    let location = try table()
    let before = try location.store.list("t.lance/data", recursive: true).count
    let error = failure {
      try LanceTable.write(Slow([1]) { try write([2], location, .overwrite) }, to: location, mode: .append)
    }
    #expect(error?.code == .versionConflict)
    #expect(
      error?.message == "table 't': the append that began on version 1 conflicts with version 2: it replaced the table")
    #expect(error?.details["version"] == 2)
    #expect(try SampleRows.difference(LanceTable(location), [2]) == nil)
    #expect(try location.store.list("t.lance/data", recursive: true).count == before + 1)
  }

  @Test func overwriteGoesOnTopOfAll() throws {
    let location = try table()
    let mine = try LanceTable.write(
      Slow([1]) {
        try write([2], location, .append)
        try write([3], location, .overwrite)
      }, to: location, mode: .overwrite)
    #expect(mine.version == 4 && mine.fragments.map(\.id) == [3])
    #expect(try SampleRows.difference(mine, [1]) == nil)
  }

  @Test func createLosesAgainstCreate() throws {
    let location = TableLocation(MemoryStore(), "t.lance")
    let error = failure { try LanceTable.write(Slow([1]) { try write([2], location, .create) }, to: location, mode: .create) }
    #expect(error?.message == "table 't' exists already (version 1)")
    #expect(try SampleRows.difference(LanceTable(location), [2]) == nil)
  }

  @Test func appendToADeletedTable() throws {
    let location = try table()
    let error = failure {
      try LanceTable.write(Slow([1]) { try location.store.deleteTree("t.lance") }, to: location, mode: .append)
    }
    #expect(error?.message == "table 't' was deleted while the append was written")
    #expect(try location.store.list("", recursive: true).isEmpty)
  }

  /// What the operations of other writers mean for our append (shared/design/lance.md, part 16).
  @Test func appendAgainstForeignOperations() throws {
    func append(over change: @escaping (inout PBManifest, inout PBTransaction) -> Void) throws -> Failure? {
      let location = try table()
      return failure { try LanceTable.write(Slow([1]) { try commit(location, change) }, to: location, mode: .append) }
    }
    let begin = "table 't': the append that began on version 1 conflicts with version 2: "
    #expect(try append { $1.delete = PBDeleteOperation() } == nil)
    #expect(try append { $1.update = PBUpdateOperation() } == nil)
    #expect(try append { $1.createIndex = PBCreateIndexOperation() } == nil)
    #expect(try append { $1.rewrite = PBRewriteOperation() } == nil)
    #expect(try append { $1.updateConfig = PBUpdateConfigOperation() } == nil)
    #expect(try append { $1.project = PBProjectOperation() } == nil)
    #expect(try append { $1.merge = PBMergeOperation() } == nil)
    #expect(try append { $1.restore.version = 1 }?.message == begin + "it restored version 1")
    #expect(try append { _, _ in }?.message == begin + "its operation is not known here")
    #expect(
      try append { manifest, transaction in
        transaction.merge = PBMergeOperation()
        manifest.fields[1].id = 77
      }?.message == begin + "it changed column 'label'")
    #expect(
      try append { manifest, transaction in
        transaction.merge = PBMergeOperation()
        var field = PBField()
        (field.id, field.parentID, field.name, field.logicalType) = (50, -1, "new", "int32")
        manifest.fields.append(field)
      }?.message == begin + "it added column 'new', which does not allow nulls")
    // A version without a transaction: nobody can say whether it fits.
    let location = try table()
    let error = failure {
      try LanceTable.write(
        Slow([1]) {
          var file = try location.manifest(1, .v2)
          file.manifest.version = 2
          file.manifest.transactionFile = ""
          file.transaction = nil
          try location.store.put("t.lance/_versions/\(ManifestNaming.v2.name(of: 2))", try file.encoded())
        }, to: location, mode: .append)
    }
    #expect(error?.message == begin + "it does not say what it changed (no transaction)")
  }

  /// Eight threads append 25 rows each, one at a time: none is lost, none is there twice, versions have no gap.
  @Test(arguments: ["memory", "local"]) func manyAppenders(_ kind: String) throws {
    let store: any ObjectStore = kind == "memory" ? MemoryStore() : try LocalStore(root: temporaryFolder())
    let location = TableLocation(store, "t.lance")
    try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .create)
    let (writers, each) = (8, kind == "memory" ? 25 : 8)
    let failures = Mutex<[String]>([])
    let acknowledged = Mutex<[Int64]>([])
    let threads = Parallel.threads
    Parallel.setThreads(writers)
    defer { Parallel.setThreads(threads) }
    Parallel.forEach(count: writers, grain: 1) { range in
      for writer in range {
        for i in 0..<each {
          let id = writer * 1000 + i
          do {
            try LanceTable.write(SampleRows.reader([id]), to: location, mode: .append)
            acknowledged.withLock { $0.append(Int64(id)) }
          } catch {
            // Giving up after 20 lost races is allowed; losing a row that was acknowledged is not.
            if (error as? Failure)?.code != .versionConflict { failures.withLock { $0.append("\(error)") } }
          }
        }
      }
    }
    #expect(failures.withLock { $0 } == [])
    let table = try LanceTable(location)
    let expected = acknowledged.withLock { $0 }.sorted()
    #expect(values(try table.take(Array(0..<table.rowCount), columns: ["id"]).columns[0], Int64.self).sorted() == expected)
    #expect(expected.count > writers * each * 3 / 4)
    #expect(try VersionListing(location).versions == Array(1...UInt64(expected.count + 1)))
    #expect(Set(table.fragments.map(\.id)).count == table.fragments.count)
    // Every fragment's file is there, and no other.
    #expect(try store.list("t.lance/data", recursive: true).count == expected.count)
    #expect(try store.list("t.lance/_transactions", recursive: true).count == expected.count + 1)
  }

  @Test func leftoversOfACrashAreHarmless() throws {
    let location = try table()
    for path in [
      "_versions/18446744073709551613.manifest.0011223344556677.tmp", "_versions/18446744073709551613.manifest#1",
      "data/0101.lance.00ff00ff00ff00ff.tmp", "data/orphan.lance", "_transactions/1-dead.txn",
      "_versions/latest_version_hint.json",
    ] { try location.store.put("t.lance/\(path)", Array("{\"version\":99}".utf8)) }
    #expect(try LanceTable(location).version == 1)
    try write([5], location, .append)
    #expect(try SampleRows.difference(LanceTable(location), [0, 5]) == nil)
  }
}
