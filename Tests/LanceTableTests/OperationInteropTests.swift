import Columnar
import Core
import Foundation
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Rows as Tests/interop/lance_operations.py makes them.
enum OperationRows {
  static let schema = Schema([
    Field("id", .int64, isNullable: false), Field("label", .int32), Field("text", .utf8), Field("vector", .vector(.float32, 8)),
  ])

  static func batch(_ ids: [Int]) throws -> RecordBatch {
    let vectors = ids.flatMap { id in (0..<8).map { Float(id) + Float($0) / 8 } }
    return try RecordBatch(
      schema: schema,
      columns: [
        try Column.int64(ids.map { Int64($0) }), try Column.int32(ids.map { $0 % 11 == 4 ? nil : Int32($0 % 10) }),
        try Column.utf8(ids.map { "row \($0)" }),
        Column.vectors(.float32, size: 8, count: ids.count, buffer: try Buffer(vectors)),
      ])
  }
  static func reader(_ ids: [Int]) throws -> InMemoryReader { InMemoryReader(schema: schema, [try batch(ids)]) }

  /// All rows but their vectors, in order, as the script shows them.
  static func content(_ table: LanceTable) throws -> JSONValue {
    let names = table.schema.names.filter { $0 != "vector" }
    let scan = try table.scan(columns: names)
    var rows: [JSONValue] = []
    while let batch = try scan.next() {
      for i in 0..<batch.count { rows.append(.array(batch.columns.map { $0.json(i) })) }
    }
    return .array(rows)
  }

  static func ids(_ matches: @escaping @Sendable (Int64) -> Bool) -> RowFilter {
    RowOperationTests.filter("id is one of ours", matches: matches)
  }
  static func setLabel(_ value: Int32) -> RowUpdate {
    RowUpdate(columns: ["label"], reads: []) { batch throws(Failure) in
      [try Column.int32(Array(repeating: value, count: batch.count))]
    }
  }

  /// The same operations as in the script.
  static let operations: [(name: String, run: @Sendable (TableLocation) throws -> Void)] = [
    ("append", { try LanceTable.write(reader([100, 101]), to: $0, mode: .append) }),
    ("overwrite", { try LanceTable.write(reader([7, 8]), to: $0, mode: .overwrite) }),
    ("delete 3", { _ = try $0.delete(where: ids { $0 == 3 }) }),
    ("delete 4", { _ = try $0.delete(where: ids { $0 == 4 }) }),
    ("delete 15", { _ = try $0.delete(where: ids { $0 == 15 }) }),
    ("update 3", { _ = try $0.update(setLabel(77), where: ids { $0 == 3 }) }),
    ("update 15", { _ = try $0.update(setLabel(77), where: ids { $0 == 15 }) }),
    ("merge 5", { try merge($0) }),
    (
      "add",
      {
        _ = try $0.addColumns([Field("twice", .int64, isNullable: false)], reads: ["id"]) { batch throws(Failure) in
          [try Column.int64(values(batch.columns[0], Int64.self).map { $0 * 2 })]
        }
      }
    ),
    (
      "cast",
      {
        _ = try $0.castColumn("label", to: .int64) { column throws(Failure) in
          try Column.int64(values(column, Int32.self).enumerated().map { column.isValid($0) ? Int64($1) : nil })
        }
      }
    ),
    ("drop", { _ = try $0.dropColumns(["text"]) }),
    ("rename", { _ = try $0.renameColumn("text", to: "words") }),
    ("compact", { try compact($0) }),
    ("config a", { _ = try $0.updateConfig(set: ["a": "ours"]) }),
    ("restore 1", { _ = try $0.restore(.number(1)) }),
  ]

