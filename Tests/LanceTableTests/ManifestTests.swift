import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Manifests")
struct ManifestTests {
  @Test func names() {
    #expect(ManifestNaming.v2.name(of: 1) == "18446744073709551614.manifest")
    #expect(ManifestNaming.v1.name(of: 12) == "12.manifest")
    for version in [1, 2, 999, UInt64.max / 2, UInt64.max - 1] {
      #expect(ManifestNaming.parse(ManifestNaming.v2.name(of: version))?.version == version)
      #expect(ManifestNaming.parse(ManifestNaming.v2.name(of: version))?.scheme == .v2)
    }
    #expect(ManifestNaming.parse("7.manifest")?.version == 7)
    #expect(ManifestNaming.parse("7.manifest")?.scheme == .v1)
    for name in [
      "18446744073709551614.manifest#1", "18446744073709551614.manifest.0123456789abcdef.tmp", "d12.manifest", ".manifest",
      "x.manifest", "latest_version_hint.json", "0.manifest", "007.manifest", "18446744073709551615.manifest",
      "99999999999999999999.manifest", "+1.manifest",
    ] { #expect(ManifestNaming.parse(name) == nil, "\(name)") }
  }

  @Test func pylancesManifestsAreReadAndKeptThroughARoundTrip() throws {
    for name in ["basic", "bitmap", "columns", "old"] {
      let location = try golden(name)
      let listing = try VersionListing(location)
      #expect(listing.naming == (name == "old" ? .v1 : .v2))
      for version in listing.versions {
        let file = try location.manifest(version, listing.naming)
        #expect(file.manifest.version == version && file.transaction != nil)
        #expect(file.manifest.writerVersion.library == "lance" && file.manifest.writerVersion.version == "14.0.2")
        let again = try file.encoded().withUnsafeBytes { raw in Result { try ManifestFile(raw, what: "x") } }.get()
        #expect(again.transaction == file.transaction && again.indexSection == file.indexSection)
        // Equal but for the places of the sections; unknown fields are compared too.
        var (a, b) = (file.manifest, again.manifest)
        for clear in [
          { (m: inout PBManifest) in m.clearTransactionSection() }, { $0.clearTransactionSectionRecent() },
          { $0.clearIndexSection() },
        ] {
          clear(&a)
          clear(&b)
        }
        #expect(a == b)
      }
    }
    let old = try golden("old")
    #expect(try old.manifest(2, .v1).indexSection != nil && old.manifest(1, .v1).indexSection == nil)
  }

  @Test func smallestManifestBytes() throws {
    var manifest = PBManifest()
    manifest.version = 1
    var field = PBField()
    field.name = "id"
    field.parentID = -1
    field.logicalType = "int64"
    manifest.fields = [field]
    let bytes = try ManifestFile(manifest: manifest).encoded()
    let message: [UInt8] =
      [0x0a, 0x16, 0x12, 2, 0x69, 0x64, 0x20] + [UInt8](repeating: 0xff, count: 9) + [1, 0x2a, 5] + Array("int64".utf8) + [
        0x18, 1,
      ]
    let content = [26, 0, 0, 0] + message + [20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0] + Array("LANC".utf8)
    #expect(Array(bytes[0..<12]) == [16, 0, 0, 0] + Array("MOONXXH3".utf8) && Array(bytes[20...]) == content)
    #expect(
      Array(bytes[12..<20]) == withUnsafeBytes(of: content.withUnsafeBytes { Checksum.hash($0) }.littleEndian) { Array($0) })
  }

  @Test func versionsTagsAndTimes() throws {
    let location = try golden("basic")
    let list = try location.versionList()
    #expect(list.map(\.version) == [1, 2, 3])
    #expect(list.map(\.operation) == ["create", "append", "delete"])
    #expect(list.map(\.rowCount) == [10, 16, 12])
    #expect(list.map(\.fragments) == [1, 2, 2])
    #expect(list.map(\.tags) == [[], ["golden"], []])
    #expect(
      try golden("columns").versionList().map(\.operation) == [
        "create", "delete", "add_columns", "drop_columns", "add_columns", "append",
      ])
    #expect(try golden("old").versionList().map(\.operation) == ["create", "create_index"])

