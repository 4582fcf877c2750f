import Columnar
import Compute
import Core
import LanceIndex
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Indices exchanged with the official libraries in both directions (pylance 14.0.2, LanceDB 0.40).
@Suite("Interop of indices", .serialized, .enabled(if: PythonScript.interpreter != nil, "MOONLAKE_PYTHON is not set"))
struct InteropTests {
  let location: TableLocation
  let path: JSONValue
  let python: PythonScript

  init() throws {
    let store = try LocalStore(root: temporaryFolder())
    location = TableLocation(store, "t.lance")
    path = .string(store.root + "/t.lance")
    python = try PythonScript("lance_index")
  }

  func options(_ kind: IndexKind, _ metric: VectorMetric = .l2) -> IndexOptions {
    var options = IndexOptions()
    options.kind = kind
    options.metric = metric
    options.partitions = 12
    return options
  }

  func query(_ k: Int, probes: Int = 12, refine: Int = 20, usesIndex: Bool = true, metric: VectorMetric? = nil) -> VectorQuery {
    var query = VectorQuery(column: "v")
    (query.k, query.probes, query.refine, query.usesIndex, query.metric) = (k, probes, refine, usesIndex, metric)
    return query
  }

  func numbers(_ json: JSONValue?) -> [Double] { json?.arrayValue?.compactMap(\.doubleValue) ?? [] }

  /// Vectors near those of the table.
  func queries(_ count: Int, dim: Int) throws -> [[Float]] {
    let table = try LanceTable(location)
    let batch = try table.take((0..<count).map { $0 * 37 }, columns: ["v"]).columns[0]
    let items = batch.items()
    return withExtendedLifetime(items) {
      (0..<count).map { i in (0..<dim).map { items.values(of: Float.self)[i * dim + $0] + 0.01 * Float($0 % 3) } }
    }
  }

  @Test func distancesAreThose() throws {
    try python.call("write", path, 0, 500, 24, "create")
    let table = try LanceTable(location)
    for metric in VectorMetric.allCases {
      for q in try queries(3, dim: 24) {
        let theirs = try python.call(
          "nearest", path, .array(q.map { .double(Double($0)) }), 10, ["use_index": false, "metric": .string(metric.rawValue)])
        let ours = try table.nearest([q], query(10, usesIndex: false, metric: metric))[0]
        #expect(try ids(table, ours.rows) == numbers(theirs.arrayValue?[0]).map { Int($0) }, "\(metric)")
        #expect(zip(ours.distances, numbers(theirs.arrayValue?[1])).allSatisfy { abs(Double($0) - $1) < 1e-4 }, "\(metric)")
      }
    }
  }

  /// Filters in SQL, and the same for us.
  func filters() throws -> [(String, Condition)] {
    [
      ("n = 2512", Condition(column: "n", op: .equal, value: try .int64([2512]))),
      ("n >= 4000", Condition(column: "n", op: .greaterOrEqual, value: try .int64([4000]))),
      ("x < 3.5", Condition(column: "x", op: .less, value: try .float64([3.5]))),
      ("s = 'k91'", Condition(column: "s", op: .equal, value: try .utf8(["k91"]))),
      ("s > 'k97'", Condition(column: "s", op: .greater, value: try .utf8(["k97"]))),
    ]
  }

