import Columnar
import Core
import LanceFile
import LanceProto
import SwiftProtobuf
import Testing

/// Bytes that pylance 14.0.2 writes or reads, put down by hand.
@Suite struct GoldenTests {
  /// "30 0a" as bytes; blanks and bars are left out.
  static func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { $0.isHexDigit }
    return stride(from: 0, to: digits.count, by: 2).map { i in
      let from = digits.index(digits.startIndex, offsetBy: i)
      return UInt8(digits[from...].prefix(2), radix: 16) ?? 0
    }
  }

  static func text(_ text: String) -> [UInt8] { Array(text.utf8) }
  static func le(_ value: Int, _ bytes: Int = 8) -> [UInt8] { (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  /// The 341 bytes of a 2.2 file with the column `id` int64 = [1, 2, 3] that pylance 14 reads.
  static var smallestFile: [UInt8] {
    var file = hex("30000000") + [UInt8](repeating: 0, count: 60)
    file += hex("0000 18000000 fefe") + le(1) + le(2) + le(3) + [UInt8](repeating: 0, count: 32)
    file += hex("0a1a 0a18 0802 1202 6964 20 ffffffffffffffffff01 2a05") + text("int64") + hex("1003")
    file += hex("0a29 1227 0a25 0a1f") + text("/lance.encodings.ColumnEncoding") + hex("1202 0a00")
    file += hex("1242 0a020040 12020420 1803 2236 1234 0a32 0a1d") + text("/lance.encodings21.PageLayout")
    file += hex("1211 0a0f 1a04 0a02 0840 320101 3801 4803 5001")
    file += le(0x9E) + le(111) + le(0x80) + le(30)
    file += le(0x9E) + le(0x10D) + le(0x11D) + le(1, 4) + le(1, 4) + le(2, 2) + le(2, 2) + text("LANC")
    return file
  }

  @Test func aFileWrittenByHandIsRead() throws {
    #expect(Self.smallestFile.count == 341)
    let file = try reader(Self.smallestFile)
    #expect(file.version == .v2_2 && file.rowCount == 3)
    let batch = try file.read(rows: 0..<3)
    #expect(batch.schema.fields == [Field("id", .int64, isNullable: false)])
    withExtendedLifetime(batch) { #expect(Array(batch.columns[0].values(of: Int64.self)) == [1, 2, 3]) }
  }

  /// Our file of the same table differs in the field's legacy type, its id and the place of things only.
  @Test func ourFileHasTheSameParts() throws {
    let schema = Schema([Field("id", .int64, isNullable: false)])
    let ours = try written([try RecordBatch(schema: schema, columns: [try Column.int64([1, 2, 3])])], schema: schema)
    #expect(Array(ours[0..<0x60]) == Array(Self.smallestFile[0..<0x60]))
    // One global buffer more: the checksums.
    #expect(Array(ours.suffix(16)) == [2] + Array(Self.smallestFile.suffix(15)))
    let golden = Self.smallestFile[0x9E..<0x10D]
    let start = try #require(ours.firstIndex(ofSequence: Array(golden.prefix(43))))
    #expect(Array(ours[start..<start + golden.count]) == Array(golden))
  }

  func chunk(_ column: Column, _ version: LanceFileVersion = .v2_2, at offset: Int, _ count: Int) throws -> [UInt8] {
    let schema = Schema([Field("v", column.type)])
    let file = try written([try RecordBatch(schema: schema, columns: [column])], schema: schema, version)
    return Array(file[offset..<offset + count])
  }

  @Test func chunksHaveTheirBytes() throws {
    // [7, null, 9]: a header of 8 bytes, levels 0 1 0, values.
    let numbers = try Column.int64([7, nil, 9])
    #expect(try chunk(numbers, at: 0, 4) == Self.hex("40000000"))
    #expect(
      try chunk(numbers, at: 64, 40) == Self.hex("0300 0600 18000000 0000 0100 0000 fefe") + Self.le(7) + Self.le(0)
        + Self.le(9))
    // ["a", null, "ccc"]: offsets 16, 17, 17, 20 count from the start of the values.
    #expect(
      try chunk(try Column.utf8(["a", nil, "ccc"]), at: 64, 40)
        == Self.hex("0300 0600 14000000 0000 0100 0000 fefe 10000000 11000000 11000000 14000000 61636363 fefefefe"))
    // [[1, 2], [3], [], null, [4, null, 6]] with its repetition index 5, 0.
    let lists = try Column.list(try Column.int32([1, 2, 3, 4, nil, 6]), lengths: [2, 1, 0, nil, 3])
    let levels = Self.hex("0100 0000 0100 0100 0100 0100 0000 0000  0000 0000 0000 0300 0200 0000 0100 0000")
    let values = [1, 2, 3, 4, 0, 6].flatMap { Self.le($0, 4) }
    #expect(try chunk(lists, at: 0, 4) == Self.hex("80000000"))
    #expect(
      try chunk(lists, at: 64, 72) == Self.hex("0800 1000 1000 18000000") + [0xFE, 0xFE, 0xFE, 0xFE, 0xFE, 0xFE] + levels
        + values)
    #expect(try chunk(lists, at: 192, 16) == Self.le(5) + Self.le(0))
    #expect(try chunk(lists, .v2_1, at: 0, 2) == Self.hex("7000"))
    #expect(try chunk(lists, .v2_1, at: 64, 64) == Self.hex("0800 1000 1000 1800") + levels + values)
  }

  /// The bit-packed bytes of a column of 1024 values, in a page that we wrote: behind table and chunk header.
  @Test(
    arguments: [
      (DataType.uint8, 3, "004992db246db6ff004992db246db6ff"), (.uint16, 5, "000021844208638c8410a594c618e79c"),
      (.uint32, 11, "00001cc00738dcc10e709cc315a85cc5"), (.uint64, 20, "000000e81f00fd03fd03d02720fd00d4"),
    ])
  func bitPackingHasTheFastLanesOrder(_ type: DataType, _ width: Int, _ first: String) throws {
    let column: Column
    switch type {
    case .uint8: column = try Column.make(type, (0..<1024).map { UInt8($0 % 8) })
    case .uint16: column = try Column.make(type, (0..<1024).map { UInt16($0 % 32) })
    case .uint32: column = try Column.make(type, (0..<1024).map { UInt32(7 * $0 % 2048) })
    default: column = try Column.make(type, (0..<1024).map { UInt64(1021 * $0 % (1 << 20)) })
    }
    let word = (type.bitWidth ?? 8) / 8
    let header = 8
    let bytes = try chunk(column, at: 64 + header, word + 16)
    #expect(bytes == Self.le(width, word) + Self.hex(first))
    let file = try chunk(column, at: 64, header)
    #expect(Array(file[2..<6]) == Self.le(word + width * 128, 4))
  }

  @Test func constantPagesHoldTheValueOnce() throws {
    let column = try Column.make(.int64, [Int64?](repeating: 42, count: 50_000))
    let schema = Schema([Field("v", .int64)])
    let batch = try RecordBatch(schema: schema, columns: [column])
    #expect(try written([batch], schema: schema, .v2_2).count < 400)
    let bytes = try written([batch], schema: schema, .v2_1)
    #expect(bytes.count > 1000 && bytes.count < 3000)  // 2.1 knows no constants: runs of 255 values.
    #expect(difference(column, try reader(bytes).read(rows: 0..<50_000).columns[0]) == nil)
  }

  /// Pages of full-zip vectors follow each other without a gap, and are read without a copy.
  @Test func wideVectorsAreReadWithoutACopy() throws {
    let n = 6000
    let values: [Float] = (0..<n * 784).map { Float($0 & 0xFFFF) }
    let images = Column.vectors(.float32, size: 784, count: n, buffer: try Buffer(values))
    let schema = Schema([Field("image", images.type), Field("label", .int64)])
    let labels = try Column.int64((0..<n).map { Int64($0 % 10) })
    let batch = try RecordBatch(schema: schema, columns: [images, labels])
    let bytes = try Buffer(try written([batch.slice(0, 1000), batch.slice(1000, 5000)], schema: schema))
    let file = try LanceFileReader(buffer: bytes, path: "mnist")
    let read = try file.read(try file.wholeFile().selecting(["image"]), rows: 10..<n)
    let memory = read.columns[0].children[0].buffers[0]
    #expect(memory.pointer >= bytes.pointer && memory.pointer + memory.byteCount <= bytes.pointer + bytes.byteCount)
    #expect(difference(images.slice(10, 300), read.columns[0].slice(0, 300)) == nil)
    #expect(difference(images.slice(n - 100, 100), read.columns[0].slice(n - 110, 100)) == nil)
  }

  @Test func messagesNameFileAndColumn() throws {
    let schema = Schema([Field("id", .int64, isNullable: false)])
    let sink = MemorySink()
    let writer = try LanceFileWriter(schema: schema, sink: sink)
    let null = #expect(throws: Failure.self) {
      try writer.write(try RecordBatch(schema: schema, columns: [try Column.int64([1, nil])]))
    }
    #expect(null?.message == "column 'id': 'id' is declared as never null, but row 2 of the batch is null")
    let other = try RecordBatch(["id": try Column.utf8(["x"])])
    let type = #expect(throws: Failure.self) { try writer.write(other) }
    #expect(type?.message == "column 'id' is String, the file has Int64")
    let unsupported = #expect(throws: Failure.self) {
      _ = try LanceFileWriter(schema: Schema([Field("v", .vector(.utf8, 3))]), sink: sink)
    }
    #expect(
      unsupported?.message
        == "column 'v': FixedSizeList[String, 3] cannot be stored: the items of a fixed-size list must be numbers, at least one"
    )
    let text = #expect(throws: Failure.self) { _ = try reader(Self.text(String(repeating: "no Lance file ", count: 9))) }
    #expect(text?.message == "test.lance: the file does not end with 'LANC': it is no Lance file or it is cut short")
    var newer = Self.smallestFile
    newer[newer.count - 6] = 3
    let version = #expect(throws: Failure.self) { _ = try reader(newer) }
    #expect(version?.code == .unsupported)
    #expect(version?.message == "test.lance: Lance file version 2.3 is not supported; supported are 2.0, 2.1 and 2.2")
    let file = try reader(Self.smallestFile)
    let rows = #expect(throws: Failure.self) { _ = try file.read(rows: 2..<9) }
    #expect(rows?.message == "rows 2 ..< 9 are not in test.lance of 3 rows")
    let take = #expect(throws: Failure.self) { _ = try file.take(rows: [1, 0]) }
    #expect(take?.message == "the rows to take must ascend")
    let name = #expect(throws: Failure.self) { _ = try file.wholeFile().selecting(["idd"]) }
    #expect(name?.message == "column 'idd'; did you mean 'id'? columns are: id")
  }

  /// A table's manifest maps field ids to columns; what the file lacks reads as null.
  @Test func projectionsFollowFieldIDs() throws {
    let schema = Schema([Field("a", .int64), Field("b", .utf8)])
    let batch = try RecordBatch(schema: schema, columns: [try Column.int64([1, 2]), try Column.utf8(["x", "y"])])
    let sink = MemorySink()
    let writer = try LanceFileWriter(schema: schema, fieldIDs: [4, 7], sink: sink)
    try writer.write(batch)
    let summary = try writer.finish()
    #expect(summary.fieldIDs == [4, 7] && summary.columnIndices == [0, 1])
    let file = try reader(sink.bytes)
    let table = Schema([Field("new", .float64), Field("renamed", .utf8)])
    let fields = try LanceSchema.fields(of: table, ids: [9, 7])
    let read = try file.read(try file.projection(fields: fields, columnOfField: [4: 0, 7: 1]), rows: 0..<2)
    #expect(read.schema == table)
    #expect(read.json(row: 1)["renamed"] == "y" && read.json(row: 1)["new"] == .null)
    let wrong = #expect(throws: Failure.self) { _ = try file.projection(fields: fields, columnOfField: [7: 2]) }
    #expect(wrong?.message == "test.lance: field 7 is said to be in column 2, the file has 2 columns")
  }

  @Test func logicalTypesRoundTrip() throws {
    for name in Samples.names where name != "dictionary" {
      let type = try Samples.column(name, 2, nulls: false).type
      let schema = Schema([Field("v", type)])
      #expect(try LanceSchema.schema(of: try LanceSchema.fields(of: schema)) == schema, "\(name)")
    }
    #expect(try LogicalType.leaf("timestamp:us:-") == .timestamp(.microsecond, timeZone: nil))
    #expect(try LogicalType.leaf("timestamp:ns:+02:00") == .timestamp(.nanosecond, timeZone: "+02:00"))
    #expect(try LogicalType.leaf("dict:string:int32:false") == .utf8)
    #expect(try LogicalType.leaf("fixed_size_list:fixed_size_list:float:2:3") == .vector(.vector(.float32, 2), 3))
    for bad in [
      "", "int65", "fixed_size_list:float", "fixed_size_list:string:3", "fixed_size_list:float:0", "timestamp:y:-",
      "decimal:64:1:1",
    ] {
      let failure = #expect(throws: Failure.self) { _ = try LogicalType.leaf(bad) }
      #expect(failure?.message == "columns of the Lance type '\(bad)' are not supported")
    }
  }
}

extension Array where Element == UInt8 {
  func firstIndex(ofSequence part: [UInt8]) -> Int? {
    (0...Swift.max(0, count - part.count)).first { Array(self[$0..<$0 + part.count]) == part }
  }
}
