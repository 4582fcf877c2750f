import Core
import Synchronization

/// The checksums of one open file, checked as its bytes are touched. May be used by several threads.
///
/// They stand in the file's last global buffer, which official readers ignore, right before the column metadata:
/// ```
/// "MOONXXH3" | u32 bytes of a block | u32 blocks n | u64 bytes of the page region P
/// u64 hash of [P, this buffer) | u64 hash of [end of this buffer, end of file) | n x u32 hash of a block (`BlockHashes`)
/// u64 hash of all before | u64 bytes of this buffer | "MOONXXH3"
/// ```
/// Files from before blocks grew with the file have 64 bits for each 64 KiB.
///
/// They are looked for from both ends, so that damage to one of the places that lead to them does not hide them.
/// Blocks lie at multiples of their size from the start of the file; the last one ends at P. What is not a page (descriptor,
/// global buffers, column metadata, tables, footer) is checked when the file is opened, a block when it is first touched.
final class FileChecksums: Sendable {
  private static let headerBytes = 40
  /// Own hash, own size, mark.
  private static let trailerBytes = 24

  private let file: Buffer
  /// Where the hash of block 0 stands.
  private let hashes: Int
  /// Bytes of a block's hash: 4, or 8.
  private let hashBytes: Int
  private let blockBytes: Int
  let blockCount: Int
  private let pageBytes: Int
  private let known: KnownBlocks

