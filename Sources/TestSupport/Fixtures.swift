package import Core
import Foundation
package import ObjectStore

/// Where the repository is, found from this file.
package let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path

/// Whether `MOONLAKE_TEST_ALL=1` asks for all points that a test may look at.
package let isThorough = ProcessInfo.processInfo.environment["MOONLAKE_TEST_ALL"] == "1"

/// A copy of `store` in which the object `path` has the bytes `bytes`.
package func copy(_ store: MemoryStore, _ path: String, _ bytes: [UInt8]) throws -> MemoryStore {
  let copy = MemoryStore()
  for object in try store.list("", recursive: true) {
    try copy.put(object.path, object.path == path ? bytes : try store.read(object.path).array())
  }
  return copy
}

/// A new directory below /tmp; removed by nobody but the next boot, as tests may be looked at after a failure.
package func temporaryFolder() -> String {
  let path = "/tmp/moonlake-test-\(getpid())-\(randomUUID())"
  mkdir(path, 0o755)
  return path
}

/// The failure that `body` throws; nil when it throws none.
package func failure(_ body: () throws -> Void) -> Failure? {
  do { try body() } catch { return error as? Failure }
  return nil
}
