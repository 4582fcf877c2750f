import Columnar
import Core
import LanceProto

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// True when `count` bytes at `a` and `b` are the same.
func compareBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool { memcmp(a, b, count) == 0 }

/// Puts the chunks of a mini-block page together; see `MiniBlockPage` for their bytes.
private struct ChunkWriter {
  let largeWords: Bool
  var body: GrowingBytes
  var words: [UInt32] = []

  init(largeWords: Bool, capacity: Int) throws(Failure) {
    self.largeWords = largeWords
    body = try GrowingBytes(capacity: capacity)
  }

  private mutating func number(_ value: Int, _ size: Int) throws(Failure) {
    let place = try body.room(size)
    if size == 2 {
      place.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
    } else {
      place.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    }
    body.added(size)
  }

  mutating func pad() throws(Failure) {
    let missing = -body.count & 7
    try body.room(8).initializeMemory(as: UInt8.self, repeating: 0xFE, count: missing)
    body.added(missing)
  }

  private mutating func levels(_ levels: ArraySlice<UInt16>) throws(Failure) {
    let place = try body.room(levels.count * 2)
    _ = UnsafeMutableBufferPointer(start: place.bindMemory(to: UInt16.self, capacity: levels.count), count: levels.count)
      .update(fromContentsOf: levels)
    body.added(levels.count * 2)
    try pad()
  }

  /// The header and levels of a chunk whose value buffers have `sizes` bytes; the values follow through `room` and `added`, each
  /// buffer followed by `pad`. Returns where the chunk begins.
  mutating func begin(rep: ArraySlice<UInt16>, def: ArraySlice<UInt16>, sizes: [Int]) throws(Failure) -> Int {
    let start = body.count
    try number(max(rep.count, def.count), 2)
    if !rep.isEmpty { try number(rep.count * 2, 2) }
    if !def.isEmpty { try number(def.count * 2, 2) }
    for size in sizes { try number(size, largeWords ? 4 : 2) }
    try pad()
    if !rep.isEmpty { try levels(rep) }
    if !def.isEmpty { try levels(def) }
    return start
  }

  mutating func end(_ start: Int, values: Int, isLast: Bool) {
    let log = isLast ? 0 : values.trailingZeroBitCount
    words.append(UInt32((body.count - start) / 8 - 1) << 4 | UInt32(log))
  }

  func buffers() throws(Failure) -> [[Buffer]] {
    let table = largeWords ? try Buffer(words) : try Buffer(words.map { UInt16(truncatingIfNeeded: $0) })
    return [[table], [try body.finish()]]
  }
}

/// Which values and level entries belong to a chunk.
private struct Cut {
  var values: Range<Int>
  var entries: Range<Int>
}

extension PageEncoder {
  /// A chunk holds at most this many values; of lists 1024.
  private static let mostValues = 4096
  /// A chunk of lists holds at most this many level entries: 16 KiB of both levels beside at most 8 KiB of values.
  private static let mostEntries = 4096

  /// Cuts `count` values into chunks. `fits` tells whether values may share a chunk (one value always may).
  /// Nil when lists need more levels than a chunk can have.
  private func cut(_ count: Int, _ levels: Levels, most: Int, onlyWhole: Bool = false, _ fits: (Range<Int>) -> Bool) -> [Cut]? {
    var cuts: [Cut] = []
    var value = 0
    var entry = 0
    let hasEntries = levels.hasLevels
    let isList = !levels.rep.isEmpty
    /// The entry after the one that holds value number `target - 1`, counted from `value` at `entry`.
    func entryEnd(_ wanted: Int) -> Int {
      guard isList else { return entry + wanted }
      var k = entry
      var seen = 0
      while k < levels.entries, seen < wanted {
        if levels.def.isEmpty || Int(levels.def[k]) <= levels.nesting.maxVisible { seen += 1 }
        k += 1
      }
      return k
    }
    while value < count {
      let left = count - value
      if left <= most, fits(value..<count), !isList || levels.entries - entry <= PageEncoder.mostEntries {
        cuts.append(Cut(values: value..<count, entries: entry..<(hasEntries ? levels.entries : entry)))
        return cuts
      }
      var k = most
      while k > 1, k >= left || !fits(value..<value + k) || (isList && entryEnd(k) - entry > PageEncoder.mostEntries) { k /= 2 }
      guard !onlyWhole || k == most else { return nil }
      // The last chunk must have a value of its own.
      guard k < left else { return nil }
      let end = hasEntries ? entryEnd(k) : entry
      guard !isList || end - entry <= PageEncoder.mostEntries else { return nil }
      cuts.append(Cut(values: value..<value + k, entries: entry..<end))
      value += k
      entry = end
    }
    return cuts
  }

