import Columnar
import Core
import LanceProto

extension PageEncoder {
  /// A chunk of fixed-width values holds less than this many bytes, as the official writers' do.
  private static let chunkBytes = 8186
  /// A chunk that is compressed as one holds up to this many bytes: more compress better, and are all read for one row.
  /// With its levels it stays below the 32 KiB of a 2.1 chunk even when it does not compress.
  static let generalChunkBytes = 26_000

  /// Fixed-width values in the smallest of the encodings that suit them; nil when lists do not fit or a chunk would be too large.
  ///
  /// Runs when they take less than half of the other encodings; packed numbers when that saves a fortieth (doubles from 0 to 1 have
  /// two bits that are always 0); general compression when the
  /// field asks for it and a sample of chunks says that it saves a twentieth more.
  func miniBlock(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard case .fixed(let bits) = shape.storage else { return nil }
    if bits > 1, let page = try compact(values, levels, rows: rows) { return page }
    if let page = try general(values, levels, rows: rows) { return page }
    let rowBits = bits * shape.factor
    let most = levels.rep.isEmpty ? PageEncoder.mostValues : 1024
    guard let cuts = cut(values.rows, levels, most: most, { ($0.count * rowBits + 7) / 8 < PageEncoder.chunkBytes }) else {
      return nil
    }
    // One value alone may still be too wide for a chunk of version 2.1.
    guard version == .v2_2 || (rowBits + shape.factor) / 8 < 24_000 else { return nil }
    let stored = values.validity.map { $0 != nil }
    return try miniBlock(
      cuts, levels, items: values.rows, rows: rows, bufferCount: 1 + stored.count { $0 },
      capacity: (values.rows * rowBits + 7) / 8, wrapped(PageEncoder.flat(bits), stored)
    ) { (cut, writer) throws(Failure) in
      var factor = 1
      for (level, size) in shape.sizes.enumerated() {
        factor *= size
        guard let (source, first) = values.validity[level] else { continue }
        try copyBits(source, first + cut.values.lowerBound * factor, cut.values.count * factor, &writer)
      }
      if bits == 1 {
        let first = values.first + cut.values.lowerBound * shape.factor
        try copyBits(values.element.buffers[0], first, cut.values.count * shape.factor, &writer)
      } else {
        let width = rowBits / 8
        try writer.buffer(cut.values.count * width) { (place) throws(Failure) in
          place.copyMemory(from: values.base + cut.values.lowerBound * width, byteCount: cut.values.count * width)
          return cut.values.count * width
        }
      }
    }
  }

  private func copyBits(_ source: Buffer, _ first: Int, _ count: Int, _ writer: inout ChunkWriter) throws(Failure) {
    let size = Bitmap.byteCount(count)
    try writer.buffer(size) { (place) throws(Failure) in
      place.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      Bitmap.copy(source.pointer, first, to: place, 0, count: count)
      return size
    }
  }

  // MARK: General compression

