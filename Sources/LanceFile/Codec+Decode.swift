import CLz4
import CZstd
import Core

/// Decoded values of one chunk, in mapped or scratch memory: valid until the scratch is reset.
struct ChunkValues {
  enum Storage {
    /// Elements of `bits`, `factor` per value.
    case fixed(UnsafeRawPointer, bits: Int)
    /// `count + 1` offsets of `width` bytes into the bytes, which may be coded; both checked when they are used.
    case variable(UnsafeRawBufferPointer, offsets: UnsafeRawPointer, width: Int, SymbolTable?)
  }
  var count: Int
  var storage: Storage
  /// Bits of the items of each fixed-size list, outermost first; nil where nothing is null.
  var validity: [UnsafeRawPointer?] = []
}

extension ChunkValues {
  /// These strings, said to be coded with `table`.
  func coded(with table: SymbolTable) throws(Failure) -> ChunkValues {
    guard table.isUsed else { return self }
    guard case .variable(let bytes, let offsets, let width, nil) = storage else {
      throw Failure(.corruptData, "FSST over values that are no strings")
    }
    return ChunkValues(count: count, storage: .variable(bytes, offsets: offsets, width: width, table))
  }
}

extension Codec {
  /// The most bytes that one compressed buffer may claim to hold.
  static let largestBuffer = Int(Int32.max)

  /// The `count` values of a mini-block chunk. With `only`, a few single values are wanted: others may be left undecoded.
  func chunk(_ buffers: ArraySlice<UnsafeRawBufferPointer>, count: Int, only: Range<Int>? = nil, _ scratch: Scratch)
    throws(Failure) -> ChunkValues
  {
    guard let first = buffers.first else {
      guard case .constant = self else { throw Failure(.corruptData, "a chunk has no value buffer") }
      return try block(UnsafeRawBufferPointer(start: nil, count: 0), count: count, scratch)
    }
    switch self {
    case .runLength(let bits, let lengthBits):
      guard buffers.count >= 2 else { throw Failure(.corruptData, "an RLE chunk without run lengths") }
      return try Codec.runs(values: first, lengths: buffers[buffers.startIndex + 1], bits, lengthBits, count, scratch)
    case .variable(let offsetBits):
      let width = offsetBits / 8
      let table = try Codec.product(count + 1, width)
      guard table <= first.count, let base = first.baseAddress else {
        throw Failure(.corruptData, "a chunk has too few offsets")
      }
      return ChunkValues(count: count, storage: .variable(first, offsets: base, width: width, nil))
    case .fsst(let table, let inner):
      return try inner.chunk(buffers, count: count, scratch).coded(with: table)
    case .general(let scheme, let inner):
      let plain = try Codec.decompress(first, scheme, scratch)
      return try inner.chunk([plain] + buffers.dropFirst(), count: count, scratch)
    case .fixedSizeList(let size, let inner, let hasValidity):
      let items = try Codec.product(count, size)
      var rest = buffers
      var bits: UnsafeRawPointer?
      if hasValidity {
        guard first.count >= (items + 7) / 8 else { throw Failure(.corruptData, "a chunk has too few validity bits") }
        bits = first.baseAddress
        rest = rest.dropFirst()
      }
      var values = try inner.chunk(rest, count: items, scratch)
      values.count = count
      values.validity.insert(bits, at: 0)
      return values
    default: return try block(first, count: count, only: only, scratch)
    }
  }

