import Columnar
import Compute
import Core
import Engine
import Plan
import Testing

struct Repeatable {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func int(_ range: ClosedRange<Int64>) -> Int64 {
    range.lowerBound + Int64(next() % UInt64(range.upperBound - range.lowerBound + 1))
  }
}

func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no failure"
  } catch {
    return (error as? Failure).map { f in "\(f.code): \(f.message)" + (f.place.map { " (\($0))" } ?? "") } ?? "\(error)"
  }
}

/// Rows of a batch as JSON texts.
func rows(_ batch: RecordBatch) -> [String] { (0..<batch.count).map { JSONValue.object(batch.json(row: $0)).text() } }

let rowCount = 200_000
struct Row {
  var k: Int64?
  var g: String
  var x: Double?
}
func makeData() -> [Row] {
  var random = Repeatable(state: 11)
  let names = ["a", "b", "c", "dd", ""]
  var out: [Row] = []
  for _ in 0..<rowCount {
    let k: Int64? = random.int(0...99) < 5 ? nil : random.int(0...999)
    let g = names[Int(random.int(0...4))]
    let x: Double? = random.int(0...99) < 5 ? nil : Double(random.int(-1000...1000)) / 8
    out.append(Row(k: k, g: g, x: x))
  }
  return out
}
let data = makeData()

@Suite(.serialized) struct ExecutionTests {
  static func table(_ rows: [Row], batches: Int = 3) throws -> LogicalPlan {
    let columns = [
      try Column.int64(rows.map(\.k)), try Column.utf8(rows.map(\.g)), try Column.float64(rows.map(\.x)),
    ]
    let schema = Schema([Field("k", .int64), Field("g", .utf8), Field("x", .float64)])
    let whole = try RecordBatch(schema: schema, columns: columns)
    let step = (rows.count + batches - 1) / batches
    let parts = stride(from: 0, to: rows.count, by: max(1, step)).map { whole.slice($0, min(step, rows.count - $0)) }
    return .scan(MemoryTable(parts, schema: schema))
  }

  func run(_ plan: LogicalPlan, optimise: Bool = true) throws -> RecordBatch {
    try Execution(plan, optimise: optimise).collect()
  }
  func col(_ name: String) -> Expr { .column(name) }
  func int(_ i: Int64) -> Expr { .literal(.int(i)) }

  @Test func filterProjectLimitKeepOrder() throws {
    let plan = try Self.table(data).rowIndex("i", start: 1)
      .with([NamedExpr("y", .arithmetic(.multiply, col("x"), int(2)))])
      .filter(.and(.compare(.greater, col("y"), int(100)), .compare(.equal, col("g"), .literal(.string("dd")))))
      .project([.column("i"), .column("y")])
    var expected: [(Int64, Double)] = []
    for (i, row) in data.enumerated() {
      if let x = row.x, x * 2 > 100, row.g == "dd" { expected.append((Int64(i + 1), x * 2)) }
    }
    let got = try run(plan)
    withExtendedLifetime(got) {
      #expect(Array(got.columns[0].values(of: Int64.self)) == expected.map(\.0))
      #expect(Array(got.columns[1].values(of: Double.self)) == expected.map(\.1))
    }
    let part = try run(try plan.limit(1000, offset: 777))
    #expect(Array(part.columns[0].values(of: Int64.self)) == expected[777..<1777].map(\.0))
    #expect(rows(try run(plan.limit(50), optimise: false)) == rows(try run(plan.limit(50))))
  }

