import Columnar
import Core
import LanceProto

/// A page of small chunks, each decoded as a whole.
///
/// Buffer 0 has one word per chunk (u16 or u32): `(bytes / 8 - 1) << 4 | log2(values)`; the last chunk holds what is left.
/// Buffer 1 has the chunks; then the dictionary and the repetition index, where there are any. A chunk:
/// ```
/// u16 levels | u16 rep bytes? | u16 def bytes? | u16/u32 bytes of each value buffer | pad to 8
/// rep, pad to 8 | def, pad to 8 | value buffers, each padded to 8
/// ```
struct MiniBlockPage: PageReader, @unchecked Sendable {  // Sendable: the pointers are into `context.file`, which is read-only.
  private let context: PageContext
  private let nesting: Nesting
  private let rep: Codec?
  private let def: Codec?
  private let codec: Codec
  private let valueBuffers: Int
  private let largeWords: Bool
  private let chunks: UnsafeRawBufferPointer
  /// Byte position and first value of each chunk; one entry more at the end.
  private let starts: [(byte: Int, value: Int)]
  /// The first row that starts in a chunk, per chunk; nil without a repetition index.
  private let firstRows: [Int]?
  private let dictionary: Column?
  private let indexShape: LeafShape?

  init(_ message: PBMiniBlockLayout, _ context: PageContext) throws(Failure) {
    self.context = context
    nesting = try Nesting(message.layers)
    rep = message.hasRepCompression ? try Codec(message.repCompression) : nil
    def = message.hasDefCompression ? try Codec(message.defCompression) : nil
    largeWords = message.hasLargeChunk_p
    guard nesting.maxRep == 0 || rep != nil else { throw Failure(.corruptData, "a page of lists without repetition levels") }
    var codec = try Codec(message.valueCompression)
    var next = 2
    if message.hasDictionary {
      let items = try Codec(message.dictionary)
      guard message.numDictionaryItems <= 1 << 31 else {
        throw Failure(.corruptData, "a dictionary of \(message.numDictionaryItems) items")
      }
      let count = Int(message.numDictionaryItems)
      try items.check(context.shape)
      let scratch = Scratch()
      let values = try items.block(try context.bytes(2, "dictionary"), count: count, scratch)
      var sink = try LeafSink(context.shape, capacity: count)
      try sink.append(values, 0..<count)
      dictionary = try sink.finish()
      let type: DataType
      switch codec.indexBits ?? 0 {
      case 8: type = .uint8
      case 16: type = .uint16
      case 32: type = .uint32
      case 64: type = .uint64
      default: throw Failure(.corruptData, "a dictionary page with \(codec.name) indices")
      }
      indexShape = try LeafShape(type)
      next = 3
    } else {
      codec = try context.codec(message.valueCompression)
      dictionary = nil
      indexShape = nil
    }
    self.codec = codec
    valueBuffers = codec.bufferCount
    guard message.numBuffers == UInt64(valueBuffers) else {
      throw Failure(.corruptData, "chunks of \(message.numBuffers) buffers where \(codec.name) needs \(valueBuffers)")
    }
    // The chunk table.
    let words = try context.bytes(0, "chunk table")
    chunks = try context.unchecked(1, "chunks")
    let wordSize = largeWords ? 4 : 2
    let count = words.count / wordSize
    guard let items = Int(exactly: message.numItems), items <= PageContext.maxRows, count > 0 || items == 0 else {
      throw Failure(.corruptData, "a page of \(message.numItems) values without chunks")
    }
    var starts: [(byte: Int, value: Int)] = []
    starts.reserveCapacity(count + 1)
    var byte = 0
    var value = 0
    for i in 0..<count {
      let word =
        largeWords
        ? Int(words.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))
        : Int(words.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
      starts.append((byte, value))
      byte += (word >> 4 + 1) * 8
      value = i == count - 1 ? items : value + 1 << (word & 15)
      guard byte <= chunks.count, value <= items else {
        throw Failure(.corruptData, "chunk \(i) of \(count) ends behind the page's \(chunks.count) bytes or \(items) values")
      }
    }
    starts.append((byte, items))
    self.starts = starts
    guard nesting.maxRep > 0 || items == context.rows else {
      throw Failure(.corruptData, "a page of \(context.rows) rows has \(items) values")
    }
    firstRows =
      message.repetitionIndexDepth > 0 && nesting.maxRep > 0
      ? try MiniBlockPage.rowIndex(
        try context.bytes(next, "repetition index"), depth: Int(message.repetitionIndexDepth), chunks: count)
      : nil
  }

