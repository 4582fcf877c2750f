import Columnar
import Core
import Foundation
import LanceFile
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Tables exchanged with the official library in both directions. Needs `MOONLAKE_PYTHON` with pylance 14.0.2
/// (Tests/requirements.txt; `make test` sets it).
@Suite("Interop with pylance", .enabled(if: PythonScript.interpreter != nil, "MOONLAKE_PYTHON is not set"))
struct InteropTests {
  /// A table in a new directory, its path for Python, and a Python.
  func place() throws -> (location: TableLocation, path: String, python: PythonScript) {
    let store = try LocalStore(root: temporaryFolder())
    return (TableLocation(store, "t.lance"), store.root + "/t.lance", try PythonScript("lance_table"))
  }
  func options(_ rows: Int, _ version: LanceFileVersion = .default) -> WriteOptions {
    var options = WriteOptions()
    options.maxRowsPerFile = rows
    options.fileVersion = version
    return options
  }

  @Test(arguments: LanceFileVersion.allCases) func ourTablesAreTheirs(_ version: LanceFileVersion) throws {
    let (location, path, python) = try place()
    let table = try LanceTable.write(
      SampleRows.reader(Array(0..<1000), batchRows: 150), to: location, mode: .create, options: options(400, version))
    #expect(table.fragments.count == 3)
    var ids = Array(0..<1000)
    try python.run("check", path, "0-999")
    // They append, we read; we append, they read; they delete; we append; they compact.
    try python.run("write", path, "1000-1049", "append")
    ids += 1000..<1050
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    try LanceTable.write(SampleRows.reader(Array(1050..<1060)), to: location, mode: .append)
    ids += 1050..<1060
    try python.run("check", path, "0-1059")
    try python.run("delete", path, "id >= 5 AND id < 1055 AND id % 2 = 0")
    ids.removeAll { $0 >= 5 && $0 < 1055 && $0 % 2 == 0 }
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    try LanceTable.write(SampleRows.reader([2000, 2001]), to: location, mode: .append)
    ids += [2000, 2001]
    try python.run("check", path, PythonScript.ranges(ids))
    try python.run("compact", path)
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    try LanceTable.write(SampleRows.reader([3000]), to: location, mode: .append)
    try python.run("check", path, PythonScript.ranges(ids + [3000]))
    #expect(try location.versionList().compactMap(\.operation).count == LanceTable(location).version)
    // Overwritten by us, then by them.
    try LanceTable.write(SampleRows.reader(Array(10..<20)), to: location, mode: .overwrite)
    try python.run("check", path, "10-19")
    try python.run("write", path, "20-90", "overwrite")
    #expect(try SampleRows.difference(LanceTable(location), Array(20...90)) == nil)
    #expect(try SampleRows.difference(LanceTable(location, version: .number(1)), Array(0..<1000)) == nil)
  }

  @Test(arguments: ["2.0", "2.1", "2.2"]) func theirTablesAreOurs(_ version: String) throws {
    let (location, path, python) = try place()
    let settings = "{\"data_storage_version\": \"\(version)\", \"max_rows_per_file\": 700}"
    try python.run("write", path, "0-1999", "create", settings)
    let table = try LanceTable(location)
    #expect(table.fileVersion == version && table.fragments.count == 3)
    #expect(try SampleRows.difference(table, Array(0..<2000)) == nil)
    let positions = [1999, 0, 700, 699, 1234, 1234]
    let taken = try table.take(positions, columns: SampleRows.schema.names)
    let expected = try SampleRows.batch(positions)
    #expect((0..<positions.count).allSatisfy { taken.json(row: $0) == expected.json(row: $0) })
    try LanceTable.write(SampleRows.reader([5000, 5001]), to: location, mode: .append)
    try python.run("check", path, "0-1999,5000,5001")
  }

  @Test func theirIndexSurvivesOurCommits() throws {
    let (location, path, python) = try place()
    try python.run("write", path, "0-499", "create")
    try python.run("index", path)
    try LanceTable.write(SampleRows.reader(Array(500..<600)), to: location, mode: .append)
    try python.run("query-index", path, "77")
    try python.run("query-index", path, "555")
    #expect(try location.versionList().map(\.operation) == ["create", "create_index", "append"])
  }

