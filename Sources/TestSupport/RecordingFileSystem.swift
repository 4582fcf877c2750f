import Glibc
import ObjectStore
import Synchronization

/// One change of a disk, in the order in which it was asked for. Files are numbered as inodes are: a name leads to one.
package enum DiskChange: Sendable {
  case create(path: String, inode: Int)
  case write(inode: Int, bytes: [UInt8])
  case sync(inode: Int)
  case rename(from: String, to: String)
  case link(from: String, to: String)
  case unlink(path: String)
  case makeFolder(path: String)
  case removeFolder(path: String)
  case syncFolder(path: String)
  /// Said by the test: what was acknowledged up to here.
  case mark(String)
}

/// The real disk, which keeps all changes. It never waits for the disk: syncs are only noted.
package final class RecordingFileSystem: FileSystem {
  private struct State {
    var changes: [DiskChange] = []
    var inodeOfDescriptor: [Int32: Int] = [:]
    var files = 0
  }
  private let base = POSIXFileSystem()
  private let state = Mutex(State())

  package init() {}

  package var changes: [DiskChange] { state.withLock { $0.changes } }
  package func mark(_ text: String) { note(.mark(text)) }
  private func note(_ change: DiskChange) { state.withLock { $0.changes.append(change) } }

  private func done(_ result: Int32, _ change: DiskChange) -> Int32 {
    if result == 0 { note(change) }
    return result
  }

  package func create(_ path: String) -> Int32 {
    let descriptor = base.create(path)
    guard descriptor >= 0 else { return descriptor }
    state.withLock { state in
      state.inodeOfDescriptor[descriptor] = state.files
      state.changes.append(.create(path: path, inode: state.files))
      state.files += 1
    }
    return descriptor
  }
  package func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    let count = base.write(descriptor, bytes)
    guard count > 0 else { return count }
    state.withLock { state in
      guard let inode = state.inodeOfDescriptor[descriptor] else { return }
      state.changes.append(.write(inode: inode, bytes: Array(bytes.prefix(count))))
    }
    return count
  }
  package func sync(_ descriptor: Int32) -> Int32 {
    state.withLock { state in
      if let inode = state.inodeOfDescriptor[descriptor] { state.changes.append(.sync(inode: inode)) }
    }
    return 0
  }
  package func close(_ descriptor: Int32) -> Int32 {
    state.withLock { $0.inodeOfDescriptor[descriptor] = nil }
    return base.close(descriptor)
  }
  package func rename(_ from: String, _ to: String) -> Int32 { done(base.rename(from, to), .rename(from: from, to: to)) }
  package func link(_ from: String, _ to: String) -> Int32 { done(base.link(from, to), .link(from: from, to: to)) }
  package func unlink(_ path: String) -> Int32 { done(base.unlink(path), .unlink(path: path)) }
  package func makeFolder(_ path: String) -> Int32 { done(base.makeFolder(path), .makeFolder(path: path)) }
  package func removeFolder(_ path: String) -> Int32 { done(base.removeFolder(path), .removeFolder(path: path)) }
  package func syncFolder(_ path: String) -> Int32 { done(0, .syncFolder(path: path)) }
}
