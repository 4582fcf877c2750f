import CZstd
import Core

/// Reads `.arrow` deletion files: an Arrow IPC *file* with one `uint32` column, not null, in any order, whose bodies may be
/// compressed with zstd. Only what such a file needs of https://arrow.apache.org/docs/format/Columnar.html is here.
///
///     ... "ARROW1"                the file ends with i32 footer length and these 6 bytes
///     footer (flatbuffer)         field 3: blocks { i64 offset, i32 metadata length, i32 -, i64 body length }
///     block                       FF FF FF FF, i32 length, Message flatbuffer, body
///     Message                     field 1 header type (3 = RecordBatch), field 2 header
///     RecordBatch                 field 0 rows, field 2 buffers { i64 offset, i64 length }, field 3 compression
///     buffer 1 of the body        the values; compressed: i64 uncompressed length (-1 = raw), then the frame
enum ArrowDeletions {
  static func decode(_ bytes: UnsafeRawBufferPointer, what: String) throws(Failure) -> [UInt32] {
    let file = FlatBytes(bytes: bytes, what: what)
    guard bytes.count >= 18, bytes.suffix(6).elementsEqual("ARROW1".utf8) else {
      throw file.fail("it does not end with ARROW1")
    }
    let footerLength = try file.int32(at: bytes.count - 10)
    guard footerLength > 0, footerLength <= bytes.count - 10 else { throw file.fail("a footer of \(footerLength) bytes") }
    let footerStart = bytes.count - 10 - footerLength
    let root = try file.root(at: footerStart)
    var rows: [UInt32] = []
    guard let blocks = try file.vector(root, field: 3) else { return rows }
    for block in 0..<blocks.count {
      // Each entry is 24 bytes.
      let at = try file.entry(blocks, block, size: 24)
      let offset = try file.int64(at: at)
      let metadataLength = try file.int32(at: at + 8)
      let bodyLength = try file.int64(at: at + 16)
      guard offset >= 0, metadataLength > 0, bodyLength >= 0, offset <= bytes.count, metadataLength <= bytes.count - offset,
        bodyLength <= bytes.count - offset - metadataLength
      else { throw file.fail("block \(block) lies outside of the file") }
      let body = offset + metadataLength
      try appendBatch(file, message: offset + 8, body: body..<body + bodyLength, to: &rows)
    }
    return rows
  }

  private static func appendBatch(_ file: FlatBytes, message: Int, body: Range<Int>, to rows: inout [UInt32]) throws(Failure) {
    let root = try file.root(at: message)
    guard let kind = try file.scalar(root, field: 1), file.bytes[kind] == 3, let header = try file.table(root, field: 2) else {
      throw file.fail("a block is no record batch")
    }
    let count = try file.scalar(header, field: 0).map { at throws(Failure) in try file.int64(at: at) } ?? 0
    guard count >= 0, count <= Int(UInt32.max), let buffers = try file.vector(header, field: 2), buffers.count >= 2 else {
      throw file.fail("\(count) rows without their buffer")
    }
    let entry = try file.entry(buffers, 1, size: 16)
    let offset = try file.int64(at: entry)
    let length = try file.int64(at: entry + 8)
    guard offset >= 0, length >= 0, offset <= body.count, length <= body.count - offset else {
      throw file.fail("the values lie outside of the body")
    }
    var values = UnsafeRawBufferPointer(rebasing: file.bytes[body.lowerBound + offset..<body.lowerBound + offset + length])
    var decompressed: Buffer?
    if let compression = try file.table(header, field: 3), length > 0 {
      let codec = try file.scalar(compression, field: 0).map { file.bytes[$0] } ?? 0
      guard length >= 8 else { throw file.fail("compressed values of \(length) bytes") }
      let size = try file.int64(at: body.lowerBound + offset)
      let payload = UnsafeRawBufferPointer(rebasing: values[8...])
      if size == -1 {
        values = payload
      } else {
        guard size == count * 4 else { throw file.fail("\(size) bytes for \(count) rows") }
        guard codec == 1 else { throw Failure(.unsupported, "\(file.what): values compressed with Arrow codec \(codec)") }
        let target = try Buffer(byteCount: size)
        guard ZSTD_decompress(target.pointer, size, payload.baseAddress, payload.count) == size else {
          throw file.fail("its zstd frame is damaged")
        }
        decompressed = target
        values = target.bytes
      }
    }
    guard values.count >= count * 4 else { throw file.fail("\(values.count) bytes for \(count) rows") }
    withExtendedLifetime(decompressed) {
      rows.reserveCapacity(rows.count + count)
      for i in 0..<count { rows.append(UInt32(littleEndian: values.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))) }
    }
  }
}

/// Checked access to flatbuffer tables (https://flatbuffers.dev/internals): a table begins with the distance back to its
/// vtable, which has the place of each field in the table.
private struct FlatBytes {
  let bytes: UnsafeRawBufferPointer
  let what: String

  struct Vector {
    /// Position of the first entry.
    var start: Int
    var count: Int
  }

  func fail(_ why: String) -> Failure { Failure(.corruptData, "\(what) is not a valid Arrow file: \(why)") }

  private func load<T: FixedWidthInteger>(_ type: T.Type, at position: Int) throws(Failure) -> T {
    guard position >= 0, position <= bytes.count - MemoryLayout<T>.size else { throw fail("position \(position) lies outside") }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
  }
  func int32(at position: Int) throws(Failure) -> Int { Int(try load(Int32.self, at: position)) }
  func int64(at position: Int) throws(Failure) -> Int { Int(try load(Int64.self, at: position)) }

  /// The table that the u32 at `position` points to.
  func root(at position: Int) throws(Failure) -> Int { position + Int(try load(UInt32.self, at: position)) }

  /// Position of a field's content in `table`; nil when it is left out.
  func scalar(_ table: Int, field: Int) throws(Failure) -> Int? {
    let back = try int32(at: table)
    let vtable = table - back
    let size = Int(try load(UInt16.self, at: vtable))
    guard 4 + 2 * field + 2 <= size else { return nil }
    let offset = Int(try load(UInt16.self, at: vtable + 4 + 2 * field))
    guard offset > 0 else { return nil }
    _ = try load(UInt8.self, at: table + offset)
    return table + offset
  }
  func table(_ table: Int, field: Int) throws(Failure) -> Int? {
    guard let at = try scalar(table, field: field) else { return nil }
    return at + Int(try load(UInt32.self, at: at))
  }
  func vector(_ table: Int, field: Int) throws(Failure) -> Vector? {
    guard let at = try self.table(table, field: field) else { return nil }
    return Vector(start: at + 4, count: Int(try load(UInt32.self, at: at)))
  }
  /// Position of entry `i`; its bytes are there.
  func entry(_ vector: Vector, _ i: Int, size: Int) throws(Failure) -> Int {
    let (offset, overflow) = i.multipliedReportingOverflow(by: size)
    guard i < vector.count, !overflow, vector.start <= bytes.count, offset <= bytes.count - vector.start - size else {
      throw fail("entry \(i) of a vector lies outside")
    }
    return vector.start + offset
  }
}