  /// `count` values from one buffer that describes itself (levels, dictionaries; most chunks).
  func block(_ bytes: UnsafeRawBufferPointer, count: Int, only: Range<Int>? = nil, _ scratch: Scratch) throws(Failure)
    -> ChunkValues
  {
    func need(_ bits: Int) throws(Failure) -> UnsafeRawPointer {
      let size = (try Codec.product(count, bits) + 7) / 8
      guard bytes.count >= size else {
        throw Failure(.corruptData, "\(size) bytes of \(name) values are wanted, \(bytes.count) are there")
      }
      if let base = bytes.baseAddress { return base }
      return UnsafeRawPointer(try scratch.bytes(0))
    }
    switch self {
    case .flat(let bits): return ChunkValues(count: count, storage: .fixed(try need(bits), bits: bits))
    case .packedStructure(let members):
      let bits = members.reduce(0, +)
      return ChunkValues(count: count, storage: .fixed(try need(bits), bits: bits))
    case .inlineBitpacking(let bits):
      let (packed, width) = try Codec.packedBlock(bytes, bits: bits, count: count)
      let out = try scratch.bytes(FastLanes.blockSize * bits / 8)
      if let only {
        Codec.pick(packed, bits: bits, width: width, only, to: out)
      } else {
        Codec.unpack(packed, blocks: 1, bits: bits, width: width, to: out)
      }
      return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: bits))
    case .outOfLineBitpacking(let bits, let width):
      let unit = FastLanes.packedByteCount(width: width)
      let (whole, tail) = count.quotientAndRemainder(dividingBy: FastLanes.blockSize)
      let size = try Codec.product(whole, unit)
      let rest = bytes.count - size
      // The tail stands there as plain words when exactly that many bytes are left, else as one more packed block.
      let tailIsPlain = tail > 0 && rest == tail * bits / 8
      guard rest >= 0, tail == 0 || tailIsPlain || rest >= unit else {
        throw Failure(.corruptData, "\(count) packed values of \(width) bits in \(bytes.count) bytes")
      }
      let out = try scratch.bytes((whole + 1) * FastLanes.blockSize * bits / 8)
      let base = try need(0)
      if let only, only.upperBound <= whole * FastLanes.blockSize || !tailIsPlain {
        for i in only {
          let (block, place) = i.quotientAndRemainder(dividingBy: FastLanes.blockSize)
          Codec.pick(
            base + block * unit, bits: bits, width: width, place..<place + 1, to: out + block * FastLanes.blockSize * bits / 8)
        }
        return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: bits))
      }
      Codec.unpack(base, blocks: whole + (tail > 0 && !tailIsPlain ? 1 : 0), bits: bits, width: width, to: out)
      if tailIsPlain { (out + whole * FastLanes.blockSize * bits / 8).copyMemory(from: base + size, byteCount: rest) }
      return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: bits))
    case .byteStreamSplit(let bits):
      let base = try need(bits)
      let width = bits / 8
      let out = try scratch.bytes(count * width)
      for byte in 0..<width {
        let stream = base + byte * count
        for i in 0..<count {
          out.storeBytes(of: stream.load(fromByteOffset: i, as: UInt8.self), toByteOffset: i &* width &+ byte, as: UInt8.self)
        }
      }
      return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: bits))
    case .runLength(let bits, let lengthBits):
      let (values, lengths) = try Codec.runParts(bytes)
      return try Codec.runs(values: values, lengths: lengths, bits, lengthBits, count, scratch)
    case .general(let scheme, let inner):
      return try inner.block(try Codec.decompress(bytes, scheme, scratch), count: count, scratch)
    case .fsst(let table, let inner): return try inner.block(bytes, count: count, scratch).coded(with: table)
    case .variable:
      // u32 bits, u32 start of the bytes, offsets counted from 0, bytes (all u64 for 64-bit offsets).
      var reader = ByteReader(bytes, what: "dictionary of strings")
      let bits = try reader.read(UInt32.self)
      guard bits == 32 || bits == 64 else { throw Failure(.corruptData, "a block of strings with \(bits)-bit offsets") }
      let width = Int(bits) / 8
      let start: UInt64
      if width == 4 {
        start = UInt64(try reader.read(UInt32.self))
      } else {
        try reader.skip(4)
        start = try reader.read(UInt64.self)
      }
      let offsets = try reader.take(try Codec.product(count + 1, width))
      guard let data = Int(exactly: start), data <= bytes.count, let table = offsets.baseAddress else {
        throw Failure(.corruptData, "a block of strings is cut short")
      }
      return ChunkValues(
        count: count, storage: .variable(UnsafeRawBufferPointer(rebasing: bytes[data...]), offsets: table, width: width, nil))
    case .constant(let value):
      let out = try scratch.bytes(try Codec.product(count, value.count))
      value.withUnsafeBytes { source in
        guard let base = source.baseAddress, !source.isEmpty else { return }
        for i in 0..<count { (out + i * source.count).copyMemory(from: base, byteCount: source.count) }
      }
      return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: value.count * 8))
    case .fixedSizeList: return try chunk([bytes], count: count, scratch)
    case .variablePackedStructure: throw Failure(.unsupported, "VariablePackedStruct outside of a page of wide values")
    }
  }

  static func product(_ a: Int, _ b: Int) throws(Failure) -> Int {
    let (value, overflow) = a.multipliedReportingOverflow(by: b)
    guard !overflow, a >= 0, b >= 0, value < 1 << 45 else {
      throw Failure(.corruptData, "\(a) values of \(b) units are not plausible")
    }
    return value
  }

  /// The packed values of an InlineBitpacking chunk and their width.
  static func packedBlock(_ bytes: UnsafeRawBufferPointer, bits: Int, count: Int) throws(Failure) -> (
    UnsafeRawPointer, width: Int
  ) {
    let size = bits / 8
    guard count <= FastLanes.blockSize, bytes.count >= size, let base = bytes.baseAddress else {
      throw Failure(.corruptData, "an InlineBitpacking chunk of \(count) values in \(bytes.count) bytes")
    }
    let width: UInt64 =
      switch bits {
      case 8: UInt64(base.load(as: UInt8.self))
      case 16: UInt64(base.loadUnaligned(as: UInt16.self))
      case 32: UInt64(base.loadUnaligned(as: UInt32.self))
      default: base.loadUnaligned(as: UInt64.self)
      }
    guard width <= UInt64(bits), bytes.count - size >= FastLanes.packedByteCount(width: Int(width)) else {
      throw Failure(.corruptData, "an InlineBitpacking chunk claims \(width) bits per value in \(bytes.count) bytes")
    }
    return (base + size, Int(width))
  }

  /// Writes only the values `places` of a packed block to their places in `out`.
  private static func pick(
    _ packed: UnsafeRawPointer, bits: Int, width: Int, _ places: Range<Int>, to out: UnsafeMutableRawPointer
  ) {
    func run<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_: T.Type) {
      let target = out.assumingMemoryBound(to: T.self)
      for i in places { target[i] = FastLanes.value(packed, width: width, i) }
    }
    switch bits {
    case 8: run(UInt8.self)
    case 16: run(UInt16.self)
    case 32: run(UInt32.self)
    default: run(UInt64.self)
    }
  }

  /// Unpacks whole blocks; `bits` is 8, 16, 32 or 64.
  static func unpack(_ packed: UnsafeRawPointer, blocks: Int, bits: Int, width: Int, to out: UnsafeMutableRawPointer) {
    func run<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_: T.Type) {
      let target = out.bindMemory(to: T.self, capacity: blocks * FastLanes.blockSize)
      for i in 0..<blocks {
        FastLanes.unpack(
          packed + i * FastLanes.packedByteCount(width: width), width: width, to: target + i * FastLanes.blockSize)
      }
    }
    switch bits {
    case 8: run(UInt8.self)
    case 16: run(UInt16.self)
    case 32: run(UInt32.self)
    default: run(UInt64.self)
    }
  }

  /// Values and lengths of a run-length block: u64 size of the values, values, lengths.
  static func runParts(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> (UnsafeRawBufferPointer, UnsafeRawBufferPointer) {
    var reader = ByteReader(bytes, what: "run-length block")
    guard let size = Int(exactly: try reader.read(UInt64.self)) else {
      throw Failure(.corruptData, "a run-length block is damaged")
    }
    let values = try reader.take(size)
    return (values, try reader.take(reader.remaining))
  }

  /// The sum of run lengths.
  static func runTotal(_ lengths: UnsafeRawBufferPointer, _ lengthBits: Int) throws(Failure) -> Int {
    var total = 0
    let width = lengthBits / 8
    for i in 0..<lengths.count / width {
      total += try runLength(lengths, i, width)
      guard total < 1 << 40 else { throw Failure(.corruptData, "run lengths are not plausible") }
    }
    return total
  }

  @inline(__always)
  private static func runLength(_ lengths: UnsafeRawBufferPointer, _ i: Int, _ width: Int) throws(Failure) -> Int {
    switch width {
    case 1: return Int(lengths[i])
    case 2: return Int(lengths.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
    case 4: return Int(lengths.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))
    default:
      guard let value = Int(exactly: lengths.loadUnaligned(fromByteOffset: i * 8, as: UInt64.self)) else {
        throw Failure(.corruptData, "a run length is not plausible")
      }
      return value
    }
  }

  private static func runs(
    values: UnsafeRawBufferPointer, lengths: UnsafeRawBufferPointer, _ bits: Int, _ lengthBits: Int, _ count: Int,
    _ scratch: Scratch
  ) throws(Failure) -> ChunkValues {
    let width = bits / 8
    let lengthWidth = lengthBits / 8
    let out = try scratch.bytes(try product(count, width))
    let runs = min(values.count / width, lengths.count / lengthWidth)
    var at = 0
    func fill<T: BitwiseCopyable>(_: T.Type) throws(Failure) {
      let target = out.bindMemory(to: T.self, capacity: count)
      var i = 0
      while i < runs, at < count {
        let length = min(try runLength(lengths, i, lengthWidth), count - at)
        (target + at).update(repeating: values.loadUnaligned(fromByteOffset: i * width, as: T.self), count: length)
        at += length
        i += 1
      }
    }
    switch bits {
    case 8: try fill(UInt8.self)
    case 16: try fill(UInt16.self)
    case 32: try fill(UInt32.self)
    default: try fill(UInt64.self)
    }
    guard at == count else { throw Failure(.corruptData, "runs of \(at) values where \(count) are wanted") }
    return ChunkValues(count: count, storage: .fixed(UnsafeRawPointer(out), bits: bits))
  }

  /// Offset `i` of a table, not before `from` and not behind `limit`.
  @inline(__always)
  static func offset(_ table: UnsafeRawPointer, _ i: Int, _ width: Int, limit: Int, from: Int) throws(Failure) -> Int {
    let raw =
      width == 4
      ? UInt64(table.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self))
      : table.loadUnaligned(fromByteOffset: i &* 8, as: UInt64.self)
    guard raw <= UInt64(limit), raw >= UInt64(from) else {
      throw Failure(.corruptData, "string offset \(raw) is not between \(from) and \(limit)")
    }
    return Int(raw)
  }

  /// The content of a compressed buffer: lz4 = u32 size + block, zstd = u64 size + frame (old files: a bare frame).
  static func decompress(_ bytes: UnsafeRawBufferPointer, _ scheme: Compression, _ scratch: Scratch) throws(Failure)
    -> UnsafeRawBufferPointer
  {
    guard bytes.count > 0, let base = bytes.baseAddress else { return bytes }
    var reader = ByteReader(bytes, what: "compressed buffer")
    switch scheme {
    case .lz4:
      let size = Int(try reader.read(UInt32.self))
      // One LZ4 byte stands for at most 255 bytes.
      guard bytes.count <= largestBuffer, size < largestBuffer, size <= (bytes.count - 4) * 255 + 64 else {
        throw Failure(.corruptData, "\(bytes.count) bytes of LZ4 cannot hold \(size) bytes")
      }
      let out = try scratch.bytes(size)
      let written = LZ4_decompress_safe(
        (base + 4).assumingMemoryBound(to: CChar.self), out.assumingMemoryBound(to: CChar.self), Int32(bytes.count - 4),
        Int32(clamping: size))
      guard written == size else { throw Failure(.corruptData, "an LZ4 block is damaged") }
      return UnsafeRawBufferPointer(start: UnsafeRawPointer(out), count: size)
    case .zstd:
      var frame = base
      var size: UInt64
      let isBare = bytes.count >= 5 && base.loadUnaligned(as: UInt32.self) == 0xFD2F_B528 && bytes[4] & 0x10 == 0
      if isBare {
        size = ZSTD_getFrameContentSize(base, bytes.count)
      } else {
        size = try reader.read(UInt64.self)
        frame = base + 8
      }
      guard size <= UInt64(largestBuffer) else { throw Failure(.corruptData, "a zstd buffer claims \(size) bytes") }
      if size == 0 { return UnsafeRawBufferPointer(start: base, count: 0) }
      let out = try scratch.bytes(Int(size))
      let written = ZSTD_decompressDCtx(try scratch.zstd(), out, Int(size), frame, bytes.count - (frame - base))
      guard ZSTD_isError(written) == 0, written == Int(size) else { throw Failure(.corruptData, "a zstd frame is damaged") }
      return UnsafeRawBufferPointer(start: UnsafeRawPointer(out), count: Int(size))
    }
  }
}
