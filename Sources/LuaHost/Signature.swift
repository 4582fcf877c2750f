package import Core

/// A LuaCATS function type, parsed: `fun(self: Tensor, dim?: integer, opts?: {mean?: boolean}, ...: any): Tensor`.
///
/// It feeds the argument checks, the names in error messages, the option names a table may hold, editor stubs and docs.
package struct Signature: Sendable {
  package struct Parameter: Sendable {
    package let name: String
    package let type: String
    package let isOptional: Bool
    /// Names of the fields of an inline table type `{a: T, b?: U}`; nil for other types.
    package let fields: [Field]?
  }
  package struct Field: Sendable {
    package let name: String
    package let type: String
    package let isOptional: Bool
  }

  package let parameters: [Parameter]
  /// Types of the values returned, as written.
  package let results: [String]
  /// True when the last parameter is `...`.
  package let isVariadic: Bool
  /// Type of the variadic part, `any` when not given.
  package let variadicType: String
  /// True when the first parameter is `self`.
  package let isMethod: Bool

  /// - Throws: `INTERNAL_ERROR` naming the place for text that is no function type (a mistake in our own tables).
  package init(_ text: String) throws(Failure) {
    var parser = TypeScanner(text)
    guard parser.take("fun(") else { throw parser.failure("'fun(' expected") }
    var parameters: [Parameter] = []
    var isVariadic = false
    var variadicType = "any"
    parser.space()
    while !parser.take(")") {
      if parser.take("...") {
        isVariadic = true
        if parser.take(":") { variadicType = try parser.type() }
        parser.space()
        guard parser.take(")") else { throw parser.failure("')' expected after '...'") }
        break
      }
      let name = try parser.name()
      let isOptional = parser.take("?")
      var type = "any"
      if parser.take(":") { type = try parser.type() }
      parameters.append(
        Parameter(
          name: name, type: type, isOptional: isOptional || type.hasSuffix("?") || type == "any",
          fields: try Signature.fields(of: type)))
      parser.space()
      if !parser.take(",") {
        guard parser.take(")") else { throw parser.failure("',' or ')' expected") }
        break
      }
      parser.space()
    }
    var results: [String] = []
    if parser.take(":") {
      repeat {
        parser.space()
        _ = parser.take("...")
        results.append(try parser.type())
        parser.space()
      } while parser.take(",")
    }
    guard parser.isAtEnd else { throw parser.failure("end expected") }
    self.parameters = parameters
    self.results = results
    self.isVariadic = isVariadic
    self.variadicType = variadicType
    self.isMethod = parameters.first?.name == "self"
  }

  private static func fields(of type: String) throws(Failure) -> [Field]? {
    guard type.hasPrefix("{"), type.hasSuffix("}") else { return nil }
    var parser = TypeScanner(String(type.dropFirst().dropLast()))
    var fields: [Field] = []
    parser.space()
    while !parser.isAtEnd {
      if parser.take("[") { return nil }  // {[string]: T}: any keys
      let name = try parser.name()
      let isOptional = parser.take("?")
      guard parser.take(":") else { throw parser.failure("':' expected after field '\(name)'") }
      fields.append(Field(name: name, type: try parser.type(), isOptional: isOptional))
      parser.space()
      guard parser.take(",") || parser.isAtEnd else { throw parser.failure("',' expected") }
      parser.space()
    }
    return fields
  }

  /// Lua types (bit per `LUA_T*`) that a LuaCATS type accepts. Class names accept userdata and tables: which class it
  /// must be is checked by the body.
  static func mask(of type: String) -> UInt16 {
    var mask: UInt16 = 0
    for part in alternatives(of: type) { mask |= singleMask(part) }
    return mask
  }

  private static let anyMask: UInt16 = 0x7fff
  private static func singleMask(_ part: Substring) -> UInt16 {
    var part = part
    var extra: UInt16 = 0
    if part.hasSuffix("?") {
      part = part.dropLast()
      extra = 1
    }
    if part.hasSuffix("[]") || part.hasPrefix("{") || part.hasPrefix("table") { return extra | 1 << 5 }
    if part.hasPrefix("fun(") || part == "function" { return extra | 1 << 6 }
    if part.hasPrefix("\"") || part.hasPrefix("'") || part == "string" || part == "bytes" { return extra | 1 << 4 }
    switch part {
    case "any": return anyMask
    case "nil": return 1
    case "boolean", "true", "false": return extra | 1 << 1
    case "null": return extra | 1 << 2
    case "number", "integer": return extra | 1 << 3
    case "userdata": return extra | 1 << 7
    case "thread": return extra | 1 << 8
    default: return extra | 1 << 7 | 1 << 5
    }
  }

  /// Splits at `|` outside brackets and quotes.
  private static func alternatives(of type: String) -> [Substring] {
    var parts: [Substring] = []
    var depth = 0
    var quoted = false
    var start = type.startIndex
    for i in type.indices {
      switch type[i] {
      case "\"": quoted.toggle()
      case "(", "{", "<": depth += 1
      case ")", "}", ">": depth -= 1
      case "|" where depth == 0 && !quoted:
        parts.append(type[start..<i])
        start = type.index(after: i)
      default: break
      }
    }
    parts.append(type[start...])
    return parts.map { part in
      var part = part
      while part.first == " " { part = part.dropFirst() }
      while part.last == " " { part = part.dropLast() }
      if part.hasPrefix("("), part.hasSuffix(")") { part = part.dropFirst().dropLast() }
      return part
    }
  }
}

/// Reads names and types of a signature.
private struct TypeScanner {
  let text: String
  var rest: Substring
  init(_ text: String) {
    self.text = text
    rest = text[...]
  }
  var isAtEnd: Bool { rest.isEmpty }

  mutating func space() { while rest.first == " " || rest.first == "\n" { rest = rest.dropFirst() } }

  mutating func take(_ token: String) -> Bool {
    guard rest.hasPrefix(token) else { return false }
    rest = rest.dropFirst(token.count)
    return true
  }

  mutating func name() throws(Failure) -> String {
    let name = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
    guard !name.isEmpty else { throw failure("name expected") }
    rest = rest.dropFirst(name.count)
    return String(name)
  }

  /// A type up to a `,`, `)` or the end at depth 0.
  mutating func type() throws(Failure) -> String {
    space()
    var depth = 0
    var quoted = false
    var end = rest.startIndex
    scan: while end < rest.endIndex {
      let c = rest[end]
      if quoted {
        if c == "\"" { quoted = false }
      } else {
        switch c {
        case "\"": quoted = true
        case "(", "{", "<", "[": depth += 1
        case ")", "}", ">", "]":
          if depth == 0 { break scan }
          depth -= 1
        case "," where depth == 0: break scan
        default: break
        }
      }
      end = rest.index(after: end)
    }
    var found = rest[..<end]
    while found.last == " " { found = found.dropLast() }
    guard !found.isEmpty, depth == 0, !quoted else { throw failure("type expected") }
    rest = rest[end...]
    return String(found)
  }

  func failure(_ expected: String) -> Failure {
    Failure(.internalError, "signature '\(text)': \(expected) at '\(rest.prefix(20))'")
  }
}
