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
  private let disk: any FileSystem
  private var descriptor: Int32
  private var pending: [UInt8] = []
  private(set) var count = 0

  private static let gatherBytes = 256 << 10
  /// The system is told to begin to write each time this many bytes have come, so that fsync finds little left to do.
  private static let startBytes = 8 << 20
  private var written = 0
  private var started = 0

  /// `target`: absolute, its folder exists.
  init(target: String, shown: String, store: String, disk: any FileSystem) throws(Failure) {
    self.target = target
    self.shown = shown
    self.store = store
    self.disk = disk
    // The name stays below the 255 bytes of a part: the end of a long one is left out.
    let folder = LocalFile.parent(target)
    let stem = String(decoding: ObjectPath.name(target).utf8.prefix(200), as: UTF8.self)
    let random = UInt64.random(in: 0...UInt64.max)
    let digits = String(random, radix: 16)
    temporary = "\(folder)/\(stem).\(String(repeating: "0", count: 16 - digits.count))\(digits).tmp"
    descriptor = disk.create(temporary)
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
    guard disk.rename(temporary, target) == 0 else {
      let error = LocalFile.failure("write", shown, store: store)
      _ = disk.unlink(temporary)
      throw error
    }
    // From here on the temporary name does not exist.
    try LocalFile.syncFolder(LocalFile.parent(target), disk)
  }

  /// As `finish`, but never replaces a file: link(2) fails when the name is taken, and so decides races.
  func finishIfAbsent() throws(Failure) -> PutResult {
    try sync()
    if disk.link(temporary, target) != 0 {
      let code = errno
      _ = disk.unlink(temporary)
      if code == EEXIST { return .alreadyExists }
      errno = code
      if code == EPERM || code == EOPNOTSUPP || code == ENOSYS {
        throw Failure(
          .ioError, "the file system of \(store) has no hard links, which a safe commit of '\(shown)' needs",
          details: ["errno": .int(Int64(code))])
      }
      throw LocalFile.failure("write", shown, store: store)
    }
    _ = disk.unlink(temporary)
    try LocalFile.syncFolder(LocalFile.parent(target), disk)
    return .written
  }

  func abort() {
    guard descriptor >= 0 else { return }
    _ = disk.close(descriptor)
    descriptor = -1
    _ = disk.unlink(temporary)
    pending = []
  }

  /// All bytes on the disk, the descriptor closed.
  private func sync() throws(Failure) {
    guard descriptor >= 0 else { throw Failure(.internalError, "the writer of '\(shown)' is closed") }
    try flush()
    // After a failed fsync nobody knows what is on the disk: a second one would lie, so the file is given up.
    guard disk.sync(descriptor) == 0 else {
      let error = LocalFile.failure("sync", shown, store: store)
      abort()
      throw error
    }
    _ = disk.close(descriptor)
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
    var rest = bytes
    while !rest.isEmpty {
      let wrote = disk.write(descriptor, rest)
      guard wrote > 0 else {
        let error = LocalFile.failure("write", shown, store: store)
        abort()
        throw error
      }
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(wrote))
    }
    written += bytes.count
    if let start = LocalWriter.startWriting, written - started >= LocalWriter.startBytes {
      // A hint: an error here means nothing, fsync will tell.
      _ = start(descriptor, Int64(started), Int64(written - started), LocalWriter.startOnly)
      started = written
    }
  }

  /// Linux's `sync_file_range`, which Swift's Glibc module leaves out; nil where the system has none.
  private static let startWriting: (@convention(c) (Int32, Int64, Int64, UInt32) -> Int32)? =
    dlsym(nil, "sync_file_range").map { unsafeBitCast($0, to: (@convention(c) (Int32, Int64, Int64, UInt32) -> Int32).self) }
  /// `SYNC_FILE_RANGE_WRITE`: begin to write dirty pages, wait for none.
  private static let startOnly: UInt32 = 2
}
