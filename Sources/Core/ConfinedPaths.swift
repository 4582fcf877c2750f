#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Files below a set of allowed folders, checked on the opened file and not on the text of its path.
///
/// A path is first opened with `O_PATH`, which follows symlinks but touches nothing (no device, no FIFO blocks). The kernel
/// then says where that file really is (`/proc/self/fd/N`); only when this lies below a root is the same file opened for
/// reading, through the descriptor, so that nothing can be swapped in between. Ref: open(2), O_PATH; proc(5).
public struct ConfinedPaths: Sendable {
  /// The real paths of the allowed folders.
  public let roots: [String]
  /// Where relative paths start.
  public let base: String

  /// Roots that do not exist are left out.
  public init(roots: [String], base: String? = nil) {
    self.roots = roots.compactMap(realPath)
    self.base = base ?? "."
  }

  /// What a path is.
  public struct Entry: Sendable {
    /// The real path, after symlinks.
    public let path: String
    public let isDirectory: Bool
    /// Bytes of a file; 0 for a folder.
    public let byteCount: Int
    public let modified: Instant
    public let device: UInt64
    public let inode: UInt64
  }

  /// - Throws: `FILE_NOT_FOUND`, `PATH_NOT_ALLOWED` (outside the roots, or neither file nor folder), `IO_ERROR`.
  public func entry(_ path: String) throws(Failure) -> Entry {
    let (descriptor, entry) = try locate(path)
    close(descriptor)
    return entry
  }

  /// A descriptor open for reading (close it), and what it is.
  /// - Throws: as `entry`.
  public func open(_ path: String) throws(Failure) -> (descriptor: Int32, entry: Entry) {
    let (handle, entry) = try locate(path)
    defer { close(handle) }
    let descriptor = openDescriptor("/proc/self/fd/\(handle)", O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw systemFailure(path, errno) }
    return (descriptor, entry)
  }

  /// A whole file.
  /// - Throws: as `entry`; `INVALID_ARGUMENT` for a folder or a file above `limitBytes`.
  public func read(_ path: String, limitBytes: Int) throws(Failure) -> [UInt8] {
    let (descriptor, entry) = try open(path)
    defer { close(descriptor) }
    guard !entry.isDirectory else { throw Failure(.invalidArgument, "'\(path)' is a folder, not a file") }
    guard entry.byteCount <= limitBytes else {
      throw Failure(.invalidArgument, "'\(path)' has \(entry.byteCount) bytes, more than the \(limitBytes) allowed here")
    }
    var bytes = [UInt8](repeating: 0, count: entry.byteCount)
    var filled = 0
    while filled < bytes.count {
      let n = bytes.withUnsafeMutableBytes { raw in
        raw.baseAddress.map { Glibc.read(descriptor, $0 + filled, raw.count - filled) } ?? 0
      }
      if n < 0 {
        if errno == EINTR { continue }
        throw systemFailure(path, errno)
      }
      if n == 0 { break }
      filled += n
    }
    bytes.removeLast(bytes.count - filled)
    return bytes
  }

  /// Names in a folder, sorted, without `.` and `..`.
  /// - Throws: as `entry`; `INVALID_ARGUMENT` when it is no folder.
  public func list(_ path: String) throws(Failure) -> [String] {
    let (descriptor, entry) = try open(path)
    guard entry.isDirectory else {
      close(descriptor)
      throw Failure(.invalidArgument, "'\(path)' is a file, not a folder")
    }
    guard let stream = fdopendir(descriptor) else {
      close(descriptor)
      throw systemFailure(path, errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let found = readdir(stream) {
      let name = withUnsafePointer(to: &found.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// True when a real path (one without symlinks) lies in a root.
  public func contains(realPath path: String) -> Bool {
    roots.contains { root in
      path == root || root == "/" || (path.hasPrefix(root) && path.utf8.dropFirst(root.utf8.count).first == 47)
    }
  }

  private func locate(_ path: String) throws(Failure) -> (Int32, Entry) {
    guard !path.isEmpty, path.utf8.count < 4096, !path.utf8.contains(0) else {
      throw Failure(.invalidArgument, "'\(path.prefix(80))' is no path")
    }
    let full = path.hasPrefix("/") ? path : base + "/" + path
    let handle = openDescriptor(full, pathOnly | O_CLOEXEC)
    guard handle >= 0 else { throw systemFailure(path, errno) }
    var status = stat()
    guard fstat(handle, &status) == 0, let real = linkTarget("/proc/self/fd/\(handle)") else {
      let code = errno
      close(handle)
      throw systemFailure(path, code)
    }
    guard contains(realPath: real) else {
      close(handle)
      throw Failure(.pathNotAllowed, "'\(path)' is outside the allowed folders" + (roots.isEmpty ? " (there are none)" : ""))
    }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFDIR else {
      close(handle)
      throw Failure(.pathNotAllowed, "'\(path)' is neither a file nor a folder")
    }
    let modified = Instant(seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int32(status.st_mtim.tv_nsec))
    return (
      handle,
      Entry(
        path: real, isDirectory: kind == S_IFDIR, byteCount: kind == S_IFREG ? Int(status.st_size) : 0, modified: modified,
        device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    )
  }

  private func systemFailure(_ path: String, _ code: Int32) -> Failure {
    if code == ENOENT || code == ENOTDIR { return Failure(.fileNotFound, "'\(path)' does not exist") }
    if code == EACCES || code == EPERM { return Failure(.pathNotAllowed, "'\(path)' may not be read: \(errorText(code))") }
    return Failure(.ioError, "'\(path)': \(errorText(code))")
  }
}

private func openDescriptor(_ path: String, _ flags: Int32) -> Int32 {
  while true {
    let descriptor = Glibc.open(path, flags)
    if descriptor >= 0 || errno != EINTR { return descriptor }
  }
}

/// The path a symlink holds.
private func linkTarget(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: 4097)
  let count = buffer.withUnsafeMutableBytes { raw in
    raw.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), raw.count - 1) } ?? -1
  }
  guard count > 0, count < 4096 else { return nil }
  return String(validating: buffer[..<count], as: UTF8.self)
}

/// `path` without symlinks, `.` and `..`; nil when it does not exist.
public func realPath(_ path: String) -> String? {
  guard let resolved = realpath(path, nil) else { return nil }
  defer { free(resolved) }
  return String(cString: resolved)
}

/// Linux' `O_PATH`, which the C importer does not see.
private let pathOnly: Int32 = 0o10000000

private func errorText(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
