package import Core
import LanceFile
package import LanceProto
import SwiftProtobuf

/// A manifest file: the state of a table at one version.
///
///     [ u32 16 | "MOONXXH3" | u64 hash of all that follows ]   ours: a section that nothing points to
///     [ u32 length | IndexSection ]      where manifest field 6 says
///     [ u32 length | Transaction ]       where manifest field 21 (or 23, written by Lance 14) says
///       u32 length | Manifest            P
///       u64 P | u16 0 | u16 2 | "LANC"   16 bytes
package struct ManifestFile: Sendable {
  package var manifest: PBManifest
  /// The serialized index section, kept byte for byte through our commits.
  package var indexSection: [UInt8]?
  /// What made this version; nil when the file does not hold it.
  package var transaction: PBTransaction?

  /// True when the file that was read carries a checksum.
  package private(set) var hasChecksum = false

  private static let magic = Array("LANC".utf8)
  /// Bytes of the checksum's section.
  private static let sumBytes = 4 + 16

  package init(manifest: PBManifest, indexSection: [UInt8]? = nil, transaction: PBTransaction? = nil) {
    self.manifest = manifest
    self.indexSection = indexSection
    self.transaction = transaction
  }

  /// Reads a file; `what` names it in messages.
  /// - Throws: `CORRUPT_DATA`: `what is damaged: why`.
  package init(_ bytes: UnsafeRawBufferPointer, what: String) throws(Failure) {
    func fail(_ why: String) -> Failure { Failure(.corruptData, "\(what) is damaged: \(why)") }
    guard bytes.count > 0 else { throw fail("it is empty") }
    guard bytes.count >= 20, bytes.suffix(4).elementsEqual(ManifestFile.magic) else {
      throw fail("it does not end with the mark of a Lance file (\(bytes.count) bytes)")
    }
    if bytes.count > ManifestFile.sumBytes, bytes[4..<12].elementsEqual(Checksum.magic) {
      let stored = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt64.self))
      let hash = Checksum.hash(UnsafeRawBufferPointer(rebasing: bytes[ManifestFile.sumBytes...]))
      guard hash == stored, bytes.loadUnaligned(as: UInt32.self) == UInt32(16).littleEndian else {
        throw fail("its bytes do not match their checksum")
      }
      hasChecksum = true
    }
    func section(_ position: UInt64, _ name: String) throws(Failure) -> UnsafeRawBufferPointer {
      guard let at = Int(exactly: position), at <= bytes.count - 20 else {
        throw fail("its \(name) should be at \(position) of \(bytes.count) bytes")
      }
      let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
      guard length <= bytes.count - 16 - at - 4 else {
        throw fail("its \(name) of \(length) bytes at \(at) goes beyond the end")
      }
      return UnsafeRawBufferPointer(rebasing: bytes[at + 4..<at + 4 + length])
    }
    let position = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 16, as: UInt64.self))
    do {
      manifest = try PBManifest(serializedBytes: Array(try section(position, "manifest")))
    } catch {
      throw (error as? Failure) ?? fail("its manifest is no protobuf message")
    }
    indexSection = manifest.hasIndexSection ? Array(try section(manifest.indexSection, "index section")) : nil
    transaction = nil
    let place = manifest.hasTransactionSection ? manifest.transactionSection : manifest.transactionSectionRecent
    // Field 23 may be 0: the transaction then stands first in the file.
    if manifest.hasTransactionSection || manifest.hasTransactionSectionRecent {
      do {
        transaction = try PBTransaction(serializedBytes: Array(try section(place, "transaction")))
      } catch {
        throw (error as? Failure) ?? fail("its transaction is no protobuf message")
      }
    }
  }

  /// The file's bytes; positions of the sections are set in the manifest that is written.
  /// - Throws: `INVALID_ARGUMENT` when a section is larger than the format allows (4 GiB).
  package func encoded() throws(Failure) -> [UInt8] {
    var out = ByteWriter()
    var manifest = self.manifest
    func put(_ bytes: [UInt8]) throws(Failure) -> UInt64 {
      guard let length = UInt32(exactly: bytes.count) else {
        throw Failure(.invalidArgument, "a manifest section of \(bytes.count) bytes is larger than 4 GiB")
      }
      let position = UInt64(ManifestFile.sumBytes + out.count)
      out.write(length)
      out.write(bytes)
      return position
    }
    if let indexSection { manifest.indexSection = try put(indexSection) } else { manifest.clearIndexSection() }
    manifest.clearTransactionSection()
    manifest.clearTransactionSectionRecent()
    if let transaction { manifest.transactionSection = try put(try Protobuf.bytes(transaction)) }
    let position = try put(try Protobuf.bytes(manifest))
    out.write(position)
    out.write(UInt16(0))
    out.write(UInt16(2))
    out.write(ManifestFile.magic)
    var file = ByteWriter(reserving: ManifestFile.sumBytes + out.count)
    file.write(UInt32(16))
    file.write(Checksum.magic)
    file.write(out.bytes.withUnsafeBytes { Checksum.hash($0) })
    file.write(out.bytes)
    return file.bytes
  }
}

/// Serialized messages with a `Failure`.
enum Protobuf {
  static func bytes(_ message: some Message) throws(Failure) -> [UInt8] {
    do { return try message.serializedBytes() } catch {
      throw Failure(.internalError, "a message cannot be serialized: \(error)")
    }
  }
}