    #expect(try LanceTable(location).version == 3)
    #expect(try LanceTable(location, version: .number(1)).rowCount == 10)
    #expect(try LanceTable(location, version: .tag("golden")).version == 2)
    let second = try #require(list[1].time)
    #expect(try LanceTable(location, version: .time(second)).version == 2)
    #expect(
      failure { _ = try LanceTable(location, version: .number(9)) }?.message
        == "table 'basic' has no version 9; versions are 1 to 3")
    #expect(
      failure { _ = try LanceTable(location, version: .tag("gulden")) }?.message
        == "table 'basic' has no tag 'gulden'; did you mean 'golden'? tags are: golden")
    #expect(
      failure { _ = try LanceTable(location, version: .time(Instant(seconds: 0))) }?.message
        == "table 'basic' has no version as old as 1970-01-01T00:00:00Z")
    let none = TableLocation(location.store, "nothing.lance")
    #expect(failure { _ = try LanceTable(none) }?.message == "there is no table at 'nothing.lance' in \(location.store.name)")
    #expect(failure { _ = try none.versionList() }?.code == .datasetNotFound)
  }

  @Test func schemaAndCounts() throws {
    let table = try LanceTable(try golden("basic"))
    #expect(
      table.schema.fields.map { "\($0.name): \($0.type)" } == [
        "id: Int64", "name: String", "vector: FixedSizeList[Float32, 4]",
      ])
    #expect(
      table.rowCount == 12 && table.fragments.map(\.rowCount) == [7, 5] && table.fragments.map(\.physicalRows) == [10, 6])
    #expect(table.fileVersion == "2.2")
    #expect(try table.byteCount() == 1215 + 1086)
    let columns = try LanceTable(try golden("columns"))
    #expect(columns.schema.fields.map { "\($0.name): \($0.type)" } == ["id: Int32", "name: String", "twice: Int64"])
    #expect(try LanceTable(try golden("old")).fileVersion == "2.0")
  }

  @Test func tornNewestManifestNamesFileAndLastGoodVersion() throws {
    let location = try goldenInMemory("basic")
    let path = "basic.lance/_versions/18446744073709551612.manifest"
    let whole = try location.store.read(path).array()
    try location.store.put(path, [])
    let empty = try #require(failure { _ = try LanceTable(location) })
    #expect(empty.code == .corruptData && empty.details["last_good_version"] == 2)
    #expect(
      empty.message == "table 'basic': manifest '\(path)' of version 3 is damaged: it is empty; the last good version is 2")
    try location.store.put(path, Array(whole[..<400]))
    #expect(
      failure { _ = try LanceTable(location) }?.message
        == "table 'basic': manifest '\(path)' of version 3 is damaged: it does not end with the mark of a Lance file (400 bytes); the last good version is 2"
    )
    #expect(try LanceTable(location, version: .number(2)).rowCount == 16)
    #expect(try location.versionList().map { $0.error == nil } == [true, true, false])
    for version in [1, 2] {
      try location.store.put("basic.lance/_versions/\(ManifestNaming.v2.name(of: UInt64(version)))", [1])
    }
    #expect(failure { _ = try LanceTable(location) }?.message.hasSuffix("; no older version is good") == true)
    // Another version's manifest under this name.
    let first = try goldenInMemory("basic").store.read("basic.lance/_versions/18446744073709551614.manifest").array()
    try location.store.put(path, first)
    #expect(failure { _ = try LanceTable(location) }?.message.contains("is damaged: it says version 1") == true)
  }

  @Test func unknownFilesAreIgnoredAndMixedNamesRefused() throws {
    let location = try goldenInMemory("basic")
    for name in ["18446744073709551611.manifest#1", "18446744073709551611.manifest.0011223344556677.tmp", "d5.manifest", "x"] {
      try location.store.put("basic.lance/_versions/\(name)", [1])
    }
    try location.store.put("basic.lance/notes.txt", [1])
    #expect(try LanceTable(location).version == 3)
    try location.store.put("basic.lance/_versions/4.manifest", [1])
    #expect(
      failure { _ = try LanceTable(location) }?.message == "table 'basic' has manifests of both naming schemes in _versions")
  }

  @Test func unknownReaderFeaturesAreRefusedByName() throws {
    let location = try goldenInMemory("basic")
    var file = try location.manifest(3, .v2)
    file.manifest.readerFeatureFlags |= 64 | 512
    try location.store.put("basic.lance/_versions/18446744073709551612.manifest", try file.encoded())
    #expect(
      failure { _ = try LanceTable(location) }?.message
        == "table 'basic' version 3 needs reader features that are not supported: 64 (overlays), 512")
    file.manifest.readerFeatureFlags = 1
    file.manifest.dataFormat.version = "0.1"
    try location.store.put("basic.lance/_versions/18446744073709551612.manifest", try file.encoded())
    #expect(
      failure { _ = try LanceTable(location) }?.message
        == "table 'basic' stores its data in Lance file version 0.1; supported are 2.0, 2.1 and 2.2")
  }

  /// Cuts and flipped bytes: an error or a table, never a trap.
  @Test func damagedManifestsNeverTrap() throws {
    for name in ["basic", "old", "columns"] {
      let location = try goldenInMemory(name)
      let listing = try VersionListing(location)
      let latest = try #require(listing.latest)
      let path = "\(name).lance/_versions/\(listing.naming.name(of: latest))"
      let whole = try location.store.read(path).array()
      for length in stride(from: 0, to: whole.count, by: 7) {
        try location.store.put(path, Array(whole[..<length]))
        #expect(failure { _ = try LanceTable(location) }?.code == .corruptData)
      }
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<1000 {
        var bytes = whole
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[at] ^= UInt8.random(in: 1...255, using: &generator)
        try location.store.put(path, bytes)
        do {
          let table = try LanceTable(location)
          _ = try table.byteCount()
        } catch {
          #expect([.corruptData, .unsupported, .pathNotAllowed].contains(error.code))
        }
      }
    }
  }
}
