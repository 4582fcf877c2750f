import Columnar
import Compute
package import Core

extension Expr {
  /// Reads a filter or a computed value in SQL's words: `label = 3 AND split IN ('train', 'test')`.
  ///
  ///     OR, AND, NOT                        three-valued, as in SQL
  ///     = == <> != < <= > >=                comparisons
  ///     x [NOT] IN (1, 2)                   x [NOT] BETWEEN 1 AND 9
  ///     x [NOT] LIKE 'a%_'                  % any text, _ one character, \ takes the next as it is; ILIKE in any case
  ///     x IS [NOT] NULL                     x IS [NOT] TRUE / FALSE
  ///     + - * / %  ||                       / divides as real numbers do; || joins texts
  ///     CAST(x AS type), TRY_CAST           type names of scripts (f32, string) and of SQL (BIGINT, VARCHAR)
  ///     DATE '2026-02-10', TIMESTAMP '...'
  ///     abs(x), lower(x), coalesce(a, b)... see `FilterFunctions`
  ///     "odd name", `odd name`              columns; bare names are columns as they are written
  ///     'it''s'                             texts
  ///
  /// Keywords and functions are known in any case. Names and types are checked when the expression meets a table.
  /// - Throws: `INVALID_FILTER` naming the position (`details["position"]`, characters from 1) and what was expected.
  package init(parsing text: String) throws(Failure) {
    guard text.utf8.count <= FilterParser.limitBytes else {
      throw Failure(
        .invalidFilter, "filter: \(text.utf8.count) bytes are too long; at most \(FilterParser.limitBytes) are read")
    }
    var parser = FilterParser(tokens: try FilterToken.all(in: text))
    self = try parser.whole()
  }
}

/// Recursive descent, one function per level of precedence. Every level that may nest is counted.
struct FilterParser {
  static let limitBytes = 64 << 10
  /// Brackets in brackets: reading recurses as deep.
  static let limitDepth = 32
  /// Height of the expression that is made: evaluation recurses as deep.
  static let limitHeight = 64

  let tokens: [FilterToken]
  private var at = 0
  private var depth = 0

  init(tokens: [FilterToken]) { self.tokens = tokens }

  var token: FilterToken { tokens[at] }

  mutating func whole() throws(Failure) -> Expr {
    if case .end = token.kind { throw .filter(1, "the filter is empty; write a condition such as label = 3") }
    let expr = try disjunction()
    guard case .end = token.kind else { throw unexpected("AND, OR, an operator or the end") }
    guard !expr.isHigher(than: FilterParser.limitHeight) else {
      throw .filter(1, "the filter is nested higher than \(FilterParser.limitHeight) operations")
    }
    return expr
  }

  // MARK: tokens

  func unexpected(_ expected: String) -> Failure { .filter(token.position, "expected \(expected), got \(token.shown)") }

  mutating func advance() { if at < tokens.count - 1 { at += 1 } }

  mutating func take(word: String) -> Bool {
    guard token.isWord(word) else { return false }
    advance()
    return true
  }

