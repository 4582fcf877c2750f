import Columnar
import Compute
import Core
import DataFrames
import Foundation
import Plan
import Testing

/// Frames against results of Polars and DuckDB (Tests/golden/make_frame_golden.py).
@Suite struct FrameGoldenTests {
  let golden: JSONValue
  let sales: Frame
  let kinds: Frame

  init() throws {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let bytes = try Data(contentsOf: tests.appendingPathComponent("golden/frame_golden.json"))
    let golden = try JSONValue(parsing: Array(bytes))
    func column(_ table: String, _ name: String, _ type: DataType) throws -> (name: String, column: Column) {
      (name, try JSONColumns.column(golden[table]?[name]?.arrayValue ?? [], type))
    }
    self.golden = golden
    sales = try Frame(columns: [
      column("sales", "id", .int64), column("sales", "shop", .utf8), column("sales", "kind", .int64),
      column("sales", "amount", .float64), column("sales", "paid", .bool),
    ])
    kinds = try Frame(columns: [column("kinds", "kind", .int64), column("kinds", "label", .utf8)])
  }

  func col(_ name: String) -> Expr { .column(name) }
  func int(_ i: Int64) -> Expr { .literal(.int(i)) }
  func text(_ s: String) -> Expr { .literal(.string(s)) }
  func agg(_ name: String, _ aggregate: Aggregate, _ column: String?) -> NamedExpr {
    NamedExpr(name, .aggregate(aggregate, column.map { .column($0) }))
  }

  /// Rows in order; floats to 1e-12 of their size.
  func expect(_ frame: Frame, equals name: String) throws {
    let batch = try frame.collect()
    let expected = golden["cases"]?[name]?.arrayValue ?? []
    #expect(!expected.isEmpty && batch.count == expected.count, "\(name): \(batch.count) rows, expected \(expected.count)")
    for (i, row) in expected.enumerated() where i < batch.count {
      for (k, want) in (row.arrayValue ?? []).enumerated() {
        let got = batch.columns[k].json(i)
        if let x = want.doubleValue, let y = got.doubleValue {
          #expect(
            abs(x - y) <= 1e-12 * max(1, abs(x)),
            "\(name) row \(i) \(batch.schema.names[k]): \(got.text()), expected \(want.text())")
        } else {
          #expect(got == want, "\(name) row \(i) \(batch.schema.names[k]): \(got.text()), expected \(want.text())")
        }
      }
    }
  }

  @Test func groupsAsPolars() throws {
    try expect(
      try sales.aggregate(
        by: [.column("shop"), .column("kind")],
        [
          agg("n", .count, nil), agg("present", .count, "amount"), agg("total", .sum, "amount"), agg("mean", .mean, "amount"),
          agg("low", .min, "amount"), agg("high", .max, "amount"), agg("std", .std, "amount"), agg("var", .variance, "amount"),
          agg("median", .median, "amount"), agg("q", .quantile(0.3), "amount"), agg("unique", .nUnique, "amount"),
          agg("first", .first, "amount"), agg("last", .last, "amount"), agg("some", .any, "paid"), agg("every", .all, "paid"),
        ]), equals: "group")
  }

  @Test func sortsAsPolars() throws {
    try expect(
      try sales.sort([SortKey(col("kind"), descending: true), SortKey(col("amount")), SortKey(col("id"))]).select([col("id")]),
      equals: "sort")
    try expect(
      try sales.sort([SortKey(col("shop"), nullsFirst: true), SortKey(col("id"))]).select([col("id")]),
      equals: "sort_nulls_first")
  }

  @Test func joinsAndDistinctAsPolars() throws {
    for (kind, name) in [(Join.Kind.inner, "inner"), (.left, "left")] {
      let joined = try sales.join(kinds, leftOn: [col("kind")], rightOn: [col("kind")], kind: kind)
      try expect(try joined.select([col("id"), col("kind"), col("label")]), equals: name)
    }
    try expect(try sales.distinct(on: ["shop", "paid"]).select([col("id")]), equals: "distinct")
  }

  @Test func expressionsAsPolars() throws {
    let positive = Expr.compare(.greater, col("amount"), int(0))
    try expect(
      try sales.select([
        .column("id"), NamedExpr("a", .arithmetic(.add, .arithmetic(.divide, col("amount"), int(4)), col("id"))),
        NamedExpr("floor", .arithmetic(.floorDivide, col("id"), int(7))),
        NamedExpr("mod", .arithmetic(.modulo, .arithmetic(.subtract, col("id"), int(200)), int(7))),
        NamedExpr("power", .arithmetic(.power, col("kind"), int(2))),
        NamedExpr("upper", .function(.text(.upper), [col("shop")])),
        NamedExpr("chars", .function(.textLength(bytes: false), [col("shop")])),
        NamedExpr("has", .function(.textTest(.contains), [col("shop"), text("st")])),
        NamedExpr("part", .function(.slice(start: 2, length: 2), [col("shop")])),
        NamedExpr("filled", .function(.coalesce, [col("kind"), int(-1)])),
        NamedExpr("between", .function(.between, [col("kind"), int(2), int(4)])),
        NamedExpr("both", .and(col("paid"), positive)), NamedExpr("either", .or(col("paid"), positive)),
        NamedExpr("inside", .function(.isIn([.int(1), .int(5)]), [col("kind")])),
        NamedExpr("text", .cast(col("id"), .utf8, lenient: false)),
        NamedExpr("cut", .cast(col("amount"), .int64, lenient: false)),
        NamedExpr("low", .function(.clip(low: -100, high: 100), [col("amount")])),
        NamedExpr(
          "what",
          .when(
            [
              .init(.compare(.greater, col("amount"), int(100)), text("big")),
              .init(.function(.isNull, [col("amount")]), text("none")),
            ],
            otherwise: text("small"))),
      ]), equals: "expressions")
  }

  @Test func groupsAndJoinsAsDuckDB() throws {
    let some = try sales.filter(.compare(.notEqual, .arithmetic(.modulo, col("id"), int(3)), int(1)))
    try expect(
      try some.aggregate(
        by: [.column("shop")],
        [
          agg("n", .count, nil), agg("present", .count, "amount"), agg("total", .sum, "amount"), agg("mean", .mean, "amount"),
          agg("low", .min, "id"), agg("high", .max, "shop"), agg("std", .std, "amount"), agg("median", .median, "amount"),
          agg("q", .quantile(0.9), "amount"), agg("some", .any, "paid"), agg("every", .all, "paid"),
        ]), equals: "duck_group")
    let joined = try sales.filter(.compare(.greater, col("amount"), int(0)))
      .join(kinds, leftOn: [col("kind")], rightOn: [col("kind")], kind: .left)
      .filter(.or(.function(.isNull, [col("label")]), .function(.textTest(.startsWith), [col("label"), text("t")])))
      .sort([SortKey(col("id")), SortKey(col("label"))])
    try expect(try joined.select([col("id"), col("label")]), equals: "duck_join")
  }
}
