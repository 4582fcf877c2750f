#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension JSONValue {
  /// What a parser accepts at most; input comes from outside.
  public struct Limits: Sendable {
    public var depth: Int
    public var values: Int
    public init(depth: Int = 64, values: Int = 10_000_000) {
      self.depth = depth
      self.values = values
    }
  }

  /// Reads one JSON text (RFC 8259, UTF-8, nothing after it).
  ///
  /// Stricter than many: duplicate keys, lone surrogates, invalid UTF-8, numbers beyond the range of a double and a
  /// byte-order mark are errors.
  /// - Throws: `INVALID_REQUEST` naming line and column.
  public init(parsing text: String, limits: Limits = Limits()) throws(Failure) {
    var copy = text
    let result: Result<JSONValue, Failure> = copy.withUTF8 { bytes in
      do throws(Failure) { return .success(try JSONValue(parsing: UnsafeRawBufferPointer(bytes), limits: limits)) } catch {
        return .failure(error)
      }
    }
    self = try result.get()
  }

  /// Reads one JSON text from bytes; see `init(parsing:limits:)`.
  public init(parsing bytes: UnsafeRawBufferPointer, limits: Limits = Limits()) throws(Failure) {
    var parser = Parser(bytes: bytes, limits: limits)
    self = try parser.document()
  }

  /// Reads one JSON text from bytes; see `init(parsing:limits:)`.
  public init(parsing bytes: [UInt8], limits: Limits = Limits()) throws(Failure) {
    let result: Result<JSONValue, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try JSONValue(parsing: raw, limits: limits)) } catch { return .failure(error) }
    }
    self = try result.get()
  }
}

private struct Parser {
  let bytes: UnsafeRawBufferPointer
  let limits: JSONValue.Limits
  var at = 0
  var count = 0

  init(bytes: UnsafeRawBufferPointer, limits: JSONValue.Limits) {
    self.bytes = bytes
    self.limits = limits
  }

  func fail(_ what: String, at position: Int? = nil) -> Failure {
    var line = 1
    var column = 1
    for i in 0..<min(position ?? at, bytes.count) {
      if bytes[i] == 10 {
        line += 1
        column = 1
      } else {
        column += 1
      }
    }
    return Failure(.invalidRequest, "invalid JSON at line \(line), column \(column): \(what)")
  }

  mutating func space() {
    while at < bytes.count, bytes[at] == 32 || bytes[at] == 10 || bytes[at] == 13 || bytes[at] == 9 { at += 1 }
  }

  mutating func document() throws(Failure) -> JSONValue {
    let result = try value(depth: 0)
    space()
    if at < bytes.count { throw fail("text after the end of the value") }
    return result
  }

