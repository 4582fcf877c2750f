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

/// Hashes of the blocks of a file, taken while its bytes pass by.
struct BlockHasher {
  /// Complete blocks so far, and the last one after `finish`.
  private(set) var hashes: [UInt64] = []
  private var partial: [UInt8] = []

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    if !partial.isEmpty {
      let count = min(FileChecksums.blockBytes - partial.count, rest.count)
      partial.append(contentsOf: rest.prefix(count))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      guard partial.count == FileChecksums.blockBytes else { return }
      finish()
    }
    while rest.count >= FileChecksums.blockBytes {
      hashes.append(Checksum.hash(UnsafeRawBufferPointer(rebasing: rest.prefix(FileChecksums.blockBytes))))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(FileChecksums.blockBytes))
    }
    partial.append(contentsOf: rest)
  }

  /// Closes the last block, which may be short.
  mutating func finish() {
    guard !partial.isEmpty else { return }
    hashes.append(partial.withUnsafeBytes { Checksum.hash($0) })
    partial.removeAll(keepingCapacity: true)
  }
}
