import Columnar
import Core
import Foundation
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Every operation (rows) that is ready to commit when every other operation (columns) has just been committed: does it go on top, must
/// it be computed anew, or is it lost? The table is that of shared/design/lance.md, part 16.
@Suite("Conflict table")
struct ConflictTableTests {
  typealias Operation = @Sendable (TableLocation, ChangeOptions) throws -> Void

  /// Rows 0 ..< 20, ten in each of fragments 0 and 1; an index over `id`; version 3, ids 2 and 3 reserved.
  static func table(_ store: any ObjectStore) throws -> TableLocation {
    let location = TableLocation(store, "t.lance")
    try LanceTable.write(SampleRows.reader(Array(0..<10)), to: location, mode: .create)
    try LanceTable.write(SampleRows.reader(Array(10..<20)), to: location, mode: .append)
    _ = try location.commit(options: ChangeOptions()) { _, _ in ReserveFragmentsIntent(count: 2) }
    return location
  }

  static func rows(_ ids: [Int64]) -> RowFilter {
    RowFilter(columns: ["id"], text: "id in \(ids)") { batch throws(Failure) in
      let found = values(try batch.column("id"), Int64.self)
      return found.indices.filter { ids.contains(found[$0]) }.map { Int32($0) }
    }
  }
  static let zero = RowUpdate(columns: ["small"], reads: ["small"]) { batch throws(Failure) in
    [try Column.uint8(Array(repeating: 0, count: batch.count))]
  }
  static func index(_ name: String) -> PBIndexMetadata {
    var index = PBIndexMetadata()
    index.uuid.uuid = Data(randomUUID().utf8.prefix(16))
    (index.name, index.fields) = (name, [0])
    index.setCovered([0, 1])
    return index
  }

  static let operations: [(name: String, run: Operation)] = [
    ("append", { location, _ in try LanceTable.write(SampleRows.reader([100]), to: location, mode: .append) }),
    ("overwrite", { location, _ in try LanceTable.write(SampleRows.reader([7]), to: location, mode: .overwrite) }),
    ("delete 3", { _ = try $0.delete(where: rows([3]), options: $1) }),
    ("delete 4", { _ = try $0.delete(where: rows([4]), options: $1) }),
    ("delete 15", { _ = try $0.delete(where: rows([15]), options: $1) }),
    ("update 3", { _ = try $0.update(zero, where: rows([3]), options: $1) }),
    ("update 15", { _ = try $0.update(zero, where: rows([15]), options: $1) }),
    (
      "merge 5",
      { location, options in
        _ = try location.change(options: options) { _ in
          RowChange(.merge, columns: ["id"]) { batch throws(Failure) in
            RowDecision(rewritten: try rows([5]).matching(batch))
          } inserts: { () throws(Failure) in
            do { return try SampleRows.reader([200]) } catch { throw Failure.wrapping(error) }
          }
        }
      }
    ),
    ("add", { _ = try $0.addColumns(nulls: [Field("extra", .int32)], options: $1) }),
    (
      "cast",
      {
        _ = try $0.castColumn("label", to: .int64, options: $1) { column throws(Failure) in
          try Column.int64(values(column, Int32.self).enumerated().map { column.isValid($0) ? Int64($1) : nil })
        }
      }
    ),
    ("drop", { _ = try $0.dropColumns(["blob"], options: $1) }),
    ("rename", { _ = try $0.renameColumn("flag", to: "marker", options: $1) }),
    ("index", { _ = try $0.commit(options: $1) { _, _ in CreateIndexIntent(added: [index("id_idx")]) } }),
    (
      "compact 0",
      {
        _ = try $0.commit(options: $1) { table, _ in
          guard let old = table.manifest.fragments.first(where: { $0.id == 0 }) else { return nil }
          var new = old
          new.id = 2
          return RewriteIntent(groups: [RewriteIntent.Group(old: [old], new: [new])])
        }
      }
    ),
    (
      "compact 1",
      {
        _ = try $0.commit(options: $1) { table, _ in
          guard let old = table.manifest.fragments.first(where: { $0.id == 1 }) else { return nil }
          var new = old
          new.id = 3
          return RewriteIntent(groups: [RewriteIntent.Group(old: [old], new: [new])])
        }
      }
    ),
    ("config a", { _ = try $0.updateConfig(set: ["a": randomUUID()], options: $1) }),
    ("config b", { _ = try $0.updateConfig(set: ["b": randomUUID()], options: $1) }),
    ("restore", { _ = try $0.restore(.number(1), options: $1) }),
    ("reserve", { _ = try $0.commit(options: $1) { _, _ in ReserveFragmentsIntent(count: 1) } }),
  ]