  private func layout(
    _ writer: ChunkWriter, _ cuts: [Cut], _ levels: Levels, items: Int, rows: Int, bufferCount: Int,
    _ values: PBCompressiveEncoding
  ) throws(Failure) -> EncodedPage {
    var message = PBMiniBlockLayout()
    if !levels.rep.isEmpty { message.repCompression = PageEncoder.flat(16) }
    if !levels.def.isEmpty { message.defCompression = PageEncoder.flat(16) }
    message.valueCompression = values
    message.layers = levels.nesting.layers.map(\.message)
    message.numBuffers = UInt64(bufferCount)
    message.numItems = UInt64(items)
    message.hasLargeChunk_p = writer.largeWords
    var buffers = try writer.buffers()
    if !levels.rep.isEmpty {
      message.repetitionIndexDepth = 1
      buffers.append([try Buffer(repetitionIndex(cuts, levels))])
    }
    var layout = PBPageLayout()
    layout.miniBlock = message
    return try EncodedPage(layout, buffers, rows: rows)
  }

  /// Per chunk: rows that end in it, entries after the last end.
  private func repetitionIndex(_ cuts: [Cut], _ levels: Levels) -> [UInt64] {
    let newRow = UInt16(levels.nesting.maxRep)
    var index: [UInt64] = []
    for (i, cut) in cuts.enumerated() {
      let reps = levels.rep[cut.entries]
      let isLast = i == cuts.count - 1
      var ends = UInt64(reps.dropFirst().count { $0 == newRow })
      var open: UInt64 = 0
      if isLast {
        ends += 1
      } else {
        open = UInt64(reps.lastIndex(of: newRow).map { reps.endIndex - $0 } ?? reps.count)
      }
      if i > 0, reps.first == newRow, let before = index.last, before > 0 {
        // The row before ended exactly with its chunk.
        index[index.count - 2] += 1
        index[index.count - 1] = 0
      }
      index += [ends, open]
    }
    return index
  }

  private func slice(_ levels: [UInt16], _ cut: Cut) -> ArraySlice<UInt16> { levels.isEmpty ? [] : levels[cut.entries] }

  /// Strings shorter than `wide`; nil when lists do not fit.
  func miniBlock(_ strings: Strings, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    let width = shape.element.hasLargeOffsets ? 8 : 4
    let isList = !levels.rep.isEmpty
    guard
      let cuts = cut(
        strings.count, levels, most: isList ? 1024 : PageEncoder.mostValues,
        { (range) in
          (range.count + 1) * width + strings.byteCount(range) <= 4096
        })
    else { return nil }
    var writer = try ChunkWriter(
      largeWords: version == .v2_2,
      capacity: strings.byteCount(0..<strings.count) + strings.count * (width + 4) + cuts.count * 64)
    for (i, cut) in cuts.enumerated() {
      let table = (cut.values.count + 1) * width
      var size = table
      if strings.hasNulls {
        for k in cut.values { size += strings.bytes(k).count }
      } else {
        size += strings.byteCount(cut.values)
      }
      let padded = (size + width - 1) / width * width
      let start = try writer.begin(rep: slice(levels.rep, cut), def: slice(levels.def, cut), sizes: [padded])
      let place = try writer.body.room(padded)
      var at = table
      func setOffset(_ k: Int) {
        if width == 4 {
          place.storeBytes(of: UInt32(at), toByteOffset: k * 4, as: UInt32.self)
        } else {
          place.storeBytes(of: UInt64(at), toByteOffset: k * 8, as: UInt64.self)
        }
      }
      setOffset(0)
      if !strings.hasNulls, let base = strings.bytes(cut.values.lowerBound).baseAddress {
        (place + table).copyMemory(from: base, byteCount: size - table)
        for (k, row) in cut.values.enumerated() {
          at += strings.bytes(row).count
          setOffset(k + 1)
        }
      } else {
        for (k, row) in cut.values.enumerated() {
          let bytes = strings.bytes(row)
          if let base = bytes.baseAddress, bytes.count > 0 { (place + at).copyMemory(from: base, byteCount: bytes.count) }
          at += bytes.count
          setOffset(k + 1)
        }
      }
      (place + at).initializeMemory(as: UInt8.self, repeating: 0, count: padded - at)
      writer.body.added(padded)
      try writer.pad()
      writer.end(start, values: cut.values.count, isLast: i == cuts.count - 1)
    }
    var variable = PBVariableEncoding()
    variable.offsets = PageEncoder.flat(width * 8)
    var encoding = PBCompressiveEncoding()
    encoding.variable = variable
    return try layout(writer, cuts, levels, items: strings.count, rows: rows, bufferCount: 1, encoding)
  }