  @Test func theirStaleHandlesRebaseOverOurs() throws {
    let (location, path, python) = try place()
    try LanceTable.write(SampleRows.reader(Array(0..<50)), to: location, mode: .create)
    try LanceTable.write(SampleRows.reader(Array(50..<60)), to: location, mode: .append)
    try python.run("stale", path, "1", "100-104", "id = 3 OR id = 100")
    // Their delete ran on version 1, which has no row 100.
    let ids = Array(0..<60).filter { $0 != 3 } + Array(100...104)
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    try python.run("check", path, PythonScript.ranges(ids))
  }

  @Test func bothAppendAtOnce() throws {
    let (location, path, python) = try place()
    try LanceTable.write(SampleRows.reader([0]), to: location, mode: .create)
    try python.send("append-each", path, "1000-1019")
    var ours: [Int] = []
    for id in 1...40 {
      do {
        try LanceTable.write(SampleRows.reader([id]), to: location, mode: .append)
        ours.append(id)
      } catch { guard (error as? Failure)?.code == .versionConflict else { throw error } }
      usleep(50_000)
    }
    _ = try python.answer()
    let table = try LanceTable(location)
    let all = [0] + ours + Array(1000...1019)
    #expect(
      values(try table.take(Array(0..<table.rowCount), columns: ["id"]).columns[0], Int64.self).sorted()
        == all.map { Int64($0) })
    let theirs = try python.run("sorted-ids", path).arrayValue?.compactMap(\.intValue)
    #expect(theirs == all.map { Int64($0) })
    #expect(table.version == UInt64(all.count))
  }

  @Test func emptyTablesAreTheirsToo() throws {
    let (location, path, python) = try place()
    try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .create)
    try python.run("write", path, "0-9", "append")
    #expect(try SampleRows.difference(LanceTable(location), Array(0..<10)) == nil)
    try python.run("check", path, "0-9")
  }

  @Test func imagesInTwoFragments() throws {
    let (location, path, python) = try place()
    let count = 3000
    let schema = Schema([Field("image", .vector(.float32, 784)), Field("label", .int64), Field("split", .utf8)])
    let pixels = try Buffer(byteCount: count * 784 * 4)
    let values = pixels.mutableValues(of: Float.self)
    for i in 0..<count { for p in 0..<784 { values[i * 784 + p] = Float((i * 31 + p) % 256) / 255 } }
    let batch = try RecordBatch(
      schema: schema,
      columns: [
        Column.vectors(.float32, size: 784, count: count, buffer: pixels), try Column.int64((0..<count).map { Int64($0 % 10) }),
        try Column.utf8((0..<count).map { $0 % 7 == 0 ? "test" : "train" }),
      ])
    try LanceTable.write(InMemoryReader(schema: schema, [batch]), to: location, mode: .create, options: options(2000))
    try python.run("mnist", path, "\(count)")
    // The images are the file's own memory: nothing is copied, nothing is charged.
    let table = try LanceTable(location)
    let read = try table.read(fragment: 0, columns: ["image"]).columns[0]
    let memory = read.children[0].buffers[0]
    #expect(read.count == 2000 && UInt(bitPattern: memory.pointer + read.children[0].offset * 4) % 64 == 0)
    #expect(
      memory.withBytes { view in memcmp(view.baseAddress! + read.children[0].offset * 4, pixels.pointer, 2000 * 784 * 4) } == 0)
    let again = try table.read(fragment: 0, columns: ["image"]).columns[0]
    #expect(again.children[0].buffers[0].pointer == memory.pointer)
  }
}

extension PythonScript {
  /// `0-9,12`.
  static func ranges(_ ids: [Int]) -> String {
    var parts: [(Int, Int)] = []
    for id in ids {
      if let last = parts.last, last.1 + 1 == id { parts[parts.count - 1].1 = id } else { parts.append((id, id)) }
    }
    return parts.map { $0 == $1 ? "\($0)" : "\($0)-\($1)" }.joined(separator: ",")
  }
}
