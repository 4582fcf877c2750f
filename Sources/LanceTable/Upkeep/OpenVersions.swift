import LanceProto
import ObjectStore
import Synchronization

/// Says that a version of a table is open, as long as it lives: cleanup then keeps the version's files. Other processes see it by the
/// store's hold on the manifest, where the store has such a thing.
///
/// The name of a commit's transaction is different for every commit of every table, so it stands for the version wherever the
/// table lies and by whatever path it was opened.
final class OpenVersion: Sendable {
  private struct Key: Hashable {
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

  /// - Parameter path: of the manifest, in `store`.
  init(_ manifest: PBManifest, _ path: String, in store: any ObjectStore) {
    key = Key(manifest)
    hold = store.hold(path)
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

  static func contains(_ manifest: PBManifest, _ path: String, in store: any ObjectStore) -> Bool {
    let key = Key(manifest)
    return counts.withLock { $0[key] != nil } || store.isHeld(path)
  }
}
