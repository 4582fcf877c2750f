import Columnar
import Core
import LanceFile
import TestSupport
import Testing

/// Files carry checksums, and no damaged byte is taken for data.
@Suite struct ChecksumTests {
  /// Values from the test vectors of the reference implementation (xxhsum -H3).
  @Test func hashIsXXH3() {
    func hash(_ text: String) -> UInt64 { Array(text.utf8).withUnsafeBytes { Checksum.hash($0) } }
    #expect(hash("") == 0x2D06_8005_38D3_94C2)
    #expect(hash("abc") == 0x78AF_5F94_892F_3950)
  }

  @Test func seals() throws {
    let sealed = Checksum.sealed([1, 2, 3])
    #expect(sealed.count == 3 + Checksum.sealBytes)
    #expect(try sealed.withUnsafeBytes { try Checksum.unsealed($0, what: "x").map { Array($0) } } == [1, 2, 3])
    #expect(try [1, 2, 3].withUnsafeBytes { try Checksum.unsealed($0, what: "x") } == nil)
    for bit in 0..<8 * sealed.count {
      var damaged = sealed
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      // A damaged mark is no seal; anything else is noticed.
      let isMark = (3..<11).contains(bit / 8)
      let answer = damaged.withUnsafeBytes { bytes in Result { try Checksum.unsealed(bytes, what: "x")?.count } }
      switch answer {
      case .success(let count): #expect(isMark && count == nil)
      case .failure(let error):
        #expect(!isMark && (error as? Failure)?.message == "x is damaged: its bytes do not match their checksum")
      }
    }
  }

  private func sample(_ names: [String], _ n: Int, _ version: LanceFileVersion) throws -> (file: [UInt8], batch: RecordBatch) {
    var fields: [Field] = []
    var columns: [Column] = []
    for name in names where Samples.isStorable(name, version, nulls: true) {
      let column = try Samples.column(name, n, nulls: true)
      fields.append(Field(name, column.type))
      columns.append(column)
    }
    let batch = try RecordBatch(schema: Schema(fields), columns: columns)
    return (try written([batch], schema: batch.schema, version), batch)
  }

