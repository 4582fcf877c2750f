import Columnar
import Core
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Restoring, settings, tags, branches, differences")
struct VersionOperationTests {
  func append(_ ids: [Int], _ location: TableLocation) throws {
    try LanceTable.write(SampleRows.reader(ids), to: location, mode: .append)
  }

  @Test func restore() throws {
    let location = try RowOperationTests.table(MemoryStore(), 250)
    _ = try location.delete(where: RowOperationTests.filter { $0 < 150 })
    _ = try location.dropColumns(["text"])
    try append([400], location, failing: .columnNotFound)
    #expect(try location.restore(.number(1)) == ChangeReport(version: 4))
    let table = try LanceTable(location)
    #expect(try SampleRows.difference(table, Array(0..<250)) == nil)
    #expect(table.manifest.readerFeatureFlags == 0 && table.file.transaction?.restore.version == 1)
    try append([400], location)
    #expect(try LanceTable(location).fragments.map(\.id) == [0, 1, 2, 3])
    // Ids never come back.
    _ = try location.restore(.number(2))
    try append([401], location, failing: nil)
    #expect(try LanceTable(location).fragments.map(\.id) == [1, 2, 4])
    #expect(try location.restore(.latest).isChanged == false)
    #expect(failure { _ = try location.restore(.number(99)) }?.code == .versionNotFound)
  }
  private func append(_ ids: [Int], _ location: TableLocation, failing code: Failure.Code?) throws {
    #expect(failure { try append(ids, location) }?.code == code)
  }

  @Test func settings() throws {
    let location = try RowOperationTests.table(MemoryStore(), 10)
    #expect(try location.updateConfig(set: ["lance.auto_cleanup.interval": "20", "owner": "me"]).version == 2)
    #expect(try location.updateConfig(set: ["owner": "you"], remove: ["lance.auto_cleanup.interval", "none"]).version == 3)
    let table = try LanceTable(location)
    #expect(table.config == ["owner": "you"] && table.manifest.writerFeatureFlags == 8)
    #expect(table.file.transaction?.updateConfig.configUpdates.entries.map(\.key) == ["owner", "lance.auto_cleanup.interval"])
    #expect(table.file.transaction?.updateConfig.configUpdates.entries.map(\.hasValue) == [true, false])
    #expect(try location.updateConfig(set: ["owner": "you"], remove: ["none"]).isChanged == false)
    #expect(failure { _ = try location.updateConfig(set: ["": "x"]) }?.code == .invalidArgument)
    #expect(failure { _ = try location.updateConfig(set: ["a": "x"], remove: ["a"]) }?.code == .invalidArgument)
  }

  @Test func tags() throws {
    let location = try RowOperationTests.table(MemoryStore(), 10)
    try append([20], location)
    #expect(try location.setTag("stable", .number(1)).version == 1)
    #expect(try SampleRows.difference(LanceTable(location, version: .tag("stable")), Array(0..<10)) == nil)
    let path = "t.lance/_refs/tags/stable.json"
    let made = try JSONValue(parsing: location.store.read(path).array())
    #expect(made["branch"] == .null && made["version"] == 1 && made["createdAt"] == made["updatedAt"])
    // What others keep in the file stays.
    var object = try #require(made.objectValue)
    object["metadata"] = ["by": "them"]
    object["createdAt"] = "2026-01-01T00:00:00.000000Z"
    try location.store.put(path, JSONValue.object(object).utf8())
    try location.setTag("stable")
    let moved = try JSONValue(parsing: location.store.read(path).array())
    #expect(moved["version"] == 2 && moved["metadata"] == ["by": "them"] && moved["createdAt"] == "2026-01-01T00:00:00.000000Z")
    #expect(moved["updatedAt"] != moved["createdAt"])
    try location.setTag("v1.0", .tag("stable"))
    #expect(try location.tagList().map(\.name) == ["stable", "v1.0"])
    #expect(failure { try location.deleteTag("stabel") }?.message.contains("did you mean 'stable'?") == true)
    try location.deleteTag("stable")
    #expect(try location.tagList().map(\.name) == ["v1.0"] && LanceTable(location).version == 2)
    for name in ["", "a/b", "..", ".a", "a.", "a..b", "a b", "a.lock", "é", String(repeating: "x", count: 201)] {
      #expect(failure { try location.setTag(name) }?.code == .invalidArgument, "\(name)")
    }
    #expect(failure { try location.setTag("x", .number(9)) }?.code == .versionNotFound)
  }

