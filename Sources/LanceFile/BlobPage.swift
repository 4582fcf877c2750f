import Columnar
import Core
import LanceProto

/// A page of large values that lie elsewhere in the file (fields with `lance-encoding:blob`): an inner page holds u64 position and
/// u64 size per row. Something missing has size 0 and the position `definition level << 16`; an empty value has both 0.
struct BlobPage: PageReader {
  private let inner: any PageReader
  private let nesting: Nesting
  private let context: PageContext

  init(_ message: PBBlobLayout, _ context: PageContext) throws(Failure) {
    nesting = try Nesting(message.layers)
    guard nesting.maxRep == 0 else { throw Failure(.unsupported, "lists of blobs") }
    self.context = context
    inner = try PageContext(
      file: context.file, checksums: context.checksums, buffers: context.buffers, rows: context.rows, shape: try Blob.place()
    ).reader(message.innerLayout)
  }

  func unit(of row: Int) -> Int { inner.unit(of: row) }

  func read(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    let piece = try inner.read(ranges, scratch)
    guard case .column(let places) = piece.values, piece.def == nil, piece.rep == nil, places.nullCount == 0 else {
      throw Failure(.corruptData, "a blob page whose places are not plain")
    }
    var def: [UInt16] = []
    let values = try Blob.values(places, file: context.file, context.checksums, shape: context.shape) {
      (position) throws(Failure) in
      let level = position >> 16
      guard position & 0xFFFF == 0, level <= UInt64(nesting.maxDef) else {
        throw Failure(.corruptData, "a missing blob with the position \(position)")
      }
      def.append(UInt16(level))
      return level == 0
    }
    return LeafPiece(
      values: .column(values), rep: nil, def: nesting.maxDef > 0 ? def : nil, nesting: nesting, rows: ranges.rowCount)
  }
}

/// Values behind a column of places.
enum Blob {
  /// The shape of a place: u64 position, u64 size.
  static func place() throws(Failure) -> LeafShape { try LeafShape(.fixedSizeBinary(byteWidth: 16)) }

  /// The bytes at `places`; null where `isThere` says no. `isThere` is asked for each value in turn: with its position when its size
  /// is 0, else with 0.
  static func values(
    _ places: Column, file: Buffer, _ checksums: FileChecksums?, shape: LeafShape, isThere: (UInt64) throws(Failure) -> Bool
  ) throws(Failure) -> Column {
    guard case .variable = shape.storage else { throw Failure(.corruptData, "blobs in a column of type \(shape.type)") }
    var sink = try LeafSink(shape, capacity: places.count)
    let validity = try Bitmap.filled(places.count, true)
    for i in 0..<places.count {
      var reader = ByteReader(places.bytes(i), what: "place of a blob")
      let position = try reader.read(UInt64.self)
      let size = try reader.read(UInt64.self)
      if try isThere(size == 0 ? position : 0) {
        let range = try FileRange(size == 0 ? 0 : position, size, fileSize: file.byteCount, what: "blob \(i)")
        try checksums?.check(range.offset..<range.offset + range.count)
        try sink.append(file.bytes.part(range))
      } else {
        Bitmap.set(validity.pointer, i, false)
        try sink.append(UnsafeRawBufferPointer(start: nil, count: 0))
      }
    }
    let column = try sink.finish()
    return Column(type: column.type, count: column.count, validity: validity, buffers: column.buffers)
  }
}