  @Test(arguments: [IndexKind.btree, .bitmap]) func ourScalarIndicesAreTheirs(_ kind: IndexKind) throws {
    try python.call("write", path, 0, 9000, 8, "create")
    for column in ["n", "x", "s"] { _ = try location.createIndex(on: column, options(kind)) }
    try python.call("delete", path, "id % 40 = 3")
    for (sql, _) in try filters() {
      #expect(try python.call("plan", path, .string(sql)) == python.call("ids", path, .string(sql)), "\(sql)")
    }
    #expect(try python.call("plan", path, "n IS NULL") == python.call("ids", path, "n IS NULL"))
    // Their appends, their optimisation and their compaction of our index; ours again of theirs.
    try python.call("write", path, 9000, 700, 8, "append")
    try python.call("optimize", path)
    #expect(try LanceTable(location).indexList().map(\.unindexedRows) == [0, 0, 0])
    try python.call("compact", path)
    for (sql, condition) in try filters() {
      let expected = try python.call("ids", path, .string(sql))
      #expect(try python.call("plan", path, .string(sql)) == expected, "\(sql)")
      let table = try LanceTable(location)
      if let rows = try table.rows(matching: condition.query, share: 1) {
        let found = try rows.live.flatMap { f, live in try ids(table, live.map { table.firstRow(fragment: f) + Int($0) }) }
          .sorted()
        #expect(found.map { Double($0) } == numbers(expected), "\(sql)")
      }
    }
    try python.call("write", path, 9700, 300, 8, "append")
    #expect(try location.optimizeIndices() == 3)
    for (sql, _) in try filters() {
      #expect(try python.call("plan", path, .string(sql)) == python.call("ids", path, .string(sql)), "\(sql)")
    }
    #expect(try python.call("statistics", path, "n_idx").arrayValue?[2] == 0)
  }

  @Test(arguments: [IndexKind.btree, .bitmap]) func theirScalarIndicesAreOurs(_ kind: IndexKind) throws {
    try python.call("write", path, 0, 9000, 8, "create")
    for column in ["n", "x", "s"] { try python.call("index", path, .string(column), .string(kind.name), [:]) }
    try python.call("delete", path, "id % 40 = 3")
    try python.call("write", path, 9000, 100, 8, "append")
    let table = try LanceTable(location)
    #expect(try table.indexList().map(\.kind) == [kind, kind, kind])
    for (sql, condition) in try filters() {
      let rows = try #require(try table.rows(matching: condition.query, share: 1), "\(sql)")
      #expect(rows.live.count == 3)
      let found = try rows.live.flatMap { f, live in try ids(table, live.map { table.firstRow(fragment: f) + Int($0) }) }
      let expected = numbers(try python.call("ids", path, .string(sql))).filter { $0 < 9000 }
      #expect(found.sorted().map { Double($0) } == expected, "\(sql)")
    }
  }

  @Test(arguments: [IndexKind.ivfFlat, .ivfPQ], VectorMetric.allCases)
  func ourVectorIndicesAreTheirs(_ kind: IndexKind, _ metric: VectorMetric) throws {
    try python.call("write", path, 0, 6000, 32, "create")
    let info = try location.createIndex(on: "v", options(kind, metric))
    #expect(info.indexedRows == 6000)
    func check(_ what: String, share: Double) throws {
      let table = try LanceTable(location)
      var (found, wanted) = (0, 0)
      for q in try queries(10, dim: 32) {
        let json = JSONValue.array(q.map { .double(Double($0)) })
        let theirs = try python.call(
          "nearest", path, json, 10, ["nprobes": 12, "refine_factor": 20, "metric": .string(metric.rawValue)])
        let exact = try table.nearest([q], query(10, usesIndex: false, metric: metric))[0]
        wanted += 10
        found += Set(numbers(theirs.arrayValue?[0]).map { Int($0) }).intersection(try ids(table, exact.rows)).count
      }
      #expect(Double(found) >= share * Double(wanted), "\(what): \(found) of \(wanted)")
    }
    try check("built", share: 0.97)
    try python.call("delete", path, "id % 40 = 3")
    try python.call("write", path, 6000, 500, 32, "append")
    try check("appended", share: 0.97)
    try python.call("optimize", path)
    #expect(try LanceTable(location).indexList()[0].unindexedRows == 0)
    try check("optimised", share: 0.97)
    #expect(try LanceTable(location).recall(query(10), sample: 20).recall > 0.97)
    try python.call("compact", path)
    try check("compacted", share: 0.97)
    try python.call("write", path, 6500, 500, 32, "append")
    #expect(try location.optimizeIndices() == 1)
    try check("our delta", share: 0.97)
    #expect(try python.call("check", path) == .int(Int64(try LanceTable(location).rowCount)))
  }

