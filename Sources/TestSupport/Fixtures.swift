package import Core
import Foundation

/// Where the repository is, found from this file.
package let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path

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
