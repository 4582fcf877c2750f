import Columnar
import Core
import Testing

@Suite struct ColumnTests {
  static func samples() throws -> [Column] {
    let numbers = try Column.int64([1, nil, 3, 4])
    let vectors = Column.vectors(.float32, size: 2, count: 4, buffer: try Buffer([1, 2, 3, 4, 5, 6, 7, 8] as [Float]))
    let lists = try Column.list(try Column.int32([1, 2, 3, 4]), lengths: [2, nil, 0, 2])
    let members = try Column.utf8(["a", "b", nil, "d"])
    let type = DataType.structure([Field("n", .int64), Field("s", .utf8)])
    return [
      numbers, try .bool([true, nil, false, true]), try .utf8(["x", nil, "", "wörld"]), try .binary([[1], nil, [], [255]]),
      try .utf8(["x", nil, "", "long"], type: .largeUtf8), vectors, lists, try .nulls(.float64, count: 4),
      try .nulls(.null, count: 4),
      Column(type: type, count: 4, buffers: [], children: [numbers, members]),
      Column(
        type: .dictionary(index: .uint8, value: .utf8), count: 4, buffers: [try Buffer([1, 0, 1, 1] as [UInt8])],
        children: [try .utf8(["p", "q"])]),
    ]
  }

  func rows(_ column: Column) -> [JSONValue] { (0..<column.count).map { column.json($0) } }

  @Test(arguments: 0..<11) func sliceTakeAndConcatenateAgree(_ which: Int) throws {
    let column = try Self.samples()[which]
    try column.validated()
    let all = rows(column)
    #expect(all.count == 4)
    let cut = column.slice(1, 3)
    try cut.validated()
    #expect(rows(cut) == Array(all[1...]))
    #expect(cut.nullCount == all[1...].count { $0.isNull })
    #expect(rows(try cut.take([2, 0, 0])) == [all[3], all[1], all[1]])
    let joined = try Column.concatenate([cut, column, column.slice(0, 0), cut.slice(1, 1)], type: column.type)
    #expect(rows(joined) == Array(all[1...]) + all + [all[2]])
    try joined.validated()
  }

  @Test func lyingPartsAreRefused() throws {
    let short = try Buffer(byteCount: 4)
    #expect(throws: Failure.self) { try Column(type: .int64, count: 10, buffers: [short]).validated() }
    #expect(throws: Failure.self) { try Column(type: .int64, count: .max, buffers: [short]).validated() }
    #expect(throws: Failure.self) {
      try Column(type: .utf8, count: 1, buffers: [try Buffer([0, 9] as [Int32]), short]).validated()
    }
    #expect(throws: Failure.self) {
      try Column(type: .utf8, count: 1, buffers: [try Buffer([-1, 2] as [Int32]), short]).validated()
    }
    #expect(throws: Failure.self) { try Column(type: .list(Field("item", .int8)), count: 1, buffers: [short]).validated() }
    #expect(throws: Failure.self) {
      try Column(
        type: .dictionary(index: .int8, value: .utf8), count: 1, buffers: [try Buffer([-1] as [Int8])],
        children: [try .utf8(["a"])]
      ).validated()
    }
  }

  @Test func schemasNameTheNearestColumn() throws {
    let batch = try RecordBatch(["image": try .int64([1]), "label": try .int64([2])])
    let failure = #expect(throws: Failure.self) { _ = try batch.column("lable") }
    #expect(failure?.message == "column 'lable'; did you mean 'label'? columns are: image, label")
    let uneven = #expect(throws: Failure.self) { _ = try RecordBatch(["a": try .int64([1]), "b": try .int64([1, 2])]) }
    #expect(uneven?.message == "column 'b' has 2 rows, others have 1")
  }

  @Test func valuesAreShownAsUsersWriteThem() throws {
    #expect(try Column.float32([0.1]).json(0) == .double(0.1))
    #expect(try Column.make(.timestamp(.millisecond, timeZone: "UTC"), [Int64(-1)]).json(0) == "1969-12-31T23:59:59.999Z")
    #expect(try Column.make(.date32, [Int32(1)]).json(0) == "1970-01-02")
    #expect(Column.double(half: 0x3C00) == 1 && Column.double(half: 0xC000) == -2 && Column.double(half: 1) == 0x1p-24)
    let decimal = try Column(type: .decimal128(precision: 5, scale: 2), count: 1, buffers: [try Buffer([-5, -1] as [Int64])])
    #expect(decimal.json(0) == "-0.05")
    #expect(DataType.vector(.float32, 784).description == "FixedSizeList[Float32, 784]")
  }
}
