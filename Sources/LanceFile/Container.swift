import Core
import LanceProto
import SwiftProtobuf

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A checked byte range of a file.
struct FileRange: Sendable, Hashable {
  let offset: Int
  let count: Int

  /// - Throws: `CORRUPT_DATA` when the range leaves a file of `fileSize` bytes.
  init(_ offset: UInt64, _ count: UInt64, fileSize: Int, what: String) throws(Failure) {
    guard let offset = Int(exactly: offset), let count = Int(exactly: count), offset <= fileSize, count <= fileSize - offset
    else {
      throw Failure(.corruptData, "\(what) (\(count) bytes at \(offset)) lies outside of the file of \(fileSize) bytes")
    }
    self.offset = offset
    self.count = count
  }
}

/// The end of a data file: where the metadata of columns and the global buffers lie.
///
/// ```
/// A: column metadata 0 ... k-1 | B: k x (u64 position, u64 size) | C: g x (u64 position, u64 size)
/// footer, 40 bytes: u64 A | u64 B | u64 C | u32 g | u32 k | u16 major | u16 minor | "LANC"
/// ```
struct FileTail: Sendable {
  static let footerSize = 40
  static let magic: UInt32 = 0x434E_414C  // "LANC"
  let version: LanceFileVersion
  let columns: [FileRange]
  let globals: [FileRange]
  /// Where the column metadata begins; not checked, only used to look for checksums.
  let metadataStart: UInt64

  /// - Throws: `CORRUPT_DATA` for anything that is no complete Lance file, `UNSUPPORTED` for other versions.
  init(_ file: UnsafeRawBufferPointer) throws(Failure) {
    guard file.count >= FileTail.footerSize else {
      throw Failure(.corruptData, "a Lance file ends with a footer of 40 bytes, this file has \(file.count) bytes")
    }
    var reader = ByteReader(file, at: file.count - FileTail.footerSize, what: "footer")
    metadataStart = try reader.read(UInt64.self)
    let columnTable = try reader.read(UInt64.self)
    let globalTable = try reader.read(UInt64.self)
    let globalCount = try reader.read(UInt32.self)
    let columnCount = try reader.read(UInt32.self)
    let major = try reader.read(UInt16.self)
    let minor = try reader.read(UInt16.self)
    guard try reader.read(UInt32.self) == FileTail.magic else {
      throw Failure(.corruptData, "the file does not end with 'LANC': it is no Lance file or it is cut short")
    }
    version = try LanceFileVersion.ofFooter(major: major, minor: minor)
    columns = try FileTail.table(file, columnTable, columnCount, "column metadata")
    globals = try FileTail.table(file, globalTable, globalCount, "global buffer")
    guard !globals.isEmpty else { throw Failure(.corruptData, "the file has no descriptor") }
  }

  private static func table(_ file: UnsafeRawBufferPointer, _ offset: UInt64, _ count: UInt32, _ what: String)
    throws(Failure) -> [FileRange]
  {
    let whole = try FileRange(offset, UInt64(count) * 16, fileSize: file.count, what: "the table of \(what)s")
    var reader = ByteReader(file, at: whole.offset, what: what)
    var ranges: [FileRange] = []
    ranges.reserveCapacity(Int(count))
    for i in 0..<Int(count) {
      let position = try reader.read(UInt64.self)
      let size = try reader.read(UInt64.self)
      ranges.append(try FileRange(position, size, fileSize: file.count, what: "\(what) \(i)"))
    }
    return ranges
  }
}

extension UnsafeRawBufferPointer {
  /// The bytes of `range`, which was checked against this file.
  func part(_ range: FileRange) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: self[range.offset..<range.offset + range.count])
  }
}

extension SwiftProtobuf.Message {
  /// The message in `bytes`.
  /// - Throws: `CORRUPT_DATA` saying that `what` is no such message.
  static func decoding(_ bytes: some SwiftProtobufContiguousBytes, what: String) throws(Failure) -> Self {
    do { return try Self(serializedBytes: bytes) } catch {
      throw Failure(.corruptData, "\(what) is damaged: \(error)")
    }
  }

  /// The serialized message; maps in the order of their keys, so that the same message gives the same bytes.
  func encoded() throws(Failure) -> [UInt8] {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    do { return try serializedBytes(options: options) } catch {
      throw Failure(.internalError, "\(Self.self) cannot be written: \(error)")
    }
  }
}
