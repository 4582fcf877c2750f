package import Core
import Synchronization

/// A store in memory. Everything of the protocol holds but durability.
package final class MemoryStore: ObjectStore {
  private struct Entry {
    var buffer: Buffer
    var modified: Instant
  }
  private let entries = Mutex<[String: Entry]>([:])

  package init() {}

  package var name: String { "memory:" }

  package func read(_ path: String) throws(Failure) -> Buffer {
    try ObjectPath.check(path)
    guard let entry = entries.withLock({ $0[path] }) else {
      throw Failure(.fileNotFound, "file '\(path)' does not exist in \(name)")
    }
    return entry.buffer
  }

  package func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer {
    let whole = try read(path)
    guard range.lowerBound >= 0, range.upperBound <= whole.byteCount else {
      throw Failure(
        .corruptData, "'\(path)' has \(whole.byteCount) bytes; \(range.lowerBound) to \(range.upperBound) were asked for")
    }
    return try whole.slice(offset: range.lowerBound, byteCount: range.count)
  }

  package func head(_ path: String) throws(Failure) -> ObjectInfo? {
    try ObjectPath.check(path)
    return entries.withLock { all -> ObjectInfo? in
      if let entry = all[path] { return ObjectInfo(path: path, size: entry.buffer.byteCount, modified: entry.modified) }
      let inside = all.filter { $0.key.hasPrefix(path + "/") }
      guard let newest = inside.values.map(\.modified).max() else { return nil }
      return ObjectInfo(path: path, size: 0, modified: newest, isFolder: true)
    }
  }

  package func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] {
    if !folder.isEmpty { try ObjectPath.check(folder) }
    let prefix = folder.isEmpty ? "" : folder + "/"
    let found = entries.withLock { all in
      var found: [String: ObjectInfo] = [:]
      for (path, entry) in all where path.hasPrefix(prefix) {
        let rest = path.dropFirst(prefix.count)
        if !recursive, let slash = rest.firstIndex(of: "/") {
          let child = prefix + rest[..<slash]
          let newest = max(found[child]?.modified ?? entry.modified, entry.modified)
          found[child] = ObjectInfo(path: child, size: 0, modified: newest, isFolder: true)
        } else {
          found[path] = ObjectInfo(path: path, size: entry.buffer.byteCount, modified: entry.modified)
        }
      }
      return Array(found.values)
    }
    return found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  package func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    try ObjectPath.check(path)
    let buffer = try Buffer(bytes)
    entries.withLock { $0[path] = Entry(buffer: buffer, modified: .now) }
  }

  package func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult {
    try ObjectPath.check(path)
    let buffer = try Buffer(bytes)
    return entries.withLock { all in
      guard all[path] == nil else { return .alreadyExists }
      all[path] = Entry(buffer: buffer, modified: .now)
      return .written
    }
  }

  package func create(_ path: String) throws(Failure) -> any ObjectWriter {
    try ObjectPath.check(path)
    return Writer(store: self, path: path)
  }

  package func delete(_ path: String) throws(Failure) {
    try ObjectPath.check(path)
    entries.withLock { $0[path] = nil }
  }

  package func deleteTree(_ folder: String) throws(Failure) {
    try ObjectPath.check(folder)
    entries.withLock { all in all = all.filter { !$0.key.hasPrefix(folder + "/") } }
  }

  package func moveTree(_ folder: String, to target: String) throws(Failure) {
    try ObjectPath.check(folder)
    try ObjectPath.check(target)
    let problem = entries.withLock { all -> Failure? in
      let moving = all.filter { $0.key.hasPrefix(folder + "/") }
      if moving.isEmpty { return Failure(.fileNotFound, "folder '\(folder)' does not exist in memory:") }
      if all[target] != nil || all.keys.contains(where: { $0.hasPrefix(target + "/") }) {
        return Failure(.alreadyExists, "'\(target)' exists already in memory:")
      }
      for (path, entry) in moving {
        all[path] = nil
        all[target + path.dropFirst(folder.count)] = entry
      }
      return nil
    }
    if let problem { throw problem }
  }

  private final class Writer: ObjectWriter {
    private let store: MemoryStore
    private let path: String
    private var bytes: [UInt8] = []
    private var isOpen = true

    init(store: MemoryStore, path: String) {
      self.store = store
      self.path = path
    }

    var count: Int { bytes.count }
    func append(_ part: UnsafeRawBufferPointer) throws(Failure) {
      guard isOpen else { throw Failure(.internalError, "the writer of '\(path)' is closed") }
      bytes.append(contentsOf: part)
    }
    func finish() throws(Failure) {
      guard isOpen else { throw Failure(.internalError, "the writer of '\(path)' is closed") }
      try store.put(path, bytes)
      abort()
    }
    func abort() {
      isOpen = false
      bytes = []
    }
  }
}
