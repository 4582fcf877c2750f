import Core
import Synchronization

/// Descriptions of models by the commit they came from, so that listing does not read weights twice. Versions never
/// change, and a commit's transaction name is unique, so nothing in here can be stale.
final class ModelCache: Sendable {
  private let known = Mutex<[String: ModelInfo]>([:])

  func value(_ key: String) -> ModelInfo? { known.withLock { $0[key] } }

  func keep(_ info: ModelInfo, for key: String) {
    known.withLock { all in
      if all.count >= 1000 { all.removeAll() }
      all[key] = info
    }
  }
}
