import Columnar
import Core
import Foundation
import Lake
import LanceTable
import ObjectStore
import Synchronization
import TestSupport
import Testing

/// A store in memory that behaves like a bucket: folders cannot be moved in one step. `failsToDelete` is a crash in a deletion.
final class BucketInMemory: ObjectStore {
  private let memory = MemoryStore()
  let failsToDelete = Mutex(false)

  var name: String { "s3://bucket/lake" }
  var movesAtOnce: Bool { false }
  func read(_ path: String) throws(Failure) -> Buffer { try memory.read(path) }
  func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer { try memory.read(path, range: range) }
  func head(_ path: String) throws(Failure) -> ObjectInfo? { try memory.head(path) }
  func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] { try memory.list(folder, recursive: recursive) }
  func put(_ path: String, _ bytes: [UInt8]) throws(Failure) { try memory.put(path, bytes) }
  func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult { try memory.putIfAbsent(path, bytes) }
  func create(_ path: String) throws(Failure) -> any ObjectWriter { try memory.create(path) }
  func delete(_ path: String) throws(Failure) { try memory.delete(path) }
  func delete(_ paths: [String]) throws(Failure) {
    if failsToDelete.withLock({ $0 }) { throw Failure(.ioError, "the network is gone") }
    for path in paths { try memory.delete(path) }
  }
  func deleteTree(_ folder: String) throws(Failure) {
    throw Failure(.internalError, "a lake in a bucket does not rely on this")
  }
  func moveTree(_ folder: String, to target: String) throws(Failure) {
    throw Failure(.internalError, "a lake in a bucket does not rely on this")
  }
}

/// The rows of two readers; something happens between them.
final class InterruptedReader: RecordBatchReader {
  private let first: InMemoryReader
  private let second: InMemoryReader
  private var interruption: (() throws -> Void)?

  init(_ first: InMemoryReader, _ second: InMemoryReader, _ interruption: @escaping () throws -> Void) {
    self.first = first
    self.second = second
    self.interruption = interruption
  }

  var schema: Schema { first.schema }

  func next() throws(Failure) -> RecordBatch? {
    if let batch = try first.next() { return batch }
    if let interruption {
      self.interruption = nil
      if let failure = failure({ try interruption() }) { throw failure }
    }
    return try second.next()
  }
}

/// Tables that are deleted where there is no rename.
@Suite("Lake in a bucket")
struct BucketLakeTests {
  func lake() -> (DataLake, BucketInMemory) {
    let store = BucketInMemory()
    return (DataLake(store: store, shownAs: store.name), store)
  }

