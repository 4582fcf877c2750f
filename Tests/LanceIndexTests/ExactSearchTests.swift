import Columnar
import Core
import LanceIndex
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Exact search")
struct ExactSearchTests {
  func query(_ k: Int, _ metric: VectorMetric = .l2) -> VectorQuery {
    var query = VectorQuery(column: "v")
    query.k = k
    query.metric = metric
    return query
  }

  @Test(arguments: VectorMetric.allCases, [DataType.float32, .float64, .float16])
  func isThePlainAnswer(_ metric: VectorMetric, _ element: DataType) throws {
    for dim in [3, 33, 96] {
      let cloud = Cloud(3000, dim: dim)
      let location = memoryTable()
      try write([try cloud.batch(element: element)], location, rowsPerFile: 1300)
      let table = try LanceTable(location)
      let queries = Cloud(6, dim: dim, seed: 9).vectors
      // One by one, and as one matrix product.
      let single = try queries.map { try table.nearest([$0], query(10, metric))[0] }
      #expect(try table.nearest(queries, query(10, metric)).map(\.rows) == single.map(\.rows))
      if element != .float16 { #expect(single.map(\.rows) == queries.map { cloud.nearest($0, metric, k: 10) }) }
      #expect(single.allSatisfy { zip($0.distances, $0.distances.dropFirst()).allSatisfy { $0 <= $1 } })
    }
  }

  @Test func deletedRowsNullsAndTies() throws {
    let cloud = Cloud(2000, dim: 8)
    let location = memoryTable()
    let nulls: Set<Int> = [5, 700, 1999]
    try write([try cloud.batch(nulls: nulls)], location, rowsPerFile: 900)
    try delete(location) { $0 % 3 == 0 }
    let table = try LanceTable(location)
    for q in Cloud(3, dim: 8, seed: 3).vectors {
      let found = try table.nearest([q], query(20))[0]
      #expect(try ids(table, found.rows) == cloud.nearest(q, .l2, k: 20) { $0 % 3 != 0 && !nulls.contains($0) })
    }
    // Equal vectors come in table order, and k above the number of rows gives all of them.
    let equal = memoryTable()
    try write(
      [try Cloud(1, dim: 4).batch(), try Cloud(1, dim: 4).batch(first: 1), try Cloud(1, dim: 4).batch(first: 2)], equal)
    #expect(try LanceTable(equal).nearest([[0, 0, 0, 0]], query(50))[0].rows == [0, 1, 2])
  }

  @Test func threadsDoNotMatter() throws {
    let cloud = Cloud(70_000, dim: 16)
    let location = memoryTable()
    try write([try cloud.batch()], location)
    let table = try LanceTable(location)
    let queries = Cloud(5, dim: 16, seed: 4).vectors
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    Parallel.setThreads(1)
    let one = (try table.nearest([queries[0]], query(100)), try table.nearest(queries, query(100)))
    Parallel.setThreads(2)
    let two = (try table.nearest([queries[0]], query(100)), try table.nearest(queries, query(100)))
    #expect(one.0 == two.0 && one.1 == two.1)
  }

  @Test func onlyAmongTheRowsAskedFor() throws {
    let cloud = Cloud(5000, dim: 12)
    let location = memoryTable()
    try write([try cloud.batch()], location, rowsPerFile: 2000)
    try delete(location) { $0 % 5 == 1 }
    let table = try LanceTable(location)
    let live = (0..<5000).filter { $0 % 5 != 1 }
    for step in [2, 40, 1000] {
      let positions = Array(stride(from: 0, to: table.rowCount, by: step))
      let allowed = Set(positions.map { live[$0] })
      let q = Cloud(1, dim: 12, seed: 8).vectors[0]
      let found = try table.nearest([q], query(7), among: try RowSet(table, positions: positions))[0]
      #expect(try ids(table, found.rows) == cloud.nearest(q, .l2, k: 7) { allowed.contains($0) })
    }
    #expect(try table.nearest([cloud.vectors[0]], query(7), among: try RowSet(table, positions: []))[0].rows == [])
  }

  @Test func whatIsWrongIsNamed() throws {
    let location = memoryTable()
    try write([try Cloud(10, dim: 4).batch()], location)
    let table = try LanceTable(location)
    #expect(failure { _ = try table.nearest([[1, 2]], query(1)) }?.code == .shapeMismatch)
    #expect(
      failure { _ = try table.nearest([[1, 2, 3, .nan]], query(1)) }?.message
        == "the query holds a number that is not finite (NaN or infinity)")
    #expect(
      failure { _ = try table.nearest([[1, 2, 3, 4]], query(0)) }?.message == "k is 0; 1 to 1048576 rows can be asked for")
    #expect(failure { _ = try table.nearest([[1]], VectorQuery(column: "id")) }?.code == .typeMismatch)
    #expect(failure { _ = try table.nearest([[1]], VectorQuery(column: "w")) }?.code == .columnNotFound)
  }
}