  @Test(arguments: [IndexKind.ivfFlat, .ivfPQ], VectorMetric.allCases)
  func theirVectorIndicesAreOurs(_ kind: IndexKind, _ metric: VectorMetric) throws {
    try python.call("write", path, 0, 6000, 32, "create")
    var more: JSONObject = ["num_partitions": 12, "metric": .string(metric.rawValue)]
    if kind == .ivfPQ { more["num_sub_vectors"] = 4 }
    try python.call("index", path, "v", .string(kind.name), .object(more))
    try python.call("write", path, 6000, 100, 32, "append")
    let table = try LanceTable(location)
    let info = try table.indexList()[0]
    #expect(info.kind == kind && info.metric == metric && info.isUsable && info.unindexedRows == 100)
    #expect(try table.recall(query(10, refine: 30), sample: 30).recall > 0.97)
    // The codes rank rows as they do there: they measure the k best of the codes again, as a refine of 1 does here.
    var (same, all) = (0, 0)
    for q in try queries(10, dim: 32) {
      let json = JSONValue.array(q.map { .double(Double($0)) })
      let theirs = numbers(try python.call("nearest", path, json, 5, ["nprobes": 12]).arrayValue?[0]).map { Int($0) }
      same += Set(try ids(table, table.nearest([q], query(5, refine: 1))[0].rows)).intersection(theirs).count
      all += 5
    }
    #expect(Double(same) >= 0.94 * Double(all), "\(same) of \(all)")
    // Appended to by us.
    #expect(try location.optimizeIndices() == 1)
    #expect(try LanceTable(location).recall(query(10, refine: 30), sample: 30).recall > 0.97)
    #expect(try python.call("statistics", path, "v_idx").arrayValue?[2] == 0)
  }

  @Test func lanceDBUsesOurs() throws {
    try python.call("write", path, 0, 6000, 32, "create")
    _ = try location.createIndex(on: "v", options(.ivfPQ))
    _ = try location.createIndex(on: "n", options(.btree))
    let q = try queries(1, dim: 32)[0]
    let answer = try python.call("lancedb", path, .array(q.map { .double(Double($0)) }), 10, "n < 4000")
    #expect(answer.arrayValue?[0] == ["n_idx", "v_idx"])
    let table = try LanceTable(location)
    let condition = Condition(column: "n", op: .less, value: try .int64([4000]))
    let among = try RowSet(table, positions: condition.plain(table))
    let exact = try ids(table, table.nearest([q], query(10, usesIndex: false), among: among)[0].rows)
    #expect(Set(numbers(answer.arrayValue?[1]).map { Int($0) }).intersection(exact).count >= 9)
  }

  @Test func kindsThatAreNotKnownHereAreKept() throws {
    try python.call("write", path, 0, 3000, 32, "create")
    try python.call("index", path, "v", "IVF_HNSW_SQ", ["num_partitions": 4])
    try python.call("index", path, "s", "INVERTED", [:])
    let before = try python.call("indices", path)
    let word = try python.call("fts", path, "k91")
    #expect(try LanceTable(location).indexList().map(\.kind) == [.other("IVF_HNSW_SQ"), .other("INVERTED")])
    #expect(try LanceTable(location).indexList().allSatisfy { !$0.isUsable })
    // Our commits keep them; a search goes row by row.
    let table = try LanceTable(location)
    try LanceTable.write(
      InMemoryReader(schema: table.schema, [try table.take(Array(0..<10))]), to: location, mode: .append)
    try delete(location) { $0 == 2999 }
    _ = try location.createIndex(on: "n", options(.btree))
    #expect(try location.optimizeIndices() == 0)
    let after = try python.call("indices", path)
    #expect(after.arrayValue?.filter { $0.arrayValue?[0] != "n_idx" } == before.arrayValue)
    #expect(try !word.arrayValue!.isEmpty && python.call("fts", path, "k91").arrayValue!.count >= word.arrayValue!.count)
    let q = try queries(1, dim: 32)[0]
    #expect(
      try python.call("nearest", path, .array(q.map { .double(Double($0)) }), 5, ["nprobes": 4]).arrayValue?[0].arrayValue?
        .count
        == 5)
    #expect(try LanceTable(location).nearest([q], query(5)) == LanceTable(location).nearest([q], query(5, usesIndex: false)))
  }
}
