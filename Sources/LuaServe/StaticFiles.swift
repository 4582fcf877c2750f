package import Core

#if canImport(Glibc)
  import CDispatch  // home of timespec and stat where Dispatch is loaded too
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A folder, or one file, under a path of the service.
///
/// Confined: each part of a path is opened below the one before it and without following links, so neither `..` nor a
/// symbolic link nor a swap between check and use leads out. Names that start with a dot are not served, folders are not
/// listed; `index.html` stands for its folder.
package struct StaticFiles: Sendable {
  package let prefix: [String]
  package let root: String
  private let isFile: Bool

  /// - Throws: `FILE_NOT_FOUND` when nothing readable is at `root`; `INVALID_ARGUMENT` for a bad `path`.
  package init(path: String, root: String) throws(Failure) {
    let pattern = try RoutePattern(path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path)
    var prefix: [String] = []
    for segment in pattern.segments {
      guard case .literal(let text) = segment else {
        throw Failure(.invalidArgument, "static path '\(path)': parameters are for routes only")
      }
      prefix.append(text)
    }
    var information = stat()
    guard stat(root, &information) == 0 else {
      throw Failure(.fileNotFound, "static files for '\(path)': there is no file or folder '\(root)'")
    }
    switch information.st_mode & S_IFMT {
    case S_IFREG: self.isFile = true
    case S_IFDIR: self.isFile = false
    default: throw Failure(.invalidArgument, "static files for '\(path)': '\(root)' is neither a file nor a folder")
    }
    self.prefix = prefix
    self.root = root
  }

  package enum Found: Sendable {
    case file(OpenFile)
    /// A folder asked for without its slash: relative links in its page would break.
    case redirect
  }

  /// An open regular file.
  package final class OpenFile: Sendable {
    package let descriptor: Int32
    package let byteCount: Int
    package let name: String
    package let modifiedSeconds: Int64
    /// Changes whenever the file does: inode, size and time of change in nanoseconds.
    package let tag: String

    fileprivate init?(descriptor: Int32, name: String) {
      var information = stat()
      guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        return nil
      }
      self.descriptor = descriptor
      self.byteCount = Int(information.st_size)
      self.name = name
      #if os(Linux)
        let modified = information.st_mtim
      #else
        let modified = information.st_mtimespec
      #endif
      self.modifiedSeconds = Int64(modified.tv_sec)
      let parts = [
        UInt64(information.st_ino), UInt64(bitPattern: Int64(information.st_size)), UInt64(modified.tv_sec),
        UInt64(modified.tv_nsec),
      ]
      self.tag = "\"" + parts.map { String($0, radix: 36) }.joined(separator: "-") + "\""
    }
    deinit { close(descriptor) }

    /// Bytes `offset ..< offset + count`, fewer when the file has become shorter.
    package func read(offset: Int, count: Int) -> [UInt8] {
      [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        while filled < count {
          let got = pread(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, off_t(offset + filled))
          if got < 0, errno == EINTR { continue }
          if got <= 0 { break }
          filled += got
        }
      }
    }
  }

  /// Opens what `segments` names; nil when there is nothing to serve. Blocks on the disk.
  package func open(_ segments: [String], isDirectory: Bool) -> Found? {
    guard segments.starts(with: prefix) else { return nil }
    let rest = Array(segments.dropFirst(prefix.count))
    if isFile {
      guard rest.isEmpty, !isDirectory || prefix.isEmpty else { return nil }
      let descriptor = sysOpen(root, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else { return nil }
      return OpenFile(descriptor: descriptor, name: lastName(root)).map { .file($0) }
    }
    for part in rest where part.isEmpty || part.first == "." || part.utf8.contains(where: { $0 == 47 || $0 == 92 || $0 < 32 }) {
      return nil
    }
    var at = sysOpen(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard at >= 0 else { return nil }
    for (i, part) in rest.enumerated() {
      let next = openat(at, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
      close(at)
      guard next >= 0 else { return nil }
      var information = stat()
      guard fstat(next, &information) == 0 else {
        close(next)
        return nil
      }
      if information.st_mode & S_IFMT == S_IFDIR {
        at = next
        continue
      }
      guard i == rest.count - 1, !isDirectory else {
        close(next)
        return nil
      }
      return OpenFile(descriptor: next, name: part).map { .file($0) }
    }
    let index = openat(at, "index.html", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    close(at)
    guard index >= 0 else { return nil }
    guard isDirectory || rest.isEmpty && prefix.isEmpty else {
      close(index)
      return .redirect
    }
    return OpenFile(descriptor: index, name: "index.html").map { .file($0) }
  }

  private func sysOpen(_ path: String, _ flags: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.open(path, flags)
    #else
      Darwin.open(path, flags)
    #endif
  }

  private func lastName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  /// The media type for a file name; bytes when the ending is unknown.
  package static func mediaType(_ name: String) -> String {
    guard let dot = name.lastIndex(of: ".") else { return "application/octet-stream" }
    return types[name[name.index(after: dot)...].lowercased()] ?? "application/octet-stream"
  }

  private static let types: [String: String] = [
    "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "json": "application/json",
    "map": "application/json", "txt": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8", "xml": "application/xml", "svg": "image/svg+xml", "png": "image/png",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif",
    "ico": "image/x-icon", "bmp": "image/bmp", "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf",
    "wasm": "application/wasm", "pdf": "application/pdf", "mp3": "audio/mpeg", "wav": "audio/wav", "mp4": "video/mp4",
    "webm": "video/webm", "webmanifest": "application/manifest+json", "gz": "application/gzip", "zip": "application/zip",
  ]
}
