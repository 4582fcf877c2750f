import Columnar
import Core
import LanceFile
import LanceProto
import Testing

/// The writer's choice of encodings: what is smaller is chosen, comes back the same, and the same rows give the same bytes.
@Suite struct EncodingTests {
  private func file(_ column: Column, _ version: LanceFileVersion = .default, _ metadata: [String: String] = [:]) throws
    -> [UInt8]
  {
    let schema = Schema([Field("v", column.type, metadata: metadata)])
    let batch = try RecordBatch(schema: Schema([Field("v", column.type)]), columns: [column])
    return try written([batch], schema: schema, version)
  }

  /// The size of the file, after everything was read back: as a whole, every third row, and single rows.
  private func size(
    _ column: Column, _ version: LanceFileVersion = .default, _ metadata: [String: String] = [:], _ place: String = ""
  ) throws -> Int {
    let bytes = try file(column, version, metadata)
    #expect(bytes == (try file(column, version, metadata)), "\(place): other bytes for the same rows")
    let reader = try reader(bytes)
    let n = column.count
    let all = try reader.read(rows: 0..<n).columns[0]
    try all.validated(place)
    #expect(difference(column, all) == nil, "\(place)")
    for rows in [
      Array(stride(from: 0, to: n, by: 3)), Array(stride(from: 7, to: n, by: 811)), [0], [n - 1], [n / 2, n / 2 + 1],
    ] {
      let some = try reader.take(rows: rows).columns[0]
      try some.validated(place)
      #expect(difference(try column.take(rows.map { Int32($0) }), some) == nil, "\(place), rows \(rows.prefix(5))")
    }
    return bytes.count
  }

  static let n = 20_000

  private func nulls(_ column: Column) throws -> Column {
    let bits = try Bitmap.filled(column.count, true)
    for i in 0..<column.count where i % 7 == 3 || (i / 500) % 9 == 4 { Bitmap.set(bits.pointer, i, false) }
    return Column(type: column.type, count: column.count, validity: bits, buffers: column.buffers, children: column.children)
  }

  /// Columns of few long runs are constant pages, whatever their rows; short runs and too many are not.
  @Test func longRunsAreConstantPages() throws {
    let n = 70_000
    func texts(_ at: (Int) -> String) throws -> Column { try Column.utf8((0..<n).map { at($0) }) }
    func split(_ i: Int) -> Bool { i < 60_000 }
    let columns: [(String, Column)] = [
      ("texts", try texts { split($0) ? "train" : "test" }), ("empty texts", try texts { split($0) ? "" : "x" }),
      ("wide texts", try texts { String(repeating: split($0) ? "ab" : "c", count: 500) }),
      ("int64", try Column.int64((0..<n).map { split($0) ? -1 : 1 << 40 })),
      ("uint8", try Column.uint8((0..<n).map { split($0) ? 200 : 7 })),
      ("bool", try Column.bool((0..<n).map { split($0) })),
      (
        "decimal",
        Column(
          type: .decimal128(precision: 30, scale: 2), count: n,
          buffers: [try Buffer((0..<2 * n).map { Int64(split($0 / 2) ? 5 : -9) })])
      ),
    ]
    for (name, column) in columns {
      let size = try size(column, .v2_2, [:], name)
      // 61 MB of wide texts are cut into eight pages.
      #expect(size < (name == "wide texts" ? 10_000 : 700), "\(name): \(size)")
    }
    // The last run is too short to have a page; there are 70 runs of 1,000 rows.
    let tail = try Column.int64((0..<n).map { $0 < n - 3 ? 5 : 6 })
    #expect(try size(tail) > 800)
    let many = try Column.int64((0..<n).map { Int64($0 / 1000 * 0x9E37_79B9) })
    #expect(try size(many) > 2000)
  }