  /// First rows of the chunks out of the repetition index: per chunk the rows that end in it and the items of a row
  /// that goes on in the next chunk.
  private static func rowIndex(_ bytes: UnsafeRawBufferPointer, depth: Int, chunks: Int) throws(Failure) -> [Int] {
    let stride = depth + 1
    guard depth <= 8, bytes.count >= chunks * stride * 8 else {
      throw Failure(.corruptData, "the repetition index is cut short")
    }
    var first = 0
    var openBefore = false
    var result: [Int] = []
    result.reserveCapacity(chunks)
    for i in 0..<chunks {
      result.append(first)
      let ends = bytes.loadUnaligned(fromByteOffset: i * stride * 8, as: UInt64.self)
      let isOpen = bytes.loadUnaligned(fromByteOffset: (i * stride + 1) * 8, as: UInt64.self) > 0
      guard ends <= UInt64(PageContext.maxRows) else { throw Failure(.corruptData, "the repetition index is damaged") }
      first += Int(ends) + (isOpen ? 1 : 0) - (openBefore ? 1 : 0)
      guard first >= 0, first <= PageContext.maxRows else { throw Failure(.corruptData, "the repetition index is damaged") }
      openBefore = isOpen
    }
    return result
  }

  private var chunkCount: Int { starts.count - 1 }

  func unit(of row: Int) -> Int {
    if nesting.maxRep == 0 { return chunk(ofValue: row) }
    return firstRows.map { lastIndex($0, notAbove: row) } ?? 0
  }