  mutating func take(symbol: String) -> Bool {
    guard token.kind == .symbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func expect(symbol: String, _ why: String) throws(Failure) {
    guard take(symbol: symbol) else { throw unexpected("'\(symbol)' \(why)") }
  }

  mutating func expect(word: String, _ why: String) throws(Failure) {
    guard take(word: word) else { throw unexpected("\(word) \(why)") }
  }

  /// Runs `body` one level deeper.
  mutating func nested<T>(_ body: (inout FilterParser) throws(Failure) -> T) throws(Failure) -> T {
    guard depth < FilterParser.limitDepth else {
      throw .filter(token.position, "nested deeper than \(FilterParser.limitDepth) levels")
    }
    depth += 1
    let value = try body(&self)
    depth -= 1
    return value
  }

  // MARK: logic

  mutating func disjunction() throws(Failure) -> Expr {
    var parts = [try conjunction()]
    while take(word: "OR") { parts.append(try conjunction()) }
    return Expr.joined(parts[...]) { .or($0, $1) }
  }

  private mutating func conjunction() throws(Failure) -> Expr {
    var parts = [try negation()]
    while take(word: "AND") { parts.append(try negation()) }
    return Expr.joined(parts[...]) { .and($0, $1) }
  }

  private mutating func negation() throws(Failure) -> Expr {
    guard take(word: "NOT") else { return try predicate() }
    return try nested { parser throws(Failure) in .not(try parser.negation()) }
  }

  private static let comparisons: [String: ComparisonOperator] = [
    "=": .equal, "==": .equal, "<>": .notEqual, "!=": .notEqual, "<": .less, "<=": .lessOrEqual, ">": .greater,
    ">=": .greaterOrEqual,
  ]

  private mutating func predicate() throws(Failure) -> Expr {
    let left = try sum()
    if case .symbol(let symbol) = token.kind, let op = FilterParser.comparisons[symbol] {
      advance()
      return .compare(op, left, try sum())
    }
    if take(word: "IS") {
      let isNegated = take(word: "NOT")
      if take(word: "NULL") { return .function(isNegated ? .isNotNull : .isNull, [left]) }
      let wanted = token.isWord("TRUE")
      guard take(word: "TRUE") || take(word: "FALSE") else { throw unexpected("NULL, TRUE or FALSE after IS") }
      let test = Expr.function(.coalesce, [.compare(.equal, left, .literal(.bool(wanted))), .literal(.bool(false))])
      return isNegated ? .not(test) : test
    }
    let isNegated = take(word: "NOT")
    let test: Expr
    if take(word: "IN") {
      test = .function(.isIn(try list()), [left])
    } else if take(word: "BETWEEN") {
      let low = try sum()
      try expect(word: "AND", "between the two ends of BETWEEN")
      test = .function(.between, [left, low, try sum()])
    } else if take(word: "LIKE") {
      test = .function(.textTest(.like), [left, try sum()])
    } else if take(word: "ILIKE") {
      test = .function(.textTest(.like), [.function(.text(.lower), [left]), .function(.text(.lower), [try sum()])])
    } else if isNegated {
      throw unexpected("IN, BETWEEN or LIKE after NOT")
    } else {
      return left
    }
    return isNegated ? .not(test) : test
  }

  /// The values in the brackets of IN.
  private mutating func list() throws(Failure) -> [Literal] {
    try expect(symbol: "(", "after IN, as in IN (1, 2)")
    var values: [Literal] = []
    repeat {
      let place = token.position
      guard case .literal(let value) = try sign() else {
        throw .filter(place, "a list of IN holds numbers, texts, TRUE and FALSE")
      }
      if value == .null { throw .filter(place, "nothing is equal to NULL; write IS NULL beside the list") }
      values.append(value)
    } while take(symbol: ",")
    try expect(symbol: ")", "or ',' in the list of IN")
    return values
  }

  // MARK: arithmetic

  private mutating func sum() throws(Failure) -> Expr {
    var left = try product()
    var operators = 0
    while case .symbol(let symbol) = token.kind, ["+", "-", "||"].contains(symbol) {
      try takeOperator(&operators)
      let right = try product()
      left =
        symbol == "||"
        ? .function(.concat(separator: ""), [left, right]) : .arithmetic(symbol == "+" ? .add : .subtract, left, right)
    }
    return left
  }

  private mutating func product() throws(Failure) -> Expr {
    var left = try sign()
    var operators = 0
    while case .symbol(let symbol) = token.kind,
      let op = ["*": ArithmeticOperator.multiply, "/": .divide, "%": .modulo][symbol]
    {
      try takeOperator(&operators)
      left = .arithmetic(op, left, try sign())
    }
    return left
  }

  /// Takes one more operator of a chain; each makes the expression one operation higher.
  private mutating func takeOperator(_ count: inout Int) throws(Failure) {
    count += 1
    guard count < FilterParser.limitHeight else {
      throw .filter(token.position, "more than \(FilterParser.limitHeight) operators in a row")
    }
    advance()
  }

  private mutating func sign() throws(Failure) -> Expr {
    if take(symbol: "+") { return try nested { parser throws(Failure) in try parser.sign() } }
    guard take(symbol: "-") else { return try primary() }
    if case .number(let digits) = token.kind {
      let value = try number("-" + digits)
      advance()
      return .literal(value)
    }
    return try nested { parser throws(Failure) in .negate(try parser.sign()) }
  }

  private func number(_ text: String) throws(Failure) -> Literal {
    if text.utf8.allSatisfy({ $0 == 45 || (48...57).contains($0) }) {
      guard let whole = Int64(text) else {
        throw .filter(token.position, "\(text.prefix(40)) does not fit 64 bits; write it as \(text.prefix(40)).0")
      }
      return .int(whole)
    }
    guard let value = Double(text), value.isFinite else {
      throw .filter(token.position, "\(text.prefix(40)) is no finite number")
    }
    return .double(value)
  }

  // MARK: values

  /// Words that cannot be a bare column, because they would hide a mistake.
  private static let reserved: Set<String> = [
    "AND", "OR", "NOT", "IN", "IS", "LIKE", "ILIKE", "BETWEEN", "AS", "CASE", "WHEN", "THEN", "ELSE", "END", "SELECT", "FROM",
    "WHERE", "ORDER", "GROUP", "LIMIT",
  ]

  private mutating func primary() throws(Failure) -> Expr {
    let first = token
    switch first.kind {
    case .number(let text):
      let value = try number(text)
      advance()
      return .literal(value)
    case .string(let text):
      advance()
      return .literal(.string(text))
    case .quoted(let name):
      advance()
      return .column(name)
    case .symbol("("):
      advance()
      let inner = try nested { parser throws(Failure) in try parser.disjunction() }
      try expect(symbol: ")", "for the '(' at position \(first.position)")
      return inner
    case .word(let word):
      let upper = word.uppercased()
      if FilterParser.reserved.contains(upper) {
        throw unexpected("a column or value (a column named so needs quotes: \"\(word)\")")
      }
      advance()
      switch upper {
      case "NULL": return .literal(.null)
      case "TRUE": return .literal(.bool(true))
      case "FALSE": return .literal(.bool(false))
      case "DATE", "TIMESTAMP":
        guard case .string(let text) = token.kind else { break }
        advance()
        return .cast(
          .literal(.string(text)), upper == "DATE" ? .date32 : .timestamp(.microsecond, timeZone: nil), lenient: false)
      default: break
      }
      guard take(symbol: "(") else { return .column(word) }
      return try nested { parser throws(Failure) in try parser.call(word, at: first.position) }
    case .symbol, .end: throw unexpected("a column or value")
    }
  }
}

extension Expr {
  /// `parts` (at least one) joined by `join` as a balanced tree: a thousand conditions are ten levels.
  static func joined(_ parts: ArraySlice<Expr>, _ join: (Expr, Expr) -> Expr) -> Expr {
    if parts.count <= 1 { return parts.first ?? .literal(.null) }
    let middle = parts.startIndex + parts.count / 2
    return join(joined(parts[..<middle], join), joined(parts[middle...], join))
  }

  /// True when there are more than `limit` operations one inside the other.
  func isHigher(than limit: Int) -> Bool { limit < 0 || children.contains { $0.isHigher(than: limit - 1) } }
}
