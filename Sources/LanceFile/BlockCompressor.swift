import CLz4
import CZstd
package import Core
package import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// General compression that a field asks for: `lance-encoding:compression` = `zstd` or `lz4`, and for zstd
/// `lance-encoding:compression-level`.
package struct CompressionChoice: Sendable, Equatable {
  var scheme: Codec.Compression
  /// zstd: 1 ... 22, quick ... small.
  var level: Int

  static let key = "lance-encoding:compression"
  static let levelKey = "lance-encoding:compression-level"
  static let defaultLevel = 3

  /// What a field's metadata asks for; nil for `none`, `fsst` and nothing.
  /// - Throws: `INVALID_ARGUMENT` naming the field, the value and what is allowed.
  init?(_ metadata: [String: String], field: String) throws(Failure) {
    switch metadata[CompressionChoice.key] {
    case nil, "none", "fsst": return nil
    case "zstd": scheme = .zstd
    case "lz4": scheme = .lz4
    case let other?:
      throw Failure(
        .invalidArgument, "column '\(field)': \(CompressionChoice.key) is '\(other)'; it may be none, lz4, zstd or fsst")
    }
    level = CompressionChoice.defaultLevel
    if let text = metadata[CompressionChoice.levelKey] {
      guard let number = Int(text), (1...22).contains(number) else {
        throw Failure(.invalidArgument, "column '\(field)': \(CompressionChoice.levelKey) is '\(text)'; it may be 1 to 22")
      }
      level = number
    }
  }
}

extension CompressionChoice {
  /// `fields` with `choice` (`none`, `lz4`, `zstd` or `zstd:LEVEL`) in the metadata of those that hold values and do not say otherwise.
  /// - Throws: `INVALID_ARGUMENT` naming what is allowed.
  package static func applied(_ choice: String, to fields: [PBField]) throws(Failure) -> [PBField] {
    let parts = choice.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let level = parts.count > 1 ? Int(parts[1]) : defaultLevel
    guard ["none", "lz4", "zstd"].contains(parts[0]), parts.count == 1 || (parts[0] == "zstd" && level != nil),
      (1...22).contains(level ?? 0)
    else {
      throw Failure(.invalidArgument, "compression is '\(choice)'; it may be none, lz4, zstd or zstd:LEVEL with LEVEL 1 to 22")
    }
    let parents = Set(fields.map(\.parentID))
    var result = fields
    for i in result.indices where !parents.contains(result[i].id) && result[i].metadata[key] == nil {
      result[i].metadata[key] = Data(parts[0].utf8)
      if parts.count > 1 { result[i].metadata[levelKey] = Data(parts[1].utf8) }
    }
    return result
  }
}

/// Compresses buffers one by one, for one thread: lz4 = u32 size and block, zstd = u64 size and frame.
final class BlockCompressor {
  private let choice: CompressionChoice
  private let context: OpaquePointer?

  init(_ choice: CompressionChoice) throws(Failure) {
    self.choice = choice
    context = choice.scheme == .zstd ? ZSTD_createCCtx() : nil
    guard choice.scheme == .lz4 || context != nil else { throw Failure(.memoryLimit, "out of memory for zstd") }
  }

  deinit { if let context { ZSTD_freeCCtx(context) } }

  /// The most bytes that `count` bytes become.
  func bound(_ count: Int) -> Int {
    switch choice.scheme {
    case .lz4: 4 + Int(LZ4_compressBound(Int32(clamping: count)))
    case .zstd: 8 + ZSTD_compressBound(count)
    }
  }

  /// Compresses `source` to `target`, which has room for `bound(source.count)`; the bytes written.
  func compress(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) throws(Failure) -> Int {
    guard source.count <= Codec.largestBuffer / 2 else {
      throw Failure(.invalidArgument, "a value of \(source.count) bytes is too large to be compressed")
    }
    let room = bound(source.count)
    switch choice.scheme {
    case .lz4:
      target.storeBytes(of: UInt32(source.count).littleEndian, as: UInt32.self)
      let written = LZ4_compress_default(
        source.baseAddress?.assumingMemoryBound(to: CChar.self), (target + 4).assumingMemoryBound(to: CChar.self),
        Int32(source.count), Int32(clamping: room - 4))
      guard written > 0 else { throw Failure(.internalError, "lz4 cannot compress \(source.count) bytes") }
      return 4 + Int(written)
    case .zstd:
      target.storeBytes(of: UInt64(source.count).littleEndian, as: UInt64.self)
      let written = ZSTD_compressCCtx(context, target + 8, room - 8, source.baseAddress, source.count, Int32(choice.level))
      guard ZSTD_isError(written) == 0 else { throw Failure(.internalError, "zstd cannot compress \(source.count) bytes") }
      return 8 + written
    }
  }

  /// The description of values that were compressed after they were encoded as `inner`.
  func described(_ inner: PBCompressiveEncoding) -> PBCompressiveEncoding {
    var general = PBGeneralEncoding()
    general.compression.scheme = choice.scheme == .zstd ? .zstd : .lz4
    if choice.scheme == .zstd { general.compression.level = Int32(choice.level) }
    general.values = inner
    var message = PBCompressiveEncoding()
    message.general = general
    return message
  }
}
