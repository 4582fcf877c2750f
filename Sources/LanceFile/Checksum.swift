import CXXHash
package import Core

/// XXH3, 64 bits (https://github.com/Cyan4973/xxHash), and the seal that small files carry behind their content.
///
/// The format has no checksums. Ours stand where official readers do not look: in data and index files in the last global
/// buffer (`FileChecksums`), in manifests in a first section (`ManifestFile`), in deletion files behind the bitmap:
///
///     content | "MOONXXH3" | u64 hash of the content          the seal, 16 bytes
package enum Checksum {
  package static let magic = Array("MOONXXH3".utf8)
  package static let sealBytes = 16

  package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 { xxh3_64(bytes.baseAddress, bytes.count) }

  /// `content` with its seal.
  package static func sealed(_ content: [UInt8]) -> [UInt8] {
    var out = ByteWriter(reserving: content.count + sealBytes)
    out.write(content)
    out.write(magic)
    out.write(content.withUnsafeBytes { hash($0) })
    return out.bytes
  }

  /// The content of a sealed file; nil when the file has no seal.
  /// - Throws: `CORRUPT_DATA` naming `what` when content and seal differ.
  package static func unsealed(_ file: UnsafeRawBufferPointer, what: String) throws(Failure) -> UnsafeRawBufferPointer? {
    let count = file.count - sealBytes
    guard count >= 0, file[count..<count + magic.count].elementsEqual(magic) else { return nil }
    let content = UnsafeRawBufferPointer(rebasing: file[..<count])
    let stored = UInt64(littleEndian: file.loadUnaligned(fromByteOffset: count + magic.count, as: UInt64.self))
    guard hash(content) == stored else {
      throw Failure(.corruptData, "\(what) is damaged: its bytes do not match their checksum")
    }
    return content
  }
}

/// Hashes of the blocks of a file's page region, as they stand in it.
///
/// The hash of a block is that of a binary tree over its leaves of 64 KiB (the last may be short): a leaf has the hash of its bytes, two
/// neighbours that of their two hashes, one after the other, and one without a neighbour goes up as it is. So a writer need not know the
/// blocks' size before it knows the file's.
struct BlockHashes {
  static let leafBytes = 1 << 16
  /// Small files have small blocks, so that little is read to check a row; large ones have few.
  private static let mostSmallBlocks = 512
  private static let mostBlockBytes = 1 << 20

  let blockBytes: Int
  /// The lower halves.
  let hashes: [UInt32]

  init(leaves: [UInt64]) {
    var (size, level) = (BlockHashes.leafBytes, leaves)
    while level.count > BlockHashes.mostSmallBlocks, size < BlockHashes.mostBlockBytes {
      level = stride(from: 0, to: level.count, by: 2).map { i in
        i + 1 < level.count ? BlockHashes.parent(level[i], level[i + 1]) : level[i]
      }
      size *= 2
    }
    blockBytes = size
    hashes = level.map { UInt32(truncatingIfNeeded: $0) }
  }

  /// The hash of the tree over `bytes`.
  static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    guard bytes.count > leafBytes else { return Checksum.hash(bytes) }
    var left = leafBytes
    while 2 * left < bytes.count { left *= 2 }
    return parent(
      hash(UnsafeRawBufferPointer(rebasing: bytes[..<left])), hash(UnsafeRawBufferPointer(rebasing: bytes[left...])))
  }

  private static func parent(_ left: UInt64, _ right: UInt64) -> UInt64 {
    withUnsafeBytes(of: (left.littleEndian, right.littleEndian)) { Checksum.hash($0) }
  }
}

/// Hashes of the leaves of a file, taken while its bytes pass by.
struct BlockHasher {
  /// Complete leaves so far, and the last one after `finish`.
  private(set) var leaves: [UInt64] = []
  private var partial: [UInt8] = []
  private static let size = BlockHashes.leafBytes

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    if !partial.isEmpty {
      let count = min(BlockHasher.size - partial.count, rest.count)
      partial.append(contentsOf: rest.prefix(count))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      guard partial.count == BlockHasher.size else { return }
      finish()
    }
    while rest.count >= BlockHasher.size {
      leaves.append(Checksum.hash(UnsafeRawBufferPointer(rebasing: rest.prefix(BlockHasher.size))))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(BlockHasher.size))
    }
    partial.append(contentsOf: rest)
  }

  /// Closes the last leaf, which may be short.
  mutating func finish() {
    guard !partial.isEmpty else { return }
    leaves.append(partial.withUnsafeBytes { Checksum.hash($0) })
    partial.removeAll(keepingCapacity: true)
  }
}