  /// Chunks of rows compressed as a whole; nil when the field does not ask for it or it does not pay.
  /// `plainBits`: of a value without compression.
  func general(_ values: FlatValues, _ levels: Levels, rows: Int, plainBits: Int? = nil) throws(Failure) -> EncodedPage? {
    guard let compression, case .fixed(let bits) = shape.storage, bits % 8 == 0, values.validity.allSatisfy({ $0 == nil })
    else {
      return nil
    }
    let plainBits = plainBits ?? bits * shape.factor
    let width = bits / 8 * shape.factor
    guard width < PageEncoder.generalChunkBytes else { return nil }
    let most = levels.rep.isEmpty ? PageEncoder.mostValues : 1024
    guard let cuts = cut(values.rows, levels, most: most, { $0.count * width <= PageEncoder.generalChunkBytes }) else {
      return nil
    }
    let compressor = try BlockCompressor(compression)
    func source(_ cut: Cut) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(start: values.base + cut.values.lowerBound * width, count: cut.values.count * width)
    }
    guard try saves(cuts, compressor, plain: { ($0.count * plainBits + 7) / 8 }, source) else { return nil }
    return try miniBlock(
      cuts, levels, items: values.rows, rows: rows, bufferCount: 1, capacity: values.rows * width / 2,
      compressor.described(wrapped(PageEncoder.flat(bits), shape.sizes.map { _ in false }))
    ) { (cut, writer) throws(Failure) in
      let bytes = source(cut)
      try writer.buffer(compressor.bound(bytes.count)) { (place) throws(Failure) in try compressor.compress(bytes, to: place) }
    }
  }

  /// True when the first, middle and last chunk become at least a twentieth smaller than they are without compression, which is
  /// `plain` bytes for a range of values.
  func saves(
    _ cuts: [Cut], _ compressor: BlockCompressor, plain: (Range<Int>) -> Int,
    _ source: (Cut) throws(Failure) -> UnsafeRawBufferPointer
  ) throws(Failure) -> Bool {
    var before = 0
    var after = 0
    for i in Set([0, cuts.count / 2, cuts.count - 1]) where cuts.indices.contains(i) {
      let bytes = try source(cuts[i])
      let target = try Buffer(byteCount: compressor.bound(bytes.count), zeroed: false)
      before += plain(cuts[i].values)
      after += try compressor.compress(bytes, to: target.pointer)
    }
    return after * 20 <= before * 19
  }

  // MARK: Runs and packed numbers

  private func compact(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard shape.sizes.isEmpty else { return nil }
    switch shape.element.bitWidth {
    case 8: return try compact(UInt8.self, values, levels, rows: rows)
    case 16: return try compact(UInt16.self, values, levels, rows: rows)
    case 32: return try compact(UInt32.self, values, levels, rows: rows)
    case 64: return try compact(UInt64.self, values, levels, rows: rows)
    default: return nil
    }
  }

  /// What one pass over a page's values tells.
  private struct Statistics {
    /// Bits of the largest value of each block of 1024.
    var widths: [Int] = []
    var packedBytes = 0
    /// Runs of at most 255 equal values, none of which crosses a chunk of runs.
    var runs = 0
  }

  /// Values of a chunk of runs.
  private static let runChunk = 2048

  private func statistics<T: FixedWidthInteger & UnsignedInteger>(_ source: UnsafeBufferPointer<T>) -> Statistics {
    let block = FastLanes.blockSize
    var result = Statistics()
    result.widths.reserveCapacity(source.count / block + 1)
    var at = 0
    while at < source.count {
      let end = min(source.count, at + block)
      var all: T = 0
      var changes = 0
      for i in at..<end { all |= source[i] }
      for i in at + 1..<max(at + 1, end) { changes &+= source[i] == source[i &- 1] ? 0 : 1 }
      let width = T.bitWidth - all.leadingZeroBitCount
      result.widths.append(width)
      result.packedBytes += MemoryLayout<T>.size + FastLanes.packedByteCount(width: width)
      // Long runs are cut at 255: about one more run per 255 values.
      result.runs += changes + 1 + (end - at) / 255
      at = end
    }
    return result
  }

  private func compact<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _: T.Type, _ values: FlatValues, _ levels: Levels, rows: Int
  ) throws(Failure) -> EncodedPage? {
    let count = values.rows
    let source = UnsafeBufferPointer(start: values.base.assumingMemoryBound(to: T.self), count: count)
    let statistics = statistics(source)
    let flatBytes = count * MemoryLayout<T>.size
    let runBytes = statistics.runs * (MemoryLayout<T>.size + 1)
    let isPacked = shape.element.isPackable && statistics.packedBytes * 40 < flatBytes * 39
    if runBytes * 2 < min(flatBytes, isPacked ? statistics.packedBytes : .max),
      let page = try runs(source, levels, rows: rows, runBytes: runBytes)
    {
      return page
    }
    guard isPacked else { return nil }
    if compression != nil, let page = try general(values, levels, rows: rows, plainBits: statistics.packedBytes * 8 / count) {
      return page
    }
    return try packed(source, statistics, levels, rows: rows)
  }

  /// Run values and run lengths of at most 255.
  private func runs<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ source: UnsafeBufferPointer<T>, _ levels: Levels, rows: Int, runBytes: Int
  ) throws(Failure) -> EncodedPage? {
    let most = levels.rep.isEmpty ? PageEncoder.runChunk : 1024
    // Beside its levels a 2.1 chunk of short runs must still stay below 32 KiB.
    guard let cuts = cut(source.count, levels, most: most, { _ in true }) else { return nil }
    var rle = PBRleEncoding()
    rle.values = PageEncoder.flat(T.bitWidth)
    rle.runLengths = PageEncoder.flat(8)
    var encoding = PBCompressiveEncoding()
    encoding.rle = rle
    let lengths = try Buffer(byteCount: PageEncoder.runChunk, zeroed: false)
    return try miniBlock(cuts, levels, items: source.count, rows: rows, bufferCount: 2, capacity: runBytes, encoding) {
      (cut, writer) throws(Failure) in
      let width = MemoryLayout<T>.size
      var runs = 0
      try writer.buffer(cut.values.count * width) { (place) throws(Failure) in
        var i = cut.values.lowerBound
        while i < cut.values.upperBound {
          let value = source[i]
          let limit = min(cut.values.upperBound, i + 255)
          var end = i + 1
          while end < limit, source[end] == value { end += 1 }
          place.storeBytes(of: value, toByteOffset: runs * width, as: T.self)
          lengths.pointer.storeBytes(of: UInt8(end - i), toByteOffset: runs, as: UInt8.self)
          runs += 1
          i = end
        }
        return runs * width
      }
      try writer.buffer(runs) { (place) throws(Failure) in
        place.copyMemory(from: lengths.pointer, byteCount: runs)
        return runs
      }
    }
  }

  /// Numbers in the bits that they need: one chunk per 1024 values.
  private func packed<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ source: UnsafeBufferPointer<T>, _ statistics: Statistics, _ levels: Levels, rows: Int
  ) throws(Failure) -> EncodedPage? {
    let block = FastLanes.blockSize
    guard let cuts = cut(source.count, levels, most: block, onlyWhole: true, { _ in true }),
      cuts.count == statistics.widths.count
    else { return nil }
    return try packed(source, cuts, levels, widths: statistics.widths, rows: rows, dictionary: nil)
  }

  /// `source` packed in chunks `cuts` of 1024 values, chunk i to `widths[i]` bits.
  func packed<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ source: UnsafeBufferPointer<T>, _ cuts: [Cut], _ levels: Levels, widths: [Int], rows: Int,
    dictionary: (bytes: Buffer, encoding: PBCompressiveEncoding, count: Int)?
  ) throws(Failure) -> EncodedPage {
    let block = FastLanes.blockSize
    let padded = try Buffer(byteCount: block * MemoryLayout<T>.size)
    var packing = PBInlineBitpacking()
    packing.uncompressedBitsPerValue = UInt64(T.bitWidth)
    var encoding = PBCompressiveEncoding()
    encoding.inlineBitpacking = packing
    let capacity = widths.reduce(0) { $0 + FastLanes.packedByteCount(width: $1) }
    return try miniBlock(
      cuts, levels, items: source.count, rows: rows, bufferCount: 1, capacity: capacity, encoding, dictionary: dictionary
    ) { (cut, writer) throws(Failure) in
      let width = widths[cut.values.lowerBound / block]
      let chunk = MemoryLayout<T>.size + FastLanes.packedByteCount(width: width)
      try writer.buffer(chunk) { (place) throws(Failure) in
        place.initializeMemory(as: UInt8.self, repeating: 0, count: chunk)
        place.storeBytes(of: T(truncatingIfNeeded: width), as: T.self)
        let target = (place + MemoryLayout<T>.size).assumingMemoryBound(to: T.self)
        if cut.values.count == block, let base = source.baseAddress {
          FastLanes.pack(base + cut.values.lowerBound, width: width, to: target)
        } else {
          let last = padded.mutableValues(of: T.self)
          for k in 0..<block { last[k] = k < cut.values.count ? source[cut.values.lowerBound + k] : 0 }
          if let base = last.baseAddress { FastLanes.pack(UnsafePointer(base), width: width, to: target) }
        }
        return chunk
      }
    }
  }
}

extension DataType {
  /// Numbers and what is stored as numbers: their bits may be packed.
  var isPackable: Bool {
    switch self {
    case .date32, .date64, .time32, .time64, .timestamp, .duration: true
    default: isNumeric
    }
  }
}
