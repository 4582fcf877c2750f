import Columnar
import Core
import LanceIndex
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Vector indices")
struct VectorIndexTests {
  func options(_ kind: IndexKind, _ metric: VectorMetric = .l2, partitions: Int = 10) -> IndexOptions {
    var options = IndexOptions()
    options.kind = kind
    options.metric = metric
    options.partitions = partitions
    return options
  }

  func query(_ k: Int, probes: Int = 1 << 20, refine: Int = 10) -> VectorQuery {
    var query = VectorQuery(column: "v")
    query.k = k
    query.probes = probes
    query.refine = refine
    return query
  }

  /// With all partitions probed IVF_FLAT is exact.
  @Test(arguments: VectorMetric.allCases) func flatWithAllPartitionsIsExact(_ metric: VectorMetric) throws {
    let cloud = Cloud(4000, dim: 20)
    let location = memoryTable()
    try write([try cloud.batch(nulls: [3, 400])], location, rowsPerFile: 1500)
    try delete(location) { $0 % 10 == 4 }
    let info = try location.createIndex(on: "v", options(.ivfFlat, metric))
    #expect(info.kind == .ivfFlat && info.metric == metric && info.isUsable)
    try delete(location) { $0 % 10 == 5 }
    let table = try LanceTable(location)
    for q in Cloud(8, dim: 20, seed: 5).vectors {
      let found = try table.nearest([q], query(12))[0]
      let isLive: (Int) -> Bool = { $0 % 10 != 4 && $0 % 10 != 5 && $0 != 3 && $0 != 400 }
      #expect(try ids(table, found.rows) == cloud.nearest(q, metric, k: 12, among: isLive))
      var exact = query(12)
      exact.usesIndex = false
      exact.metric = metric
      let truth = try table.nearest([q], exact)[0]
      #expect(zip(found.distances, truth.distances).allSatisfy { abs($0 - $1) < 1e-4 * max(1, abs($1)) })
    }
  }

  @Test(arguments: VectorMetric.allCases) func codesWithRefineFindNearlyAll(_ metric: VectorMetric) throws {
    let cloud = Cloud(6000, dim: 32, centres: 60)
    let location = memoryTable()
    try write([try cloud.batch()], location, rowsPerFile: 4000)
    _ = try location.createIndex(on: "v", options(.ivfPQ, metric, partitions: 20))
    let table = try LanceTable(location)
    var asked = query(10, probes: 20, refine: 20)
    let report = try table.recall(asked, sample: 40)
    #expect(report.recall > 0.97 && report.sample == 40, "\(report)")
    // The codes alone find less, but far more than chance, and their distances are near the true ones.
    asked.refine = 0
    #expect(try table.recall(asked, sample: 40).recall > 0.3)
    let q = Cloud(1, dim: 32, centres: 60, seed: 2).vectors[0]
    let (coded, exact) = (try table.nearest([q], asked)[0], try table.nearest([q], query(10, probes: 20))[0])
    #expect(zip(coded.distances, exact.distances).allSatisfy { abs($0 - $1) <= 0.35 * max(0.2, abs($1)) }, "\(coded) \(exact)")
    // Fewer probes find fewer, more queries at once the same.
    let queries = Cloud(5, dim: 32, centres: 60, seed: 3).vectors
    #expect(try table.nearest(queries, asked) == queries.map { try table.nearest([$0], asked)[0] })
  }

  @Test func rowsThatCameLaterAndFilters() throws {
    let cloud = Cloud(9000, dim: 16)
    func part(_ range: Range<Int>) throws -> RecordBatch { try cloud.batch().slice(range.lowerBound, range.count) }
    let location = memoryTable()
    try write([try part(0..<6000)], location, rowsPerFile: 2500)
    _ = try location.createIndex(on: "v", options(.ivfFlat))
    try write([try part(6000..<8000)], location, mode: .append)
    let queries = Cloud(4, dim: 16, seed: 6).vectors
    func check(_ rows: Int) throws {
      let table = try LanceTable(location)
      for q in queries {
        #expect(try ids(table, table.nearest([q], query(9))[0].rows) == cloud.nearest(q, .l2, k: 9) { $0 < rows })
        // Filters come before the search, few rows or many.
        for step in [2, 3000] {
          let positions = Array(stride(from: 1, to: rows, by: step))
          let among = try RowSet(table, positions: positions)
          let found = try table.nearest([q], query(9), among: among)[0]
          #expect(try ids(table, found.rows) == cloud.nearest(q, .l2, k: 9) { $0 < rows && $0 % step == 1 })
        }
      }
    }
    try check(8000)
    #expect(try location.optimizeIndices() == 1)
    #expect(try LanceTable(location).indexList()[0].unindexedRows == 0)
    try check(8000)
    try write([try part(8000..<9000)], location, mode: .append)
    try check(9000)
    _ = try location.compact()
    try check(9000)
    #expect(try location.optimizeIndices() == 1)
    try check(9000)
  }

