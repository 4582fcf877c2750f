#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The system calls by which `LocalStore` changes a disk, as POSIX has them: -1 says failed, and errno why.
///
/// The one seam for tests: they count the calls, let one of them fail, and keep what a power cut would keep. Reading does not
/// go through it.
package protocol FileSystem: Sendable {
  /// A new file, open for writing; fails when the name is taken.
  func create(_ path: String) -> Int32
  /// Bytes written, which may be fewer than asked for.
  func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int
  func sync(_ descriptor: Int32) -> Int32
  func close(_ descriptor: Int32) -> Int32
  func rename(_ from: String, _ to: String) -> Int32
  func link(_ from: String, _ to: String) -> Int32
  func unlink(_ path: String) -> Int32
  func makeFolder(_ path: String) -> Int32
  func removeFolder(_ path: String) -> Int32
  /// Makes the names in a directory durable.
  func syncFolder(_ path: String) -> Int32
}

/// The real ones.
package struct POSIXFileSystem: FileSystem {
  package init() {}

  package func create(_ path: String) -> Int32 {
    var descriptor: Int32
    repeat {
      descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    } while descriptor < 0 && errno == EINTR
    return descriptor
  }

  package func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    while true {
      #if canImport(Glibc)
        let count = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      #else
        let count = Darwin.write(descriptor, bytes.baseAddress, bytes.count)
      #endif
      if count >= 0 || errno != EINTR { return count }
    }
  }

  package func sync(_ descriptor: Int32) -> Int32 {
    while true {
      let result = fsync(descriptor)
      if result == 0 || errno != EINTR { return result }
    }
  }

  package func syncFolder(_ path: String) -> Int32 {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return -1 }
    let result = sync(descriptor)
    let code = errno
    _ = close(descriptor)
    errno = code
    return result
  }

  #if canImport(Glibc)
    package func close(_ descriptor: Int32) -> Int32 { Glibc.close(descriptor) }
    package func rename(_ from: String, _ to: String) -> Int32 { Glibc.rename(from, to) }
    package func link(_ from: String, _ to: String) -> Int32 { Glibc.link(from, to) }
    package func unlink(_ path: String) -> Int32 { Glibc.unlink(path) }
  #else
    package func close(_ descriptor: Int32) -> Int32 { Darwin.close(descriptor) }
    package func rename(_ from: String, _ to: String) -> Int32 { Darwin.rename(from, to) }
    package func link(_ from: String, _ to: String) -> Int32 { Darwin.link(from, to) }
    package func unlink(_ path: String) -> Int32 { Darwin.unlink(path) }
  #endif
  package func makeFolder(_ path: String) -> Int32 { mkdir(path, 0o777) }
  package func removeFolder(_ path: String) -> Int32 { rmdir(path) }
}
