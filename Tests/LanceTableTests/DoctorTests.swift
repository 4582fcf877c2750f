import Columnar
import Core
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Doctor") struct DoctorTests {
  /// Versions 1 to 4: rows 0, 0-1, 0-2, 0-3.
  private func table() throws -> TableLocation {
    let location = TableLocation(MemoryStore(), "t.lance")
    try LanceTable.write(SampleRows.reader([0]), to: location, mode: .create)
    for id in 1...3 { try LanceTable.write(SampleRows.reader([id]), to: location, mode: .append) }
    return location
  }
  private func manifest(_ version: UInt64) -> String { "t.lance/_versions/\(ManifestNaming.v2.name(of: version))" }

  @Test func healthy() throws {
    let location = try table()
    let report = try location.doctor()
    #expect(report.isHealthy && report.findings.isEmpty && report.latestVersion == 4 && report.lastGoodVersion == 4)
    #expect(report.json["healthy"] == .bool(true) && report.json["latest_version"] == .int(4))
    #expect(failure { _ = try TableLocation(MemoryStore(), "x").doctor() }?.code == .datasetNotFound)
  }

  @Test(arguments: ["empty", "half", "tail cut", "bad mark", "one bit"]) func damagedNewestManifest(_ kind: String) throws {
    let location = try table()
    let good = try location.store.read(manifest(4)).array()
    var bytes = good
    switch kind {
    case "empty": bytes = []
    case "half": bytes = Array(good[..<(good.count / 2)])
    case "tail cut": bytes.removeLast(16)
    case "bad mark": bytes[bytes.count - 1] = 0
    default: bytes[200] ^= 8
    }
    try location.store.put(manifest(4), bytes)
    // Opening says what is wrong and what is good.
    let error = failure { _ = try LanceTable(location) }
    #expect(error?.code == .corruptData && error?.details["last_good_version"] == .int(3))
    let report = try location.doctor()
    #expect(!report.isHealthy && report.latestVersion == 4 && report.lastGoodVersion == 3 && report.quarantined.isEmpty)
    #expect(report.findings.count == 1)
    let finding = try #require(report.findings.first)
    #expect(
      finding.kind == .damagedManifest && finding.severity == .error && finding.path == manifest(4) && finding.version == 4)
    #expect(finding.message.contains("is damaged"))
    #expect(try location.store.read(manifest(4)).array() == bytes)
    // The repair keeps the bytes and makes the table usable.
    let repaired = try location.doctor(repair: true)
    #expect(repaired.isHealthy && repaired.latestVersion == 3 && repaired.lastGoodVersion == 3)
    #expect(try location.store.read(try #require(repaired.quarantined.first)).array() == bytes)
    #expect(repaired.quarantined[0].hasPrefix("t.lance/_quarantine/"))
    #expect(try SampleRows.difference(LanceTable(location), [0, 1, 2]) == nil)
    #expect(repaired.findings.contains { $0.kind == .staleHint && $0.isRepaired })
    #expect(try location.doctor().findings.isEmpty)
    #expect(try LanceTable.write(SampleRows.reader([9]), to: location, mode: .append).version == 4)
    #expect(try SampleRows.difference(LanceTable(location), [0, 1, 2, 9]) == nil)
  }

  @Test func damagedOldManifestAndHoles() throws {
    let location = try table()
    try location.store.put(manifest(2), [1, 2, 3])
    try LanceTable.write(SampleRows.reader([4]), to: location, mode: .append)
    let report = try location.doctor(repair: true)
    #expect(report.isHealthy && report.latestVersion == 5 && report.lastGoodVersion == 5 && report.quarantined.count == 1)
    #expect(report.findings.map(\.kind) == [.damagedManifest, .versionHole])
    #expect(report.findings[1].message == "of versions 1 to 5, 2 are not there: cleaned up, moved away or lost")
    // Twice the same damage: both are kept.
    try location.store.put(manifest(2), [4])
    let again = try location.doctor(repair: true)
    #expect(again.quarantined != report.quarantined)
    #expect(try location.store.list("t.lance/_quarantine", recursive: true).count == 2)
  }

  @Test func nothingIsMovedWhenNothingIsGood() throws {
    let location = try table()
    for version in 1...4 { try location.store.put(manifest(UInt64(version)), []) }
    let report = try location.doctor(repair: true)
    #expect(!report.isHealthy && report.lastGoodVersion == nil && report.quarantined.isEmpty && report.latestVersion == 4)
    #expect(try VersionListing(location).versions == [1, 2, 3, 4])
  }

  @Test func missingFilesAndWrongSizes() throws {
    let location = try table()
    let newest = try LanceTable(location).manifest.fragments.map { "t.lance/data/\($0.files[0].path)" }
    try location.store.delete(newest[3])
    let bytes = try location.store.read(newest[2]).array()
    try location.store.put(newest[2], bytes + [0])
    let report = try location.doctor(repair: true)
    #expect(!report.isHealthy && report.latestVersion == 4 && report.lastGoodVersion == 2 && report.quarantined.isEmpty)
    #expect(report.findings.map(\.kind) == [.wrongSize, .missingFile])
    #expect(report.findings[0].message == "'\(newest[2])' has \(bytes.count + 1) bytes, version 4 says \(bytes.count)")
    #expect(try SampleRows.difference(LanceTable(location, version: .number(2)), [0, 1]) == nil)
  }

  @Test func bothNamingSchemes() throws {
    let location = try table()
    // A change of scheme from V1 to V2 that stopped after version 1.
    for version in [UInt64(2), 3, 4] {
      try location.store.put("t.lance/_versions/\(version).manifest", try location.store.read(manifest(version)).array())
      try location.store.delete(manifest(version))
    }
    #expect(failure { _ = try LanceTable(location) }?.code == .corruptData)
    let report = try location.doctor()
    #expect(!report.isHealthy && report.findings.map(\.kind) == [.mixedNaming] && report.latestVersion == 4)
    let repaired = try location.doctor(repair: true)
    #expect(repaired.isHealthy && repaired.quarantined.count == 3)
    #expect(try SampleRows.difference(LanceTable(location), [0, 1, 2, 3]) == nil)
    #expect(try location.doctor().findings.isEmpty)
    // Two manifests for one version: nobody can say which is right.
    try location.store.put("t.lance/_versions/4.manifest", try location.store.read(manifest(4)).array())
    #expect(try !location.doctor(repair: true).isHealthy)
  }

  @Test func tagsHintsAndLeftovers() throws {
    let location = try table()
    try location.store.put("t.lance/_refs/tags/gone.json", Array(#"{"version":77}"#.utf8))
    try location.store.put("t.lance/_refs/tags/odd.json", Array("{".utf8))
    try location.store.put("t.lance/_refs/tags/fine.json", Array(#"{"version":2}"#.utf8))
    try location.store.put("t.lance/_versions/latest_version_hint.json", Array(#"{"version":12}"#.utf8))
    try location.store.put("t.lance/data/a.lance.0123456789abcdef.tmp", [1, 2, 3])
    try location.store.put("t.lance/_versions/18446744073709551610.manifest#1", [])
    let report = try location.doctor()
    #expect(report.isHealthy)
    #expect(Set(report.findings.map(\.kind)) == [.danglingTag, .unreadableTag, .staleHint, .leftoverFiles])
    #expect(report.findings.map(\.severity).filter { $0 == .warning }.count == 3)
    #expect(report.findings.last?.message == "2 temporary files (3 bytes) of writers that stopped; cleanup removes old ones")
    _ = try location.doctor(repair: true)
    #expect(
      String(decoding: try location.store.read("t.lance/_versions/latest_version_hint.json").array(), as: UTF8.self)
        == #"{"version":4}"#)
    // An older hint is what a crash between manifest and hint leaves.
    try location.store.put("t.lance/_versions/latest_version_hint.json", Array(#"{"version":3}"#.utf8))
    #expect(try location.doctor().findings.first { $0.kind == .staleHint }?.severity == .note)
  }
}