  @Test func oneProbeWithAFilterGoesOnUntilKAreFound() throws {
    let cloud = Cloud(20_000, dim: 8, centres: 40)
    let location = memoryTable()
    try write([try cloud.batch()], location)
    _ = try location.createIndex(on: "v", options(.ivfFlat, partitions: 40))
    let table = try LanceTable(location)
    // Rows of other clusters only: the first partition has none of them.
    let q = cloud.vectors[0]
    let near = Set(cloud.nearest(q, .l2, k: 5000))
    let among = try RowSet(table, positions: (0..<20_000).filter { !near.contains($0) })
    #expect(try table.nearest([q], query(10, probes: 1), among: among)[0].rows.count == 10)
  }

  @Test func theSameSeedAndAnyThreadsGiveTheSameFiles() throws {
    let cloud = Cloud(5000, dim: 16)
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    var files: [[[UInt8]]] = []
    for threads in [1, 2] {
      Parallel.setThreads(threads)
      let location = memoryTable()
      try write([try cloud.batch()], location)
      _ = try location.createIndex(on: "v", options(.ivfPQ))
      let objects = try location.store.list("t.lance/_indices", recursive: true)
      files.append(try objects.map { try location.store.read($0.path).array() })
    }
    #expect(files[0].count == 2 && files[0] == files[1])
  }

  @Test func otherMetricsAreSearchedExactly() throws {
    let cloud = Cloud(1000, dim: 16)
    let location = memoryTable()
    try write([try cloud.batch()], location)
    _ = try location.createIndex(on: "v", options(.ivfPQ, .l2))
    let table = try LanceTable(location)
    var asked = query(5, probes: 1, refine: 0)
    asked.metric = .dot
    let q = Cloud(1, dim: 16, seed: 7).vectors[0]
    #expect(try table.nearest([q], asked)[0].rows == cloud.nearest(q, .dot, k: 5))
  }

  @Test func whatIsWrongIsNamed() throws {
    let location = memoryTable()
    try write([try Cloud(100, dim: 12).batch()], location)
    var asked = options(.ivfPQ)
    asked.subVectors = 5
    #expect(
      failure { _ = try location.createIndex(on: "v", asked) }?.message
        == "subVectors is 5; it must divide the length of the vectors of column 'v', 12")
    let empty = memoryTable()
    try write([try Cloud(3, dim: 4).batch(nulls: [0, 1, 2])], empty)
    #expect(failure { _ = try empty.createIndex(on: "v", options(.ivfFlat)) }?.code == .invalidArgument)
    // Fewer rows than centroids.
    let few = memoryTable()
    try write([try Cloud(7, dim: 4).batch()], few)
    #expect(try few.createIndex(on: "v", options(.ivfPQ)).indexedRows == 7)
    #expect(try LanceTable(few).nearest([Cloud(7, dim: 4).vectors[3]], query(1))[0].rows == [3])
  }

  /// Every byte of the index files flipped: an answer or a failure, never a trap.
  @Test func damagedFilesAreReported() throws {
    let store = MemoryStore()
    let location = TableLocation(store, "t.lance")
    try write([try Cloud(300, dim: 8).batch()], location)
    _ = try location.createIndex(on: "v", options(.ivfPQ, partitions: 3))
    let entry = try #require(try location.store.list("t.lance/_indices", recursive: true).first { $0.name == "index.idx" })
    let bytes = try location.store.read(entry.path).array()
    var failures = 0
    for at in stride(from: 0, to: bytes.count, by: 37) {
      var changed = bytes
      changed[at] ^= 0xFF
      let damaged = try copy(store, entry.path, changed)
      // The cache of open indices goes by name: another name each time.
      let other = TableLocation(damaged, "t\(at).lance")
      try damaged.moveTree("t.lance", to: "t\(at).lance")
      if failure({ _ = try LanceTable(other).nearest([[Float](repeating: 0.5, count: 8)], query(3)) }) != nil { failures += 1 }
    }
    #expect(failures > 0)
  }
}
