import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Writes one file beside its final name: `NAME.<16 hex digits>.tmp`, then fsync, then rename or link, then fsync of the
/// folder. Small pieces are gathered to 256 KiB per system call.
final class LocalWriter: ObjectWriter {
  private let target: String
  private let temporary: String
  private let shown: String
  private let store: String
  private var descriptor: Int32
  private var pending: [UInt8] = []
  private(set) var count = 0

  private static let gatherBytes = 256 << 10

  /// `target`: absolute, its folder exists.
  init(target: String, shown: String, store: String) throws(Failure) {
    self.target = target
    self.shown = shown
    self.store = store
    // The name stays below the 255 bytes of a part: the end of a long one is left out.
    let folder = LocalFile.parent(target)
    let stem = String(decoding: ObjectPath.name(target).utf8.prefix(200), as: UTF8.self)
    let random = UInt64.random(in: 0...UInt64.max)
    let digits = String(random, radix: 16)
    temporary = "\(folder)/\(stem).\(String(repeating: "0", count: 16 - digits.count))\(digits).tmp"
    repeat {
      descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else { throw LocalFile.failure("write", shown, store: store) }
  }

  deinit { abort() }

  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    guard descriptor >= 0 else { throw Failure(.internalError, "the writer of '\(shown)' is closed") }
    count += bytes.count
    if pending.count + bytes.count <= LocalWriter.gatherBytes {
      pending.append(contentsOf: bytes)
      return
    }
    try flush()
    if bytes.count >= LocalWriter.gatherBytes { try write(bytes) } else { pending.append(contentsOf: bytes) }
  }

  func finish() throws(Failure) {
    try sync()
    guard rename(temporary, target) == 0 else {
      let error = LocalFile.failure("write", shown, store: store)
      unlink(temporary)
      throw error
    }
    // From here on the temporary name does not exist.
    try LocalFile.syncFolder(LocalFile.parent(target))
  }

  /// As `finish`, but never replaces a file: link(2) fails when the name is taken, and so decides races.
  func finishIfAbsent() throws(Failure) -> PutResult {
    try sync()
    if link(temporary, target) != 0 {
      let code = errno
      unlink(temporary)
      if code == EEXIST { return .alreadyExists }
      errno = code
      if code == EPERM || code == EOPNOTSUPP || code == ENOSYS {
        throw Failure(
          .ioError, "the file system of \(store) has no hard links, which a safe commit of '\(shown)' needs",
          details: ["errno": .int(Int64(code))])
      }
      throw LocalFile.failure("write", shown, store: store)
    }
    unlink(temporary)
    try LocalFile.syncFolder(LocalFile.parent(target))
    return .written
  }

  func abort() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    unlink(temporary)
    pending = []
  }

  /// All bytes on the disk, the descriptor closed.
  private func sync() throws(Failure) {
    guard descriptor >= 0 else { throw Failure(.internalError, "the writer of '\(shown)' is closed") }
    try flush()
    while fsync(descriptor) != 0 {
      if errno == EINTR { continue }
      let error = LocalFile.failure("sync", shown, store: store)
      abort()
      throw error
    }
    close(descriptor)
    descriptor = -1
  }

  private func flush() throws(Failure) {
    guard !pending.isEmpty else { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    let result: Result<Void, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try write(raw)) } catch { return .failure(error) }
    }
    try result.get()
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      #if canImport(Glibc)
        let wrote = Glibc.write(descriptor, base + done, bytes.count - done)
      #else
        let wrote = Darwin.write(descriptor, base + done, bytes.count - done)
      #endif
      if wrote < 0 {
        if errno == EINTR { continue }
        let error = LocalFile.failure("write", shown, store: store)
        abort()
        throw error
      }
      done += wrote
    }
  }
}
