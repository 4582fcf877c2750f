import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Adding, changing and dropping columns")
struct ColumnOperationTests {
  /// 250 rows in three fragments, of which ids 5, 100 ..< 110 and 249 are deleted.
  func table(_ version: LanceFileVersion = .default) throws -> (TableLocation, [Int]) {
    let location = try RowOperationTests.table(MemoryStore(), 250, version)
    let gone: @Sendable (Int64) -> Bool = { $0 == 5 || ($0 >= 100 && $0 < 110) || $0 == 249 }
    _ = try location.delete(where: RowOperationTests.filter(matches: gone))
    return (location, (0..<250).filter { !gone(Int64($0)) })
  }
  func doubled(_ batch: RecordBatch) throws(Failure) -> [Column] {
    let ids = values(try batch.column("id"), Int64.self)
    return [try Column.int64(ids.map { $0 * 2 }), try Column.utf8(ids.map { $0 % 3 == 0 ? nil : "n\($0)" })]
  }

  @Test(arguments: LanceFileVersion.allCases) func addColumns(_ version: LanceFileVersion) throws {
    let (location, ids) = try table(version)
    let fields = [Field("twice", .int64, isNullable: false), Field("note", .utf8)]
    let report = try location.addColumns(fields, reads: ["id"], values: doubled)
    #expect(report == ChangeReport(version: 3))
    let table = try LanceTable(location)
    #expect(table.schema.names == SampleRows.schema.names + ["twice", "note"])
    #expect(try SampleRows.difference(table, ids) == nil)
    let added = try table.take(Array(0..<table.rowCount), columns: ["twice", "note"])
    #expect(values(added.columns[0], Int64.self) == ids.map { Int64($0) * 2 })
    for (i, id) in ids.enumerated() { #expect(added.columns[1].json(i) == (id % 3 == 0 ? .null : .string("n\(id)"))) }
    // One more file for each fragment, with all of its physical rows and only the new columns.
    for fragment in table.manifest.fragments {
      #expect(fragment.files.count == 2 && fragment.files[1].fields == [11, 12])
      let path = location.path("data/\(fragment.files[1].path)")
      let file = try LanceFileReader(buffer: location.store.read(path), path: path)
      #expect(file.rowCount == Int(fragment.physicalRows) && file.version == version)
    }
    #expect(table.file.transaction?.merge.fragments.count == 3 && table.file.transaction?.merge.schema.count == 13)
    // What comes later has them or reads null.
    try LanceTable.write(SampleRows.reader([900]), to: location, mode: .append, failing: .invalidSchema)
    _ = try location.delete(where: RowOperationTests.filter { $0 < 50 })
    #expect(try SampleRows.difference(LanceTable(location), ids.filter { $0 >= 50 }) == nil)
  }

  @Test func addNulls() throws {
    let (location, ids) = try table()
    let files = try location.store.list("t.lance/data", recursive: true).count
    _ = try location.addColumns(nulls: [Field("a", .int32), Field("v", .vector(.float32, 4))])
    #expect(try location.store.list("t.lance/data", recursive: true).count == files)
    try LanceTable.write(SampleRows.reader([900]), to: location, mode: .append)
    let table = try LanceTable(location)
    #expect(try SampleRows.difference(table, ids + [900]) == nil)
    let read = try table.take([0, table.rowCount - 1], columns: ["v", "a"])
    #expect(read.columns.allSatisfy { $0.nullCount == 2 })
    // A cast of a column that no file holds needs no file either.
    _ = try location.castColumn("a", to: .int64) { _ throws(Failure) in throw Failure(.internalError, "nothing to convert") }
    #expect(try LanceTable(location).schema.field("a").type == .int64)
    #expect(try location.store.list("t.lance/data", recursive: true).count == files + 1)
  }

  @Test func refusals() throws {
    let (location, _) = try table()
    func message(_ body: () throws -> Void) -> String { failure(body)?.description ?? "no error" }
    #expect(
      message { _ = try location.addColumns(nulls: [Field("id", .int32)]) }
        == "ALREADY_EXISTS: table 't' has a column 'id' already")
    #expect(
      message { _ = try location.addColumns(nulls: [Field("a", .int32, isNullable: false)]) }
        == "INVALID_SCHEMA: new column 'a' of table 't' allows no nulls, but all its values are null")
    #expect(
      message { _ = try location.addColumns(nulls: [Field("a", .int8), Field("a", .int8)]) }.contains(
        "two columns are named 'a'"))
    #expect(message { _ = try location.dropColumns(["lable"]) }.contains("did you mean 'label'?"))
    #expect(message { _ = try location.dropColumns(SampleRows.schema.names) }.contains("needs at least one column"))
    #expect(
      message { _ = try location.renameColumn("id", to: "label") } == "ALREADY_EXISTS: table 't' has a column 'label' already")
    #expect(message { _ = try location.renameColumn("id", to: "") }.contains("a column has an empty name"))
    #expect(
      message { _ = try location.addColumns([Field("a", .int32)], reads: ["id"], values: doubled) }
        .contains("2 columns for 1 new fields"))
    #expect(
      message {
        _ = try location.addColumns([Field("a", .int32), Field("b", .utf8)], reads: ["id"], values: doubled)
      }
        == "TYPE_MISMATCH: new column 'a' of table 't' is Int32, its values are Int64")
    #expect(
      message {
        _ = try location.addColumns(
          [Field("a", .int64), Field("b", .utf8, isNullable: false)], reads: ["id"], values: doubled)
      }.contains("new column 'b' of table 't' does not allow nulls"))
    // Nothing of all this left a trace.
    #expect(try LanceTable(location).version == 2)
    #expect(try location.store.list("t.lance/data", recursive: true).count == 3)
    #expect(try location.renameColumn("id", to: "id").isChanged == false)
    #expect(try location.dropColumns([]).isChanged == false)
    #expect(try location.castColumn("id", to: .int64) { column throws(Failure) in column }.isChanged == false)
  }

  @Test func dropAndRename() throws {
    let (location, ids) = try table()
    #expect(try location.dropColumns(["vector", "label"]).version == 3)
    #expect(try location.renameColumn("text", to: "words").version == 4)
    let table = try LanceTable(location)
    #expect(table.schema.names == ["id", "small", "ratio", "score", "flag", "words", "blob", "items"])
    #expect(try table.take([0, 1], columns: ["words"]).columns[0].json(1) == .string("row 1x"))
    #expect(table.rowCount == ids.count)
    #expect(try SampleRows.difference(LanceTable(location, version: .number(2)), ids) == nil)
    // A new column of an old name is another column; its id was never used.
    _ = try location.addColumns([Field("label", .utf8)], reads: ["words"]) { batch throws(Failure) in [batch.columns[0]] }
    let added = try LanceTable(location)
    #expect(added.fields.last?.id == 11)
    #expect(try added.take([1], columns: ["label"]).columns[0].json(0) == .string("row 1x"))
    // A file without any column of the schema left is not listed any more.
    _ = try location.dropColumns(["label"])
    #expect(try LanceTable(location).manifest.fragments.allSatisfy { $0.files.count == 1 })
    #expect(
      try location.versionList().map(\.operation) == [
        "create", "delete", "drop_columns", "drop_columns", "add_columns", "drop_columns",
      ])
  }

  @Test(arguments: LanceFileVersion.allCases) func cast(_ version: LanceFileVersion) throws {
    let (location, ids) = try table(version)
    _ = try location.castColumn("id", to: .float64) { column throws(Failure) in
      try Column.float64(values(column, Int64.self).map { Double($0) / 2 })
    }
    let table = try LanceTable(location)
    let field = try table.schema.field("id")
    #expect(field.type == .float64 && !field.isNullable && table.schema.names == SampleRows.schema.names)
    #expect(
      table.fields[0].id == 11 && table.manifest.fragments[0].files.map { $0.fields.count } == [version == .v2_0 ? 11 : 10, 1])
    #expect(
      values(try table.take(Array(0..<table.rowCount), columns: ["id"]).columns[0], Double.self) == ids.map { Double($0) / 2 })
    #expect(try SampleRows.difference(LanceTable(location, version: .number(2)), ids) == nil)
    // Rewritten rows keep the new type.
    _ = try location.update(ConflictTableTests.zero)
    #expect(try LanceTable(location).take([0], columns: ["id"]).columns[0].json(0) == .double(0))
  }

  @Test func castOfANestedColumn() throws {
    let (location, ids) = try table()
    _ = try location.castColumn("items", to: .list(Field("item", .int64))) { column throws(Failure) in
      let lengths: [Int?] = (0..<column.count).map { column.isValid($0) ? column.range($0).count : nil }
      let items = column.items()
      return try Column.list(try Column.int64(values(items, Double.self).map { Int64($0) }), lengths: lengths)
    }
    let table = try LanceTable(location)
    let read = try table.take(Array(0..<table.rowCount), columns: ["items"]).columns[0]
    for (i, id) in ids.enumerated() {
      let expected = SampleRows.items(id).map { JSONValue.array($0.map { .int(Int64($0)) }) } ?? .null
      #expect(read.json(i) == expected)
    }
    #expect(table.fields[9].ids == [11, 12])
  }

  @Test func indicesOfLostColumnsGo() throws {
    let location = try ConflictTableTests.table(MemoryStore())
    _ = try location.commit(options: ChangeOptions()) { _, _ in
      var other = ConflictTableTests.index("label_idx")
      other.fields = [1]
      return CreateIndexIntent(added: [ConflictTableTests.index("id_idx"), other])
    }
    _ = try location.addColumns(nulls: [Field("extra", .int8)])
    #expect(try LanceTable(location).indexEntries().map(\.name) == ["id_idx", "label_idx"])
    _ = try location.renameColumn("id", to: "number")
    _ = try location.dropColumns(["label"])
    #expect(try LanceTable(location).indexEntries().map(\.name) == ["id_idx"])
    // Compacted fragments count as not indexed.
    _ = try location.commit(options: ChangeOptions()) { table, _ in
      var new = table.manifest.fragments[0]
      new.id = 2
      return RewriteIntent(groups: [RewriteIntent.Group(old: [table.manifest.fragments[0]], new: [new])])
    }
    #expect(try LanceTable(location).indexEntries().map { try $0.coveredFragments() } == [[1]])
    #expect(try LanceTable(location).fragments.map(\.id) == [1, 2])
    let entry = try LanceTable(location).indexEntries()
    _ = try location.commit(options: ChangeOptions()) { _, _ in CreateIndexIntent(added: [], removed: entry) }
    #expect(try LanceTable(location).indexEntries().isEmpty && LanceTable(location).file.indexSection == nil)
  }
}

extension LanceTable {
  /// A write that must fail.
  static func write(_ reader: any RecordBatchReader, to location: TableLocation, mode: WriteMode, failing code: Failure.Code)
    throws
  {
    let error = failure { try write(reader, to: location, mode: mode) }
    #expect(error?.code == code)
  }
}
