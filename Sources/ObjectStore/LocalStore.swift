package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A directory as a store.
///
/// Reading: files of 64 KiB and more are mapped, so bytes come from the page cache without a copy and a deleted file
/// stays readable as long as its `Buffer` lives; smaller ones are copied. The size is taken once, at open, and nothing
/// outside of it is ever touched. What no check can prevent: a program that *shortens* a mapped file in place makes
/// the kernel raise SIGBUS on the next access. Lance data files are never changed once written, by anybody.
///
/// Writing: a temporary file `NAME.<random>.tmp` in the target's folder, fsync, then rename(2), or link(2) for
/// `putIfAbsent`, then fsync of the folder. A crash leaves at most such a temporary file.
///
/// Confinement: a path is checked by `ObjectPath.check`, and the folder that it leads to, all symbolic links followed,
/// must lie in the real root; a last part that is a link is followed only to files inside of it.
package final class LocalStore: ObjectStore {
  /// The root without symbolic links, absolute.
  package let root: String
  package let name: String
  private let disk: any FileSystem

  /// Files from this size on are mapped instead of copied.
  package static let mappingThreshold = 64 << 10

  /// A store over an existing directory, or over one that is made now (`create`).
  /// - Throws: `FILE_NOT_FOUND` or `IO_ERROR` naming the directory.
  package init(root: String, create: Bool = true, disk: any FileSystem = POSIXFileSystem()) throws(Failure) {
    if create { try LocalFile.makeFolders(root, disk) }
    guard let real = LocalFile.realPath(root) else {
      throw Failure(.fileNotFound, "directory '\(root)' does not exist")
    }
    guard LocalFile.status(real)?.isFolder == true else { throw Failure(.ioError, "'\(root)' is not a directory") }
    self.root = real
    self.name = root
    self.disk = disk
  }

  package func read(_ path: String) throws(Failure) -> Buffer {
    let file = try LocalFile(opening: try confined(path), shown: path, store: name)
    return try file.readAll()
  }

  package func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer {
    let file = try LocalFile(opening: try confined(path), shown: path, store: name)
    return try file.read(range)
  }

  package func head(_ path: String) throws(Failure) -> ObjectInfo? {
    guard let status = LocalFile.status(try confined(path)) else { return nil }
    return ObjectInfo(path: path, size: status.isFolder ? 0 : status.size, modified: status.modified, isFolder: status.isFolder)
  }

  /// By a shared flock(2) on the file.
  package func hold(_ path: String) -> (any Sendable)? {
    do throws(Failure) {
      let absolute = try confined(path)
      return FileLock.shared(try LocalFile(opening: absolute, shown: path, store: name), at: absolute)
    } catch { return nil }
  }

  package func isHeld(_ path: String) throws(Failure) -> Bool { try alone(path) { () throws(Failure) in } == false }

  package func deleteUnheld(_ path: String, check: () throws(Failure) -> Void) throws(Failure) -> Bool {
    try alone(path) { () throws(Failure) in
      try check()
      try delete(path)
    }
  }

  /// Runs `body` while nobody can come to hold the object; not at all when there is none.
  /// - Returns: false when somebody holds it: `body` did not run.
  private func alone(_ path: String, _ body: () throws(Failure) -> Void) throws(Failure) -> Bool {
    let absolute = try confined(path)
    while LocalFile.status(absolute) != nil {
      let file = try LocalFile(opening: absolute, shown: path, store: name)
      guard try file.lockAlone() else { return false }
      // What was removed or replaced since it was opened is not what the path leads to.
      guard file.isAt(absolute) else { continue }
      try body()
      return true
    }
    return true
  }

  package func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] {
    let absolute = folder.isEmpty ? root : try confined(folder)
    var found: [ObjectInfo] = []
    try collect(absolute, folder, recursive: recursive, depth: 0, into: &found)
    return found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  private func collect(_ absolute: String, _ folder: String, recursive: Bool, depth: Int, into found: inout [ObjectInfo])
    throws(Failure)
  {
    guard depth < 64 else { throw Failure(.ioError, "'\(folder)' is nested too deeply") }
    guard let names = try LocalFile.names(in: absolute) else { return }
    for name in names {
      let path = ObjectPath.join(folder, name)
      // A file may vanish between the two calls, and a link may lead nowhere or out of the root: neither is listed.
      guard let status = LocalFile.status(absolute + "/" + name) else { continue }
      if status.isLink, (try? confined(path)) == nil { continue }
      if status.isFolder, recursive {
        if !status.isLink { try collect(absolute + "/" + name, path, recursive: true, depth: depth + 1, into: &found) }
      } else {
        found.append(
          ObjectInfo(
            path: path, size: status.isFolder ? 0 : status.size, modified: status.modified, isFolder: status.isFolder))
      }
    }
  }

  package func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    let writer = try create(path)
    do throws(Failure) {
      try writer.append(bytes)
      try writer.finish()
    } catch {
      writer.abort()
      throw error
    }
  }

  package func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult {
    let writer = try LocalWriter(target: try confined(path, creatingFolders: true), shown: path, store: name, disk: disk)
    do throws(Failure) {
      try writer.append(bytes)
      return try writer.finishIfAbsent()
    } catch {
      writer.abort()
      throw error
    }
  }

  package func create(_ path: String) throws(Failure) -> any ObjectWriter {
    try LocalWriter(target: try confined(path, creatingFolders: true), shown: path, store: name, disk: disk)
  }

  package func delete(_ path: String) throws(Failure) {
    let absolute = try confined(path, followingLast: false)
    if disk.unlink(absolute) != 0, errno != ENOENT, errno != ENOTDIR { throw LocalFile.failure("delete", path, store: name) }
  }

  package func deleteTree(_ folder: String) throws(Failure) {
    let absolute = try confined(folder, followingLast: false)
    try LocalFile.removeTree(absolute, shown: folder, store: name, depth: 0, disk)
    try LocalFile.syncFolder(LocalFile.parent(absolute), disk)
  }

  package func moveTree(_ folder: String, to target: String) throws(Failure) {
    let from = try confined(folder, followingLast: false)
    guard LocalFile.status(from) != nil else {
      throw Failure(.fileNotFound, "folder '\(folder)' does not exist in \(name)")
    }
    let to = try confined(target, creatingFolders: true, followingLast: false)
    // rename(2) would replace an empty folder silently.
    guard LocalFile.status(to) == nil else { throw Failure(.alreadyExists, "'\(target)' exists already in \(name)") }
    guard disk.rename(from, to) == 0 else { throw LocalFile.failure("move", folder, store: name) }
    try LocalFile.syncFolder(LocalFile.parent(to), disk)
    try LocalFile.syncFolder(LocalFile.parent(from), disk)
  }

  /// The absolute path behind `path`, proven to lie in the root.
  private func confined(_ path: String, creatingFolders: Bool = false, followingLast: Bool = true) throws(Failure) -> String {
    try ObjectPath.check(path)
    let folder = ObjectPath.folder(path)
    if !folder.isEmpty {
      // Walk from the longest part that exists, so that no folder is ever made behind a link that leads out.
      var existing = folder
      while !existing.isEmpty, LocalFile.realPath(root + "/" + existing) == nil { existing = ObjectPath.folder(existing) }
      if !existing.isEmpty, let real = LocalFile.realPath(root + "/" + existing) { try requireInside(real, path) }
      if creatingFolders, existing != folder { try LocalFile.makeFolders(root + "/" + folder, disk) }
    }
    let absolute = root + "/" + path
    if followingLast, let real = LocalFile.realPath(absolute) { try requireInside(real, path) }
    return absolute
  }

  private func requireInside(_ real: String, _ path: String) throws(Failure) {
    guard real == root || root == "/" || real.hasPrefix(root + "/") else {
      throw Failure(.pathNotAllowed, "'\(path)' leads out of \(name) through a symbolic link")
    }
  }
}
