import Core

/// Puts the chunks of a mini-block page together; see `MiniBlockPage` for their bytes.
struct ChunkWriter {
  /// u32 sizes and chunk words (2.2) instead of u16.
  let largeWords: Bool
  /// Bits that the page's largest repetition and definition levels take; levels are bit-packed to that.
  let repWidth: Int
  let defWidth: Int
  private(set) var body: GrowingBytes
  private var words: [UInt32] = []
  private let bufferCount: Int
  private let padded: Buffer

  // The chunk that is being written.
  private var start = 0
  private var sizeAt = 0

  init(largeWords: Bool, repWidth: Int, defWidth: Int, bufferCount: Int, capacity: Int) throws(Failure) {
    self.largeWords = largeWords
    self.repWidth = repWidth
    self.defWidth = defWidth
    self.bufferCount = bufferCount
    body = try GrowingBytes(capacity: capacity)
    padded = try Buffer(byteCount: FastLanes.blockSize * 2)
  }

  private var wordSize: Int { largeWords ? 4 : 2 }

  private mutating func pad() throws(Failure) {
    let missing = -body.count & 7
    try body.room(8).initializeMemory(as: UInt8.self, repeating: 0xFE, count: missing)
    body.added(missing)
  }

  private func setNumber(_ value: Int, at place: Int, _ size: Int) {
    let target = body.buffer.pointer + place
    if size == 2 {
      target.storeBytes(of: UInt16(truncatingIfNeeded: value).littleEndian, as: UInt16.self)
    } else {
      target.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, as: UInt32.self)
    }
  }

  /// Begins a chunk with its levels; its value buffers follow through `buffer`.
  mutating func begin(rep: ArraySlice<UInt16>, def: ArraySlice<UInt16>) throws(Failure) {
    start = body.count
    let header = 2 + (rep.isEmpty ? 0 : 2) + (def.isEmpty ? 0 : 2) + bufferCount * wordSize
    _ = try body.room(header)
    body.added(header)
    setNumber(max(rep.count, def.count), at: start, 2)
    sizeAt = start + 2
    try pad()
    try levels(rep, width: repWidth)
    try levels(def, width: defWidth)
  }

  /// The bytes that `count` levels of `width` bits take: whole blocks of 1024 packed, the rest packed too where that is smaller.
  static func levelBytes(_ count: Int, width: Int) -> Int {
    let (whole, tail) = count.quotientAndRemainder(dividingBy: FastLanes.blockSize)
    let unit = FastLanes.packedByteCount(width: width)
    return whole * unit + min(unit, tail * 2)
  }

  private mutating func levels(_ levels: ArraySlice<UInt16>, width: Int) throws(Failure) {
    guard !levels.isEmpty else { return }
    let size = ChunkWriter.levelBytes(levels.count, width: width)
    let place = try body.room(size)
    place.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    let block = FastLanes.blockSize
    let unit = FastLanes.packedByteCount(width: width)
    var at = 0
    levels.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      var done = 0
      while done < source.count {
        let count = min(block, source.count - done)
        let target = (place + at).assumingMemoryBound(to: UInt16.self)
        if count == block {
          FastLanes.pack(base + done, width: width, to: target)
          at += unit
        } else if unit < count * 2 {
          let tail = padded.mutableValues(of: UInt16.self)
          for k in 0..<block { tail[k] = k < count ? base[done + k] : 0 }
          if let values = tail.baseAddress { FastLanes.pack(UnsafePointer(values), width: width, to: target) }
          at += unit
        } else {
          target.update(from: base + done, count: count)
          at += count * 2
        }
        done += count
      }
    }
    body.added(size)
    setNumber(size, at: sizeAt, 2)
    sizeAt += 2
    try pad()
  }

  /// Adds a value buffer of at most `bound` bytes: `fill` writes it and returns its size.
  mutating func buffer(_ bound: Int, _ fill: (UnsafeMutableRawPointer) throws(Failure) -> Int) throws(Failure) {
    let size = try fill(try body.room(bound))
    body.added(size)
    setNumber(size, at: sizeAt, wordSize)
    sizeAt += wordSize
    try pad()
  }

  mutating func end(values: Int, isLast: Bool) {
    let log = isLast ? 0 : values.trailingZeroBitCount
    words.append(UInt32((body.count - start) / 8 - 1) << 4 | UInt32(log))
  }

  /// The page's first two buffers.
  func buffers() throws(Failure) -> [[Buffer]] {
    let table = largeWords ? try Buffer(words) : try Buffer(words.map { UInt16(truncatingIfNeeded: $0) })
    return [[table], [try body.finish()]]
  }
}