  /// o: on top; r: anew; x: conflict. Columns in the order of `operations`.
  static let expected: [String: String] = [
    //            a o d d d u u m a c d r i c c c c r r
    "append": "o x o o o o o o o x o o o o o o o x o",
    "overwrite": "o o o o o o o o o o o o o o o o o o o",
    "delete 3": "o x r o o r o o r r o o o r o o o x o",
    "delete 4": "o x o r o o o o r r o o o r o o o x o",
    "delete 15": "o x o o r o r o r r o o o o r o o x o",
    "update 3": "o x r o o r o o r r o o o r o o o x o",
    "update 15": "o x o o r o r o r r o o o o r o o x o",
    "merge 5": "o x o o o r r r r r o o o r o o o x o",
    "add": "r x r r r r r r r r x x o r r o o x o",
    "cast": "r x r r r r r r r r x x o r r o o x o",
    "drop": "o x o o o o o o r r r r o o o o o x o",
    "rename": "o x o o o o o o r r r r o o o o o x o",
    "index": "o x o o o o o o o o o o r r r o o x o",
    "compact 0": "o x r r o r o r r r o o r r o o o x o",
    "compact 1": "o x o o r o r o r r o o r o r o o x o",
    "config a": "o o o o o o o o o o o o o o o x o o o",
    "config b": "o o o o o o o o o o o o o o o o x o o",
    "restore": "o o o o o o o o o o o o o o o o o o o",
    "reserve": "o x o o o o o o o o o o o o o o o x o",
  ]

  /// The objects of `table`.
  private static let files: [(path: String, bytes: [UInt8])] = {
    let store = MemoryStore()
    do {
      _ = try table(store)
      return try store.list("", recursive: true).map { ($0.path, try store.read($0.path).array()) }
    } catch { return [] }
  }()
  private func fresh() throws -> MemoryStore {
    let store = MemoryStore()
    for (path, bytes) in ConflictTableTests.files { try store.put(path, bytes) }
    return store
  }

  @Test(arguments: operations.indices) func row(_ ours: Int) throws {
    let (name, run) = ConflictTableTests.operations[ours]
    let wanted = try #require(ConflictTableTests.expected[name]).split(separator: " ").map(String.init)
    #expect(wanted.count == ConflictTableTests.operations.count)
    for (their, theirs) in ConflictTableTests.operations.enumerated() {
      let store = MeanwhileStore(try fresh())
      let location = TableLocation(store, "t.lance")
      store.before {
        try theirs.run(TableLocation(store.base, "t.lance"), ChangeOptions())
      }
      var options = ChangeOptions()
      options.attempts = 1
      let before = try objects(store.base)
      let error = failure { try run(location, options) }
      #expect(store.hasRun && store.error == nil, "\(name) over \(theirs.name): \(store.error ?? "they did nothing")")
      var found = error.map { "\($0.code)" } ?? "o"
      if let error, error.code == .versionConflict { found = error.message.contains("given up") ? "r" : "x" }
      #expect(found == wanted[their], "\(name) over \(theirs.name): \(error?.message ?? "no error")")
      // Whatever happened, the table is whole, and a loser leaves nothing behind.
      let table = try LanceTable(location)
      #expect(table.version == (error == nil ? 5 : 4))
      let scan = try table.scan()
      var rows = 0
      while let batch = try scan.next() { rows += batch.count }
      #expect(rows == table.rowCount && Set(table.fragments.map(\.id)).count == table.fragments.count)
      if error != nil {
        let alone = try fresh()
        try theirs.run(TableLocation(alone, "t.lance"), ChangeOptions())
        #expect(try objects(store.base) - before == objects(alone) - before, "\(name) over \(theirs.name) leaves files behind")
      }
      guard found == "r", wanted[their] == "r" else { continue }
      // With more attempts it goes through, unless there is nothing left to do.
      let again = MeanwhileStore(try fresh())
      again.before { try theirs.run(TableLocation(again.base, "t.lance"), ChangeOptions()) }
      let second = failure { try run(TableLocation(again, "t.lance"), ChangeOptions()) }
      let reasons: [Failure.Code?] = [nil, .alreadyExists, .columnNotFound, .typeMismatch]
      #expect(reasons.contains(second?.code), "\(name) over \(theirs.name): \(second as Any)")
      #expect(try LanceTable(TableLocation(again.base, "t.lance")).version >= 4)
    }
  }

  private func objects(_ store: any ObjectStore) throws -> Int { try store.list("t.lance", recursive: true).count }
}
