import Columnar
import Core
import LanceProto
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// One column of a file: its pages, read from the metadata once, prepared for decoding when first touched.
final class FileColumn: Sendable {
  struct Page: Sendable {
    /// Row (2.0 list items: item) number of the first one.
    let first: Int
    let rows: Int
    let buffers: [FileRange]
    let encoding: PBAnyMessage
  }
  let pages: [Page]
  /// File version 2.0: the pages hold the places of values that lie elsewhere in the file.
  let isBlob: Bool
  /// Rows of all pages.
  let rowCount: Int
  private let file: Buffer
  private let checksums: FileChecksums?
  /// Page readers by page; they belong to one shape, that of the field that owns the column.
  private let readers: Mutex<[Int: any PageReader]>

  init(_ metadata: FileRange, file: Buffer, _ checksums: FileChecksums?) throws(Failure) {
    self.file = file
    self.checksums = checksums
    var isBlob = false
    let message = try PBColumnMetadata.decoding([UInt8](file.bytes.part(metadata)), what: "the metadata of the column")
    if message.hasEncoding {
      let any = try FileColumn.any(message.encoding, file: file, checksums, what: "the column's encoding")
      let encoding = try PBColumnEncoding.decoding(any.value, what: "the column's encoding")
      switch encoding.columnEncoding {
      case .values?, nil: break
      case .zoneIndex?: throw Failure(.unsupported, "the column encoding ZoneIndex")
      case .blob?: isBlob = true
      }
    }
    var pages: [Page] = []
    var first = 0
    for (i, page) in message.pages.enumerated() {
      guard page.length <= UInt64(PageContext.maxRows), first <= PageContext.maxRows,
        page.bufferOffsets.count == page.bufferSizes.count
      else { throw Failure(.corruptData, "page \(i) of \(page.length) rows is not plausible") }
      var buffers: [FileRange] = []
      for (offset, size) in zip(page.bufferOffsets, page.bufferSizes) {
        buffers.append(try FileRange(offset, size, fileSize: file.byteCount, what: "a buffer of page \(i)"))
      }
      let encoding = try FileColumn.any(page.encoding, file: file, checksums, what: "the encoding of page \(i)")
      pages.append(Page(first: first, rows: Int(page.length), buffers: buffers, encoding: encoding))
      first += Int(page.length)
    }
    self.pages = pages
    self.isBlob = isBlob
    rowCount = first
    readers = Mutex([:])
  }

  private static func any(_ holder: PBEncodingHolder, file: Buffer, _ checksums: FileChecksums?, what: String) throws(Failure)
    -> PBAnyMessage
  {
    switch holder.location {
    case .direct(let direct): return try PBAnyMessage.decoding(direct.encoding, what: what)
    case .indirect(let place):
      let range = try FileRange(place.bufferLocation, place.bufferLength, fileSize: file.byteCount, what: what)
      try checksums?.check(range.offset..<range.offset + range.count)
      return try PBAnyMessage.decoding([UInt8](file.bytes.part(range)), what: what)
    default: throw Failure(.corruptData, "\(what) is missing")
    }
  }

  /// The reader of page `i` for values of `shape`.
  func reader(_ i: Int, _ shape: LeafShape) throws(Failure) -> any PageReader {
    if let known = readers.withLock({ $0[i] }) { return known }
    let page = pages[i]
    guard page.encoding.isType(LanceTypeURL.pageLayout) else {
      throw Failure(.unsupported, "the page encoding '\(page.encoding.typeURL)'")
    }
    let layout = try PBPageLayout.decoding(page.encoding.value, what: "the page's description")
    let reader = try PageContext(file: file, checksums: checksums, buffers: page.buffers, rows: page.rows, shape: shape)
      .reader(layout)
    readers.withLock { $0[i] = reader }
    return reader
  }

  /// `ranges` (ascending) cut at page borders: for each touched page its ranges, counted from the page's first row.
  func split(_ ranges: [Range<Int>]) -> [(page: Int, ranges: [Range<Int>])] {
    var result: [(page: Int, ranges: [Range<Int>])] = []
    var page = 0
    for range in ranges where !range.isEmpty {
      var row = range.lowerBound
      while row < range.upperBound {
        page = pageIndex(row, from: page)
        guard page < pages.count else { return result }
        let begin = pages[page].first
        let end = min(range.upperBound, begin + pages[page].rows)
        let part = row - begin..<end - begin
        if result.last?.page == page { result[result.count - 1].ranges.append(part) } else { result.append((page, [part])) }
        row = end
      }
    }
    return result
  }

  /// The page that holds `row`, searched from page `from` on.
  private func pageIndex(_ row: Int, from: Int) -> Int {
    if from < pages.count, row >= pages[from].first, row < pages[from].first + pages[from].rows { return from }
    var low = from
    var high = pages.count
    while low < high {
      let middle = (low + high) / 2
      if pages[middle].first + pages[middle].rows <= row { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