  @Test(arguments: ["memory", "local"]) func branches(_ kind: String) throws {
    let store: any ObjectStore = kind == "memory" ? MemoryStore() : try LocalStore(root: temporaryFolder())
    let location = try RowOperationTests.table(store, 250)
    _ = try location.delete(where: RowOperationTests.filter { $0 < 10 })
    try append([300], location)
    #expect(try location.createBranch("try/one", from: .number(2)).parentVersion == 2)
    let branch = try location.branch("try/one")
    #expect(branch.folder == "t.lance/tree/try/one")
    #expect(try SampleRows.difference(LanceTable(branch), Array(10..<250)) == nil)
    // It goes its own way: every operation, on files of both.
    try append([500], branch)
    _ = try branch.delete(where: RowOperationTests.filter { $0 >= 100 && $0 < 220 })
    _ = try branch.addColumns([Field("copy", .int64)], reads: ["id"]) { batch throws(Failure) in [batch.columns[0]] }
    _ = try branch.update(ConflictTableTests.zero, where: RowOperationTests.filter { $0 == 30 })
    let table = try LanceTable(branch)
    #expect(table.version == 6 && table.manifest.branch == "try/one" && table.fragments.map(\.id) == [0, 2, 3, 4])
    #expect(try RowOperationTests.ids(table).sorted() == (Array(10..<100) + Array(220..<250) + [500]).map { Int64($0) })
    #expect(try table.byteCount() > 0)
    #expect(try branch.diff(from: .number(2)).rowsRemoved == 121)
    // The table does not see it, nor the branch the table.
    #expect(try SampleRows.difference(LanceTable(location), Array(10..<250) + [300]) == nil)
    #expect(try location.branchList().map(\.name) == ["try/one"])
    #expect(try store.list("t.lance/tree/try/one/data", recursive: false).count == 5)
    #expect(failure { try location.createBranch("try/one") }?.code == .alreadyExists)
    #expect(failure { try location.createBranch("main") }?.code == .alreadyExists)
    #expect(failure { try branch.createBranch("two") }?.code == .unsupported)
    #expect(failure { try branch.setTag("x") }?.code == .unsupported)
    #expect(failure { _ = try location.branch("try/on") }?.message.contains("did you mean 'try/one'?") == true)
    for name in ["a//b", "/a", "a/../b", "a b"] {
      #expect(failure { try location.createBranch(name) }?.code == .invalidArgument)
    }
  }

  /// A manifest may name any folder; only those within the store are followed.
  @Test func basesOutsideOfTheStore() throws {
    let location = try RowOperationTests.table(MemoryStore(), 10)
    try location.createBranch("b")
    let branch = try location.branch("b")
    for path in ["/etc", "memory:/../../etc", "s3://other/t.lance", "memory:", "memory:other"] {
      var file = try branch.manifest(1, .v2)
      file.manifest.basePaths[0].path = path
      try branch.store.put("t.lance/tree/b/_versions/\(ManifestNaming.v2.name(of: 1))", try file.encoded())
      let error = failure { _ = try LanceTable(branch).read(fragment: 0) }
      #expect(error?.code == .unsupported && error?.message.contains("lies in '\(path)', outside of the store") == true)
    }
    var file = try branch.manifest(1, .v2)
    file.manifest.basePaths = []
    try branch.store.put("t.lance/tree/b/_versions/\(ManifestNaming.v2.name(of: 1))", try file.encoded())
    #expect(failure { _ = try LanceTable(branch).read(fragment: 0) }?.code == .corruptData)
  }

