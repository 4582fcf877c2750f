import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file read front to back in large pieces.
final class TextFile {
  private let descriptor: Int32
  private let name: String
  let byteCount: Int

  /// Opens `path`, a path that is trusted.
  static func opener(_ path: String, name: String) -> FileOpener {
    { () throws(Failure) in
      let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      guard fd >= 0 else {
        throw errno == ENOENT
          ? Failure(.fileNotFound, "file '\(name)' does not exist")
          : Failure(.ioError, "file '\(name)' cannot be opened: \(String(cString: strerror(errno)))")
      }
      return fd
    }
  }

  /// - Throws: `FILE_NOT_FOUND`, `IO_ERROR`, what `opener` throws.
  init(_ opener: FileOpener, name: String) throws(Failure) {
    let fd = try opener()
    var info = stat()
    guard fstat(fd, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      close(fd)
      throw Failure(.ioError, "'\(name)' is not a file")
    }
    descriptor = fd
    self.name = name
    byteCount = Int(info.st_size)
  }

  deinit { close(descriptor) }

  /// Appends up to `count` bytes to `bytes`; false at the end of the file.
  func read(_ count: Int, into bytes: inout [UInt8]) throws(Failure) -> Bool {
    let start = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: count))
    var filled = 0
    while filled < count {
      let n = bytes.withUnsafeMutableBytes { raw -> Int in
        guard let base = raw.baseAddress else { return 0 }
        return Glibc.read(descriptor, base + start + filled, count - filled)
      }
      if n < 0 {
        if errno == EINTR { continue }
        throw Failure(.ioError, "file '\(name)' cannot be read: \(String(cString: strerror(errno)))")
      }
      if n == 0 { break }
      filled += n
    }
    bytes.removeLast(count - filled)
    return filled > 0
  }
}
