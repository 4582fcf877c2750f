import Columnar
import Core
import LanceFile
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Tables with our checksums in the hands of others, and tables of others in the hands of our upkeep.
@Suite("Interop of upkeep", .enabled(if: PythonScript.interpreter != nil, "MOONLAKE_PYTHON is not set"))
struct UpkeepInteropTests {
  private func place() throws -> (location: TableLocation, path: String, python: PythonScript) {
    let store = try LocalStore(root: temporaryFolder())
    return (TableLocation(store, "t.lance"), store.root + "/t.lance", try PythonScript("lance_table"))
  }

  @Test(arguments: LanceFileVersion.allCases) func checksumsDisturbNobody(_ version: LanceFileVersion) throws {
    let (location, path, python) = try place()
    var options = WriteOptions()
    options.maxRowsPerFile = 100
    options.fileVersion = version
    try LanceTable.write(SampleRows.reader(Array(0..<250)), to: location, mode: .create, options: options)
    let odd = RowFilter(columns: ["id"], text: "id % 2 = 1") { batch throws(Failure) in
      let ids = values(try batch.column("id"), Int64.self)
      return ids.indices.filter { ids[$0] % 2 == 1 }.map { Int32($0) }
    }
    _ = try location.delete(where: odd)
    let ours = try location.verify(.allVersions)
    #expect(ours.isGood && ours.withoutChecksumCount == 0 && ours.files.count { $0.kind == .deletion } == 3)
    var ids = Array(stride(from: 0, to: 250, by: 2))
    try python.run("check", path, PythonScript.ranges(ids))
    try python.run("write", path, "300-309", "append")
    try python.run("delete", path, "id = 4 OR id = 305")
    ids = (ids + Array(300..<310)).filter { $0 != 4 && $0 != 305 }
    try python.run("check", path, PythonScript.ranges(ids))
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    let mixed = try location.verify(.allVersions)
    #expect(mixed.isGood && mixed.withoutChecksumCount > 0 && mixed.goodCount == ours.goodCount)
    // Ours compacts what both wrote; theirs reads it, and compacts it again.
    let report = try location.compact()
    #expect(report.fragmentsAdded == 1 && report.rows == ids.count)
    try python.run("check", path, PythonScript.ranges(ids))
    try python.run("write", path, "400-401", "append")
    try python.run("compact", path)
    ids += [400, 401]
    #expect(try SampleRows.difference(LanceTable(location), ids) == nil)
    #expect(try location.verify().isGood && location.doctor().isHealthy)
    try python.run("others", path)
    #expect(try location.verify(.allVersions).isGood)
    // Their cleanup knows our files, ours theirs.
    try python.run("cleanup", path)
    #expect(try VersionListing(location).versions.count == 1 && location.verify(.allVersions).isGood)
  }

  @Test func ourCleanupKnowsTheirFiles() throws {
    let (location, path, python) = try place()
    try python.run("write", path, "0-99", "create")
    try python.run("index", path)
    try python.run("delete", path, "id < 10")
    try python.run("write", path, "100-109", "append")
    try python.run("compact", path)
    var options = CleanupOptions()
    options.olderThanSeconds = 0
    options.unreferencedOlderThanSeconds = 0
    #expect(try location.cleanup(options).versionsRemoved.count >= 3)
    try python.run("check", path, "10-109")
    try python.run("query-index", path, "77")
    #expect(try location.verify(.allVersions).isGood)
    // Their index survives a compaction of ours: rewritten rows are searched without it.
    for id in 200..<204 { try python.run("write", path, "\(id)", "append") }
    #expect(try location.compact().isChanged)
    try python.run("check", path, "10-109,200-203")
    try python.run("query-index", path, "201")
    try python.run("query-index", path, "77")
  }
}
