import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Damage to the files of tables that we wrote: what is read is what was written, or an error says what is wrong.
@Suite("Bit flips") struct BitFlipTests {
  private static let folder = "t.lance"

  /// A table with two fragments, nulls, lists, and a deletion file; and its rows.
  private func table(_ version: LanceFileVersion) throws -> (store: MemoryStore, ids: [Int]) {
    let store = MemoryStore()
    let location = TableLocation(store, Self.folder)
    var options = WriteOptions()
    options.fileVersion = version
    options.maxRowsPerFile = 30
    try LanceTable.write(SampleRows.reader(Array(0..<60)), to: location, mode: .create, options: options)
    try deleteRows([3, 4, 29], ofFragment: 0, location)
    return (store, (0..<60).filter { ![3, 4, 29].contains($0) })
  }

  /// What a reader of the damaged table gets: nil when the rows are right or refused.
  private func wrong(_ store: MemoryStore, _ ids: [Int], refused: inout Int) -> String? {
    do {
      let table = try LanceTable(TableLocation(store, Self.folder))
      // The number of rows is told by the manifest; whether it is true shows when they are read.
      let scan = try table.scan()
      while try scan.next() != nil {}
      return try SampleRows.difference(table, ids)
    } catch {
      refused += 1
      guard let failure = error as? Failure else { return "\(error)" }
      return [.corruptData, .unsupported, .versionNotFound, .pathNotAllowed].contains(failure.code) ? nil : "\(failure)"
    }
  }

  private func files(_ store: MemoryStore) throws -> [String] {
    try store.list("", recursive: true).map(\.path).filter { !$0.hasSuffix(".txn") && !$0.hasSuffix(".json") }
  }

  @Test(arguments: LanceFileVersion.allCases) func flippedBits(_ version: LanceFileVersion) throws {
    let (store, ids) = try table(version)
    let files = try files(store)
    #expect(files.count == 5)  // two data files, a deletion file, two manifests
    var random = SeededRandom(seed: 1)
    var refused = 0
    for k in 0..<3500 {
      let path = files[k % files.count]
      var bytes = try store.read(path).array()
      bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let problem = wrong(try copy(store, path, bytes), ids, refused: &refused)
      #expect(problem == nil, "\(path), flip \(k)")
    }
    // Flips in the older manifest are not seen by a reader of the newest version.
    #expect(refused > 3500 * 7 / 10)
    print("flipped bits, file version \(version): 3500, \(refused) refused, the others without effect")
  }

  /// Lost ends, lost beginnings, zeroed or foreign sectors.
  @Test func tornFiles() throws {
    let (store, ids) = try table(.v2_2)
    var random = SeededRandom(seed: 2)
    var refused = 0
    for path in try files(store) {
      let good = try store.read(path).array()
      for _ in 0..<150 {
        let at = Int.random(in: 0..<good.count, using: &random)
        var cut = good
        switch Int.random(in: 0..<4, using: &random) {
        case 0: cut = Array(good[..<at])
        case 1: cut = Array(good[at...])
        case 2: for i in at..<min(good.count, at + 512) { cut[i] = 0 }
        default: for i in at..<min(good.count, at + 64) { cut[i] = UInt8.random(in: 0...255, using: &random) }
        }
        let problem = wrong(try copy(store, path, cut), ids, refused: &refused)
        #expect(problem == nil, "\(path) at \(at)")
      }
    }
    #expect(refused > 400)
  }

  /// Numbers in the manifest that lie, with a checksum that is right: an error, before memory is taken.
  @Test func lyingManifests() throws {
    let (store, ids) = try table(.v2_2)
    let location = TableLocation(store, Self.folder)
    let file = try location.manifest(2, .v2)
    let path = location.path("_versions/\(ManifestNaming.v2.name(of: 2))")
    let changes: [(String, (inout PBManifest) -> Void)] = [
      ("rows", { $0.fragments[0].physicalRows = 31 }), ("many rows", { $0.fragments[0].physicalRows = .max }),
      ("fewer rows", { $0.fragments[1].physicalRows = 29 }), ("size", { $0.fragments[0].files[0].fileSizeBytes -= 1 }),
      ("deleted", { $0.fragments[0].deletionFile.numDeletedRows = 2 }),
      ("all deleted", { $0.fragments[0].deletionFile.numDeletedRows = 4_000_000_000 }),
      ("other deletion file", { $0.fragments[0].deletionFile.id &+= 1 }),
      ("column far away", { $0.fragments[0].files[0].columnIndices[0] = .max }),
      ("two columns swapped", { $0.fragments[0].files[0].columnIndices.swapAt(0, 5) }),
      ("a path that leads out", { $0.fragments[0].files[0].path = "../../../../etc/passwd" }),
      ("another file", { $0.fragments[0].files[0].path = "x.lance" }),
      ("wider type", { $0.fields[1].logicalType = "int64" }),
      ("size of lists", { $0.fields[8].logicalType = "fixed_size_list:float:4000000000" }),
      ("parent", { $0.fields[1].parentID = 77 }), ("same id", { $0.fields[1].id = 0 }),
      ("flags", { $0.readerFeatureFlags = 1 << 40 }), ("version", { $0.version = 7 }),
    ]
    for (name, change) in changes {
      var lying = file
      change(&lying.manifest)
      let damaged = try copy(store, path, try lying.encoded())
      var refused = 0
      let problem = wrong(damaged, ids, refused: &refused)
      #expect(problem == nil && refused == 1, "\(name)")
    }
  }
}
