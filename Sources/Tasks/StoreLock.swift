import Core
import Glibc
import Synchronization

/// The right to use a task store: an `flock` on a file beside it, which the kernel takes back when the process dies.
/// The file holds the number of the process that has it.
final class StoreLock: Sendable {
  private let descriptor: Mutex<Int32>

  /// - Throws: `IN_USE` naming the process that has the lock; `IO_ERROR` when the file cannot be made.
  init(path: String) throws(Failure) {
    if let slash = path.lastIndex(of: "/") { try makeDirectories(String(path[..<slash])) }
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Failure(.ioError, "cannot open the lock file '\(path)': \(errnoText())") }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      let reason = errno
      var text = [UInt8](repeating: 0, count: 16)
      let count = pread(file, &text, text.count, 0)
      close(file)
      guard reason == EWOULDBLOCK else { throw Failure(.ioError, "cannot lock '\(path)': \(errnoText(reason))") }
      let owner = Int32(String(decoding: text.prefix(max(0, count)), as: UTF8.self).prefix { $0.isNumber })
      throw Failure(
        .inUse,
        "another Moonlake server\(owner.map { " (process \($0))" } ?? "") uses the task store '\(path.dropLast(5))'; "
          + "stop it or give this one another server.storage_path")
    }
    let mine = Array("\(getpid())\n".utf8)
    _ = ftruncate(file, 0)
    _ = pwrite(file, mine, mine.count, 0)
    descriptor = Mutex(file)
  }

  func release() {
    descriptor.withLock { file in
      if file >= 0 { close(file) }
      file = -1
    }
  }

  deinit { release() }
}

/// The text of an errno.
func errnoText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// Makes a folder and those above it.
func makeDirectories(_ path: String) throws(Failure) {
  guard !path.isEmpty else { return }
  var part = path.hasPrefix("/") ? "/" : ""
  for name in path.split(separator: "/") {
    part += (part.isEmpty || part.hasSuffix("/") ? "" : "/") + name
    guard mkdir(part, 0o755) != 0, errno != EEXIST else { continue }
    var info = stat()
    if stat(part, &info) == 0 { continue }
    throw Failure(.ioError, "cannot make the folder '\(part)': \(errnoText())")
  }
}
