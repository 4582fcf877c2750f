import Columnar
import Core
import Testing

/// Memory that shows when it is gone: the bytes turn to 0xDD with the last reference. It is never given back, so that reading it is no crash.
private final class Marked {
  let bytes: UnsafeMutableRawPointer
  let byteCount: Int
  init(byteCount: Int) {
    bytes = .allocate(byteCount: byteCount, alignment: Buffer.alignment)
    self.byteCount = byteCount
  }
  deinit { bytes.initializeMemory(as: UInt8.self, repeating: 0xDD, count: byteCount) }
}

/// How long memory lives under a pointer: what `Buffer` promises to its readers. Tells something in release builds only, where objects
/// are freed right after their last use.
@Suite struct LifetimeTests {
  static let count = 1000

  /// `count` ones.
  @inline(never) static func makeColumn() -> Column {
    let memory = Marked(byteCount: count * 4)
    memory.bytes.initializeMemory(as: Int32.self, repeating: 1, count: count)
    return Column(
      type: .int32, count: count, buffers: [Buffer(viewing: memory.bytes, byteCount: memory.byteCount, owner: memory)])
  }
  @inline(never) static func makeBatch() throws -> RecordBatch {
    try RecordBatch(["a": makeColumn(), "b": makeColumn()])
  }
  @inline(__always) static func sum(_ values: UnsafeBufferPointer<Int32>) -> Int {
    var total = 0
    for i in 0..<values.count { total &+= Int(values[i]) }
    return total
  }

  @inline(never) static func sumOfColumn() -> Int {
    let column = makeColumn()
    let values = column.values(of: Int32.self)
    return sum(values)
  }
  @inline(never) static func sumOfBatch() throws -> Int {
    let batch = try makeBatch()
    let values = batch.columns[1].values(of: Int32.self)
    return sum(values)
  }
  @inline(never) static func sumOfOptionalBatch() throws -> Int {
    guard let batch = try Optional(makeBatch()) else { return 0 }
    let values = batch.columns[1].values(of: Int32.self)
    return sum(values)
  }
  @inline(never) static func sumOfBatches() throws -> Int {
    var total = 0
    for batch in try [makeBatch(), makeBatch()] {
      let values = batch.columns[0].values(of: Int32.self)
      total &+= sum(values)
    }
    return total / 2
  }
  @inline(never) static func sumInClosure() throws -> Int {
    let batch = try makeBatch()
    let values = batch.columns[0].values(of: Int32.self)
    return (0..<count).reduce(0) { $0 &+ Int(values[$1]) }
  }
  @inline(never) static func copied() throws -> Int {
    let batch = try makeBatch()
    return Array(batch.columns[0].values(of: Int32.self)).reduce(0) { $0 &+ Int($1) }
  }

  @Test func aNameKeepsTheMemoryUnderAPointer() throws {
    #expect(Self.sumOfColumn() == Self.count)
    #expect(try Self.sumOfBatch() == Self.count)
    #expect(try Self.sumOfOptionalBatch() == Self.count)
    #expect(try Self.sumOfBatches() == Self.count)
    #expect(try Self.sumInClosure() == Self.count)
    #expect(try Self.copied() == Self.count)
  }

  @inline(never) static func sumOfTemporary() -> Int {
    makeColumn().buffers[0].withBytes { bytes in
      (0..<count).reduce(0) { $0 &+ Int(bytes.loadUnaligned(fromByteOffset: $1 * 4, as: Int32.self)) }
    }
  }

  @Test func withBytesKeepsTheMemoryOfATemporary() {
    #expect(Self.sumOfTemporary() == Self.count)
  }
}
