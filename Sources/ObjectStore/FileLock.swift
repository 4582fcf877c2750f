#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A shared flock(2) on a file that is there, for as long as it lives. The kernel takes it away when the process ends.
final class FileLock: Sendable {
  private let descriptor: Int32

  /// nil when the file cannot be opened, or somebody keeps it locked for himself alone.
  init?(shared path: String) {
    descriptor = FileLock.open(path)
    guard descriptor >= 0 else { return nil }
    // `isTaken` has it for some microseconds: worth waiting for, but nobody shall wait for ever.
    for attempt in 0..<8 {
      if attempt > 0 { usleep(100) }
      if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return }
    }
    close(descriptor)
    return nil
  }

  deinit { close(descriptor) }

  /// Whether anybody has a lock on the file.
  static func isTaken(_ path: String) -> Bool {
    let descriptor = open(path)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  private static func open(_ path: String) -> Int32 {
    var descriptor: Int32
    #if canImport(Glibc)
      repeat { descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC) } while descriptor < 0 && errno == EINTR
    #else
      repeat { descriptor = Darwin.open(path, O_RDONLY | O_CLOEXEC) } while descriptor < 0 && errno == EINTR
    #endif
    return descriptor
  }
}
