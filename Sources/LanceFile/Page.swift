import Columnar
import Core
import LanceProto

/// The values of rows: a column, or bytes of the file that are one already (zero copy).
enum LeafValues {
  case column(Column)
  /// Rows of a plain page, back to back at this place of the file; pieces that follow each other are joined without a copy.
  case plain(offset: Int, rows: Int)
}

/// One page, prepared for reading. Prepared once and shared by threads.
protocol PageReader: Sendable {
  /// Rows with the same unit are decoded together, so they are best asked for together.
  func unit(of row: Int) -> Int
  /// Rows of the page, in the order of `ranges` (ascending, inside of the page).
  func read(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece
}

/// What a page reader needs to know.
struct PageContext: Sendable {
  let file: Buffer
  let checksums: FileChecksums?
  let buffers: [FileRange]
  let rows: Int
  let shape: LeafShape

  /// Buffer `i`, all of it compared with its checksums.
  func bytes(_ i: Int, _ what: String) throws(Failure) -> UnsafeRawBufferPointer {
    let bytes = try unchecked(i, what)
    try check(i, 0..<bytes.count)
    return bytes
  }

  /// Buffer `i`, of which only parts are read: `check` them before they are used, so that a row costs one block and not a page.
  func unchecked(_ i: Int, _ what: String) throws(Failure) -> UnsafeRawBufferPointer {
    guard i < buffers.count else { throw Failure(.corruptData, "the page has no buffer for its \(what)") }
    return file.bytes.part(buffers[i])
  }

  /// Compares the bytes `range` of buffer `i` with their checksums, where the file has some.
  /// - Throws: `CORRUPT_DATA`.
  func check(_ i: Int, _ range: Range<Int>) throws(Failure) {
    guard let checksums else { return }
    let start = buffers[i].offset
    try checksums.check(start + range.lowerBound..<start + range.upperBound)
  }

  func reader(_ layout: PBPageLayout) throws(Failure) -> any PageReader {
    switch layout.layout {
    case .miniBlock(let message): return try MiniBlockPage(message, self)
    case .fullZip(let message): return try FullZipPage(message, self)
    case .constant(let message): return try ConstantPage(message, self)
    case .blob(let message): return try BlobPage(message, self)
    case nil: throw Failure(.unsupported, "a page layout that this version of Moonlake does not know")
    }
  }

  func codec(_ message: PBCompressiveEncoding) throws(Failure) -> Codec {
    let codec = try Codec(message)
    try codec.check(shape)
    return codec
  }

  /// Guards against a page that claims more rows than a fragment can have (row addresses are 32 bits).
  static let maxRows = 1 << 32
}

extension Array where Element == Range<Int> {
  /// The number of rows of all ranges.
  var rowCount: Int { reduce(0) { $0 + $1.count } }
}