  private func chunk(ofValue value: Int) -> Int {
    var low = 0
    var high = chunkCount
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle].value <= value { low = middle } else { high = middle }
    }
    return low
  }

  private func lastIndex(_ sorted: [Int], notAbove value: Int) -> Int {
    var low = 0
    var high = sorted.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if sorted[middle] <= value { low = middle } else { high = middle }
    }
    return low
  }

  /// The parts of a chunk; one value serves for many.
  private struct Chunk {
    var number = -1
    var levelCount = 0
    var rep: UnsafeRawBufferPointer?
    var def: UnsafeRawBufferPointer?
    var buffers: [UnsafeRawBufferPointer] = []
  }

  /// Finds the parts of chunk `i`, unless `chunk` has them already.
  private func find(_ i: Int, _ chunk: inout Chunk) throws(Failure) {
    guard chunk.number != i else { return }
    chunk.number = -1
    try context.check(1, starts[i].byte..<starts[i + 1].byte)
    let bytes = UnsafeRawBufferPointer(rebasing: chunks[starts[i].byte..<starts[i + 1].byte])
    let word = largeWords ? 4 : 2
    let header = 2 + (rep == nil ? 0 : 2) + (def == nil ? 0 : 2) + valueBuffers * word
    guard header <= bytes.count else { throw cutShort(i) }
    var at = (header + 7) & ~7
    var field = 2
    func next(_ size: Int) throws(Failure) -> UnsafeRawBufferPointer {
      guard at <= bytes.count, size <= bytes.count - at else { throw cutShort(i) }
      defer { at = (at + size + 7) & ~7 }
      return UnsafeRawBufferPointer(rebasing: bytes[at..<at + size])
    }
    func size(_ width: Int) -> Int {
      defer { field += width }
      return width == 2
        ? Int(bytes.loadUnaligned(fromByteOffset: field, as: UInt16.self))
        : Int(bytes.loadUnaligned(fromByteOffset: field, as: UInt32.self))
    }
    chunk.levelCount = Int(bytes.loadUnaligned(as: UInt16.self))
    // The sizes stand in front of all parts, in their order.
    let repSize = rep == nil ? 0 : size(2)
    let defSize = def == nil ? 0 : size(2)
    chunk.rep = rep == nil ? nil : try next(repSize)
    chunk.def = def == nil ? nil : try next(defSize)
    chunk.buffers.removeAll(keepingCapacity: true)
    for _ in 0..<valueBuffers { chunk.buffers.append(try next(size(word))) }
    chunk.number = i
  }

  private func cutShort(_ i: Int) -> Failure { Failure(.corruptData, "chunk \(i) is cut short") }

  func read(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    nesting.maxRep == 0 ? try readRows(ranges, scratch) : try readLists(ranges, scratch)
  }

  private func sink(_ count: Int) throws(Failure) -> LeafSink {
    // Stored bytes per value, doubled and a half where they are coded, and room for the last chunk's worst case: a guess that is a
    // little too large costs less than growing, which may double the memory of every batch that somebody keeps.
    let total = max(1, starts[chunkCount].value)
    var hint = (chunks.count / total + 1) * count + 1024
    if case .fsst = codec { hint = hint * 5 / 2 + (1 << 16) }
    return try LeafSink(indexShape ?? context.shape, capacity: count, listValidity: codec.listValidity, bytesHint: hint)
  }

  /// Pages without lists: row = value = level.
  private func readRows(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    let rows = ranges.rowCount
    var sink = try sink(rows)
    var levels = RowLevels(def == nil ? 0 : rows, isFlat: nesting.layers.count == 1)
    var loaded = -1
    var values: ChunkValues?
    var chunkLevels: UnsafeRawPointer?
    var levelBits = 16
    var parts = Chunk()
    for (r, range) in ranges.enumerated() where !range.isEmpty {
      var row = range.lowerBound
      var i = chunk(ofValue: row)
      while row < range.upperBound {
        guard i < chunkCount else { throw Failure(.corruptData, "row \(row) is in no chunk") }
        let first = starts[i].value
        let count = starts[i + 1].value - first
        let part = row - first..<min(range.upperBound - first, count)
        if loaded != i || values == nil {
          scratch.reset()
          // When only a few rows of the chunk are wanted, single values are decoded.
          let ahead = r + MiniBlockPage.fewRows
          let isFew =
            part.count <= MiniBlockPage.fewRows && (ahead >= ranges.count || ranges[ahead].lowerBound >= first + count)
          try find(i, &parts)
          if let def, let bytes = parts.def {
            guard
              case .fixed(let base, let bits) = try def.block(bytes, count: count, only: isFew ? part : nil, scratch).storage,
              bits == 16 || bits == 8
            else { throw Failure(.corruptData, "levels that are no numbers of 8 or 16 bits") }
            (chunkLevels, levelBits) = (base, bits)
          }
          if !isFew, part.count == FastLanes.blockSize, case .inlineBitpacking(let bits) = codec,
            let target = sink.place(part.count, bits: bits)
          {
            // A whole chunk goes straight to where the column is.
            let (packed, width) = try Codec.packedBlock(parts.buffers[0], bits: bits, count: count)
            Codec.unpack(packed, blocks: 1, bits: bits, width: width, to: target)
            sink.added(part.count)
            if let chunkLevels { try levels.append(chunkLevels, bits: levelBits, part) }
            row += part.count
            i += 1
            (loaded, values) = (-1, nil)
            continue
          }
          values = try codec.chunk(parts.buffers[...], count: count, only: isFew ? part : nil, scratch)
          loaded = isFew ? -1 : i
        }
        if let values, !part.isEmpty {
          try sink.append(values, part)
          if let chunkLevels { try levels.append(chunkLevels, bits: levelBits, part) }
          row += part.count
        }
        i += 1
      }
    }
    let column = try finish(sink) { levels.isMissing($0) }
    return LeafPiece(
      values: .column(try levels.applied(to: column)), rep: nil, def: def == nil || levels.isFlat ? nil : levels.all,
      nesting: nesting, rows: rows)
  }

  /// Up to this many rows of a chunk are decoded one by one.
  private static let fewRows = 16

  /// Pages of lists: finds the rows by their repetition levels, starting in the chunk that the index names.
  private func readLists(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    let newRow = UInt16(nesting.maxRep)
    let visible = UInt16(nesting.maxVisible)
    var allRep: [UInt16] = []
    var allDef: [UInt16] = []
    /// Value ranges, by chunk, that make up the result.
    var wanted: [(chunk: Int, values: Range<Int>)] = []
    var loaded = -1
    var chunkRep: [UInt16] = []
    var chunkDef: [UInt16] = []
    var found = 0
    for range in ranges where !range.isEmpty {
      var i = unit(of: range.lowerBound)
      var nextRow = firstRows?[i] ?? 0  // number of the next row that starts
      var isDone = false
      while i < chunkCount, !isDone {
        if loaded != i {
          scratch.reset()
          (chunkRep, chunkDef) = try levels(i, scratch)
          loaded = i
        }
        var value = 0
        var firstValue = -1
        var entry = 0
        var from = -1
        let inside = nextRow - 1 >= range.lowerBound && nextRow - 1 < range.upperBound
        if inside { (from, firstValue) = (0, 0) }
        while entry < chunkRep.count {
          if chunkRep[entry] == newRow {
            if nextRow == range.lowerBound { (from, firstValue) = (entry, value) }
            if nextRow == range.upperBound {
              isDone = true
              break
            }
            nextRow += 1
          }
          if chunkDef.isEmpty || chunkDef[entry] <= visible { value += 1 }
          entry += 1
        }
        if from >= 0 {
          allRep.append(contentsOf: chunkRep[from..<entry])
          if def != nil { allDef.append(contentsOf: chunkDef[from..<entry]) }
          wanted.append((i, firstValue..<value))
        }
        i += 1
      }
      guard isDone || nextRow == range.upperBound else {
        throw Failure(.corruptData, "the page has \(nextRow) rows, \(range.upperBound) are wanted")
      }
      found += range.count
    }
    var sink = try sink(wanted.reduce(0) { $0 + $1.values.count })
    var parts = Chunk()
    loaded = -1
    var values: ChunkValues?
    for (i, range) in wanted where !range.isEmpty {
      if loaded != i || values == nil {
        scratch.reset()
        try find(i, &parts)
        values = try codec.chunk(parts.buffers[...], count: starts[i + 1].value - starts[i].value, scratch)
        loaded = i
      }
      if let values { try sink.append(values, range) }
    }
    let isVisible = def == nil ? [] : allDef.filter { $0 <= visible }
    let column = try finish(sink) { $0 < isVisible.count && isVisible[$0] > 0 }
    return LeafPiece(values: .column(column), rep: allRep, def: def == nil ? nil : allDef, nesting: nesting, rows: found)
  }

  private func levels(_ i: Int, _ scratch: Scratch) throws(Failure) -> ([UInt16], [UInt16]) {
    var parts = Chunk()
    try find(i, &parts)
    var reps: [UInt16] = []
    var defs: [UInt16] = []
    guard let rep, let bytes = parts.rep else { throw Failure(.corruptData, "a chunk of lists without repetition levels") }
    let count = try rep.levelCount(bytes, stored: parts.levelCount)
    try rep.appendLevels(bytes, count: count, to: &reps, scratch)
    if let def, let bytes = parts.def { try def.appendLevels(bytes, count: count, to: &defs, scratch) }
    return (reps, defs)
  }

  /// The column: of a dictionary page the items that the indices name. `isMissing` tells whether a value is null: its index may be
  /// anything.
  private func finish(_ sink: LeafSink, _ isMissing: (Int) -> Bool) throws(Failure) -> Column {
    let column = try sink.finish()
    guard let dictionary else { return column }
    switch column.type {
    case .uint8: return try items(dictionary, column, UInt8.self, isMissing)
    case .uint16: return try items(dictionary, column, UInt16.self, isMissing)
    case .uint32: return try items(dictionary, column, UInt32.self, isMissing)
    default: return try items(dictionary, column, UInt64.self, isMissing)
    }
  }

  private func items<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ dictionary: Column, _ column: Column, _: T.Type, _ isMissing: (Int) -> Bool
  ) throws(Failure) -> Column {
    defer { withExtendedLifetime(column) {} }
    let source = column.values(of: T.self)
    let limit = UInt64(dictionary.count)
    var bad = -1
    let indices = [Int32](unsafeUninitializedCapacity: column.count) { target, count in
      for i in 0..<column.count {
        let index = UInt64(source[i])
        if index >= limit, bad < 0, !isMissing(i) { bad = i }
        target[i] = index < limit ? Int32(truncatingIfNeeded: index) : 0
      }
      count = column.count
    }
    guard bad < 0 else {
      throw Failure(.corruptData, "index \(source[bad]) in a dictionary of \(dictionary.count) items")
    }
    if dictionary.count == 0 { return try Column.nulls(context.shape.type, count: column.count) }
    return try dictionary.take(indices)
  }
}