  /// Upsert of the rows 5 and 200.
  private static func merge(_ location: TableLocation) throws {
    _ = try location.change { _ throws(Failure) in
      var isNew = true
      return RowChange(.merge, columns: ["id"]) { batch throws(Failure) in
        let found = values(batch.columns[0], Int64.self)
        if found.contains(200) { isNew = false }
        return RowDecision(rewritten: found.indices.filter { found[$0] == 5 || found[$0] == 200 }.map { Int32($0) })
      } rewrite: { old, _ throws(Failure) in
        do { return try batch(values(try old.column("id"), Int64.self).map { Int($0) }) } catch {
          throw Failure.wrapping(error)
        }
      } inserts: { () throws(Failure) in
        do { return isNew ? try reader([200]) : nil } catch { throw Failure.wrapping(error) }
      }
    }
  }

  /// All rows in one fragment.
  private static func compact(_ location: TableLocation) throws {
    _ = try location.commit(options: ChangeOptions()) { _, _ in ReserveFragmentsIntent(count: 1) }
    _ = try location.commit(options: ChangeOptions()) { table, _ throws(Failure) in
      let old = table.manifest.fragments
      let scratch = TableLocation(location.store, "scratch-\(randomUUID()).lance")
      var new: PBDataFragment
      do {
        var options = WriteOptions()
        options.fileVersion = try LanceFileVersion.named(table.fileVersion)
        let copy = try LanceTable.write(table.scan(), to: scratch, mode: .create, options: options)
        new = copy.manifest.fragments[0]
        let name = new.files[0].path
        try location.store.put(location.path("data/\(name)"), try location.store.read(scratch.path("data/\(name)")).array())
        try location.store.deleteTree(scratch.folder)
      } catch { throw Failure.wrapping(error) }
      new.id = UInt64(table.manifest.maxFragmentID)
      return RewriteIntent(groups: [RewriteIntent.Group(old: old, new: [new])])
    }
  }
}

@Suite("Operations beside the official library", .enabled(if: PythonScript.interpreter != nil))
struct OperationInteropTests {
  private func place() throws -> (store: LocalStore, location: TableLocation, path: String, python: PythonScript) {
    let folder = temporaryFolder()
    let store = try LocalStore(root: folder)
    return (store, TableLocation(store, "t.lance"), folder + "/t.lance", try PythonScript("lance_operations"))
  }

  /// They read the same as we do; the answer is theirs.
  @discardableResult
  private func agree(_ location: TableLocation, _ path: String, _ python: PythonScript, _ what: String) throws -> JSONValue {
    let theirs = try python.call("content", .string(path))
    #expect(theirs["rows"] == (try OperationRows.content(LanceTable(location))), "after \(what)")
    return theirs
  }

  /// Each operation of ours, then each of theirs on top, and ours again.
  @Test(arguments: ["2.0", "2.1", "2.2"]) func eachOperation(_ version: String) throws {
    let (_, location, path, python) = try place()
    for (name, run) in OperationRows.operations {
      // All of them for the version that is written by default.
      let some = ["append", "update 15", "compact"]
      for theirs in version == "2.2" ? some + ["delete 4", "merge 5", "add", "drop", "index"] : some {
        if name == "overwrite", ["delete 4", "update 15"].contains(theirs) { continue }
        if (name == "add" && ["append", "merge 5", "add"].contains(theirs))
          || (name == "cast" && ["append", "merge 5"].contains(theirs))
        {
          continue
        }
        if ["drop", "rename"].contains(name), ["append", "merge 5", "drop"].contains(theirs) { continue }
        try location.store.deleteTree("t.lance")
        let settings: JSONValue = ["data_storage_version": .string(version), "max_rows_per_file": 9]
        try python.call("write", .string(path), .array((0..<10).map { .int($0) }), "create", settings)
        try python.call("write", .string(path), .array((10..<20).map { .int($0) }), "append", settings)
        try run(location)
        let read = try agree(location, path, python, "our \(name)")
        #expect(read["vectors"] == true, "after our \(name)")
        try python.call("do", .string(path), .string(theirs))
        try agree(location, path, python, "our \(name) and their \(theirs)")
        _ = try location.delete(where: OperationRows.ids { $0 == 7 })
        _ = try location.update(RowUpdate(columns: ["vector"], reads: ["vector"]) { batch throws(Failure) in batch.columns })
        try agree(location, path, python, "our \(name), their \(theirs) and our update")
      }
    }
  }

