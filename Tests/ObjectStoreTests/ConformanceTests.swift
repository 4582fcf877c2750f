import Core
import Glibc
import ObjectStore
import TestSupport
import Testing

/// A store to test.
struct StoreCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let make: @Sendable () throws -> any ObjectStore
}

let stores = [
  StoreCase(testDescription: "memory") { MemoryStore() },
  StoreCase(testDescription: "local") { try LocalStore(root: temporaryFolder()) },
  StoreCase(testDescription: "cached") {
    try CachedStore(MemoryStore(), directory: temporaryFolder(), limitBytes: 1 << 20) { _ in true }
  },
]

@Suite("ObjectStore conformance")
struct ConformanceTests {
  @Test(arguments: stores, StoreConformance.checks) func holds(_ kind: StoreCase, _ check: StoreCheck) throws {
    try check.run(try kind.make())
  }
}
