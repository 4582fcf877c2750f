import Core
import LanceProto

/// Feature flags of a manifest (fields 9 and 10): what a reader or writer has to understand.
enum FeatureFlags {
  static let deletionFiles: UInt64 = 1
  static let stableRowIDs: UInt64 = 2
  static let v2Format: UInt64 = 4
  static let tableConfig: UInt64 = 8
  static let basePaths: UInt64 = 16
  static let noTransactionFile: UInt64 = 32
  static let coveringIndex: UInt64 = 128
  static let mixedFileVersions: UInt64 = 256
  static let maxAllocatedFieldID: UInt64 = 32768

  private static let names: [UInt64: String] = [
    1: "deletion files", 2: "stable row ids", 4: "v2 format", 8: "table config", 16: "base paths", 32: "no transaction file",
    64: "overlays", 128: "covering index", 256: "mixed file versions", 2048: "managed blobs", 4096: "fragment tree",
    16384: "managed blobs", 32768: "allocated field ids",
  ]

  /// What we read. Files in base paths outside of the store are refused, see `BasePaths`.
  static let readable: UInt64 =
    deletionFiles | stableRowIDs | v2Format | tableConfig | basePaths | noTransactionFile | coveringIndex | mixedFileVersions
    | maxAllocatedFieldID
  /// What we write on top of.
  static let writable: UInt64 =
    deletionFiles | stableRowIDs | v2Format | tableConfig | basePaths | noTransactionFile | coveringIndex | maxAllocatedFieldID

  static func checkReadable(_ manifest: PBManifest, table: String) throws(Failure) {
    let unknown = manifest.readerFeatureFlags & ~readable
    guard unknown == 0 else {
      throw Failure(
        .unsupported,
        "table '\(table)' version \(manifest.version) needs reader features that are not supported: \(list(unknown))")
    }
  }
  static func checkWritable(_ manifest: PBManifest, table: String) throws(Failure) {
    let unknown = manifest.writerFeatureFlags & ~writable
    guard unknown == 0 else {
      throw Failure(
        .unsupported,
        "table '\(table)' version \(manifest.version) needs writer features that are not supported: \(list(unknown))")
    }
  }

  /// Whoever removes files must know of all that a version may need.
  static func checkKnown(_ manifest: PBManifest, table: String) throws(Failure) {
    let unknown = (manifest.readerFeatureFlags | manifest.writerFeatureFlags) & ~(readable | writable)
    guard unknown == 0 else {
      throw Failure(
        .unsupported,
        "table '\(table)' version \(manifest.version) has features of which it is not known what files they need: \(list(unknown))"
      )
    }
  }

  /// `64 (overlays), 512`.
  private static func list(_ flags: UInt64) -> String {
    (0..<64).map { UInt64(1) << UInt64($0) }.filter { flags & $0 != 0 }
      .map { bit in names[bit].map { "\(bit) (\($0))" } ?? "\(bit)" }.joined(separator: ", ")
  }

  /// Sets the flags that follow from the manifest's content; foreign known ones stay.
  static func refresh(_ manifest: inout PBManifest) {
    let deletions = manifest.fragments.contains { $0.hasDeletionFile }
    manifest.readerFeatureFlags = manifest.readerFeatureFlags & ~deletionFiles | (deletions ? deletionFiles : 0)
    manifest.writerFeatureFlags = manifest.writerFeatureFlags & ~deletionFiles | (deletions ? deletionFiles : 0)
    if !manifest.config.isEmpty { manifest.writerFeatureFlags |= tableConfig }
  }
}
