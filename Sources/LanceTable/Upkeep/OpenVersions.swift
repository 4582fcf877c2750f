import LanceProto
import Synchronization

/// Says that a version of a table is open in this process, as long as it lives: cleanup then keeps the version's files.
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

  init(_ manifest: PBManifest) {
    key = Key(manifest)
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

  static func contains(_ manifest: PBManifest) -> Bool {
    let key = Key(manifest)
    return counts.withLock { $0[key] != nil }
  }
}