  /// Fixed-width values, bit-packed where that is smaller; nil when lists do not fit or a chunk would be too large.
  func miniBlock(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard case .fixed(let bits) = shape.storage else { return nil }
    if let page = try packed(values, levels, rows: rows) { return page }
    let isList = !levels.rep.isEmpty
    let rowBits = bits * shape.factor
    let mostBytes = 8186
    guard
      let cuts = cut(
        values.rows, levels, most: isList ? 1024 : PageEncoder.mostValues,
        { (range) in
          (range.count * rowBits + 7) / 8 < mostBytes
        })
    else { return nil }
    let stored = values.validity.map { $0 != nil }
    // One value alone may still be too wide for a chunk of version 2.1.
    guard version == .v2_2 || (rowBits + shape.factor) / 8 < 24_000 else { return nil }
    var writer = try ChunkWriter(
      largeWords: version == .v2_2, capacity: (values.rows * rowBits + 7) / 8 + levels.entries * 4 + cuts.count * 64)
    for (i, cut) in cuts.enumerated() {
      var sizes: [Int] = []
      var items = cut.values.count
      for (size, isStored) in zip(shape.sizes, stored) {
        items *= size
        if isStored { sizes.append((items + 7) / 8) }
      }
      sizes.append((cut.values.count * rowBits + 7) / 8)
      let start = try writer.begin(rep: slice(levels.rep, cut), def: slice(levels.def, cut), sizes: sizes)
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
        try writer.body.append(
          UnsafeRawBufferPointer(start: values.base + cut.values.lowerBound * width, count: cut.values.count * width))
        try writer.pad()
      }
      writer.end(start, values: cut.values.count, isLast: i == cuts.count - 1)
    }
    return try layout(
      writer, cuts, levels, items: values.rows, rows: rows, bufferCount: 1 + stored.count { $0 },
      wrapped(PageEncoder.flat(bits), stored))
  }

  private func copyBits(_ source: Buffer, _ first: Int, _ count: Int, _ writer: inout ChunkWriter) throws(Failure) {
    let size = Bitmap.byteCount(count)
    let place = try writer.body.room(size)
    place.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    Bitmap.copy(source.pointer, first, to: place, 0, count: count)
    writer.body.added(size)
    try writer.pad()
  }

  /// Integers that need fewer bits than their type has: one chunk per 1024 values; nil when that does not pay.
  private func packed(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage? {
    guard shape.sizes.isEmpty, shape.element.isPackable else { return nil }
    switch shape.element.bitWidth {
    case 8: return try packed(UInt8.self, values, levels, rows: rows)
    case 16: return try packed(UInt16.self, values, levels, rows: rows)
    case 32: return try packed(UInt32.self, values, levels, rows: rows)
    default: return try packed(UInt64.self, values, levels, rows: rows)
    }
  }

  private func packed<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _: T.Type, _ values: FlatValues, _ levels: Levels, rows: Int
  ) throws(Failure) -> EncodedPage? {
    let block = FastLanes.blockSize
    let count = values.rows
    let source = UnsafeBufferPointer(start: values.base.assumingMemoryBound(to: T.self), count: count)
    var widths: [Int] = []
    var size = 0
    var at = 0
    while at < count {
      let end = min(count, at + block)
      var all: T = 0
      for i in at..<end { all |= source[i] }
      let width = T.bitWidth - all.leadingZeroBitCount
      widths.append(width)
      size += MemoryLayout<T>.size + FastLanes.packedByteCount(width: width)
      at = end
    }
    guard size * 10 < count * MemoryLayout<T>.size * 9 else { return nil }
    guard let cuts = cut(count, levels, most: block, onlyWhole: true, { _ in true }), cuts.count == widths.count else {
      return nil
    }
    var writer = try ChunkWriter(largeWords: version == .v2_2, capacity: size + levels.entries * 4 + cuts.count * 64)
    let padded = try Buffer(byteCount: block * MemoryLayout<T>.size)
    for (i, cut) in cuts.enumerated() {
      let width = widths[i]
      let chunk = MemoryLayout<T>.size + FastLanes.packedByteCount(width: width)
      let start = try writer.begin(rep: slice(levels.rep, cut), def: slice(levels.def, cut), sizes: [chunk])
      let place = try writer.body.room(chunk)
      place.initializeMemory(as: UInt8.self, repeating: 0, count: chunk)
      place.storeBytes(of: T(truncatingIfNeeded: width), as: T.self)
      let target = (place + MemoryLayout<T>.size).bindMemory(to: T.self, capacity: chunk / MemoryLayout<T>.size - 1)
      if cut.values.count == block, let base = source.baseAddress {
        FastLanes.pack(base + cut.values.lowerBound, width: width, to: target)
      } else {
        let last = padded.mutableValues(of: T.self)
        for (k, row) in cut.values.enumerated() { last[k] = source[row] }
        if let base = last.baseAddress { FastLanes.pack(UnsafePointer(base), width: width, to: target) }
      }
      writer.body.added(chunk)
      try writer.pad()
      writer.end(start, values: cut.values.count, isLast: i == cuts.count - 1)
    }
    var packing = PBInlineBitpacking()
    packing.uncompressedBitsPerValue = UInt64(T.bitWidth)
    var encoding = PBCompressiveEncoding()
    encoding.inlineBitpacking = packing
    return try layout(writer, cuts, levels, items: count, rows: rows, bufferCount: 1, encoding)
  }
}

extension DataType {
  /// Integers and what is stored as integers.
  var isPackable: Bool {
    switch self {
    case .date32, .date64, .time32, .time64, .timestamp, .duration: true
    default: isInteger
    }
  }
}
