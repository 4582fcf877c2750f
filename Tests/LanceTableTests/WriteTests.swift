import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@Suite("Writing tables")
struct WriteTests {
  func memory() -> TableLocation { TableLocation(MemoryStore(), "t.lance") }
  func options(_ rows: Int) -> WriteOptions {
    var options = WriteOptions()
    options.maxRowsPerFile = rows
    return options
  }

  @Test func createAppendOverwrite() throws {
    let location = TableLocation(try LocalStore(root: temporaryFolder()), "t.lance")
    let first = try LanceTable.write(SampleRows.reader(Array(0..<1000)), to: location, mode: .create, options: options(400))
    #expect(
      first.version == 1 && first.fragments.map(\.id) == [0, 1, 2] && first.fragments.map(\.rowCount) == [400, 400, 200])
    #expect(try SampleRows.difference(first, Array(0..<1000)) == nil)
    let second = try LanceTable.write(SampleRows.reader(Array(1000..<1010)), to: location, mode: .append)
    #expect(second.version == 2 && second.fragments.map(\.id) == [0, 1, 2, 3])
    #expect(try SampleRows.difference(LanceTable(location), Array(0..<1010)) == nil)
    let third = try LanceTable.write(SampleRows.reader([7, 8]), to: location, mode: .overwrite)
    #expect(third.version == 3 && third.fragments.map(\.id) == [4])
    #expect(try SampleRows.difference(LanceTable(location), [7, 8]) == nil)
    // Old versions stay.
    #expect(try SampleRows.difference(LanceTable(location, version: .number(2)), Array(0..<1010)) == nil)
    #expect(try SampleRows.difference(first, Array(0..<1000)) == nil)
    #expect(try location.versionList().map(\.operation) == ["create", "append", "overwrite"])
    #expect(try location.store.list("t.lance/_transactions", recursive: true).count == 3)
    #expect(try location.store.list("t.lance/data", recursive: true).count == 5)
    #expect(try location.store.list("", recursive: true).allSatisfy { !$0.path.hasSuffix(".tmp") })
    #expect(
      String(decoding: try location.store.read("t.lance/_versions/latest_version_hint.json").array(), as: UTF8.self)
        == "{\"version\":3}")
    #expect(
      try second.byteCount() == location.store.list("t.lance/data", recursive: true).reduce(0) { $0 + $1.size }
        - third.byteCount())
  }

  @Test(arguments: LanceFileVersion.allCases) func allFileVersions(_ version: LanceFileVersion) throws {
    let location = memory()
    var options = options(70)
    options.fileVersion = version
    // Version 2.0 cannot hold what our sample has of nullable lists only if the writer says so; then the error names it.
    let table = try LanceTable.write(SampleRows.reader(Array(0..<200)), to: location, mode: .create, options: options)
    #expect(table.fileVersion == version.rawValue)
    #expect(try SampleRows.difference(LanceTable(location), Array(0..<200)) == nil)
    // An append keeps to it, whatever the options say.
    let longer = try LanceTable.write(SampleRows.reader([200]), to: location, mode: .append)
    #expect(longer.manifest.fragments.last?.files.first?.fileMinorVersion == version.minor)
    #expect(try SampleRows.difference(longer, Array(0...200)) == nil)
  }

  @Test func manifestOfOurs() throws {
    let location = memory()
    var options = WriteOptions()
    options.properties = ["task": "task-001"]
    try LanceTable.write(SampleRows.reader([0]), to: location, mode: .create, options: options)
    let file = try location.manifest(1, .v2)
    let manifest = file.manifest
    #expect(manifest.writerVersion.library == "moonlake" && manifest.writerVersion.version == "0.1.0")
    #expect(manifest.hasMaxFragmentID && manifest.maxFragmentID == 0 && manifest.dataFormat.version == "2.2")
    #expect(abs(Double(manifest.timestamp.seconds) - Instant.now.timeInterval) < 60)
    #expect(manifest.readerFeatureFlags == 0 && manifest.writerFeatureFlags == 0)
    #expect(manifest.hasTransactionSection && !manifest.hasTransactionSectionRecent)
    // The same transaction inline and as a file.
    let transaction = try #require(file.transaction)
    #expect(transaction.properties == ["task": "task-001"] && transaction.readVersion == 0)
    let path = "t.lance/_transactions/\(manifest.transactionFile)"
    #expect(manifest.transactionFile == "0-\(transaction.uuid).txn")
    #expect(try PBTransaction(serializedBytes: location.store.read(path).array()) == transaction)
    let data = try #require(manifest.fragments.first?.files.first)
    #expect(data.path.utf8.count == 24 + 26 + 6 && data.path.prefix(24).allSatisfy { $0 == "0" || $0 == "1" })
    #expect(Int(data.fileSizeBytes) == (try location.store.head("t.lance/data/\(data.path)")?.size))
    #expect(data.columnIndices == Array(0..<Int32(data.fields.count)))
  }

  @Test func emptyTables() throws {
    let location = memory()
    let empty = try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .create)
    #expect(empty.rowCount == 0 && empty.fragments.isEmpty && empty.schema == SampleRows.schema)
    #expect(try location.store.list("t.lance/data", recursive: true).isEmpty)
    #expect(try LanceTable(location).scan().next() == nil)
    #expect(try LanceTable(location).take([]).count == 0)
    // An append of nothing is no version.
    #expect(try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .append).version == 1)
    #expect(try LanceTable.write(SampleRows.reader([3]), to: location, mode: .append).fragments.map(\.id) == [0])
    #expect(try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .overwrite).rowCount == 0)
    #expect(try LanceTable.write(SampleRows.reader([3]), to: location, mode: .append).fragments.map(\.id) == [1])
  }

  @Test func modesSayWhatIsWrong() throws {
    let location = memory()
    #expect(
      failure { try LanceTable.write(SampleRows.reader([1]), to: location, mode: .append) }?.message
        == "there is no table at 't.lance' in memory:")
    try LanceTable.write(SampleRows.reader([1]), to: location, mode: .overwrite)
    let exists = failure { try LanceTable.write(SampleRows.reader([1]), to: location, mode: .create) }
    #expect(exists?.code == .alreadyExists && exists?.message == "table 't' exists already (version 1)")
  }

  @Test func appendsAreCheckedAgainstTheSchema() throws {
    let location = memory()
    let schema = Schema([
      Field("id", .int64, isNullable: false), Field("label", .int32),
      Field("tags", .list(Field("element", .utf8, isNullable: false))),
    ])
    try LanceTable.write(InMemoryReader(schema: schema, []), to: location, mode: .create)
    func append(_ columns: KeyValuePairs<String, Column>) -> Failure? {
      failure {
        let batch = try RecordBatch(columns)
        try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: location, mode: .append)
      }
    }
    let id = try Column.int64([1])
    #expect(
      append(["id": id, "label": try Column.utf8(["x"])])?.message
        == "column 'label' is Int32 in table 't' and String in the data")
    #expect(
      append(["id": id, "lable": id])?.message
        == "table 't' has no column 'lable'; did you mean 'label'? columns are: id, label, tags")
    #expect(
      append(["label": try Column.int32([1])])?.message
        == "column 'id' of table 't' does not allow nulls and is missing in the data")
    #expect(
      append(["id": try Column.int64([1, nil, nil])])?.message
        == "column 'id' of table 't' does not allow nulls; the data has 2 in one batch")
    #expect(try LanceTable(location).version == 1)
    #expect(try location.store.list("t.lance/data", recursive: true).isEmpty)
    // Another order, other names of items and columns left out are fine.
    let tags = try Column.list(try Column.utf8(["a", "b"]), lengths: [2])
    #expect(append(["tags": tags, "id": id]) == nil)
    let table = try LanceTable(location)
    #expect(table.rowCount == 1 && table.schema == schema)
    #expect(try table.take([0]).json(row: 0) == ["id": 1, "label": .null, "tags": ["a", "b"]])
  }

  @Test func columnsThatCannotBeStoredAreNamed() throws {
    let names = try Column.vectors(.float32, size: 1, count: 0, buffer: Buffer(byteCount: 0))
    let bad = Schema([Field("names", .fixedSizeList(Field("item", .utf8), size: 2))])
    let message = failure { try LanceTable.write(InMemoryReader(schema: bad, []), to: memory(), mode: .create) }?.message
    #expect(message?.hasPrefix("table 't': column 'names': ") == true, "\(message ?? "")")
    let twice = Schema([Field("a", names.type), Field("a", names.type)])
    #expect(
      failure { try LanceTable.write(InMemoryReader(schema: twice, []), to: memory(), mode: .create) }?.message
        == "table 't': two columns are named 'a'")
  }

  /// A stream that fails after some batches.
  final class Failing: RecordBatchReader {
    let schema = SampleRows.schema
    var left = 5
    func next() throws(Failure) -> RecordBatch? {
      left -= 1
      if left == 0 { throw Failure(.cancelled, "enough") }
      do { return try SampleRows.batch(Array(0..<100)) } catch { throw Failure.wrapping(error) }
    }
  }

  @Test func failuresLeaveNothingBehind() throws {
    let location = TableLocation(try LocalStore(root: temporaryFolder()), "t.lance")
    #expect(
      failure { try LanceTable.write(Failing(), to: location, mode: .create, options: options(150)) }?.message == "enough")
    #expect(try location.store.list("", recursive: true).isEmpty)
    try LanceTable.write(SampleRows.reader([1]), to: location, mode: .create)
    let before = try location.store.list("", recursive: true).map(\.path)
    #expect(failure { try LanceTable.write(Failing(), to: location, mode: .append, options: options(150)) } != nil)
    #expect(try location.store.list("", recursive: true).map(\.path) == before)
  }

  @Test func unknownWriterFeaturesAndFieldsAreRespected() throws {
    let location = memory()
    try LanceTable.write(SampleRows.reader([1]), to: location, mode: .create)
    var file = try location.manifest(1, .v2)
    file.manifest.config = ["lance.auto_cleanup.interval": "20"]
    file.indexSection = [0x0a, 0x02, 0x1a, 0x00]
    // A field that nobody knows yet: 27, a string.
    try file.manifest.merge(serializedBytes: [0xda, 0x01, 0x03, 0x6e, 0x65, 0x77])
    let path = "t.lance/_versions/18446744073709551614.manifest"
    try location.store.put(path, try file.encoded())
    let next = try LanceTable.write(SampleRows.reader([2]), to: location, mode: .append)
    #expect(next.config == ["lance.auto_cleanup.interval": "20"] && next.manifest.writerFeatureFlags == 8)
    let derived = try location.manifest(2, .v2)
    #expect(derived.indexSection == [0x0a, 0x02, 0x1a, 0x00])
    #expect(Array(derived.manifest.unknownFields.data) == [0xda, 0x01, 0x03, 0x6e, 0x65, 0x77])
    // An overwrite empties the index section and keeps the settings.
    let replaced = try LanceTable.write(SampleRows.reader([2]), to: location, mode: .overwrite)
    #expect(try location.manifest(3, .v2).indexSection == nil && replaced.config == next.config)
    file = try location.manifest(3, .v2)
    file.manifest.writerFeatureFlags |= 64
    try location.store.put("t.lance/_versions/18446744073709551612.manifest", try file.encoded())
    #expect(
      failure { try LanceTable.write(SampleRows.reader([2]), to: location, mode: .append) }?.message
        == "table 't' version 3 needs writer features that are not supported: 64 (overlays)")
    #expect(try LanceTable(location).rowCount == 1)
  }
}
