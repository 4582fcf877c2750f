package import Core
import Synchronization

/// A store of another machine, read through a directory of this one.
///
/// Only objects that never change once written are kept (`keeps` says which): data files. Their copies are files, so they are mapped
/// like local ones. Before a copy is used the origin is asked for the object's size and tag, which are part of the copy's name: an
/// object that was deleted or replaced is never answered from here. A copy whose length is wrong is fetched anew. When all copies
/// together exceed the limit, those not used for the longest time are removed; what is mapped stays readable.
///
/// Several processes may share the directory. When it cannot be written (no room), objects are read into memory instead.
package final class CachedStore: ObjectStore {
  private let origin: any ObjectStore
  private let copies: LocalStore
  private let limitBytes: Int
  private let keeps: @Sendable (String) -> Bool
  /// One thread fetches an object, others that want it wait; unrelated ones seldom meet.
  private let fetching: [Lock]

  private final class Lock: Sendable { let mutex = Mutex(()) }

  /// Bytes fetched at a time.
  private static let windowBytes = 32 << 20

  /// - Throws: `IO_ERROR` when the directory cannot be made or is another user's.
  package init(_ origin: any ObjectStore, directory: String, limitBytes: Int, keeps: @escaping @Sendable (String) -> Bool)
    throws(Failure)
  {
    self.origin = origin
    self.limitBytes = limitBytes
    self.keeps = keeps
    copies = try LocalStore(root: directory)
    try LocalFile.makePrivate(copies.root)
    fetching = (0..<16).map { _ in Lock() }
  }

  package var name: String { origin.name }
  package var movesAtOnce: Bool { origin.movesAtOnce }

  package func read(_ path: String) throws(Failure) -> Buffer {
    guard keeps(path), let info = try origin.head(path), !info.isFolder, let tag = info.tag, info.size <= limitBytes else {
      return try origin.read(path)
    }
    let copy = copyName(path, tag: tag, size: info.size)
    if let buffer = known(copy, info.size) { return buffer }
    let lock = fetching[Int(copy.hash % UInt64(fetching.count))]
    let result: Result<Buffer, Failure> = lock.mutex.withLock { _ in
      // Another thread may have fetched it meanwhile.
      if let buffer = known(copy, info.size) { return .success(buffer) }
      do throws(Failure) {
        if try fetch(path, info, copy), let buffer = known(copy, info.size) { return .success(buffer) }
        return .success(try origin.read(path))
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  private struct CopyName {
    let name: String
    let hash: UInt64
  }

  /// `<last part>-<hash of all that identifies the content>-<size>`.
  private func copyName(_ path: String, tag: String, size: Int) -> CopyName {
    // FNV-1a, 64 bits: names of data files are random already, so this only has to keep stores and tags apart.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in "\(origin.name)\n\(path)\n\(tag)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let stem = String(decoding: ObjectPath.name(path).utf8.prefix(150), as: UTF8.self)
    return CopyName(name: "\(stem)-\(String(hash, radix: 16))-\(size)", hash: hash)
  }

  /// The copy, mapped; nil when there is none of the right length.
  private func known(_ copy: CopyName, _ size: Int) -> Buffer? {
    guard let buffer = try? copies.read(copy.name) else { return nil }
    guard buffer.byteCount == size else {
      try? copies.delete(copy.name)
      return nil
    }
    LocalFile.touch(copies.root + "/" + copy.name)
    return buffer
  }

  /// Makes a copy. False when it cannot be kept here.
  /// - Throws: what the origin throws.
  private func fetch(_ path: String, _ info: ObjectInfo, _ copy: CopyName) throws(Failure) -> Bool {
    guard let writer = try? copies.create(copy.name) else { return false }
    var at = 0
    while at < info.size {
      let window = at..<min(info.size, at + CachedStore.windowBytes)
      let part: Buffer
      do throws(Failure) { part = try origin.read(path, range: window) } catch {
        writer.abort()
        throw error
      }
      guard (try? part.withBytes { bytes throws(Failure) in try writer.append(bytes) }) != nil else {
        writer.abort()
        return false
      }
      at = window.upperBound
    }
    // All windows were of the version that the name says?
    guard try origin.head(path)?.tag == info.tag, (try? writer.finish()) != nil else {
      writer.abort()
      return false
    }
    trim()
    return true
  }

  /// Removes the copies that were not used for the longest time until the rest is within the limit.
  private func trim() {
    guard let all = try? copies.list("", recursive: false) else { return }
    var total = all.reduce(0) { $0 + $1.size }
    for copy in all.sorted(by: { $0.modified < $1.modified }) where total > limitBytes {
      try? copies.delete(copy.path)
      total -= copy.size
    }
  }

  // MARK: as the origin

  package func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer { try origin.read(path, range: range) }
  package func head(_ path: String) throws(Failure) -> ObjectInfo? { try origin.head(path) }
  package func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] {
    try origin.list(folder, recursive: recursive)
  }
  package func put(_ path: String, _ bytes: [UInt8]) throws(Failure) { try origin.put(path, bytes) }
  package func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult {
    try origin.putIfAbsent(path, bytes)
  }
  package func create(_ path: String) throws(Failure) -> any ObjectWriter { try origin.create(path) }
  package func delete(_ path: String) throws(Failure) { try origin.delete(path) }
  package func delete(_ paths: [String]) throws(Failure) { try origin.delete(paths) }
  package func deleteTree(_ folder: String) throws(Failure) { try origin.deleteTree(folder) }
  package func moveTree(_ folder: String, to target: String) throws(Failure) { try origin.moveTree(folder, to: target) }
}
