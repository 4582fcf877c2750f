import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One file opened for reading, and the system calls that `LocalStore` needs, with errors as `Failure`.
struct LocalFile: ~Copyable {
  struct Status {
    var size: Int
    var modified: Instant
    var isFolder: Bool
    var isLink: Bool
  }

  private let descriptor: Int32
  private let size: Int
  private let shown: String
  private let store: String

  init(opening path: String, shown: String, store: String) throws(Failure) {
    var fd: Int32
    repeat { fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) } while fd < 0 && errno == EINTR
    guard fd >= 0 else {
      if errno == ENOENT || errno == ENOTDIR {
        throw Failure(.fileNotFound, "file '\(shown)' does not exist in \(store)")
      }
      throw LocalFile.failure("open", shown, store: store)
    }
    var info = stat()
    guard fstat(fd, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      close(fd)
      throw Failure(.ioError, "'\(shown)' in \(store) is not a file")
    }
    self.descriptor = fd
    self.size = Int(info.st_size)
    self.shown = shown
    self.store = store
  }

  deinit { close(descriptor) }

  /// Takes a shared flock(2) on the file, until it is closed, without waiting.
  /// - Returns: 0, or `errno`; `EWOULDBLOCK`: somebody has it for himself alone.
  func lockShared() -> Int32 { flock(descriptor, LOCK_SH | LOCK_NB) == 0 ? 0 : errno }

  /// Takes the flock(2) that nobody shares, until the file is closed, without waiting. Where the file system has no locks, nobody
  /// has one.
  /// - Returns: false when somebody else has one.
  func lockAlone() throws(Failure) -> Bool {
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
    if errno == EWOULDBLOCK { return false }
    // EBADF: NFS asks for a file that is open for writing.
    guard [ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL, EBADF].contains(errno) else {
      throw LocalFile.failure("lock", shown, store: store)
    }
    return true
  }

  /// Whether `path` leads to this file, still or again.
  func isAt(_ path: String) -> Bool {
    var (own, there) = (stat(), stat())
    return fstat(descriptor, &own) == 0 && stat(path, &there) == 0 && own.st_dev == there.st_dev && own.st_ino == there.st_ino
  }

  func readAll() throws(Failure) -> Buffer {
    guard size >= LocalStore.mappingThreshold else { return try read(0..<size) }
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      throw LocalFile.failure("map", shown, store: store)
    }
    return Buffer(viewing: address, byteCount: size, owner: Mapping(address: address, byteCount: size))
  }

  func read(_ range: Range<Int>) throws(Failure) -> Buffer {
    guard range.lowerBound >= 0, range.upperBound <= size else {
      throw Failure(
        .corruptData,
        "'\(shown)' in \(store) has \(size) bytes; \(range.lowerBound) to \(range.upperBound) were asked for")
    }
    let buffer = try Buffer(byteCount: range.count, zeroed: false)
    var done = 0
    while done < range.count {
      let got = pread(descriptor, buffer.pointer + done, range.count - done, off_t(range.lowerBound + done))
      if got < 0 {
        if errno == EINTR { continue }
        throw LocalFile.failure("read", shown, store: store)
      }
      if got == 0 { throw Failure(.corruptData, "'\(shown)' in \(store) was shortened while it was read") }
      done += got
    }
    return buffer
  }

  /// Memory that is unmapped with its last `Buffer`.
  private final class Mapping {
    let address: UnsafeMutableRawPointer
    let byteCount: Int
    init(address: UnsafeMutableRawPointer, byteCount: Int) {
      self.address = address
      self.byteCount = byteCount
    }
    deinit { munmap(address, byteCount) }
  }

  // MARK: system calls

  /// `cannot VERB 'NAME' in STORE: No space left on device`, from errno.
  static func failure(_ verb: String, _ shown: String, store: String) -> Failure {
    let code = errno
    return Failure(
      .ioError, "cannot \(verb) '\(shown)' in \(store): \(String(cString: strerror(code)))",
      details: ["errno": .int(Int64(code))])
  }

  /// Symbolic links followed for size and kind; nil when there is nothing.
  static func status(_ path: String) -> Status? {
    var own = stat()
    guard lstat(path, &own) == 0 else { return nil }
    let isLink = own.st_mode & S_IFMT == S_IFLNK
    var info = own
    if isLink, stat(path, &info) != 0 { return nil }
    #if canImport(Darwin)
      let time = info.st_mtimespec
    #else
      let time = info.st_mtim
    #endif
    return Status(
      size: Int(info.st_size), modified: Instant(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec)),
      isFolder: info.st_mode & S_IFMT == S_IFDIR, isLink: isLink)
  }

  /// The path without links, `.` and `..`; nil when it leads nowhere.
  static func realPath(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  static func parent(_ absolute: String) -> String {
    let folder = ObjectPath.folder(absolute)
    return folder.isEmpty ? (absolute.hasPrefix("/") ? "/" : ".") : folder
  }

  /// Makes a directory and those above it, each durable before the next.
  static func makeFolders(_ path: String, _ disk: any FileSystem) throws(Failure) {
    if let status = status(path) {
      guard status.isFolder else { throw Failure(.ioError, "'\(path)' is not a directory") }
      return
    }
    let parent = parent(path)
    if parent != path, parent != "." { try makeFolders(parent, disk) }
    guard disk.makeFolder(path) == 0 || errno == EEXIST else {
      let code = errno
      throw Failure(.ioError, "cannot make directory '\(path)': \(String(cString: strerror(code)))")
    }
    try syncFolder(parent, disk)
  }

  /// Makes the names in a directory durable. File systems that cannot (EINVAL) are taken as they are.
  static func syncFolder(_ path: String, _ disk: any FileSystem) throws(Failure) {
    guard disk.syncFolder(path) != 0, errno != EINVAL, errno != ENOTSUP else { return }
    throw failure("sync", path, store: "/")
  }

  /// Marks a file as used now; a file that is gone is no error.
  static func touch(_ path: String) { utimensat(AT_FDCWD, path, nil, 0) }

  /// Makes a directory readable for its owner only.
  /// - Throws: `IO_ERROR` when it belongs to somebody else, who could put files into it.
  static func makePrivate(_ path: String) throws(Failure) {
    var info = stat()
    guard stat(path, &info) == 0 else { throw failure("look at", path, store: "/") }
    guard info.st_uid == geteuid() else { throw Failure(.ioError, "directory '\(path)' belongs to another user") }
    guard chmod(path, 0o700) == 0 else { throw failure("protect", path, store: "/") }
  }

  /// The names in a directory; nil when it does not exist.
  static func names(in path: String) throws(Failure) -> [String]? {
    guard let stream = opendir(path) else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("list", path, store: "/")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw failure("list", path, store: "/") }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  /// Removes a file, a link (not what it leads to) or a directory with all that is in it.
  static func removeTree(_ path: String, shown: String, store: String, depth: Int, _ disk: any FileSystem) throws(Failure) {
    var own = stat()
    guard lstat(path, &own) == 0 else { return }
    guard own.st_mode & S_IFMT == S_IFDIR else {
      if disk.unlink(path) != 0, errno != ENOENT { throw failure("delete", shown, store: store) }
      return
    }
    guard depth < 64 else { throw Failure(.ioError, "'\(shown)' in \(store) is nested too deeply") }
    for name in try names(in: path) ?? [] {
      try removeTree(path + "/" + name, shown: shown + "/" + name, store: store, depth: depth + 1, disk)
    }
    if disk.removeFolder(path) != 0, errno != ENOENT { throw failure("delete", shown, store: store) }
  }
}