  /// The buffer, byte for byte: the last global buffer of the file.
  @Test(arguments: LanceFileVersion.allCases) func bytesOfTheBuffer(_ version: LanceFileVersion) throws {
    let (file, _) = try sample(["wide vector", "utf8"], 700, version)
    let reader = try reader(file)
    #expect(reader.hasChecksums)
    let sums = Array(try #require(reader.globalBuffer(1)))
    #expect(reader.globalBuffer(2) == nil)
    func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(sums[at + $1]) << (8 * $1) } }
    #expect(Array(sums[0..<8]) == Array("MOONXXH3".utf8) && number(8, 4) == 65536)
    let pages = number(16, 8)
    #expect(pages % 64 == 0 && pages > 65536 && number(12, 4) == (pages + 65535) / 65536)
    #expect(sums.count == 64 + 4 * number(12, 4))
    #expect(Array(sums.suffix(8)) == Array("MOONXXH3".utf8) && number(sums.count - 16, 8) == sums.count)
    func hash(_ range: Range<Int>) -> UInt64 { file[range].withUnsafeBytes { Checksum.hash($0) } }
    func stored(_ at: Int) -> UInt64 { UInt64(bitPattern: Int64(number(at, 8))) }
    for block in 0..<number(12, 4) {
      #expect(number(40 + 4 * block, 4) == Int(hash(block * 65536..<min(pages, (block + 1) * 65536)) & 0xFFFF_FFFF))
    }
    let start = try #require((pages..<file.count).first { Array(file[$0..<$0 + 8]) == Checksum.magic })
    #expect(start % 64 == 0)
    #expect(stored(24) == hash(pages..<start) && stored(32) == hash(start + sums.count..<file.count))
    #expect(stored(sums.count - 24) == sums.dropLast(24).withUnsafeBytes { Checksum.hash($0) })
    #expect(try reader.damagedRanges().isEmpty)
  }

  /// Every single bit of a small file: the rows come out as they were, or an error does.
  @Test(
    arguments: zip(
      LanceFileVersion.allCases, [["int64", "utf8"], ["list", "struct"], ["long utf8", "constant", "all null"]]))
  func everyFlippedBitIsNoticed(_ version: LanceFileVersion, _ names: [String]) throws {
    let (good, batch) = try sample(names, 30, version)
    var wrong: [String] = []
    var refused = 0
    for bit in 0..<8 * good.count {
      var bytes = good
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      do {
        let file = try reader(bytes)
        let read = try file.read(rows: 0..<file.rowCount)
        if let found = read.columns.count == batch.columns.count
          ? zip(read.columns, batch.columns).lazy.compactMap({ difference($0, $1) }).first : "\(read.columns.count) columns"
        {
          wrong.append("bit \(bit % 8) of byte \(bit / 8): \(found)")
        }
      } catch is Failure { refused += 1 }
    }
    #expect(wrong.isEmpty)
    #expect(refused == 8 * good.count)
  }

  @Test func blocksAreCheckedWhenTheyAreTouched() throws {
    // 2,000 rows of 2,048 bytes: 4 MB, 63 blocks.
    let rows = 2000
    let numbers = try Buffer((0..<rows * 512).map { Float($0) })
    let column = Column.vectors(.float32, size: 512, count: rows, buffer: numbers)
    let batch = try RecordBatch(schema: Schema([Field("v", column.type, isNullable: false)]), columns: [column])
    var file = try written([batch], schema: batch.schema)
    file[1_000_000] ^= 4
    let read = try reader(file)
    #expect(try read.damagedRanges() == [15 * 65536..<16 * 65536])
    // Rows elsewhere are right; rows of the damaged block are refused, alone and among others.
    #expect(difference(try read.take(rows: [0, 1999]).columns[0], try column.take([0, 1999])) == nil)
    for attempt in [
      { () throws -> RecordBatch in try read.take(rows: [488]) }, { try read.take(rows: [3, 490, 700]) },
      { try read.read(rows: 0..<rows) },
    ] {
      let error = failure { _ = try attempt() }
      #expect(error?.code == .corruptData)
      #expect(
        error?.message
          == "test.lance: column 'v', page 0: the file is damaged: bytes 983040 to 1048576 do not match their checksum")
    }
    #expect(difference(try read.read(rows: 600..<700).columns[0], column.slice(600, 100)) == nil)
    // Others' files are read as they are.
    #expect(try reader(withoutChecksums(file)).damagedRanges().isEmpty)
    #expect(try reader(withoutChecksums(file)).read(rows: 0..<rows).count == rows)
  }

  /// A large file has larger blocks: their hashes are those of trees over 64 KiB each, and one of them is read to check a row.
  @Test func largeFilesHaveLargeBlocks() throws {
    // 41 MB: 626 leaves of 64 KiB, so blocks of 128 KiB; the last one has a leaf and a bit.
    let (rows, width) = (5003, 2048)
    let numbers = try Buffer((0..<rows * width).map { Float($0 &* 7 % 1000) })
    let column = Column.vectors(.float32, size: width, count: rows, buffer: numbers)
    let batch = try RecordBatch(schema: Schema([Field("v", column.type, isNullable: false)]), columns: [column])
    var file = try written([batch], schema: batch.schema)
    let read = try reader(file)
    let sums = Array(try #require(read.globalBuffer(1)))
    func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(sums[at + $1]) << (8 * $1) } }
    let (block, pages) = (number(8, 4), number(16, 8))
    #expect(
      block == 131_072 && number(12, 4) == 313 && sums.count == 64 + 4 * 313 && pages == (rows * width * 4 + 63) / 64 * 64)
    func hash(_ bytes: some Sequence<UInt8>) -> UInt64 { Array(bytes).withUnsafeBytes { Checksum.hash($0) } }
    func bytes(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    for i in [0, 17, 312] {
      let (start, end) = (i * block, min(pages, (i + 1) * block))
      let tree = hash(bytes(hash(file[start..<start + 65536])) + bytes(hash(file[start + 65536..<end])))
      #expect(number(40 + 4 * i, 4) == Int(tree & 0xFFFF_FFFF), "block \(i)")
    }
    #expect(try read.damagedRanges().isEmpty)
    for at in [5 * block + 65535, pages - 65] {
      file[at] ^= 1
      let start = at / block * block
      #expect(try reader(file).damagedRanges() == [start..<min(pages, start + block)])
      #expect(failure { _ = try reader(file).take(rows: [at / (4 * width)]) }?.code == .corruptData)
      #expect(difference(try reader(file).take(rows: [2000]).columns[0], try column.take([2000])) == nil)
      file[at] ^= 1
    }
  }

  /// A file from before blocks grew with the file: 64 bits for each 64 KiB.
  @Test func longHashesOfEarlierFilesAreRead() throws {
    let good =
      GoldenTests.hex("50000000") + [UInt8](repeating: 0, count: 60)
      + GoldenTests.hex(
        """
        000028000000fefec800000000000000ca00000000000000cc00000000000000ce00000000000000d0000000000000000000000000000000
        00000000000000000a200a1e1206646f75626c65180320ffffffffffffffffff012a05696e74363430011005000000000000000000000000
        000000000000000000000000000000004d4f4f4e5858483300000100010000008000000000000000d4bf0343f76c2bcfba2422234ad01bf4
        888e041692c3dedf452470efb605799648000000000000004d4f4f4e585848330a2912270a250a1f2f6c616e63652e656e636f64696e6773
        2e436f6c756d6e456e636f64696e6712020a0012420a020040120204301805223612340a320a1d2f6c616e63652e656e636f64696e677332
        312e506167654c61796f757412110a0f1a040a02084032010138014805500108010000000000006f00000000000000800000000000000024
        00000000000000c0000000000000004800000000000000080100000000000077010000000000008701000000000000020000000100000002
        0002004c414e43
        """)
    let read = try reader(good)
    #expect(read.hasChecksums)
    #expect(difference(try read.read(rows: 0..<5).columns[0], try Column.int64([200, 202, 204, 206, 208])) == nil)
    for bit in 0..<8 * good.count {
      var bytes = good
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(failure { _ = try reader(bytes).read(rows: 0..<5) } != nil, "bit \(bit)")
    }
  }

  @Test func checksumsComeLastOfTheGlobalBuffers() throws {
    let sink = MemorySink()
    let column = try Column.int64([1, 2, 3])
    let schema = Schema([Field("x", .int64)])
    let writer = try LanceFileWriter(schema: schema, sink: sink)
    #expect(try writer.addGlobalBuffer([7, 7]) == 1)
    try writer.write(try RecordBatch(schema: schema, columns: [column]))
    #expect(try writer.addGlobalBuffer([UInt8](repeating: 9, count: 1000)) == 2)
    _ = try writer.finish()
    #expect(failure { _ = try writer.addGlobalBuffer([]) }?.code == .internalError)
    let read = try reader(sink.bytes)
    #expect(read.hasChecksums && read.globalBuffer(3) != nil && read.globalBuffer(4) == nil)
    #expect(Array(try #require(read.globalBuffer(1))) == [7, 7] && read.globalBuffer(2)?.count == 1000)
    // A bit of a global buffer is noticed at open.
    var damaged = sink.bytes
    damaged[try #require(damaged.indices.first { Array(damaged[$0..<$0 + 20]) == [UInt8](repeating: 9, count: 20) }) + 5] ^= 1
    #expect(
      failure { _ = try reader(damaged) }?.message
        == "test.lance: the file is damaged: its metadata does not match its checksum")
  }
}