  @Test func deletedTablesAreGone() throws {
    let (lake, store) = lake()
    for name in ["a", "b"] { try LanceTable.write(sample(3), to: lake.location(.dataset, name), mode: .create) }
    try LanceTable.write(sample(3), to: lake.location(.dataset, "a"), mode: .append)
    try lake.deleteDataset("a")
    #expect(try lake.datasets().map(\.id) == ["b"] && !lake.exists(.dataset, "a"))
    #expect(failure { _ = try lake.dataset("a") }?.message == "Dataset 'a' does not exist")
    #expect(failure { _ = try lake.open(.dataset, "a", version: .number(1)) }?.code == .datasetNotFound)
    #expect(failure { _ = try lake.location(.dataset, "a").versionList() }?.code == .datasetNotFound)
    #expect(failure { try lake.deleteDataset("a") }?.code == .datasetNotFound)
    #expect(
      failure { try LanceTable.write(sample(1), to: lake.location(.dataset, "a"), mode: .append) }?.code == .datasetNotFound)
    // What stays: the last manifest, its transaction, the hint.
    let left = try store.list("datasets/a.lance", recursive: true)
    #expect(left.count <= 3 && left.reduce(0) { $0 + $1.size } < 4096, "\(left.map(\.path))")
  }

  @Test func theNameIsFreeAgain() throws {
    let (lake, _) = lake()
    for mode in [WriteMode.create, .overwrite] {
      let location = lake.location(.dataset, "a")
      try LanceTable.write(sample(3), to: location, mode: mode)
      try lake.deleteDataset("a")
    }
    let table = try LanceTable.write(sample(5), to: lake.location(.dataset, "a"), mode: .create)
    #expect(table.version == 5 && table.rowCount == 5)
    let again = try lake.open(.dataset, "a")
    #expect(try again.take(Array(0..<5)).count == 5 && again.schema.metadata["moonlake.deleted"] == nil)
    #expect(
      failure { try LanceTable.write(sample(1), to: lake.location(.dataset, "a"), mode: .create) }?.code == .alreadyExists)
  }

  @Test func damagedTablesCanBeDeleted() throws {
    let (lake, store) = lake()
    try LanceTable.write(sample(3), to: lake.location(.dataset, "a"), mode: .create)
    try store.put("datasets/a.lance/_versions/18446744073709551614.manifest", [1, 2, 3])
    #expect(try lake.datasets().map(\.id) == ["a"])
    try lake.deleteDataset("a")
    #expect(try lake.datasets().isEmpty && store.list("", recursive: true).isEmpty)
  }

  @Test func aDeletionThatWasCutOffIsFinishedByTheNext() throws {
    let (lake, store) = lake()
    try LanceTable.write(sample(3), to: lake.location(.dataset, "a"), mode: .create)
    usleep(2000)
    store.failsToDelete.withLock { $0 = true }
    #expect(failure { try lake.deleteDataset("a") }?.code == .ioError)
    #expect(try lake.datasets().isEmpty)
    #expect(try store.list("datasets/a.lance/data", recursive: true).count == 1)
    store.failsToDelete.withLock { $0 = false }
    #expect(failure { try lake.deleteDataset("a") }?.code == .datasetNotFound)
    #expect(try store.list("datasets/a.lance/data", recursive: true).isEmpty)
    #expect(try store.list("datasets/a.lance/_versions", recursive: true).contains { $0.name.hasSuffix(".manifest") })
  }

  /// A commit that began before a deletion was deleted with the rest or finds the table gone; one that was made has all of its files.
  @Test func commitsAndDeletionsAtOnce() throws {
    for _ in 0..<30 {
      let (lake, _) = lake()
      let location = lake.location(.dataset, "a")
      try LanceTable.write(sample(2), to: location, mode: .create)
      let odd = Mutex<[Failure]>([])
      let group = DispatchGroup()
      let jobs: [(@Sendable () throws -> Void)] = [
        { try LanceTable.write(sample(1), to: location, mode: .append) },
        { try LanceTable.write(sample(1), to: location, mode: .append) },
        { try LanceTable.write(sample(4), to: location, mode: .overwrite) },
        { try LanceTable.write(sample(7), to: location, mode: .create) },
        { try lake.deleteDataset("a") }, { try lake.deleteDataset("a") },
      ]
      for job in jobs {
        group.enter()
        Thread.detachNewThread {
          let expected: [Failure.Code] = [.versionConflict, .alreadyExists, .datasetNotFound]
          if let failure = failure({ try job() }), !expected.contains(failure.code) { odd.withLock { $0.append(failure) } }
          group.leave()
        }
      }
      group.wait()
      #expect(odd.withLock { $0 }.isEmpty, "\(odd.withLock { $0 })")
      guard try lake.exists(.dataset, "a") else { continue }
      let table = try lake.open(.dataset, "a")
      #expect(try table.take(Array(0..<table.rowCount)).count == table.rowCount)
    }
  }

  /// A deletion takes the files of writes that are still going on: none of them may be committed to what comes after it.
  @Test(arguments: [true, false], [WriteMode.create, .overwrite])
  func aDeletionTakesFilesThatAreNotCommittedYet(inBucket: Bool, mode: WriteMode) throws {
    let lake = inBucket ? lake().0 : try DataLake(root: temporaryFolder() + "/lake", shownAs: "lake")
    let location = lake.location(.dataset, "a")
    // Made and deleted meanwhile; made anew after it when `again`.
    for (before, again) in [(false, false), (true, true), (true, false)] where mode == .overwrite || !before {
      if before { try LanceTable.write(sample(1), to: location, mode: .create) }
      let rows = try InterruptedReader(sample(4), sample(4)) {
        if !before { try LanceTable.write(sample(2), to: location, mode: .create) }
        try lake.deleteDataset("a")
        if again { try LanceTable.write(sample(2), to: location, mode: .create) }
      }
      // A file of one row: the first are whole and on the disk when the deletion comes.
      var options = WriteOptions()
      options.maxRowsPerFile = 1
      let answer = failure { try LanceTable.write(rows, to: location, mode: mode, options: options) }
      // In a directory the file that is being written has lost its folder.
      #expect(answer?.code == .versionConflict || (!inBucket && answer?.code == .ioError), "\(String(describing: answer))")
      guard try lake.exists(.dataset, "a") else { continue }
      let table = try lake.open(.dataset, "a")
      #expect(try table.take(Array(0..<table.rowCount)).count == 2)
      try lake.deleteDataset("a")
    }
  }

  /// Scripts and REST name tables; nobody but the operator names a bucket.
  @Test func otherBucketsAndAddressesAreRefused() throws {
    let (lake, _) = lake()
    try LanceTable.write(sample(2), to: lake.location(.dataset, "a"), mode: .create)
    for text in ["a", "s3://bucket/lake/datasets/a.lance", "datasets/a"] { #expect(try lake.resolve(text).id == "a") }
    for text in [
      "s3://other/lake/datasets/a.lance", "s3://bucket/other/datasets/a.lance", "s3://bucket/lake/../other/datasets/a.lance",
      "http://169.254.169.254/latest/meta-data", "http://169.254.169.254/datasets/a", "file:///etc/passwd",
      "s3://bucket/lake/secrets/a",
      "s3://user:key@bucket/lake/datasets/a", "S3://bucket/lake/datasets/a", "gs://bucket/datasets/a",
    ] {
      #expect(failure { _ = try lake.resolve(text) }?.code == .pathNotAllowed, "\(text)")
      #expect(failure { _ = try lake.resolveOutput(text) }?.code == .pathNotAllowed, "\(text)")
      #expect(failure { _ = try lake.resolveInput(text, dataRoots: ["/"]) }?.code == .pathNotAllowed, "\(text)")
    }
  }

  @Test func onlyFilesWithNamesOfTheirOwnAreKept() {
    for path in [
      "datasets/a.lance/data/0101.lance", "models/m.lance/_indices/uuid/page_data.lance",
      "datasets/a.lance/tree/b/data/x.lance",
    ] {
      #expect(DataLake.neverChanges(path), "\(path)")
    }
    for path in [
      "datasets/a.lance/_versions/1.manifest", "datasets/a.lance/_deletions/0-1-2.bin",
      "datasets/a.lance/_transactions/1-x.txn",
      "datasets/a.lance/_refs/tags/data.json", "datasets/data/_versions", "data/x",
    ] { #expect(!DataLake.neverChanges(path), "\(path)") }
  }
}
