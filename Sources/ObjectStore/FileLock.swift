#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A shared flock(2) on a file, for as long as it lives. The kernel takes it away when the process ends.
final class FileLock: Sendable {
  private let file: LocalFile

  private init(_ file: consuming LocalFile) { self.file = file }

  /// nil when the file was removed, somebody keeps it locked for himself alone, or the file system has no locks.
  static func shared(_ file: consuming LocalFile, at path: String) -> FileLock? {
    // Who asks whether the file is locked, or is about to remove it, has it for a moment: worth waiting for, but nobody shall wait
    // for ever.
    var attempts = 20_000
    while true {
      let problem = file.lockShared()
      if problem == 0 { break }
      attempts -= 1
      guard problem == EWOULDBLOCK, attempts > 0, file.isAt(path) else { return nil }
      usleep(500)
    }
    return file.isAt(path) ? FileLock(file) : nil
  }
}