  @Test func differences() throws {
    let location = try RowOperationTests.table(MemoryStore(), 250)
    _ = try location.delete(where: RowOperationTests.filter { $0 < 10 })  // 2
    _ = try location.update(ConflictTableTests.zero, where: RowOperationTests.filter { $0 % 50 == 20 })  // 3: 20, 70, ..., 220
    try append([300, 301], location)  // 4
    // 5: rows move, they stay the same. Fragments 0, 1 and 3 (the updated rows) become 5 and 6.
    _ = try location.commit(options: ChangeOptions()) { _, _ in ReserveFragmentsIntent(count: 2) }
    let before = try LanceTable(location)
    let old = [0, 1, 3].map { before.manifest.fragments[$0] }
    let rows = try RecordBatch.concatenate([0, 1, 3].map { try before.read(fragment: $0) }, schema: before.schema)
    var parts: [PBDataFragment] = []
    for (id, part) in [(5, rows.slice(0, 120)), (6, rows.slice(120, rows.count - 120))] {
      let scratch = TableLocation(location.store, "scratch.lance")
      let made = try LanceTable.write(InMemoryReader(schema: part.schema, [part]), to: scratch, mode: .overwrite)
      var fragment = try #require(made.manifest.fragments.first)
      let name = fragment.files[0].path
      try location.store.put("t.lance/data/\(name)", try location.store.read("scratch.lance/data/\(name)").array())
      fragment.id = UInt64(id)
      parts.append(fragment)
    }
    let new = parts
    _ = try location.commit(options: ChangeOptions()) { _, _ in
      RewriteIntent(groups: [RewriteIntent.Group(old: old, new: new)])
    }  // 6
    _ = try location.delete(where: RowOperationTests.filter { $0 == 21 || $0 == 300 })  // 7
    _ = try location.update(ConflictTableTests.zero, where: RowOperationTests.filter { $0 == 22 || $0 == 70 })  // 8
    func changed(_ since: UInt64, _ to: UInt64? = nil) throws -> [Int64] {
      let table = try LanceTable(location, version: to.map { .number($0) } ?? .latest)
      let reader = try table.changes(since: since, columns: ["id"], batchRows: 3)
      var ids: [Int64] = []
      while let batch = try reader.next() { ids += values(batch.columns[0], Int64.self) }
      return ids.sorted()
    }
    #expect(try changed(1, 2) == [])
    #expect(try changed(2, 3) == [20, 70, 120, 170, 220])
    #expect(try changed(1, 6) == [20, 70, 120, 170, 220, 300, 301])
    #expect(try changed(3) == [22, 70, 301] && changed(6) == [22, 70] && changed(7) == [22, 70] && changed(8) == [])
    #expect(try changed(1) == [20, 22, 70, 120, 170, 220, 301])
    func counts(_ a: UInt64, _ b: UInt64) throws -> [Int] {
      let diff = try location.diff(from: .number(a), to: .number(b))
      return [diff.rowsAdded, diff.rowsRemoved]
    }
    #expect(try counts(1, 2) == [0, 10] && counts(2, 1) == [10, 0])
    #expect(try counts(4, 6) == [0, 0] && counts(3, 6) == [2, 0] && counts(1, 6) == [7, 15])
    #expect(try counts(6, 8) == [2, 4] && counts(8, 1) == [17, 7] && counts(8, 8) == [0, 0])
    #expect(try location.diff(from: .number(3)).operations == ["append", "reserve_fragments", "compact", "delete", "update"])
    // An overwrite leaves nothing of what was; a restore brings it back.
    try LanceTable.write(SampleRows.reader([1, 2]), to: location, mode: .overwrite)  // 9
    #expect(try counts(1, 9) == [2, 250] && changed(8) == [1, 2])
    _ = try location.restore(.number(2))  // 10
    #expect(try counts(1, 10) == [0, 10] && changed(2) == [])
    #expect(failure { _ = try LanceTable(location, version: .number(3)).changes(since: 4) }?.code == .invalidArgument)
    try location.store.delete("t.lance/_versions/\(ManifestNaming.v2.name(of: 5))")
    #expect(failure { _ = try location.diff(from: .number(4)) }?.code == .versionNotFound)
  }

  @Test func differencesOfColumns() throws {
    let location = try RowOperationTests.table(MemoryStore(), 10)
    _ = try location.renameColumn("text", to: "words")
    _ = try location.dropColumns(["blob", "flag"])
    _ = try location.addColumns(nulls: [Field("flag", .int8), Field("new", .int8)])
    _ = try location.castColumn("label", to: .int64) { column throws(Failure) in
      try Column.int64(values(column, Int32.self).map { Int64($0) })
    }
    let diff = try location.diff(from: .number(1))
    #expect(diff.columnsAdded == ["new"] && diff.columnsDropped == ["blob"])
    #expect(diff.columnsRenamed.map { [$0.from, $0.to] } == [["text", "words"]])
    #expect(diff.columnsRetyped.map(\.name).sorted() == ["flag", "label"] && diff.rowsAdded == 0 && diff.rowsRemoved == 0)
    #expect(diff.json["columns_renamed"] == [["from": "text", "to": "words"]])
    #expect(diff.operations == ["drop_columns", "drop_columns", "add_columns", "add_columns"])
  }
}
