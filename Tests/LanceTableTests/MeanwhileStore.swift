import Core
import ObjectStore
import Synchronization

/// A store that lets something happen once, just before a transaction is written: another writer is faster than the operation
/// under test, which has looked at everything by then.
final class MeanwhileStore: ObjectStore {
  let base: any ObjectStore
  private let pending = Mutex<(@Sendable () throws -> Void)?>(nil)
  private let problem = Mutex<String?>(nil)

  init(_ base: any ObjectStore) { self.base = base }

  /// `action` works on `base`.
  func before(_ action: @escaping @Sendable () throws -> Void) { pending.withLock { $0 = action } }
  /// True when `action` has run.
  var hasRun: Bool { pending.withLock { $0 == nil } }
  /// What it threw.
  var error: String? { problem.withLock { $0 } }

  private func run(_ path: String) {
    guard path.contains("_transactions/") else { return }
    let action = pending.withLock { pending in
      defer { pending = nil }
      return pending
    }
    do { try action?() } catch { problem.withLock { $0 = "\(error)" } }
  }

  var name: String { base.name }
  func read(_ path: String) throws(Failure) -> Buffer { try base.read(path) }
  func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer { try base.read(path, range: range) }
  func head(_ path: String) throws(Failure) -> ObjectInfo? { try base.head(path) }
  func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] { try base.list(folder, recursive: recursive) }
  func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    run(path)
    try base.put(path, bytes)
  }
  func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult { try base.putIfAbsent(path, bytes) }
  func create(_ path: String) throws(Failure) -> any ObjectWriter { try base.create(path) }
  func delete(_ path: String) throws(Failure) { try base.delete(path) }
  func deleteTree(_ folder: String) throws(Failure) { try base.deleteTree(folder) }
  func moveTree(_ folder: String, to: String) throws(Failure) { try base.moveTree(folder, to: to) }
}
