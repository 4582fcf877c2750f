#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Absolute paths with all symbolic links followed.
enum RealPath {
  /// nil when the path leads nowhere.
  static func of(_ path: String) -> String? {
    guard !path.utf8.contains(0), let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }
}

/// Parts of a directory's path.
enum ObjectPathParts {
  /// The last part; nil for `/`, `.` and `..`.
  static func last(_ path: String) -> String? {
    guard let last = path.split(separator: "/").last, last != ".", last != ".." else { return nil }
    return String(last)
  }
}