  /// Wide values that follow each other in the file are one page, also when their batches come one by one.
  @Test func imagesAreOnePage() throws {
    let (rows, width) = (30_000, 100)
    let column = Column.vectors(
      .float32, size: width, count: rows, buffer: try Buffer((0..<rows * width).map { Float($0 % 999) }))
    let labels = try Column.int64((0..<rows).map { Int64($0 % 10) })
    let batch = try RecordBatch(
      schema: Schema([Field("image", column.type), Field("label", .int64)]), columns: [column, labels])
    let parts = try stride(from: 0, to: rows, by: 1001).map { at in
      try RecordBatch(
        schema: batch.schema, columns: batch.columns.map { $0.slice(at, min(1001, rows - at)) }, count: min(1001, rows - at))
    }
    let (whole, pieces) = (try written([batch], schema: batch.schema), try written(parts, schema: batch.schema))
    #expect(whole == pieces)
    let reader = try reader(pieces)
    #expect(try reader.pageStarts(column: 0) == [0])
    for rows in [0..<rows, 5..<6, 20_900..<21_100] {
      #expect(difference(try reader.read(rows: rows).columns[0], column.slice(rows.lowerBound, rows.count)) == nil)
    }
    #expect(difference(try reader.take(rows: [3, 20_971, 29_999]).columns[0], try column.take([3, 20_971, 29_999])) == nil)
  }

  @Test(arguments: LanceFileVersion.allCases.filter { $0 != .v2_0 }, [false, true])
  func runsAreStoredOnce(_ version: LanceFileVersion, _ withNulls: Bool) throws {
    for (type, width) in [(DataType.int64, 8), (.int32, 4), (.int16, 2), (.int8, 1), (.float64, 8), (.float32, 4)] {
      var values: [UInt8] = []
      for i in 0..<Self.n {
        for k in 0..<width { values.append(UInt8(truncatingIfNeeded: (i / 700 * 0x9E37_79B9) >> (8 * k) | 0x80)) }
      }
      var column = Column(type: type, count: Self.n, buffers: [try Buffer(values)])
      if withNulls { column = try nulls(column) }
      let size = try size(column, version, [:], "\(type) in runs, \(version)")
      // Runs of 255 values at most, and a bit per row where there are nulls.
      #expect(size < Self.n / 100 * (width + 1) + (withNulls ? Self.n / 7 : 0) + 2500, "\(type), \(version): \(size)")
    }
  }

  @Test(arguments: LanceFileVersion.allCases.filter { $0 != .v2_0 }, [false, true])
  func fewDistinctStringsAreADictionary(_ version: LanceFileVersion, _ withNulls: Bool) throws {
    for type in [DataType.utf8, .largeUtf8, .binary, .largeBinary] {
      for length in [12, 300] {
        let tail = String(repeating: "x", count: length)
        var column =
          type.isString
          ? try Column.utf8((0..<Self.n).map { "\(($0 &* 2_654_435_761) % 13)\(tail)" }, type: type)
          : try Column.binary((0..<Self.n).map { Array("\(($0 &* 2_654_435_761) % 13)\(tail)".utf8) }, type: type)
        if withNulls { column = try nulls(column) }
        let size = try size(column, version, [:], "\(type) of 13 values, \(version)")
        // Four bits per row, and one where there are nulls.
        #expect(size < Self.n * (withNulls ? 6 : 5) / 8 + 13 * length + 3000, "\(type), \(version): \(size)")
      }
    }
  }

  @Test(arguments: LanceFileVersion.allCases.filter { $0 != .v2_0 }, [false, true])
  func textIsCodedWithSymbols(_ version: LanceFileVersion, _ withNulls: Bool) throws {
    for type in [DataType.utf8, .largeUtf8] {
      var random = Samples.Random(state: 5)
      var column = try Column.utf8(
        (0..<Self.n).map { "https://www.example.org/articles/\(random.next() % 1_000_000)/index.html?page=\($0)" }, type: type)
      let plain = column.buffers[1].byteCount
      if withNulls { column = try nulls(column) }
      let size = try size(column, version, [:], "urls, \(version)")
      #expect(size < plain * 2 / 5 + Self.n * (type == .utf8 ? 5 : 9), "\(type), \(version): \(size) of \(plain)")
    }
    // Wide strings, every byte value, empty strings, zeros at the end: all come back.
    let odd = try Column.utf8(
      (0..<3000).map { i in i % 11 == 0 ? "" : String(repeating: "word \(i % 10)\u{0} ", count: i % 90) + "\u{0}\(i)" })
    _ = try size(odd, version, [:], "odd text, \(version)")
    var random = Samples.Random(state: 9)
    let words = ["the ", "quick ", "brown ", "fox ", "\u{0}\u{0}\u{0}", "ÿ", "日本"]
    let short = try Column.utf8(
      (0..<Self.n).map { _ in (0..<random.next() % 6).map { _ in words[Int(random.next() % 7)] }.joined() })
    _ = try size(short, version, [:], "short text, \(version)")
    // Bytes without a pattern stay as they are.
    let noise = try Column.utf8(
      (0..<Self.n).map { _ in String((0..<10).map { _ in Character(Unicode.Scalar(UInt8(random.next() % 128))) }) })
    #expect(try size(noise, version, [:], "noise") < Self.n * 15)
  }

