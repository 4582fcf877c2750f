import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Verify") struct VerifyTests {
  private func table() throws -> TableLocation {
    let location = TableLocation(MemoryStore(), "t.lance")
    var options = WriteOptions()
    options.maxRowsPerFile = 40
    try LanceTable.write(SampleRows.reader(Array(0..<100)), to: location, mode: .create, options: options)
    try deleteRows([1, 2], ofFragment: 1, location)
    try LanceTable.write(SampleRows.reader([100]), to: location, mode: .append)
    return location
  }

  @Test func goodTables() throws {
    let location = try table()
    let newest = try location.verify()
    #expect(newest.isGood && newest.versions == [3] && newest.files.count == 1 + 4 + 1 && newest.goodCount == 6)
    #expect(Set(newest.files.map(\.kind)) == [.manifest, .data, .deletion])
    #expect(newest.byteCount == newest.files.reduce(0) { $0 + $1.byteCount } && newest.byteCount > 40_000)
    let all = try location.verify(.allVersions)
    #expect(all.isGood && all.versions == [1, 2, 3] && all.files.count == 3 + 4 + 1 && all.goodCount == 8)
    let shared = try #require(all.files.first { $0.kind == .data })
    #expect(shared.versions == [1, 2, 3])
    #expect(try location.verify(.version(.number(1))).files.count == 4)
    #expect(failure { _ = try location.verify(.version(.number(9))) }?.code == .versionNotFound)
    #expect(failure { _ = try TableLocation(MemoryStore(), "x").verify(.allVersions) }?.code == .datasetNotFound)
  }

  @Test func everyKindOfDamageIsNamed() throws {
    let location = try table()
    let store = location.store
    // In the order of the fragments; names are random.
    let data = try LanceTable(location).manifest.fragments.flatMap(\.files).compactMap { file in
      try store.head(location.path(of: file))
    }
    let deletion = try #require(store.list("t.lance/_deletions", recursive: true).first)
    func damage(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
      var bytes = try store.read(path).array()
      change(&bytes)
      try store.put(path, bytes)
    }
    try damage(data[0].path) { $0[1000] ^= 1 }
    try damage(data[1].path) { $0.removeLast() }
    try store.delete(data[2].path)
    try damage(deletion.path) { $0[9] ^= 1 }
    try damage("t.lance/_versions/\(ManifestNaming.v2.name(of: 1))") { $0[60] ^= 1 }
    let report = try location.verify(.allVersions)
    #expect(!report.isGood && report.damagedCount == 4 && report.missingCount == 1 && report.goodCount == 3)
    func message(_ path: String) -> String? { report.files.first { $0.path == path }?.message }
    #expect(
      message(data[0].path)?.hasPrefix("bytes 0 to ") == true
        && message(data[0].path)?.hasSuffix(" do not match their checksums") == true)
    #expect(message(data[1].path) == "the file has \(data[1].size - 1) bytes, the manifest says \(data[1].size)")
    #expect(message(data[2].path) == "the file is missing")
    #expect(message(deletion.path)?.hasSuffix("is damaged: its bytes do not match their checksum") == true)
    let json = report.json
    #expect(json["problems"]?.arrayValue?.count == 5 && json["is_good"] == .bool(false) && json["damaged"] == .int(4))
    #expect(json["problems"]?.arrayValue?.allSatisfy { $0["message"]?.stringValue?.isEmpty == false } == true)
    // The reader refuses the same bytes.
    let newest = try LanceTable(location)
    for fragment in 0..<3 { #expect(failure { _ = try newest.read(fragment: fragment) }?.code == .corruptData) }
    #expect(try newest.read(fragment: 3).count == 1)
  }

  /// pylance's files have no checksums: their structure is looked at.
  @Test(arguments: ["basic", "bitmap", "columns", "old"]) func othersTables(_ name: String) throws {
    let location = try golden(name)
    let report = try location.verify(.allVersions)
    #expect(report.isGood && report.goodCount == 0 && report.withoutChecksumCount == report.files.count)
    let memory = try goldenInMemory(name)
    let data = try #require(memory.store.list(memory.path("data"), recursive: true).first)
    let bytes = try memory.store.read(data.path).array()
    try memory.store.put(data.path, Array(bytes.dropLast(4)) + [0, 0, 0, 0])
    #expect(try memory.verify(.allVersions).damagedCount == 1)
  }
}
