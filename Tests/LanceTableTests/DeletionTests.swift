import Core
import LanceTable
import TestSupport
import Testing

@Suite("Deleted rows")
struct DeletionTests {
  func decode(_ bytes: [UInt8]) throws -> [UInt32] {
    let result: Result<[UInt32], any Error> = bytes.withUnsafeBytes { raw in
      Result { try RoaringBitmap.decode(raw, what: "bitmap 'x'") }
    }
    return try result.get()
  }

  @Test func roaringBytesAreAsTheSpecificationShows() throws {
    // One container, one number: shared/design/lance.md part 21.4.
    let bytes: [UInt8] = [
      0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 5, 0,
    ]
    #expect(RoaringBitmap.encode([5]) == bytes)
    #expect(try decode(bytes) == [5])
    #expect(try decode(RoaringBitmap.encode([])) == [])
  }

  @Test(arguments: [1, 10, 4096, 4097, 65536, 70000, 300_000]) func roaringRoundTrips(_ count: Int) throws {
    var generator = SystemRandomNumberGenerator()
    for step in [1, 3, 17] {
      let numbers = (0..<count).map { UInt32($0 * step) + ($0 > count / 2 ? 1 << 20 : 0) }
      #expect(try decode(RoaringBitmap.encode(numbers)) == numbers)
    }
    let random = Set((0..<count).map { _ in UInt32.random(in: 0...UInt32.max, using: &generator) }).sorted()
    #expect(try decode(RoaringBitmap.encode(random)) == random)
  }

  @Test func roaringRunContainersAreRead() throws {
    // Cookie 12347 | (1 container - 1) << 16, run flags, key 2 with 12 numbers, 2 runs: 5...14 and 100...101.
    let bytes: [UInt8] = [0x3b, 0x30, 0, 0, 1, 2, 0, 11, 0, 2, 0, 5, 0, 9, 0, 100, 0, 1, 0]
    #expect(try decode(bytes) == (5...14).map { 0x20000 + $0 } + [0x20064, 0x20065])
  }

  @Test func damagedBitmapsAreErrors() throws {
    let good = RoaringBitmap.encode([1, 2, 3, 70000] + (100_000..<200_000).map { UInt32($0) })
    for length in stride(from: 0, to: good.count, by: 97) {
      #expect(failure { _ = try decode(Array(good[..<length])) }?.code == .corruptData)
    }
    #expect(
      failure { _ = try decode([9, 9, 9, 9, 0, 0, 0, 0]) }?.message
        == "bitmap 'x' is not a valid bitmap: it begins with 151587081")
    // Numbers out of order.
    #expect(
      failure { _ = try decode([0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 7, 0, 6, 0]) }?.message
        == "bitmap 'x' is not a valid bitmap: its numbers are out of order")
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      var bytes = RoaringBitmap.encode([1, 2, 3, 70000, 200_000])
      bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      _ = try? decode(bytes)
    }
  }

  @Test func livePositionsAndPhysicalRows() {
    let vector = DeletionVector([9, 0, 1, 5, 5])
    #expect(vector.deleted == [0, 1, 5, 9])
    let live = (0..<20).filter { !vector.deleted.contains(UInt32($0)) }
    for (position, row) in live.enumerated() { #expect(vector.physical(position) == row) }
    for row in 0...20 { #expect(vector.rank(row) == vector.deleted.filter { Int($0) < row }.count) }
    #expect(vector.live(in: 4..<11) == [0, 2, 3, 4, 6])
    #expect(vector.touches(4..<6) && !vector.touches(2..<5) && !vector.touches(10..<100))
    #expect(DeletionVector.none.physical(7) == 7 && DeletionVector.none.live(in: 0..<2) == [0, 1])
  }
}
