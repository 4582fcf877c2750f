import Glibc
import ObjectStore

/// The real disk, whose system calls fail as a `FaultPlan` says.
package final class FaultyFileSystem: FileSystem {
  private let base = POSIXFileSystem()
  private let plan: FaultPlan
  private let code: Int32

  /// `code`: the errno of failing calls: ENOSPC, EIO, EROFS, EMFILE, ...
  package init(_ plan: FaultPlan, errno code: Int32) {
    self.plan = plan
    self.code = code
  }

  private func call(_ body: () -> Int32) -> Int32 {
    guard plan.strikes() else { return body() }
    errno = code
    return -1
  }

  package func create(_ path: String) -> Int32 { call { base.create(path) } }
  /// A failing write writes half of its bytes first, as a full disk does.
  package func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    guard plan.strikes() else { return base.write(descriptor, bytes) }
    _ = base.write(descriptor, UnsafeRawBufferPointer(rebasing: bytes.prefix(bytes.count / 2)))
    errno = code
    return -1
  }
  package func sync(_ descriptor: Int32) -> Int32 { call { 0 } }
  /// Not counted: a descriptor is gone whatever close says.
  package func close(_ descriptor: Int32) -> Int32 { base.close(descriptor) }
  package func rename(_ from: String, _ to: String) -> Int32 { call { base.rename(from, to) } }
  package func link(_ from: String, _ to: String) -> Int32 { call { base.link(from, to) } }
  package func unlink(_ path: String) -> Int32 { call { base.unlink(path) } }
  package func makeFolder(_ path: String) -> Int32 { call { base.makeFolder(path) } }
  package func removeFolder(_ path: String) -> Int32 { call { base.removeFolder(path) } }
  package func syncFolder(_ path: String) -> Int32 { call { 0 } }
}