  mutating func value(depth: Int) throws(Failure) -> JSONValue {
    space()
    guard at < bytes.count else { throw fail("a value is missing") }
    count += 1
    if count > limits.values { throw fail("more than \(limits.values) values") }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object(depth: depth + 1)
    case UInt8(ascii: "["): return try array(depth: depth + 1)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw fail("unexpected character \(shown(bytes[at]))")
    }
  }

  func shown(_ byte: UInt8) -> String {
    byte > 32 && byte < 127 ? "'\(Character(UnicodeScalar(byte)))'" : "0x\(hex(byte))"
  }

  mutating func word(_ text: StaticString, _ result: JSONValue) throws(Failure) -> JSONValue {
    let size = text.utf8CodeUnitCount
    guard bytes.count - at >= size, memcmp(bytes.baseAddress! + at, text.utf8Start, size) == 0 else {
      throw fail("expected '\(text)'")
    }
    at += size
    return result
  }

  mutating func object(depth: Int) throws(Failure) -> JSONValue {
    if depth > limits.depth { throw fail("nested deeper than \(limits.depth)") }
    at += 1
    var members = JSONObject()
    space()
    if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
      at += 1
      return .object(members)
    }
    while true {
      space()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw fail("expected a key in quotes") }
      let start = at
      let key = try string()
      if members[key] != nil { throw fail("key '\(key.prefix(80))' appears twice", at: start) }
      space()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw fail("expected ':' after key '\(key.prefix(80))'") }
      at += 1
      members[key] = try value(depth: depth)
      space()
      guard at < bytes.count else { throw fail("the object is not closed") }
      if bytes[at] == UInt8(ascii: ",") {
        at += 1
      } else if bytes[at] == UInt8(ascii: "}") {
        at += 1
        return .object(members)
      } else {
        throw fail("expected ',' or '}'")
      }
    }
  }

  mutating func array(depth: Int) throws(Failure) -> JSONValue {
    if depth > limits.depth { throw fail("nested deeper than \(limits.depth)") }
    at += 1
    var items: [JSONValue] = []
    space()
    if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
      at += 1
      return .array(items)
    }
    while true {
      items.append(try value(depth: depth))
      space()
      guard at < bytes.count else { throw fail("the array is not closed") }
      if bytes[at] == UInt8(ascii: ",") {
        at += 1
      } else if bytes[at] == UInt8(ascii: "]") {
        at += 1
        return .array(items)
      } else {
        throw fail("expected ',' or ']'")
      }
    }
  }

  mutating func number() throws(Failure) -> JSONValue {
    let start = at
    func digit(_ i: Int) -> Bool { i < bytes.count && bytes[i] >= 48 && bytes[i] <= 57 }
    var negative = false
    if bytes[at] == UInt8(ascii: "-") {
      negative = true
      at += 1
    }
    guard digit(at) else { throw fail("a number needs a digit") }
    if bytes[at] == 48, digit(at + 1) { throw fail("a number must not start with 0") }
    var integer: Int64 = 0
    var fits = true
    while digit(at) {
      let (high, o1) = integer.multipliedReportingOverflow(by: 10)
      let step = Int64(bytes[at] - 48)
      let (sum, o2) = negative ? high.subtractingReportingOverflow(step) : high.addingReportingOverflow(step)
      if o1 || o2 { fits = false }
      integer = sum
      at += 1
    }
    var isInteger = true
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isInteger = false
      at += 1
      guard digit(at) else { throw fail("a digit must follow '.'") }
      while digit(at) { at += 1 }
    }
    if at < bytes.count, bytes[at] | 32 == UInt8(ascii: "e") {
      isInteger = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      guard digit(at) else { throw fail("an exponent needs a digit") }
      while digit(at) { at += 1 }
    }
    if isInteger, fits, !(negative && integer == 0) { return .int(integer) }
    let length = at - start
    guard length < 1024 else { throw fail("a number of \(length) characters", at: start) }
    // strtod needs a terminator: copy the digits to the stack. The process runs in the C locale.
    let parsed = withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { text -> Double in
      for i in 0..<length { text[i] = CChar(bitPattern: bytes[start + i]) }
      text[length] = 0
      return text.baseAddress.map { strtod($0, nil) } ?? 0
    }
    guard parsed.isFinite else { throw fail("the number is out of range", at: start) }
    return .double(parsed)
  }

  mutating func string() throws(Failure) -> String {
    let start = at
    at += 1
    var i = at
    while i < bytes.count, bytes[i] != UInt8(ascii: "\""), bytes[i] != UInt8(ascii: "\\"), bytes[i] >= 32 { i += 1 }
    if i < bytes.count, bytes[i] == UInt8(ascii: "\"") {  // no escapes: one copy
      let part = UnsafeRawBufferPointer(rebasing: bytes[at..<i])
      at = i + 1
      guard let text = String(validating: part, as: UTF8.self) else { throw fail("invalid UTF-8 in a string", at: start) }
      return text
    }
    var out: [UInt8] = []
    while true {
      guard at < bytes.count else { throw fail("the string is not closed", at: start) }
      let byte = bytes[at]
      at += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte < 32 { throw fail("control character \(shown(byte)) in a string", at: at - 1) }
      guard byte == UInt8(ascii: "\\") else {
        out.append(byte)
        continue
      }
      guard at < bytes.count else { throw fail("the string is not closed", at: start) }
      let escape = bytes[at]
      at += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escape)
      case UInt8(ascii: "b"): out.append(8)
      case UInt8(ascii: "f"): out.append(12)
      case UInt8(ascii: "n"): out.append(10)
      case UInt8(ascii: "r"): out.append(13)
      case UInt8(ascii: "t"): out.append(9)
      case UInt8(ascii: "u"):
        var code = try hex4()
        if code >= 0xD800, code < 0xDC00 {
          guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
            throw fail("a lone surrogate")
          }
          at += 2
          let low = try hex4()
          guard low >= 0xDC00, low < 0xE000 else { throw fail("a lone surrogate") }
          code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = UnicodeScalar(code) else { throw fail("a lone surrogate") }
        out.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
      default: throw fail("unknown escape \(shown(escape))", at: at - 1)
      }
    }
    guard let text = String(validating: out, as: UTF8.self) else { throw fail("invalid UTF-8 in a string", at: start) }
    return text
  }

  mutating func hex4() throws(Failure) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard at < bytes.count else { throw fail("\\u needs four hex digits") }
      let byte = bytes[at]
      switch byte {
      case 48...57: code = code << 4 | UInt32(byte - 48)
      case 65...70: code = code << 4 | UInt32(byte - 55)
      case 97...102: code = code << 4 | UInt32(byte - 87)
      default: throw fail("\\u needs four hex digits")
      }
      at += 1
    }
    return code
  }
}