  @Test func levelsTakeOneBitPerRow() throws {
    let column = try nulls(try Samples.column("float64", Self.n, nulls: false))
    #expect(try size(column) < Self.n * 8 + Self.n / 6 + 4000)
  }

  @Test(arguments: LanceFileVersion.allCases.filter { $0 != .v2_0 }, ["zstd", "lz4"])
  func fieldsThatAskForItAreCompressed(_ version: LanceFileVersion, _ scheme: String) throws {
    let metadata = ["lance-encoding:compression": scheme]
    // Mostly background, as in images.
    var random = Samples.Random(state: 3)
    let pixels: [UInt8] = (0..<500 * 784).map { _ in random.next() % 5 == 0 ? UInt8(random.next() % 256) : 0 }
    let images = Column.vectors(.uint8, size: 784, count: 500, buffer: try Buffer(pixels))
    #expect(try size(images, version, metadata, "images") < 500 * 784 * 3 / 4)
    let steps = try Column.float64((0..<Self.n).map { Double($0 / 3) })
    #expect(try size(steps, version, metadata, "steps") < Self.n * 4)
    for type in [DataType.utf8, .largeUtf8, .binary] {
      let lines = (0..<Self.n).map { "line \($0) of the file, which says the same as all the others" }
      let column =
        type.isString ? try Column.utf8(lines, type: type) : try Column.binary(lines.map { Array($0.utf8) }, type: type)
      #expect(try size(column, version, metadata, "lines") < Self.n * 20, "\(type)")
    }
    let pages = try nulls(try Column.utf8((0..<400).map { i in String(repeating: "paragraph \(i) ", count: 40 + i % 20) }))
    #expect(try size(pages, version, metadata, "pages") < 400 * 100)
    // What does not become smaller is not compressed, and still comes back.
    let noise = try Column.int64((0..<Self.n).map { _ in Int64(bitPattern: random.next()) })
    #expect(try size(noise, version, metadata, "noise") < Self.n * 8 + 4000)
    for name in ["list", "list of wide text", "list of structs", "struct", "wide vector", "vector", "fixed binary", "map"] {
      for withNulls in [false, true] {
        _ = try size(try Samples.column(name, 3000, nulls: withNulls), version, metadata, "\(name), \(scheme)")
      }
    }
  }

  @Test func higherLevelsAreSmaller() throws {
    let lines = try Column.utf8((0..<Self.n).map { "line \($0 &* 7919 % 1000) of \($0 &* 104_729 % 977) and \($0 / 3)" })
    func size(_ level: String) throws -> Int {
      try self.size(lines, .default, ["lance-encoding:compression": "zstd", "lance-encoding:compression-level": level])
    }
    #expect(try size("19") < size("1"))
  }

  @Test func unknownCompressionIsRefused() throws {
    func message(_ metadata: [String: String]) -> String {
      do {
        _ = try file(try Column.int64([1]), .default, metadata)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message(["lance-encoding:compression": "snappy"]).contains("column 'v': lance-encoding:compression is 'snappy'"))
    #expect(
      message(["lance-encoding:compression": "zstd", "lance-encoding:compression-level": "99"]).contains("it may be 1 to 22"))
  }

  @Test func aTableOptionReachesAllLeaves() throws {
    let schema = Schema([
      Field("a", .int64), Field("b", .list(Field("item", .utf8))),
      Field("c", .utf8, metadata: ["lance-encoding:compression": "none"]),
    ])
    let fields = try CompressionChoice.applied("zstd:9", to: try LanceSchema.fields(of: schema))
    let texts = fields.map { field in field.metadata.mapValues { String(decoding: $0, as: UTF8.self) } }
    let both = ["lance-encoding:compression": "zstd", "lance-encoding:compression-level": "9"]
    #expect(texts == [both, [:], both, ["lance-encoding:compression": "none"]])
    for bad in ["snappy", "zstd:0", "zstd:high", "lz4:3", ""] {
      #expect(throws: Failure.self, "\(bad)") { try CompressionChoice.applied(bad, to: fields) }
    }
  }
}
