import Columnar
import Core
import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension PageEncoder {
  /// A chunk of strings holds at most this many bytes with its offsets.
  private static let stringChunkBytes = 8186
  /// Pages with fewer bytes of text are not coded: a symbol table alone takes 2.3 KB.
  private static let leastCodedBytes = 32 << 10

  /// A page of strings in the smallest of the encodings that suit them.
  ///
  /// Few distinct strings: a dictionary. General compression where the field asks for it and a sample says that it pays. Else text of
  /// 32 KiB and more is coded with FSST when that makes a sample at least a seventh smaller. What is left is stored as it is.
  func strings(_ strings: Strings, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
    if let page = try dictionary(strings, levels, rows: rows) { return page }
    let isWide = strings.longest >= PageEncoder.wide
    if compression != nil {
      if !isWide, let page = try generalStrings(strings, levels, rows: rows) { return page }
      if isWide { return try wideVariable(strings, levels, rows: rows, compression: compression) }
    } else if isText || field[CompressionChoice.key] == "fsst", field[CompressionChoice.key] != "none",
      strings.byteCount(0..<strings.count) >= PageEncoder.leastCodedBytes
    {
      let (coder, ratio) = SymbolCoder.trained(on: strings)
      if ratio * 7 <= 6 {
        let coded = Strings(try strings.coded(coder))
        let table = SymbolTable(coder.symbols)
        if !isWide, let page = try miniBlock(coded, levels, rows: rows, table) { return page }
        return try wideVariable(coded, levels, rows: rows, table)
      }
    }
    if !isWide, let page = try miniBlock(strings, levels, rows: rows) { return page }
    return try wideVariable(strings, levels, rows: rows)
  }

  private var isText: Bool { shape.element.isString }
  private var offsetWidth: Int { shape.element.hasLargeOffsets ? 8 : 4 }

  /// Offsets and bytes, coded with `table` where there is one.
  func variable(_ table: SymbolTable? = nil) -> PBCompressiveEncoding {
    var variable = PBVariableEncoding()
    variable.offsets = PageEncoder.flat(offsetWidth * 8)
    var message = PBCompressiveEncoding()
    message.variable = variable
    guard let table else { return message }
    var fsst = PBFsstEncoding()
    fsst.symbolTable = Data(table.bytes)
    fsst.values = message
    message = PBCompressiveEncoding()
    message.fsst = fsst
    return message
  }

  private func cuts(_ strings: Strings, _ levels: Levels, most: Int, bytes: Int) -> [Cut]? {
    cut(strings.count, levels, most: levels.rep.isEmpty ? most : 1024) {
      ($0.count + 1) * offsetWidth + strings.byteCount($0) <= bytes
    }
  }

  /// Writes the strings of one chunk: count + 1 positions in this buffer, then the bytes; padded to whole offsets.
  private func fill(_ place: UnsafeMutableRawPointer, _ strings: Strings, _ range: Range<Int>) -> Int {
    let width = offsetWidth
    let table = (range.count + 1) * width
    var at = table
    func setOffset(_ k: Int) {
      if width == 4 {
        place.storeBytes(of: UInt32(truncatingIfNeeded: at), toByteOffset: k &* 4, as: UInt32.self)
      } else {
        place.storeBytes(of: UInt64(at), toByteOffset: k &* 8, as: UInt64.self)
      }
    }
    setOffset(0)
    if !strings.hasNulls, let base = strings.bytes(range.lowerBound).baseAddress {
      (place + table).copyMemory(from: base, byteCount: strings.byteCount(range))
      for (k, row) in range.enumerated() {
        at &+= strings.bytes(row).count
        setOffset(k + 1)
      }
    } else {
      for (k, row) in range.enumerated() {
        let bytes = strings.bytes(row)
        if let base = bytes.baseAddress, bytes.count > 0 { (place + at).copyMemory(from: base, byteCount: bytes.count) }
        at += bytes.count
        setOffset(k + 1)
      }
    }
    let missing = -at & (width - 1)
    (place + at).initializeMemory(as: UInt8.self, repeating: 0, count: missing)
    return at + missing
  }

  private func bound(_ strings: Strings, _ range: Range<Int>) -> Int {
    (range.count + 2) * offsetWidth + strings.byteCount(range)
  }

  /// Strings shorter than `wide`, coded with `table` where there is one; nil when lists do not fit.
  private func miniBlock(_ strings: Strings, _ levels: Levels, rows: Int, _ table: SymbolTable? = nil) throws(Failure)
    -> EncodedPage?
  {
    guard let cuts = cuts(strings, levels, most: PageEncoder.mostValues, bytes: PageEncoder.stringChunkBytes) else {
      return nil
    }
    return try miniBlock(
      cuts, levels, items: strings.count, rows: rows, bufferCount: 1, capacity: bound(strings, 0..<strings.count),
      variable(table)
    ) { (cut, writer) throws(Failure) in
      try writer.buffer(bound(strings, cut.values)) { (place) throws(Failure) in fill(place, strings, cut.values) }
    }
  }

  /// Chunks that are compressed as a whole, offsets and bytes; nil when lists do not fit or it does not pay.
  private func generalStrings(_ strings: Strings, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard let compression,
      let cuts = cuts(strings, levels, most: PageEncoder.mostValues, bytes: PageEncoder.generalChunkBytes),
      let widest = cuts.map({ bound(strings, $0.values) }).max()
    else { return nil }
    let compressor = try BlockCompressor(compression)
    let plain = try Buffer(byteCount: widest, zeroed: false)
    func source(_ cut: Cut) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(start: UnsafeRawPointer(plain.pointer), count: fill(plain.pointer, strings, cut.values))
    }
    guard try saves(cuts, compressor, plain: { bound(strings, $0) }, source) else { return nil }
    return try miniBlock(
      cuts, levels, items: strings.count, rows: rows, bufferCount: 1, capacity: bound(strings, 0..<strings.count) / 2,
      compressor.described(variable())
    ) { (cut, writer) throws(Failure) in
      let bytes = source(cut)
      try writer.buffer(compressor.bound(bytes.count)) { (place) throws(Failure) in try compressor.compress(bytes, to: place) }
    }
  }

  /// Indices into the distinct strings, bit-packed; nil when there are too many of those or lists do not fit.
  private func dictionary(_ strings: Strings, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard let found = StringDictionary(strings) else { return nil }
    let block = FastLanes.blockSize
    guard let cuts = cut(strings.count, levels, most: block, onlyWhole: true, { _ in true }) else { return nil }
    let width = offsetWidth
    let count = found.firstRows.count
    let total = found.firstRows.reduce(0) { $0 + strings.bytes(Int($1)).count }
    let head = 2 * width + (count + 1) * width
    guard width == 8 || head + total <= Int(Int32.max) else { return nil }
    // Not smaller than the text itself, as for very short strings: no dictionary.
    let bits = max(1, Int.bitWidth - (count - 1).leadingZeroBitCount)
    guard strings.count * bits / 8 + head + total < strings.byteCount(0..<strings.count) + strings.count * width / 2 else {
      return nil
    }
    // u32 bits of an offset, u32 start of the bytes, offsets counted from 0, bytes (all u64 for 64-bit offsets).
    var items = try GrowingBytes(capacity: head + total)
    func put(_ value: Int) throws(Failure) {
      let place = try items.room(width)
      if width == 4 {
        place.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, as: UInt32.self)
      } else {
        place.storeBytes(of: UInt64(value).littleEndian, as: UInt64.self)
      }
      items.added(width)
    }
    try put(width * 8)
    try put(head)
    var at = 0
    try put(0)
    for row in found.firstRows {
      at += strings.bytes(Int(row)).count
      try put(at)
    }
    for row in found.firstRows { try items.append(strings.bytes(Int(row))) }
    let result: Result<EncodedPage, Failure> = found.indices.withUnsafeBufferPointer { indices in
      let widths = stride(from: 0, to: indices.count, by: block).map { start in
        var all: UInt32 = 0
        for i in start..<min(indices.count, start + block) { all |= indices[i] }
        return UInt32.bitWidth - all.leadingZeroBitCount
      }
      do throws(Failure) {
        return .success(
          try packed(
            indices, cuts, levels, widths: widths, rows: rows,
            dictionary: (bytes: try items.finish(), encoding: variable(), count: count)))
      } catch { return .failure(error) }
    }
    return try result.get()
  }
}
