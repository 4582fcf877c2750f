import Columnar
import Compute
import Core
import Plan
import Testing

/// A source that takes filters on column `day`, as a partitioned table would.
final class Partitioned: TableSource {
  let schema: Schema
  var label: String { "days" }
  var rowCount: Int? { nil }
  init(_ fields: [Field]) { schema = Schema(fields) }
  func accepts(_ filter: Expr) -> Bool { filter.columns == ["day"] }
  func scan(_ request: ScanRequest) throws(Failure) -> any TableScan { throw Failure(.unsupported, "only planned") }
}

func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no failure"
  } catch { return (error as? Failure).map { "\($0.code): \($0.message)" } ?? "\(error)" }
}

@Suite struct OptimizerTests {
  let table = LogicalPlan.scan(
    MemoryTable(
      [],
      schema: Schema([Field("id", .int64), Field("label", .uint8), Field("image", .vector(.uint8, 4)), Field("split", .utf8)])))
  let days = LogicalPlan.scan(Partitioned([Field("id", .int32), Field("day", .date32), Field("amount", .float64)]))

  func col(_ name: String) -> Expr { .column(name) }
  func int(_ i: Int64) -> Expr { .literal(.int(i)) }

  @Test func theCleaningOfMNIST() throws {
    let plan = try LogicalPlan.concat([table, table]).rowIndex("index", start: 0)
      .with([
        NamedExpr("image", .arithmetic(.divide, .cast(col("image"), .float32, lenient: false), int(255))),
        NamedExpr("label", .cast(col("label"), .int64, lenient: false)),
      ])
      .check("label_range", .function(.between, [col("label"), int(0), int(9)]), .drop)
    #expect(
      plan.explain() == """
        check label_range: label.between(0, 9), else drop
          project index, id, label = label.cast(Int64), image = image.cast(Float32) / 255, split
            row index index from 0
              concat
                scan memory: id, label, image, split
                scan memory: id, label, image, split
        """)
    #expect(
      plan.schema.fields.map { "\($0.name): \($0.type)" } == [
        "index: Int64", "id: Int64", "label: Int64", "image: FixedSizeList[Float32, 4]", "split: String",
      ])
    let counted = try plan.aggregate(keys: [.column("split")], [NamedExpr("n", .aggregate(.count, nil))])
    #expect(
      try counted.optimized().explain() == """
        aggregate n = count() by split
          check label_range: label.between(0, 9), else drop
            project label = label.cast(Int64), split
              concat
                scan memory: label, split
                scan memory: label, split
        """)
  }

  @Test func filtersMoveDown() throws {
    let plan = try days.with([
      NamedExpr("day", .alias(col("day"), "day")), NamedExpr("double", .arithmetic(.multiply, col("amount"), int(2))),
    ])
    .sort([SortKey(col("id"))])
    .filter(.and(.compare(.equal, col("day"), .literal(.string("2024-01-01"))), .compare(.greater, col("double"), int(10))))
    .filter(.compare(.less, col("id"), int(5)))
    #expect(
      plan.explain() == """
        filter id < 5
          filter day == '2024-01-01' & double > 10
            sort id
              project id, day = day, amount, double = amount * 2
                scan days: id, day, amount
        """)
    #expect(
      try PredicatePushdown.apply(plan).explain() == """
        sort id
          filter double > 10
            project id, day = day, amount, double = amount * 2
              filter id < 5
                scan days: id, day, amount; filter day == '2024-01-01'
        """)
  }

  @Test func filtersStopWhereRowsAreCounted() throws {
    let small = Expr.compare(.less, col("id"), int(3))
    for (plan, text) in [
      (try table.limit(10).filter(small), "filter id < 3\n  limit 10\n    scan memory: id, label, image, split; limit 10"),
      (
        try table.rowIndex("row", start: 1).filter(small),
        "filter id < 3\n  row index row from 1\n    scan memory: id, label, image, split"
      ),
      (
        try table.check("c", small, .flag).filter(small),
        "filter id < 3\n  check c: id < 3, else flag\n    scan memory: id, label, image, split"
      ),
      (
        try table.distinct(on: ["label"]).filter(small),
        "filter id < 3\n  distinct on label\n    scan memory: id, label, image, split"
      ),
      (
        try table.distinct(on: ["id"]).filter(small),
        "distinct on id\n  filter id < 3\n    scan memory: id, label, image, split"
      ),
    ] { #expect(try plan.optimized().explain() == text) }
  }

  @Test func filtersAndColumnsOfJoinsAndGroups() throws {
    let joined = try days.join(table, leftOn: [col("id")], rightOn: [col("id")], kind: .inner)
      .filter(.and(.compare(.greater, col("label"), int(3)), .compare(.less, col("amount"), int(100))))
      .aggregate(
        keys: [.column("split")],
        [
          NamedExpr("mean", .aggregate(.mean, col("amount"))),
          NamedExpr("share", .arithmetic(.divide, .aggregate(.sum, col("label")), .aggregate(.count, nil))),
        ]
      )
      .filter(.compare(.equal, col("split"), .literal(.string("train"))))
    #expect(
      try joined.optimized().explain() == """
        project split, mean, share = __share_1 / __share_2
          aggregate mean = amount.mean(), __share_1 = label.sum(), __share_2 = count() by split
            inner join on id
              filter amount < 100
                scan days: id, amount
              filter label > 3 & split == 'train'
                scan memory: id, label, split
        """)
    let left = try days.join(table, leftOn: [col("id")], rightOn: [col("id")], kind: .left)
      .filter(.compare(.greater, col("label"), int(3)))
    #expect(
      try left.optimized().explain() == """
        filter label > 3
          left join on id
            scan days: id, day, amount
            scan memory: id, label, image, split
        """)
  }

  @Test func limitsMoveDown() throws {
    let plan = try LogicalPlan.concat([table, table]).project([.column("id")]).limit(20, offset: 3).limit(5, offset: 2)
    #expect(
      try plan.optimized().explain() == """
        limit 5 offset 5
          concat
            limit 10
              scan memory: id; limit 10
            limit 10
              scan memory: id; limit 10
        """)
    #expect(
      try table.sort([SortKey(col("id"))]).limit(3).project([.column("id")]).optimized().explain() == """
        limit 3
          sort id
            scan memory: id
        """)
  }

  @Test func constantsAreComputed() throws {
    let always = try table.filter(.or(.compare(.less, int(1), int(2)), .compare(.equal, col("id"), int(1))))
    #expect(try always.optimized().explain() == "scan memory: id, label, image, split")
    let never = try table.filter(.and(.compare(.less, int(2), int(1)), .compare(.equal, col("id"), int(1))))
    #expect(try never.optimized().explain() == "limit 0\n  scan memory: id, label, image, split; limit 0")
    let sum = try table.project([NamedExpr("x", .arithmetic(.add, col("id"), .arithmetic(.multiply, int(2), int(3))))])
    #expect(try ConstantFolding.apply(sum).explain() == "project x = id + 6\n  scan memory: id, label, image, split")
    // What fails is left for the run.
    let over = try table.project([NamedExpr("x", .arithmetic(.multiply, int(.max), int(2)))])
    #expect(try ConstantFolding.apply(over).explain().hasPrefix("project x = 9223372036854775807 * 2"))
  }

  @Test func mistakesAreNamed() {
    #expect(
      message { _ = try table.filter(.compare(.equal, col("lable"), int(1))) }
        == "COLUMN_NOT_FOUND: column 'lable'; did you mean 'label'? columns are: id, label, image, split")
    #expect(
      message { _ = try table.filter(.arithmetic(.add, col("id"), int(1))) }
        == "TYPE_MISMATCH: id + 1: a filter must be Boolean, this is Int64")
    #expect(
      message { _ = try table.project([NamedExpr("x", .arithmetic(.add, col("id"), col("split")))]) }
        == "TYPE_MISMATCH: id + split: Int64 + String is not possible")
    #expect(
      message { _ = try table.filter(.compare(.equal, col("split"), int(1))) }
        == "TYPE_MISMATCH: split == 1: String == Int64 is not possible")
    #expect(
      message { _ = try table.filter(.and(col("id"), col("id"))) }
        == "TYPE_MISMATCH: id & id: both sides must be Boolean, but id is Int64")
    #expect(
      message { _ = try table.project([NamedExpr("x", .cast(col("image"), .date32, lenient: false))]) }
        == "TYPE_MISMATCH: image.cast(Date): FixedSizeList[UInt8, 4] cannot be cast to Date")
    #expect(
      message { _ = try table.project([NamedExpr("x", .aggregate(.sum, col("id")))]) }
        == "TYPE_MISMATCH: id.sum(): an aggregate can only stand in agg { ... }")
    #expect(
      message { _ = try table.aggregate(keys: [], [NamedExpr("x", col("id"))]) }
        == "TYPE_MISMATCH: id: agg needs an aggregate such as sum() or mean() for 'x'")
    #expect(
      message { _ = try table.aggregate(keys: [], [NamedExpr("x", .aggregate(.mean, col("split")))]) }
        == "TYPE_MISMATCH: split.mean(): mean does not take String values")
    #expect(
      message { _ = try table.join(days, leftOn: [col("split")], rightOn: [col("id")], kind: .inner) }
        == "TYPE_MISMATCH: join: split is String on the left and id is Int32 on the right; cast one of them")
    #expect(
      message { _ = try LogicalPlan.concat([table, days]) }.hasPrefix(
        "INVALID_SCHEMA: concat: frame 2 has a column 'day'; columns of frame 1 are:"))
    #expect(
      message { _ = try table.sort([SortKey(col("image"))]) }
        == "TYPE_MISMATCH: image: FixedSizeList[UInt8, 4] values cannot be sorted")
    #expect(
      message { _ = try table.check("c", col("id"), .drop) } == "TYPE_MISMATCH: check 'c': id must be Boolean, this is Int64")
    #expect(
      message { _ = try table.project([.column("id"), NamedExpr("id", col("label"))]) }
        == "INVALID_SCHEMA: two columns are named 'id'")
    #expect(
      message {
        _ = try table.project([
          NamedExpr("x", .when([.init(.compare(.equal, col("id"), int(1)), col("split"))], otherwise: int(3)))
        ])
      }
        == "TYPE_MISMATCH: when(id == 1, split).otherwise(3): the values are String and Int64; cast them to one type")
  }

  @Test func constantsAdaptToColumns() throws {
    func type(_ e: Expr) throws -> DataType {
      try e.type(in: Schema([Field("u8", .uint8), Field("f32", .float32), Field("i32", .int32), Field("d", .date32)]))
    }
    #expect(try type(.arithmetic(.add, col("u8"), int(1))) == .uint8)
    #expect(try type(.arithmetic(.add, col("u8"), int(300))) == .int64)
    #expect(try type(.arithmetic(.divide, col("f32"), int(255))) == .float32)
    #expect(try type(.arithmetic(.multiply, col("f32"), .literal(.double(0.1)))) == .float32)
    #expect(try type(.arithmetic(.multiply, col("i32"), .literal(.double(0.1)))) == .float64)
    #expect(try type(.compare(.less, col("d"), .literal(.string("2024-01-01")))) == .bool)
    #expect(try type(.when([.init(.compare(.less, col("u8"), int(3)), int(1))], otherwise: col("f32"))) == .float32)
    #expect(try type(.function(.coalesce, [col("u8"), int(0)])) == .uint8)
  }
}