  /// The same bytes with 1, 2 and 5 threads, and with the optimiser off.
  @Test func resultsDoNotDependOnThreads() throws {
    let table = try Self.table(data)
    let plan = try table.filter(.function(.isNotNull, [col("k")]))
      .aggregate(
        keys: [.column("k"), .column("g")],
        [
          NamedExpr("n", .aggregate(.count, nil)), NamedExpr("sum", .aggregate(.sum, col("x"))),
          NamedExpr("mean", .aggregate(.mean, col("x"))), NamedExpr("std", .aggregate(.std, col("x"))),
          NamedExpr("median", .aggregate(.median, col("x"))), NamedExpr("first", .aggregate(.first, col("x"))),
        ]
      )
      .join(try table.limit(3000), leftOn: [col("k")], rightOn: [col("k")], kind: .left)
      .sort([SortKey(col("g")), SortKey(col("x"), descending: true)])
    let old = Parallel.threads
    defer { Parallel.setThreads(old) }
    var results: [[String]] = []
    for threads in [1, 2, 5] {
      Parallel.setThreads(threads)
      results.append(rows(try run(plan)))
    }
    #expect(results[0].count > 5000)
    #expect(results[0] == results[1] && results[1] == results[2])
    #expect(rows(try run(plan, optimise: false)) == results[0])
  }