  /// Two tables alike; on one both commits are theirs, on the other one is ours. The outcome is the same, and the rows are.
  private func compare(
    _ python: PythonScript, _ path: String, _ location: TableLocation, first: String, second: String, isOursSecond: Bool,
    _ mixed: (String) throws -> String
  ) throws {
    func fresh(_ path: String) throws {
      try python.call("write", .string(path), .array((0..<10).map { .int($0) }), "create")
      try python.call("write", .string(path), .array((10..<20).map { .int($0) }), "append")
    }
    try location.store.deleteTree("reference.lance")
    try location.store.deleteTree("t.lance")
    let reference = path.replacing("t.lance", with: "reference.lance")
    try fresh(reference)
    try python.call("hold", .string(reference), "reference")
    try python.call("do", .string(reference), .string(first))
    var wanted = try python.call("stale", .string(reference), "reference", .string(second)).stringValue ?? ""
    try fresh(path)
    var found = try mixed(path)
    if wanted.hasPrefix("other") { wanted = "other" }
    if found.hasPrefix("other") { found = "other" }
    // Ours compute anew where theirs ask their caller to.
    if isOursSecond, wanted == "retry", found != "conflict" { return }
    // Theirs lose the values of rows that are appended while their column gets a new type; ours are refused.
    if isOursSecond, first == "cast", second == "append" { wanted = "conflict" }
    // New columns without nulls: theirs ask for another try, which cannot succeed either.
    if isOursSecond, first == "add", second == "append" { wanted = "conflict" }
    #expect(found == wanted, "\(second) over \(first)")
    guard found == "ok", wanted == "ok" else { return }
    func sorted(_ path: String) throws -> [String] {
      let rows = try python.call("content", .string(path))["rows"]?.arrayValue ?? []
      return rows.map { String(decoding: $0.utf8(), as: UTF8.self) }.sorted()
    }
    #expect(try sorted(path) == sorted(reference), "\(second) over \(first)")
  }

  @Test func theirStaleHandlesJudgeOurs() throws {
    let (_, location, path, python) = try place()
    for (first, run) in OperationRows.operations {
      for second in OperationRows.operations.map(\.name) + ["index"] {
        try compare(python, path, location, first: first, second: second, isOursSecond: false) { path in
          try python.call("hold", .string(path), "mixed")
          try run(location)
          return try python.call("stale", .string(path), "mixed", .string(second)).stringValue ?? ""
        }
      }
    }
  }

  @Test func oursOverTheirs() throws {
    let (base, location, path, python) = try place()
    nonisolated(unsafe) let theirs = python
    for (second, run) in OperationRows.operations {
      for first in OperationRows.operations.map(\.name) + ["index"] {
        try compare(python, path, location, first: first, second: second, isOursSecond: true) { path in
          let store = MeanwhileStore(base)
          store.before { try theirs.call("do", .string(path), .string(first)) }
          let error = failure { try run(TableLocation(store, "t.lance")) }
          #expect(store.hasRun && store.error == nil, "\(first): \(store.error as Any)")
          guard let error else { return "ok" }
          return error.code == .versionConflict ? "conflict" : "other: \(error)"
        }
      }
    }
  }