/// Definition levels of rows without lists. With one layer they are no more than validity, and are kept as its bits.
private struct RowLevels {
  let isFlat: Bool
  private(set) var all: [UInt16] = []
  private var bits: [UInt8] = []
  private var count = 0
  private var hasNulls = false

  init(_ rows: Int, isFlat: Bool) {
    self.isFlat = isFlat
    if isFlat { bits = [UInt8](repeating: 0, count: Bitmap.byteCount(rows)) } else { all.reserveCapacity(rows) }
  }

  /// Adds the levels `range` of a chunk, which are numbers of 8 or 16 bits.
  mutating func append(_ levels: UnsafeRawPointer, bits width: Int, _ range: Range<Int>) throws(Failure) {
    if width == 16 { try append(levels, UInt16.self, range) } else { try append(levels, UInt8.self, range) }
  }

  private mutating func append<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ levels: UnsafeRawPointer, _: T.Type, _ range: Range<Int>
  ) throws(Failure) {
    let size = MemoryLayout<T>.size
    guard isFlat else {
      for i in range { all.append(UInt16(levels.loadUnaligned(fromByteOffset: i * size, as: T.self))) }
      return
    }
    guard range.count <= bits.count * 8 - count else { throw Failure(.corruptData, "a page holds too many levels") }
    var missing: T = 0
    let start = count
    bits.withUnsafeMutableBufferPointer { target in
      for (k, i) in range.enumerated() {
        let level = levels.loadUnaligned(fromByteOffset: i &* size, as: T.self)
        missing |= level
        let at = start &+ k
        target[at >> 3] |= (level == 0 ? 1 : 0) &<< UInt8(truncatingIfNeeded: at & 7)
      }
    }
    count += range.count
    hasNulls = hasNulls || missing != 0
  }

  func isMissing(_ i: Int) -> Bool {
    if !isFlat { return i < all.count && all[i] > 0 }
    return i < count && bits[i >> 3] >> UInt8(i & 7) & 1 == 0
  }

  /// `column` with its nulls, when the levels are flat.
  func applied(to column: Column) throws(Failure) -> Column {
    guard isFlat, hasNulls else { return column }
    guard count == column.count else { throw Failure(.corruptData, "\(count) levels for \(column.count) values") }
    let validity = try Buffer(bits)
    return Column(
      type: column.type, count: column.count, offset: column.offset,
      validity: try Column.shift(validity, by: column.offset, count: column.count), buffers: column.buffers,
      children: column.children)
  }
}

extension Codec {
  /// Bits of the dictionary indices that this codec yields; nil when it yields no integers.
  var indexBits: Int? {
    switch self {
    case .flat(let bits), .inlineBitpacking(let bits), .outOfLineBitpacking(let bits, _), .runLength(let bits, _),
      .byteStreamSplit(let bits):
      bits
    case .general(_, let inner): inner.indexBits
    default: nil
    }
  }
}