  @Test func groupsEqualADictionary() throws {
    let plan = try Self.table(data).aggregate(
      keys: [.column("k"), .column("g")],
      [
        NamedExpr("n", .aggregate(.count, col("x"))), NamedExpr("sum", .aggregate(.sum, col("x"))),
        NamedExpr("max", .aggregate(.max, col("x"))),
      ])
    struct Key: Hashable { var k: Int64?, g: String }
    var order: [Key] = []
    var sums: [Key: (Int64, Double, Double?)] = [:]
    for row in data {
      let key = Key(k: row.k, g: row.g)
      if sums[key] == nil { order.append(key) }
      var state = sums[key] ?? (0, 0, nil)
      if let x = row.x { state = (state.0 + 1, state.1 + x, max(state.2 ?? x, x)) }
      sums[key] = state
    }
    let got = try run(plan)
    #expect(got.count == order.count)
    for (i, key) in order.enumerated() {
      let (n, sum, most) = sums[key] ?? (0, 0, nil)
      #expect(got.columns[0].json(i) == (key.k.map { .int($0) } ?? .null) && got.columns[1].json(i) == .string(key.g))
      #expect(
        got.columns[2].json(i) == .int(n) && got.columns[3].json(i).doubleValue == sum
          && got.columns[4].json(i).doubleValue == most)
    }
    // Without keys: one row, also over nothing.
    let none = try run(
      try Self.table([]).aggregate(
        keys: [], [NamedExpr("n", .aggregate(.count, nil)), NamedExpr("s", .aggregate(.sum, col("x")))]))
    #expect(rows(none) == [#"{"n":0,"s":0}"#])
    #expect(try run(try Self.table([]).aggregate(keys: [.column("g")], [NamedExpr("n", .aggregate(.count, nil))])).count == 0)
  }

  @Test(arguments: Join.Kind.allCases) func joinsEqualNestedLoops(_ kind: Join.Kind) throws {
    let left = Array(data[0..<600]), right = Array(data[1000..<1500])
    let other = try Self.table(right, batches: 2).with([NamedExpr("k", .cast(col("k"), .int16, lenient: false))])
    let plan = try Self.table(left, batches: 5).join(
      other, leftOn: [col("k"), col("g")], rightOn: [col("k"), col("g")], kind: kind)
    #expect(plan.schema.names == ["k", "g", "x", "x_right"])
    var expected: [[Double?]] = []
    var keys: [Int64?] = []
    for l in left {
      let partners = l.k == nil ? [] : right.filter { $0.k == l.k && $0.g == l.g }
      for r in partners {
        expected.append([l.x, r.x])
        keys.append(l.k)
      }
      if partners.isEmpty, kind == .left {
        expected.append([l.x, nil])
        keys.append(l.k)
      }
    }
    let got = try run(plan)
    #expect(got.count == expected.count)
    for i in 0..<got.count {
      #expect([got.columns[2].json(i).doubleValue, got.columns[3].json(i).doubleValue] == expected[i], "row \(i)")
      #expect(got.columns[0].json(i).intValue == keys[i])
    }
  }

  @Test func aJoinOfManyPartnersStaysInBatches() throws {
    let left = try Self.table(Array(data[0..<2000])).with([NamedExpr("one", int(1))])
    let right = try Self.table(Array(data[0..<500])).with([NamedExpr("one", int(1))]).project([.column("one"), .column("g")])
    let plan = try left.join(right, leftOn: [col("one")], rightOn: [col("one")], kind: .inner)
    let execution = try Execution(plan)
    var total = 0
    while let batch = try execution.next() {
      #expect(batch.count <= 65536)
      total += batch.count
    }
    #expect(total == 1_000_000)
  }

  @Test func sortDistinctConcat() throws {
    let some = Array(data[0..<5000])
    let sorted = try run(try Self.table(some).sort([SortKey(col("k"), descending: true), SortKey(col("g"))]))
    let expected = some.indices.sorted { i, j in
      let (a, b) = (some[i], some[j])
      if a.k != b.k { return a.k == nil ? false : b.k == nil ? true : (a.k ?? 0) > (b.k ?? 0) }
      return a.g != b.g ? Array(a.g.utf8).lexicographicallyPrecedes(Array(b.g.utf8)) : i < j
    }
    for (row, i) in expected.enumerated() { #expect(sorted.columns[2].json(row).doubleValue == some[i].x) }
    let distinct = try run(try Self.table(some, batches: 7).distinct(on: ["k"]))
    var seen: Set<Int64?> = []
    let firsts = some.filter { seen.insert($0.k).inserted }
    #expect(distinct.count == firsts.count)
    for (row, one) in firsts.enumerated() { #expect(distinct.columns[2].json(row).doubleValue == one.x) }
    let both = try run(
      try .concat([try Self.table(some), try Self.table(some).with([NamedExpr("k", .cast(col("k"), .int32, lenient: false))])]))
    #expect(both.count == 10000 && both.schema.fields[0].type == .int64)
    #expect(both.columns[0].json(5001) == both.columns[0].json(1))
  }

  @Test func failuresNameTheRowOfTheSource() throws {
    let values = (0..<150_000).map { Int64($0 == 123_456 ? 300 : $0 % 200) }
    let batch = try RecordBatch(["v": try .int64(values)])
    let plan = try LogicalPlan.scan(MemoryTable([batch], schema: batch.schema, label: "numbers"))
      .filter(.compare(.notEqual, col("v"), int(5)))
      .rowIndex("i", start: 0)
      .project([NamedExpr("w", .arithmetic(.add, .cast(col("v"), .uint8, lenient: false), int(1)))])
    #expect(
      message { _ = try run(plan) } == "INVALID_ARGUMENT: v.cast(UInt8): 300 does not fit UInt8 (row 123457 of numbers)")
    let checked = try LogicalPlan.scan(MemoryTable([batch], schema: batch.schema, label: "numbers"))
      .check("small", .compare(.less, col("v"), int(250)), .fail)
    #expect(
      message { _ = try run(checked) }
        == #"CHECK_FAILED: check 'small' failed: v < 250 is not true for {"v":300} (row 123457 of numbers)"#)
  }

  @Test func checksCount() throws {
    let table = try Self.table(data)
    let positive = Expr.compare(.greaterOrEqual, col("x"), int(0))
    let wrong = data.filter { !($0.x ?? -1 >= 0) }.count
    let dropping = try Execution(try table.check("positive", positive, .drop))
    #expect(try dropping.collect().count == rowCount - wrong)
    #expect(dropping.checks == [CheckResult(name: "positive", action: .drop, checked: rowCount, violations: wrong)])
    let flagging = try Execution(try table.check("negative", positive, .flag))
    let flags = try flagging.collect().columns[3]
    #expect((0..<rowCount).count { flags.bool($0) } == wrong && flags.nullCount == 0)
    #expect(flagging.checks == [CheckResult(name: "negative", action: .flag, checked: rowCount, violations: wrong)])
  }
}
