import Columnar
import Compute
import Core
import Plan
import Testing

@Suite struct FilterParserTests {
  func text(_ filter: String) throws -> String { "\(try Expr(parsing: filter))" }

  @Test func precedenceAndForms() throws {
    let cases: [(String, String)] = [
      ("label = 3 AND split = 'test'", "label == 3 & split == 'test'"),
      ("a = 1 or b = 2 and c = 3", "a == 1 | b == 2 & c == 3"),
      ("(a = 1 OR b = 2) AND c = 3", "(a == 1 | b == 2) & c == 3"),
      ("not a = 1 and b", "~(a == 1) & b"),
      ("NOT NOT a", "~~a"),
      ("a + b * 2 - -c > 7 % 2", "a + b * 2 - -c > 7 % 2"),
      ("(a + b) * 2 <> 4", "(a + b) * 2 != 4"),
      ("a - (b - c) >= .5", "a - (b - c) >= 0.5"),
      ("x in (1, -2, 3.5)", "x.is_in({1, -2, 3.5})"),
      ("x NOT IN ('a', 'it''s')", "~x.is_in({'a', 'it\\'s'})"),
      ("x BETWEEN 1 AND 9 AND y", "x.between(1, 9) & y"),
      ("x not between 1+1 and 9", "~x.between(1 + 1, 9)"),
      ("name LIKE 'a%_'", "name.like('a%_')"),
      ("name NOT ILIKE 'A%'", "~name.lower().like('A%'.lower())"),
      ("a IS NULL or b is not null", "a.is_null() | b.is_not_null()"),
      ("flag IS TRUE", "(flag == true).coalesce(false)"),
      ("\"odd name\" = 1 AND `x\"y` = 2", "col(\"odd name\") == 1 & col(\"x\"y\") == 2"),
      ("CAST(a AS f32) < 1e3 AND try_cast(b AS BIGINT) = 1", "a.cast(Float32) < 1000.0 & b.try_cast(Int64) == 1"),
      ("cast(v as f32[4]) is null", "v.cast(FixedSizeList[Float32, 4]).is_null()"),
      ("day >= DATE '2026-02-10'", "day >= '2026-02-10'.cast(Date)"),
      ("date = 1", "date == 1"),
      ("Lower(a || 'x') = 'bx'", "a.concat('x').lower() == 'bx'"),
      ("coalesce(a, b, 0) = abs(-3)", "a.coalesce(b, 0) == -3.abs()"),
      ("round(a, 2) = 1 and substr(s, 2, 3) = 'abc'", "a.round(2) == 1 & s.slice(2, 3) == 'abc'"),
      ("größe = 1", "größe == 1"),
      ("x = -9223372036854775808", "x == -9223372036854775808"),
      ("a == 1 and b != 2", "a == 1 & b != 2"),
    ]
    for (filter, expected) in cases { #expect(try text(filter) == expected, "\(filter)") }
  }

  @Test func mistakesNameThePlace() {
    let cases: [(String, String)] = [
      ("", "filter, position 1: the filter is empty"),
      ("label = ", "filter, position 9: expected a column or value, got the end"),
      (
        "label = 3 AND AND x",
        "filter, position 15: expected a column or value (a column named so needs quotes: \"AND\"), got 'AND'"
      ),
      ("label = 3 split", "filter, position 11: expected AND, OR, an operator or the end, got 'split'"),
      ("(a = 1", "filter, position 7: expected ')' for the '(' at position 1, got the end"),
      ("a = 'x", "filter, position 5: a text begins here and has no closing '"),
      ("a ; b", "filter, position 3: the character ';' means nothing here"),
      ("a IN 1", "filter, position 6: expected '(' after IN, as in IN (1, 2), got '1'"),
      ("a IN (1, NULL)", "filter, position 10: nothing is equal to NULL"),
      ("a IN (b)", "filter, position 7: a list of IN holds numbers"),
      ("a BETWEEN 1 OR 2", "filter, position 13: expected AND between the two ends of BETWEEN, got 'OR'"),
      ("a NOT 1", "filter, position 7: expected IN, BETWEEN or LIKE after NOT, got '1'"),
      ("a IS 1", "filter, position 6: expected NULL, TRUE or FALSE after IS, got '1'"),
      ("loewr(a)", "filter, position 1: unknown function 'loewr'; did you mean 'lower'?"),
      ("lower(a, b)", "filter, position 1: lower takes 1 argument, got 2"),
      ("lower()", "filter, position 1: lower takes 1 argument, got 0"),
      ("round(a, b)", "filter, position 1: the arguments of round after the first must be whole numbers in range"),
      ("CAST(a AS f23)", "filter, position 11: unknown type 'f23'; did you mean 'f32'?"),
      ("CAST(a AS f32", "filter, position 14: expected ')' after the type, got the end"),
      ("CAST(a f32)", "filter, position 8: expected AS and a type"),
      ("x = 9223372036854775808", "filter, position 5: 9223372036854775808 does not fit 64 bits"),
      ("x = 1e999", "filter, position 5: 1e999 is no finite number"),
      ("x = 1e", "filter, position 5: '1e' is no number"),
      ("2x = 1", "filter, position 1: '2x' is no number"),
      ("SELECT 1", "filter, position 1: expected a column or value"),
      ("ä = ?", "filter, position 5: the character '?' means nothing here"),
    ]
    for (filter, expected) in cases {
      let found = message { _ = try Expr(parsing: filter) }
      #expect(found.hasPrefix("INVALID_FILTER: " + expected), "\(filter): \(found)")
    }
  }

  /// Nothing that a client sends may overflow a stack: neither reading, nor the expression's evaluation or release.
  @Test func depthIsLimited() throws {
    let deep: [String] = [
      String(repeating: "(", count: 5000) + "a" + String(repeating: ")", count: 5000),
      String(repeating: "NOT ", count: 5000) + "a", String(repeating: "- ", count: 5000) + "a = 1",
      String(repeating: "abs(", count: 5000), "a" + String(repeating: " + a", count: 5000) + " = 1",
      "a" + String(repeating: " * a", count: 5000) + " = 1", "CAST(" + String(repeating: "x", count: 70_000),
    ]
    for filter in deep {
      #expect(message { _ = try Expr(parsing: filter) }.hasPrefix("INVALID_FILTER: "), "\(filter.prefix(20))")
    }
    // Sums in sums: each chain is short, the whole is high.
    var nested = "a"
    for _ in 0..<30 { nested = "(" + nested + String(repeating: " + 1", count: 10) + ")" }
    #expect(message { _ = try Expr(parsing: nested) }.contains("nested higher than 64 operations"))
    // Many conditions side by side are fine, and stay flat.
    let wide = (0..<4000).map { "a = \($0)" }.joined(separator: " OR ")
    let expr = try Expr(parsing: wide)
    let batch = try RecordBatch(schema: Schema([Field("a", .int64)]), columns: [.int64([17, 5000])])
    #expect(try expr.column(batch).values(of: Bool.self, 2) == [true, false])
    let joined = try #require(Expr.conjunction((0..<4000).map { .compare(.notEqual, .column("a"), .literal(.int($0))) }))
    #expect(joined.conjuncts.count == 4000)
    #expect(try joined.column(batch).values(of: Bool.self, 2) == [false, true])
  }

  @Test func evaluation() throws {
    let batch = try RecordBatch(
      schema: Schema([Field("id", .int64), Field("name", .utf8), Field("x", .float64), Field("flag", .bool)]),
      columns: [
        .int64([1, 2, 3, 4, 5]), .utf8(["Anna", "bär", nil, "a_b", "100%"]), .float64([1.5, nil, -2, 0, 7]),
        .bool([true, false, nil, true, nil]),
      ])
    func ids(_ filter: String) throws -> [Int32] {
      let expr = try Expr(parsing: filter)
      _ = try expr.type(in: batch.schema)
      return try Selection.indices(try expr.evaluate(batch)).map { $0 + 1 }
    }
    let cases: [(String, [Int32])] = [
      ("name LIKE 'A%'", [1]), ("name ILIKE 'a%'", [1, 4]), ("name LIKE 'b_r'", [2]), ("name LIKE 'a\\_b'", [4]),
      ("name LIKE '%\\%'", [5]), ("name LIKE '%'", [1, 2, 4, 5]), ("name LIKE '_____'", []), ("name LIKE '%n%n%'", [1]),
      ("name LIKE '%n%n_%'", [1]), ("name LIKE ''", []), ("name NOT LIKE '%a%'", [2, 5]), ("name IS NULL", [3]),
      ("flag", [1, 4]), ("NOT flag", [2]), ("flag IS NOT TRUE", [2, 3, 5]), ("flag IS FALSE", [2]),
      ("x > 0 OR name IS NULL", [1, 3, 5]), ("x IN (1.5, 7)", [1, 5]), ("x NOT IN (1.5)", [3, 4, 5]),
      ("id BETWEEN 2 AND 4 AND NOT id = 3", [2, 4]), ("id % 2 = 1", [1, 3, 5]), ("coalesce(x, 99) > 5", [2, 5]),
      ("length(name) = 3", [2, 4]), ("id / 2 = 1.5", [3]), ("name || '!' = 'bär!'", [2]), ("starts_with(name, '1')", [5]),
    ]
    for (filter, expected) in cases { #expect(try ids(filter) == expected, "\(filter)") }
    #expect(message { _ = try Expr(parsing: "nam = 1").type(in: batch.schema) }.contains("did you mean 'name'?"))
  }
}

extension Column {
  fileprivate func values(of: Bool.Type, _ count: Int) -> [Bool] { (0..<count).map { bool($0) } }
}
