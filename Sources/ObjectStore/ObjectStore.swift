package import Core

// ObjectStore: named byte objects below one root, the only door from the lake to a disk or bucket (room ObjectStoreS3).
//
//   ObjectStore     the protocol: read, head, list, put, put-if-absent, streamed write, delete, trees
//   LocalStore      a directory; reads are memory maps, writes are durable before they are seen
//   MemoryStore     a dictionary, for tests and scratch tables
//   CachedStore     another store, read through a directory of this machine
//
// A path is relative to the root: parts joined by `/`, none of them empty, `.` or `..` (`ObjectPath.check`).

/// What a store knows of one object without reading it.
package struct ObjectInfo: Sendable, Hashable {
  /// Relative to the store's root.
  package let path: String
  /// Bytes; 0 for a folder.
  package let size: Int
  package let modified: Instant
  package let isFolder: Bool
  /// Different for every content that the path ever had; nil when the store has no such thing.
  package let tag: String?

  package init(path: String, size: Int, modified: Instant, isFolder: Bool = false, tag: String? = nil) {
    self.path = path
    self.size = size
    self.modified = modified
    self.isFolder = isFolder
    self.tag = tag
  }

  /// The last part of the path.
  package var name: String { ObjectPath.name(path) }
}

/// The outcome of `putIfAbsent`.
package enum PutResult: Sendable, Hashable {
  case written
  /// Somebody else's object has the name; nothing was changed.
  case alreadyExists
}

/// Byte objects under names. Synchronous; every method may be called from several threads at once.
///
/// An object appears whole or not at all, and once a writing method has returned, the object survives a power cut.
/// Objects that were read stay readable while their `Buffer` lives, even when the object is deleted or replaced.
package protocol ObjectStore: AnyObject, Sendable {
  /// The root as shown in messages: `/srv/lance_storage`, `memory:`.
  var name: String { get }

  /// The whole object. A local file of some size is mapped, not copied.
  /// - Throws: `FILE_NOT_FOUND`, `IO_ERROR`, `PATH_NOT_ALLOWED`.
  func read(_ path: String) throws(Failure) -> Buffer

  /// Bytes `range` of the object, copied.
  /// - Throws: as `read(_:)`; `CORRUPT_DATA` when the object ends before the range does.
  func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer

  /// Size and time of the object (or folder); nil when there is none.
  func head(_ path: String) throws(Failure) -> ObjectInfo?

  /// What lies in `folder` (`""` is the root), sorted by the bytes of the path; empty when there is no such folder.
  /// Recursive: all objects below, no folders. Else: the objects and folders directly in it.
  func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo]

  /// Writes an object, replacing one of the same name.
  func put(_ path: String, _ bytes: [UInt8]) throws(Failure)

  /// Writes an object unless the name is taken; of several callers exactly one gets `.written`.
  func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult

  /// A writer for an object too large for memory.
  func create(_ path: String) throws(Failure) -> any ObjectWriter

  /// Removes an object; no error when there is none.
  func delete(_ path: String) throws(Failure)

  /// Removes objects; no error for those that are not there.
  func delete(_ paths: [String]) throws(Failure)

  /// Removes a folder with all that is in it; no error when there is none.
  func deleteTree(_ folder: String) throws(Failure)

  /// Renames a folder; in one step if `movesAtOnce`, else others may see it half done.
  /// - Throws: `FILE_NOT_FOUND` when there is no folder `from`, `ALREADY_EXISTS` when `to` is taken.
  func moveTree(_ folder: String, to: String) throws(Failure)

  /// Whether `moveTree` is one step. True for directories and memory.
  var movesAtOnce: Bool { get }

  /// Says to all who ask `isHeld`, in other processes too, that the object is in use, until the answer is let go of or this process
  /// ends in whatever way. nil when there is no such object, and for stores that have no such thing.
  func hold(_ path: String) -> (any Sendable)?

  /// Whether anybody holds the object; false when there is none.
  /// - Throws: `IO_ERROR` when that cannot be found out.
  func isHeld(_ path: String) throws(Failure) -> Bool

  /// Removes an object that nobody holds; no error when there is none.
  /// - Parameter check: called at the last moment, when nobody can come to hold the object any more; it stays when this throws.
  /// - Returns: false: somebody holds it, and it stays.
  func deleteUnheld(_ path: String, check: () throws(Failure) -> Void) throws(Failure) -> Bool
}

extension ObjectStore {
  package var movesAtOnce: Bool { true }
  package func hold(_ path: String) -> (any Sendable)? { nil }
  package func isHeld(_ path: String) throws(Failure) -> Bool { false }
  package func deleteUnheld(_ path: String, check: () throws(Failure) -> Void) throws(Failure) -> Bool {
    try check()
    try delete(path)
    return true
  }

  package func delete(_ paths: [String]) throws(Failure) { for path in paths { try delete(path) } }
}

/// Collects the bytes of one new object. Nothing can be seen under its name before `finish` returns; a writer that is
/// dropped or aborted leaves nothing behind. Used by one thread at a time.
package protocol ObjectWriter: AnyObject {
  /// Bytes so far.
  var count: Int { get }
  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure)
  /// Makes the object durable and visible.
  func finish() throws(Failure)
  /// Gives the object up. Harmless after `finish` and when called twice.
  func abort()
}

extension ObjectWriter {
  package func append(_ bytes: [UInt8]) throws(Failure) {
    let result: Result<Void, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try append(raw)) } catch { return .failure(error) }
    }
    try result.get()
  }
}

/// Rules and parts of paths.
package enum ObjectPath {
  /// `path` when it may name an object: parts of 1 to 255 bytes joined by `/`, none of them `.` or `..`, no NUL,
  /// 4,000 bytes at most.
  /// - Throws: `PATH_NOT_ALLOWED` that says what is wrong with it.
  @discardableResult
  package static func check(_ path: String) throws(Failure) -> String {
    func fail(_ why: String) -> Failure {
      Failure(
        .pathNotAllowed, "'\(path.utf8.count > 200 ? path.prefix(100) + "..." : path)' is not a path inside the store: \(why)")
    }
    if path.isEmpty { throw fail("it is empty") }
    if path.utf8.count > 4000 { throw fail("it is longer than 4000 bytes") }
    if path.utf8.contains(0) { throw fail("it contains a NUL byte") }
    for part in path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      if part.isEmpty { throw fail("it has an empty part; paths are relative and without a slash at the end") }
      if part.elementsEqual(".".utf8) || part.elementsEqual("..".utf8) { throw fail("'.' and '..' are not allowed") }
      if part.count > 255 { throw fail("a part is longer than 255 bytes") }
    }
    return path
  }

  /// The last part.
  package static func name(_ path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
    return String(path[path.utf8.index(after: slash)...])
  }

  /// Everything before the last part; `""` for a path of one part.
  package static func folder(_ path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "" }
    return String(path[..<slash])
  }

  /// `folder/name`; `name` when the folder is the root.
  package static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : "\(folder)/\(name)" }
}
