import Core
import Synchronization

/// The limit of `MemoryBudget` is one for the process: a test that sets it can make any other fail that runs beside it. Suites that do are
/// named `DamageTests`, which `scripts/test` runs in a process of their own.
package enum MemoryLimit {
  private static let taken = Mutex(())

  /// Runs `body` with at most `bytes` more than are used now. Calls must not nest.
  package static func of<R>(_ bytes: Int, _ body: () throws -> R) rethrows -> R {
    try taken.withLock { _ in
      let before = MemoryBudget.limitBytes
      MemoryBudget.setLimit(bytes: MemoryBudget.usedBytes + bytes)
      defer { MemoryBudget.setLimit(bytes: before) }
      return try body()
    }
  }
}
