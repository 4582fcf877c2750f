import Columnar
import Core
import LanceProto

/// Which values and level entries belong to a chunk.
struct Cut {
  var values: Range<Int>
  var entries: Range<Int>
}

extension PageEncoder {
  /// A chunk holds at most this many values; of lists 1024.
  static let mostValues = 4096
  /// A chunk of lists holds at most this many level entries: 16 KiB of both levels beside at most 8 KiB of values.
  private static let mostEntries = 4096

  /// Cuts `count` values into chunks. `fits` tells whether values may share a chunk (one value always may).
  /// Nil when lists need more levels than a chunk can have.
  func cut(_ count: Int, _ levels: Levels, most: Int, onlyWhole: Bool = false, _ fits: (Range<Int>) -> Bool) -> [Cut]? {
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

  /// The mini-block page of `items` values in chunks `cuts`: `chunk` adds the value buffers of one chunk.
  func miniBlock(
    _ cuts: [Cut], _ levels: Levels, items: Int, rows: Int, bufferCount: Int, capacity: Int, _ values: PBCompressiveEncoding,
    dictionary: (bytes: Buffer, encoding: PBCompressiveEncoding, count: Int)? = nil,
    _ chunk: (Cut, inout ChunkWriter) throws(Failure) -> Void
  ) throws(Failure) -> EncodedPage {
    let repWidth = levels.rep.isEmpty ? 0 : bitLength(levels.nesting.maxRep)
    let defWidth = levels.def.isEmpty ? 0 : bitLength(levels.nesting.maxDef)
    var writer = try ChunkWriter(
      largeWords: version == .v2_2, repWidth: repWidth, defWidth: defWidth, bufferCount: bufferCount,
      capacity: capacity + ChunkWriter.levelBytes(levels.entries, width: repWidth + defWidth) + cuts.count * 64)
    for (i, cut) in cuts.enumerated() {
      try writer.begin(rep: slice(levels.rep, cut), def: slice(levels.def, cut))
      try chunk(cut, &writer)
      writer.end(values: cut.values.count, isLast: i == cuts.count - 1)
    }
    var message = PBMiniBlockLayout()
    if !levels.rep.isEmpty { message.repCompression = PageEncoder.packedLevels(repWidth) }
    if !levels.def.isEmpty { message.defCompression = PageEncoder.packedLevels(defWidth) }
    message.valueCompression = values
    message.layers = levels.nesting.layers.map(\.message)
    message.numBuffers = UInt64(bufferCount)
    message.numItems = UInt64(items)
    message.hasLargeChunk_p = writer.largeWords
    var buffers = try writer.buffers()
    if let dictionary {
      message.dictionary = dictionary.encoding
      message.numDictionaryItems = UInt64(dictionary.count)
      buffers.append([dictionary.bytes])
    }
    if !levels.rep.isEmpty {
      message.repetitionIndexDepth = 1
      buffers.append([try Buffer(repetitionIndex(cuts, levels))])
    }
    var layout = PBPageLayout()
    layout.miniBlock = message
    return try EncodedPage(layout, buffers, rows: rows)
  }

  /// Levels of `width` bits in whole blocks of 1024.
  private static func packedLevels(_ width: Int) -> PBCompressiveEncoding {
    var packing = PBOutOfLineBitpacking()
    packing.uncompressedBitsPerValue = 16
    packing.values = flat(width)
    var message = PBCompressiveEncoding()
    message.outOfLineBitpacking = packing
    return message
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
}
