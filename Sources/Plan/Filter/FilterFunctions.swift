import Columnar
import Compute
import Core

/// Functions in the text of a filter, by their names in SQL and in scripts.
enum FilterFunctions {
  struct Entry: Sendable {
    /// Arguments at least and at most.
    let arguments: ClosedRange<Int>
    let make: @Sendable ([Expr]) -> Expr?
    init(_ arguments: ClosedRange<Int>, _ make: @escaping @Sendable ([Expr]) -> Expr?) {
      self.arguments = arguments
      self.make = make
    }
    init(_ function: Function, _ count: Int = 1) { self.init(count...count) { .function(function, $0) } }
  }

  static let known: [String: Entry] = {
    var table: [String: Entry] = [
      "trim": Entry(.text(.strip)), "ltrim": Entry(.text(.stripStart)), "rtrim": Entry(.text(.stripEnd)),
      "length": Entry(.textLength(bytes: false)), "byte_length": Entry(.textLength(bytes: true)), "len": Entry(.listLength),
      "is_nan": Entry(.isNaN), "is_finite": Entry(.isFinite), "coalesce": Entry(1...64) { .function(.coalesce, $0) },
      "concat": Entry(1...64) { .function(.concat(separator: ""), $0) },
      "round": Entry(1...2) { arguments in
        if arguments.count == 1 { return .function(.round(digits: 0), arguments) }
        guard case .literal(.int(let digits)) = arguments[1], (-18...18).contains(digits) else { return nil }
        return .function(.round(digits: Int(digits)), [arguments[0]])
      },
      "substr": Entry(2...3) { arguments in
        guard case .literal(.int(let start)) = arguments[1], let start = Int(exactly: start), start != 0 else { return nil }
        guard arguments.count == 3 else { return .function(.slice(start: start, length: nil), [arguments[0]]) }
        guard case .literal(.int(let length)) = arguments[2], let length = Int(exactly: length), length >= 0 else { return nil }
        return .function(.slice(start: start, length: length), [arguments[0]])
      },
    ]
    for function in Math.Function.allCases { table[function.rawValue] = Entry(.math(function)) }
    for transform in Strings.Transform.allCases { table[transform.rawValue] = Entry(.text(transform)) }
    for test in Strings.Test.allCases { table[test.rawValue] = Entry(.textTest(test), 2) }
    for reduction in Lists.Reduction.allCases { table[reduction.rawValue] = Entry(.listReduce(reduction)) }
    table["ln"] = table["log"]
    table["substring"] = table["substr"]
    return table
  }()

  /// Type names of SQL that scripts write otherwise.
  static let types: [String: DataType] = [
    "TINYINT": .int8, "SMALLINT": .int16, "BIGINT": .int64, "REAL": .float32, "VARCHAR": .utf8, "TEXT": .utf8, "CHAR": .utf8,
    "BLOB": .binary,
  ]
}

extension FilterParser {
  /// The arguments of function `name`, whose '(' was read.
  mutating func call(_ name: String, at position: Int) throws(Failure) -> Expr {
    let lower = name.lowercased()
    if lower == "cast" || lower == "try_cast" {
      let value = try disjunction()
      try expect(word: "AS", "and a type, as in CAST(x AS f32)")
      return .cast(value, try typeName(), lenient: lower == "try_cast")
    }
    guard let entry = FilterFunctions.known[lower] else {
      let names = FilterFunctions.known.keys.sorted()
      throw .filter(position, "unknown function \(nearNames(name, known: names, what: "functions"))")
    }
    var arguments: [Expr] = []
    if !take(symbol: ")") {
      repeat { arguments.append(try disjunction()) } while take(symbol: ",")
      try expect(symbol: ")", "or ',' after an argument of \(lower)")
    }
    guard entry.arguments.contains(arguments.count) else {
      let range = entry.arguments
      let count = range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
      throw .filter(position, "\(lower) takes \(count) argument\(count == "1" ? "" : "s"), got \(arguments.count)")
    }
    guard let made = entry.make(arguments) else {
      throw .filter(position, "the arguments of \(lower) after the first must be whole numbers in range")
    }
    return made
  }

  /// A type up to the bracket that closes CAST.
  private mutating func typeName() throws(Failure) -> DataType {
    let position = token.position
    var text = ""
    while true {
      switch token.kind {
      case .symbol(")"):
        advance()
        if let type = FilterFunctions.types[text.uppercased()] { return type }
        do throws(Failure) { return try DataType(parsing: text) } catch { throw .filter(position, error.message) }
      case .word(let part), .quoted(let part), .number(let part), .symbol(let part), .string(let part): text += part
      case .end: throw unexpected("')' after the type")
      }
      advance()
    }
  }
}