  /// An index of theirs finds the right rows after each operation of ours; where its column is gone, it is too.
  @Test func theirIndexAfterOurs() throws {
    let (_, location, path, python) = try place()
    for (name, run) in OperationRows.operations {
      try location.store.deleteTree("t.lance")
      try python.call("write", .string(path), .array((0..<10).map { .int($0) }), "create")
      try python.call("write", .string(path), .array((10..<20).map { .int($0) }), "append")
      try python.call("do", .string(path), "index")
      try run(location)
      let isGone = ["overwrite", "restore 1"].contains(name)
      #expect(try python.call("indices", .string(path)) == (isGone ? [] : ["id_idx"]), "after our \(name)")
      #expect(try LanceTable(location).indexEntries().map(\.name) == (isGone ? [] : ["id_idx"]))
      if isGone { continue }
      // Compacted fragments leave the index: it covers nothing then.
      try python.call("look-up", .string(path), .bool(name != "compact"))
      let same = RowUpdate(columns: ["label"], reads: ["label"]) { batch throws(Failure) in batch.columns }
      _ = try location.update(same, where: OperationRows.ids { $0 == 6 || $0 == 16 })
      try python.call("look-up", .string(path), .bool(name != "compact"))
    }
    _ = try location.castColumn("id", to: .int32) { column throws(Failure) in
      try Column.int32(values(column, Int64.self).map { Int32($0) })
    }
    #expect(try python.call("indices", .string(path)) == [])
  }

  @Test func tagsAndSettings() throws {
    let (_, location, path, python) = try place()
    try LanceTable.write(OperationRows.reader(Array(0..<10)), to: location, mode: .create)
    _ = try location.delete(where: OperationRows.ids { $0 < 5 })
    try location.setTag("ours", .number(1))
    try python.call("set-tag", .string(path), "theirs", 2)
    #expect(try python.call("tags", .string(path)) == ["ours": 1, "theirs": 2])
    #expect(try python.call("content", .string(path), nil, "ours")["rows"]?.arrayValue?.count == 10)
    try location.setTag("theirs", .number(1))
    try location.deleteTag("ours")
    #expect(try python.call("tags", .string(path)) == ["theirs": 1])
    #expect(try location.tagList().map(\.version) == [1])
    _ = try location.updateConfig(set: ["a": "1", "b": "2"])
    _ = try location.updateConfig(remove: ["b"])
    #expect(try python.call("config", .string(path)) == ["a": "1"])
    try python.call("do", .string(path), "config a")
    #expect(try LanceTable(location).config == ["a": "theirs"])
  }

  @Test func branchesAndClones() throws {
    let (store, location, path, python) = try place()
    try LanceTable.write(OperationRows.reader(Array(0..<10)), to: location, mode: .create)
    _ = try location.delete(where: OperationRows.ids { $0 == 3 })
    // Ours: they list it, read it, go on in it.
    try location.createBranch("our/line")
    #expect(try python.call("branches", .string(path)) == ["our/line": 2])
    let ours = try location.branch("our/line")
    try LanceTable.write(OperationRows.reader([20]), to: ours, mode: .append)
    _ = try ours.update(OperationRows.setLabel(5), where: OperationRows.ids { $0 == 2 })
    let continued = try python.call("branch", .string(path), "our/line", [30])
    #expect(continued["rows"] == (try OperationRows.content(LanceTable(ours))) && continued["version"] == 5)
    try agree(ours, path + "/tree/our/line", python, "a branch of ours")
    // Theirs.
    try python.call("create-branch", .string(path), "theirs", [40])
    let theirs = try location.branch("theirs")
    _ = try theirs.delete(where: OperationRows.ids { $0 == 1 || $0 == 40 })
    try agree(theirs, path + "/tree/theirs", python, "a branch of theirs")
    #expect(try LanceTable(theirs).rowCount == 8 && LanceTable(location).rowCount == 9)
    // A shallow clone beside the table, and one whose table is out of reach.
    let clone = TableLocation(store, "clone.lance")
    try python.call("clone", .string(path), .string(path.replacing("t.lance", with: "clone.lance")))
    _ = try clone.delete(where: OperationRows.ids { $0 == 0 })
    try agree(clone, path.replacing("t.lance", with: "clone.lance"), python, "a clone")
    #expect(try LanceTable(clone).rowCount == 8)
    let elsewhere = temporaryFolder()
    try python.call("clone", .string(path), .string(elsewhere + "/far.lance"))
    let far = TableLocation(try LocalStore(root: elsewhere), "far.lance")
    let error = failure { _ = try LanceTable(far).read(fragment: 0) }
    #expect(error?.code == .unsupported && error?.message.contains("outside of the store") == true)
  }
}
