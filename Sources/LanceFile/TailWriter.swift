import Core

/// Lays out what follows the pages of a file (drawn at `FileTail`).
///
/// The sizes of all parts are known before the first byte is written, so every position is too; only the hashes of the checksum
/// buffer are filled in at the end.
struct TailWriter {
  let version: LanceFileVersion
  /// Bytes of the page region, a multiple of 64.
  let start: Int
  /// Hashes of the page region.
  let blocks: BlockHashes

  /// The bytes from `start` to the end of the file.
  /// - Parameters:
  ///   - globals: global buffers 0 (the descriptor), 1, ...
  ///   - columns: column metadata, serialized.
  func bytes(globals: [[UInt8]], columns: [[UInt8]]) -> [UInt8] {
    var out = ByteWriter()
    var globalTable = ByteWriter()
    func place(_ bytes: [UInt8], in table: inout ByteWriter) {
      table.write(UInt64(start + out.count))
      table.write(UInt64(bytes.count))
      out.write(bytes)
    }
    for global in globals {
      out.align(64)
      place(global, in: &globalTable)
    }
    out.align(64)
    let sums = FileChecksums.buffer(blocks, pageBytes: start)
    let sumsPlace = out.count..<out.count + sums.count
    place(sums, in: &globalTable)
    let firstColumn = start + out.count
    var columnTable = ByteWriter()
    for column in columns { place(column, in: &columnTable) }
    let columnTableStart = start + out.count
    out.write(columnTable.bytes)
    let globalTableStart = start + out.count
    out.write(globalTable.bytes)
    out.write(UInt64(firstColumn))
    out.write(UInt64(columnTableStart))
    out.write(UInt64(globalTableStart))
    out.write(UInt32(globals.count + 1))
    out.write(UInt32(columns.count))
    out.write(version.footer.major)
    out.write(version.footer.minor)
    out.write(FileTail.magic)
    var tail = out.bytes
    FileChecksums.seal(&tail, sumsPlace)
    return tail
  }
}
