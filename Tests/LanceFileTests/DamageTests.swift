import Columnar
import Core
import LanceFile
import TestSupport
import Testing

/// Damaged files without checksums give an error or other data, never a crash or a read outside of memory. (With them:
/// `ChecksumTests`.)
@Suite(.serialized) struct DamageTests {
  /// Everything that a reader does with a file.
  private func use(_ bytes: [UInt8]) throws {
    let file = try reader(bytes)
    let rows = file.rowCount
    if rows <= 100_000 {
      let batch = try file.read(rows: 0..<rows)
      for column in batch.columns { try column.validated() }
    }
    if rows > 0 {
      let some = Set([0, rows / 2, rows - 1]).sorted()
      for column in try file.take(rows: some).columns { try column.validated() }
    }
  }

  private func sample(_ names: [String], _ n: Int, _ version: LanceFileVersion) throws -> [UInt8] {
    var fields: [Field] = []
    var columns: [Column] = []
    for name in names where Samples.isStorable(name, version, nulls: true) {
      let column = try Samples.column(name, n, nulls: true)
      fields.append(Field(name, column.type))
      columns.append(column)
    }
    let schema = Schema(fields)
    return withoutChecksums(try written([try RecordBatch(schema: schema, columns: columns)], schema: schema, version))
  }

  static let groups = [
    ["int64 sequence", "utf8", "bool", "fixed binary"], ["list", "list of structs", "struct", "list of lists"],
    ["long utf8", "wide vector", "list of wide text", "matrix"], ["constant", "all null", "empty lists", "vector", "decimal"],
  ]

  @Test(arguments: groups, LanceFileVersion.allCases)
  func flippedBitsDoNotCrash(_ names: [String], _ version: LanceFileVersion) throws {
    try MemoryLimit.of(1 << 30) {
      let good = try sample(names, 40, version)
      try use(good)
      var random = Samples.Random(state: UInt64(good.count))
      var refused = 0
      let tries = 400
      for k in 0..<tries {
        var bytes = good
        // The last part is metadata, where a bit matters most.
        let metadata = min(good.count, 1500)
        let at = k % 2 == 0 ? good.count - 1 - Int(random.next() % UInt64(metadata)) : Int(random.next() % UInt64(good.count))
        bytes[at] ^= 1 << UInt8(random.next() % 8)
        if k % 5 == 0 { bytes[Int(random.next() % UInt64(good.count))] = UInt8(truncatingIfNeeded: random.next()) }
        do { try use(bytes) } catch is Failure { refused += 1 }
      }
      #expect(refused > tries / 20)
    }
  }

  @Test(arguments: LanceFileVersion.allCases) func cutFilesAreRefused(_ version: LanceFileVersion) throws {
    let good = try sample(Self.groups[1], 30, version)
    for count in stride(from: 0, to: good.count, by: 7) {
      #expect(throws: Failure.self, "\(count) of \(good.count) bytes") { try use(Array(good[..<count])) }
    }
    // The end without the beginning: the footer is right, everything else lies outside or elsewhere.
    for count in stride(from: 40, to: good.count, by: 61) {
      do { try use(Array(good.suffix(count))) } catch is Failure {}
    }
  }

  /// Sizes that lie: each 8-byte word of the tail set to something extreme.
  @Test(arguments: [UInt64.max, 1 << 63, 1 << 40, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF])
  func lyingNumbersDoNotCrash(_ value: UInt64) throws {
    try MemoryLimit.of(1 << 30) {
      let good = try sample(Self.groups[0], 20, .v2_2)
      for at in stride(from: good.count - 8, to: max(0, good.count - 900), by: -4) {
        var bytes = good
        for k in 0..<8 { bytes[at + k] = UInt8(truncatingIfNeeded: value >> UInt64(8 * k)) }
        do { try use(bytes) } catch is Failure {}
      }
    }
  }
}
