import Columnar
import Compute
import Core
import DataFrames
import LanceIndex
import LanceTable
import ObjectStore
import Plan
import TestSupport
import Testing

/// Damage to any file of a table with indices: a question that an index answers gets the right rows or an error, never other rows.
/// `MOONLAKE_TEST_ALL=1` flips more bits.
@Suite("Damaged indices") struct IndexDamageTests {
  private static let folder = "t.lance"

  /// id, n (null for every thirteenth), kind (text), v: two fragments, three indices, a deletion file, rows that no index knows.
  private func table() throws -> MemoryStore {
    let store = MemoryStore()
    let location = TableLocation(store, Self.folder)
    func frame(_ ids: Range<Int>) throws -> Frame {
      let vectors = try Buffer(ids.flatMap { id in (0..<4).map { Float((id * 31 + $0 * 17) % 97) } })
      return try Frame(columns: [
        ("id", try Column.int64(ids.map { Int64($0) })),
        ("n", try Column.int32(ids.map { $0 % 13 == 0 ? nil : Int32($0 * 79 % 50) })),
        ("kind", try Column.utf8(ids.map { "k\($0 % 7)" })),
        ("v", Column.vectors(.float32, size: 4, count: ids.count, buffer: vectors)),
      ])
    }
    var options = WriteOptions()
    options.maxRowsPerFile = 80
    _ = try frame(0..<160).write(to: location, mode: .create, options: options)
    for (column, kind) in [("n", IndexKind.btree), ("kind", .bitmap), ("v", .ivfPQ)] {
      var options = IndexOptions()
      options.kind = kind
      options.partitions = kind == .ivfPQ ? 3 : nil
      _ = try location.createIndex(on: column, options)
    }
    _ = try location.delete(where: .compare(.equal, .column("id"), .literal(.int(17))))
    _ = try frame(160..<170).write(to: location, mode: .append)
    return store
  }

  /// What the table answers through its three indices.
  private func answers(_ location: TableLocation) throws -> [String] {
    let table = try LanceTable(location)
    let frame = Frame(LanceSource(table))
    let questions: [Expr] = [
      .compare(.equal, .column("n"), .literal(.int(29))), .compare(.less, .column("n"), .literal(.int(6))),
      .compare(.equal, .column("kind"), .literal(.string("k3"))),
    ]
    for question in questions { try #require(try frame.filter(question).explain().contains("index")) }
    var found = try questions.map { try frame.filter($0).collect() }
    var query = VectorQuery(column: "v")
    query.k = 6
    for probes in [1, 3] {
      query.probes = probes
      found.append(try table.search([40, 50, 60, 70], query, select: ["id"]))
    }
    return found.map { batch in (0..<batch.count).map { JSONValue.object(batch.json(row: $0)).text() }.joined(separator: " ") }
  }

  @Test func flippedBits() throws {
    let store = try table()
    let files = try store.list("", recursive: true).map(\.path).filter { !$0.hasSuffix(".txn") }
    let isIndex = { (path: String) in path.contains("/_indices/") }
    #expect(files.filter(isIndex).count >= 5)
    let right = try answers(TableLocation(store, Self.folder))
    #expect(right.allSatisfy { !$0.isEmpty })
    var random = SeededRandom(seed: 3)
    var (refused, inIndices) = (0, 0)
    let tries = isThorough ? 12_000 : 1500
    for k in 0..<tries {
      // Half of the flips are in files of indices.
      let some = k % 2 == 0 ? files.filter(isIndex) : files
      let path = some[(k / 2) % some.count]
      var bytes = try store.read(path).array()
      bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      // Open indices are kept by the table's place: another one each time.
      let damaged = try copy(store, path, bytes)
      try damaged.moveTree(Self.folder, to: "\(k).lance")
      if isIndex(path) { inIndices += 1 }
      do {
        #expect(try answers(TableLocation(damaged, "\(k).lance")) == right, "\(path), flip \(k)")
      } catch {
        refused += 1
        #expect(
          (error as? Failure).map { [.corruptData, .unsupported].contains($0.code) } == true, "\(path), flip \(k): \(error)")
      }
    }
    #expect(inIndices >= tries / 2 && refused > tries / 2)
    print("flipped bits: \(tries), of them \(inIndices) in indices; \(refused) refused, the others without effect")
  }
}
