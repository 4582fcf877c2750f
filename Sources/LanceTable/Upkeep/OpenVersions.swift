import Core
import LanceProto
import ObjectStore
import Synchronization

/// Says that a version of a table is open, as long as it lives: cleanup then keeps the version's files. Other processes see it by the
/// store's hold on the manifest, where the store has such a thing.
///
/// The name of a commit's transaction is different for every commit of every table, so it stands for the version wherever the
/// table lies and by whatever path it was opened.
final class OpenVersion: Sendable {
  /// Tells a version from any other of any table.
  struct Key: Hashable {
    let version: UInt64
    let commit: String
    let seconds: Int64
    let nanoseconds: Int32

    init(_ manifest: PBManifest) {
      version = manifest.version
      commit = manifest.transactionFile
      seconds = manifest.timestamp.seconds
      nanoseconds = manifest.timestamp.nanos
    }
  }
  private static let counts = Mutex<[Key: Int]>([:])
  private let key: Key
  private let hold: (any Sendable)?

  /// - Parameter hold: of the manifest in its store (`ObjectStore.hold`), taken before the manifest was read.
  init(_ manifest: PBManifest, _ hold: (any Sendable)?) {
    key = Key(manifest)
    self.hold = hold
    let key = key
    OpenVersion.counts.withLock { $0[key, default: 0] += 1 }
  }
  deinit {
    let key = key
    OpenVersion.counts.withLock { counts in
      let left = (counts[key] ?? 1) - 1
      counts[key] = left > 0 ? left : nil
    }
  }

  /// Whether this process has the version open.
  static func contains(_ key: Key) -> Bool { counts.withLock { $0[key] != nil } }
}

extension TableLocation {
  /// Reads the manifest of `version` and keeps its files from cleanup as long as the second value lives.
  /// - Throws: `VERSION_NOT_FOUND`, `CORRUPT_DATA`.
  func hold(_ version: UInt64, _ naming: ManifestNaming) throws(Failure) -> (ManifestFile, OpenVersion) {
    // Held first: what is read then is there to stay.
    let hold = store.hold(manifestPath(version, naming))
    let file = try manifest(version, naming)
    return (file, OpenVersion(file.manifest, hold))
  }
}
