import CDispatch
import Glibc

/// Files of the platform's page.
enum WebFile {
  static let limitBytes = 16 << 20

  /// The bytes of a regular file right inside `folder`, links out of it not followed; nil when there is none.
  static func read(_ folder: String, _ name: String) -> [UInt8]? {
    guard let root = PathRule.real(folder), let path = PathRule.real(folder + "/" + name), PathRule.isInside(path, root),
      PathRule.kind(path) == .file
    else { return nil }
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var info = stat()
    guard fstat(file, &info) == 0, info.st_size <= limitBytes else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(info.st_size))
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress.map { $0 + done }, $0.count - done) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      done += count
    }
    return bytes
  }
}
