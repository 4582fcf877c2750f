import Core
import ObjectStore
import Synchronization

/// A store that lets something happen once, just before a call: as a rule that which writes a transaction. Another writer is faster
/// than the operation under test, which has looked at everything by then.
final class MeanwhileStore: ObjectStore {
  let base: any ObjectStore
  private let pending = Mutex<(verb: String, part: String, action: @Sendable () throws -> Void)?>(nil)
  private let problem = Mutex<String?>(nil)

  init(_ base: any ObjectStore) { self.base = base }

  /// `action` works on `base`; it runs before the next call `verb` of an object whose path has `part` in it.
  func before(_ verb: String = "put", _ part: String = "_transactions/", _ action: @escaping @Sendable () throws -> Void) {
    pending.withLock { $0 = (verb, part, action) }
  }
  /// True when `action` has run.
  var hasRun: Bool { pending.withLock { $0 == nil } }
  /// What it threw.
  var error: String? { problem.withLock { $0 } }

  private func run(_ verb: String, _ path: String) {
    let due = pending.withLock { pending in
      guard let due = pending, due.verb == verb, path.contains(due.part) else { return nil as (@Sendable () throws -> Void)? }
      pending = nil
      return due.action
    }
    do { try due?() } catch { problem.withLock { $0 = "\(error)" } }
  }

  var name: String { base.name }
  func read(_ path: String) throws(Failure) -> Buffer { try base.read(path) }
  func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer { try base.read(path, range: range) }
  func head(_ path: String) throws(Failure) -> ObjectInfo? {
    run("head", path)
    return try base.head(path)
  }
  func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] { try base.list(folder, recursive: recursive) }
  func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    run("put", path)
    try base.put(path, bytes)
  }
  func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult { try base.putIfAbsent(path, bytes) }
  func create(_ path: String) throws(Failure) -> any ObjectWriter { try base.create(path) }
  func delete(_ path: String) throws(Failure) {
    run("delete", path)
    try base.delete(path)
  }
  func deleteTree(_ folder: String) throws(Failure) { try base.deleteTree(folder) }
  func moveTree(_ folder: String, to: String) throws(Failure) { try base.moveTree(folder, to: to) }
}
