import Columnar
import Core
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Operations that are asked to stop half way: nothing has changed, nothing is left behind.
@Suite("Stopping operations", .serialized)
struct OperationStopTests {
  /// In a process of its own: the flag is the whole process's.
  @Test func nothingIsLeft() async {
    await #expect(processExitsWith: .success) {
      let location = try RowOperationTests.table(MemoryStore(), 250)
      let before = try location.store.list("", recursive: true)
      func stops(_ what: String, _ body: () throws -> Void) throws {
        let error = failure(body)
        Cancellation.reset()
        #expect(error?.code == .cancelled, "\(what): \(error as Any)")
        #expect(try location.store.list("", recursive: true) == before, "\(what)")
      }
      // The second fragment is never looked at.
      let second = RowOperationTests.filter { id in
        if id == 100 { Cancellation.request() }
        return id % 2 == 0
      }
      try stops("delete") { _ = try location.delete(where: second) }
      try stops("update") { _ = try location.update(ConflictTableTests.zero, where: second) }
      try stops("new column") {
        _ = try location.addColumns([Field("copy", .int64)], reads: ["id"]) { batch throws(Failure) in
          if values(batch.columns[0], Int64.self).contains(100) { Cancellation.request() }
          return batch.columns
        }
      }
    }
  }
}