  /// The checksums of `file`; nil when it has none.
  /// - Throws: `CORRUPT_DATA` when they or the file's metadata are damaged.
  static func find(_ file: Buffer, _ tail: FileTail) throws(Failure) -> FileChecksums? {
    var places: [FileRange] = []
    if let last = tail.globals.last, tail.globals.count > 1, file.bytes.part(last).starts(with: Checksum.magic) {
      places.append(last)
    }
    if let end = Int(exactly: tail.metadataStart), end >= headerBytes + trailerBytes, end <= file.byteCount,
      file.bytes[end - Checksum.magic.count..<end].elementsEqual(Checksum.magic)
    {
      let count = UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: end - 16, as: UInt64.self))
      places.append(try FileRange(UInt64(end) &- count, count, fileSize: end, what: "the table of checksums"))
    }
    guard let place = places.first else { return nil }
    guard places.count == 2, places[0] == places[1], place.count >= headerBytes + trailerBytes else {
      throw Failure(.corruptData, "the file is damaged: its footer and its checksums contradict each other")
    }
    return try FileChecksums(file, place)
  }

  private init(_ file: Buffer, _ place: FileRange) throws(Failure) {
    let bytes = file.bytes.part(place)
    func fail(_ why: String) -> Failure { Failure(.corruptData, "the file is damaged: \(why)") }
    let own = place.count - FileChecksums.trailerBytes
    let stored = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: own, as: UInt64.self))
    guard Checksum.hash(UnsafeRawBufferPointer(rebasing: bytes[..<own])) == stored else {
      throw fail("its checksums do not match their own")
    }
    var reader = ByteReader(bytes, at: Checksum.magic.count, what: "checksums")
    let blockBytes = Int(try reader.read(UInt32.self))
    let blocks = Int(try reader.read(UInt32.self))
    let pages = try reader.read(UInt64.self)
    let before = try reader.read(UInt64.self)
    let after = try reader.read(UInt64.self)
    let hashBytes = own - FileChecksums.headerBytes == 8 * blocks ? 8 : 4
    guard blockBytes > 0, blockBytes % BlockHashes.leafBytes == 0, pages <= UInt64(place.offset),
      own == FileChecksums.headerBytes + hashBytes * blocks, (Int(pages) + blockBytes - 1) / blockBytes == blocks
    else { throw fail("\(blocks) checksums of \(blockBytes) bytes do not cover its \(pages) bytes of pages") }
    let end = place.offset + place.count
    guard Checksum.hash(UnsafeRawBufferPointer(rebasing: file.bytes[Int(pages)..<place.offset])) == before,
      Checksum.hash(UnsafeRawBufferPointer(rebasing: file.bytes[end...])) == after
    else { throw fail("its metadata does not match its checksum") }
    self.file = file
    self.blockBytes = blockBytes
    self.hashBytes = hashBytes
    blockCount = blocks
    pageBytes = Int(pages)
    hashes = place.offset + FileChecksums.headerBytes
    known = KnownBlocks(blocks)
  }

  /// Checks the blocks that bytes `range` of the file lie in; those that were checked before cost a few nanoseconds.
  /// - Throws: `CORRUPT_DATA` naming the first damaged block.
  func check(_ range: Range<Int>) throws(Failure) {
    // What lies behind the pages was checked at open.
    let end = min(range.upperBound, pageBytes)
    guard range.lowerBound < end else { return }
    for block in range.lowerBound / blockBytes...(end - 1) / blockBytes where !known.contains(block) {
      guard matches(block) else {
        let bytes = self.bytes(of: block)
        throw Failure(
          .corruptData,
          "the file is damaged: bytes \(bytes.lowerBound) to \(bytes.upperBound) do not match their checksum")
      }
      known.insert(block)
    }
  }

  /// Bytes of block `block`.
  func bytes(of block: Int) -> Range<Int> { block * blockBytes..<min((block + 1) * blockBytes, pageBytes) }

  /// Hashes block `block` anew.
  func matches(_ block: Int) -> Bool {
    let hash = BlockHashes.hash(UnsafeRawBufferPointer(rebasing: file.bytes[bytes(of: block)]))
    let place = hashes + hashBytes * block
    if hashBytes == 8 { return UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)) == hash }
    return UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
      == UInt32(truncatingIfNeeded: hash)
  }

  /// The checksum buffer of a file with the pages' hashes `blocks`, with room for what `seal` fills in.
  static func buffer(_ blocks: BlockHashes, pageBytes: Int) -> [UInt8] {
    var out = ByteWriter(reserving: headerBytes + 4 * blocks.hashes.count + trailerBytes)
    out.write(Checksum.magic)
    out.write(UInt32(blocks.blockBytes))
    out.write(UInt32(blocks.hashes.count))
    out.write(UInt64(pageBytes))
    out.write(UInt64(0))
    out.write(UInt64(0))
    for hash in blocks.hashes { out.write(hash) }
    out.write(UInt64(0))
    out.write(UInt64(out.count + 16))
    out.write(Checksum.magic)
    return out.bytes
  }

  /// Fills in the hashes of a checksum buffer at `place` of `tail`, which is all that follows the pages.
  static func seal(_ tail: inout [UInt8], _ place: Range<Int>) {
    tail.withUnsafeMutableBytes { raw in
      func hash(_ range: Range<Int>) -> UInt64 {
        Checksum.hash(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(raw)[range])).littleEndian
      }
      raw.storeBytes(of: hash(0..<place.lowerBound), toByteOffset: place.lowerBound + 24, as: UInt64.self)
      raw.storeBytes(of: hash(place.upperBound..<raw.count), toByteOffset: place.lowerBound + 32, as: UInt64.self)
      let own = place.upperBound - trailerBytes
      raw.storeBytes(of: hash(place.lowerBound..<own), toByteOffset: own, as: UInt64.self)
    }
  }
}

/// A set of block numbers that several threads add to.
private final class KnownBlocks: @unchecked Sendable {  // Sendable: the words are atomic, the pointer never changes.
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let count: Int

  init(_ blocks: Int) {
    count = (blocks + 63) / 64
    words = .allocate(capacity: count)
    for i in 0..<count { (words + i).initialize(to: Atomic(0)) }
  }
  deinit {
    words.deinitialize(count: count)
    words.deallocate()
  }

  func contains(_ block: Int) -> Bool { words[block >> 6].load(ordering: .relaxed) >> UInt64(block & 63) & 1 == 1 }
  func insert(_ block: Int) { words[block >> 6].bitwiseOr(1 << UInt64(block & 63), ordering: .relaxed) }
}
