import Core

/// The path and query of a request line, taken apart with every escape checked (RFC 3986).
struct RequestTarget {
  /// Decoded, without empty segments at the end: `/a/b` and `/a/b/` are the same.
  var segments: [String]
  var query: [(name: String, value: String)]

  /// - Throws: `INVALID_REQUEST` saying what is wrong with it.
  init(_ target: String) throws(Failure) {
    var rest = target[...]
    if rest.hasPrefix("http://") {  // absolute-form: the Host field says the same
      rest = rest.dropFirst(7)
      rest = rest.firstIndex(of: "/").map { rest[$0...] } ?? "/"
    }
    guard rest.hasPrefix("/"), !rest.contains("#") else {
      throw Failure(.invalidRequest, "the request's path must begin with '/' and must not have a '#'")
    }
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var path = parts[0].dropFirst()
    if path.hasSuffix("/") { path = path.dropLast() }
    segments = []
    if !path.isEmpty {
      for part in path.split(separator: "/", omittingEmptySubsequences: false) {
        guard let text = QueryText.decoded(part, plusIsSpace: false) else {
          throw Failure(.invalidRequest, "the request's path has an escape that is not valid UTF-8 in '%XX' form")
        }
        segments.append(text)
      }
    }
    query = []
    guard parts.count > 1, !parts[1].isEmpty else { return }
    for part in parts[1].split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = QueryText.decoded(pair[0], plusIsSpace: true),
        let value = pair.count > 1 ? QueryText.decoded(pair[1], plusIsSpace: true) : ""
      else { throw Failure(.invalidRequest, "the query has an escape that is not valid UTF-8 in '%XX' form") }
      if query.contains(where: { $0.name == name }) {
        throw Failure(.invalidRequest, "query parameter '\(String(name.prefix(80)))' appears twice")
      }
      query.append((name, value))
    }
  }
}

/// Texts in queries.
enum QueryText {
  /// Percent-decoded; nil for an escape that is cut short or bytes that are not UTF-8.
  static func decoded(_ text: Substring, plusIsSpace: Bool) -> String? {
    if !text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) { return String(text) }
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%") {
        guard let high = rest.popFirst().flatMap(nibble), let low = rest.popFirst().flatMap(nibble) else { return nil }
        bytes.append(high << 4 | low)
      } else {
        bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? 32 : byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
  }

  /// `20`, `1.5`, `20s`.
  static func seconds(_ text: String) -> Double? {
    let number = text.hasSuffix("s") ? text.dropLast() : text[...]
    guard !number.isEmpty, number.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 || $0 == 46 }), let value = Double(number) else {
      return nil
    }
    return value
  }
}

extension Route {
  /// Checks the names and values of a query against what the route takes.
  /// - Throws: `INVALID_REQUEST` naming the parameter and what is right.
  func check(_ query: [(name: String, value: String)]) throws(Failure) {
    for (name, value) in query {
      guard let parameter = self.query.first(where: { $0.name == name }) else {
        throw Failure(
          .invalidRequest,
          "unknown query parameter "
            + nearNames(String(name.prefix(80)), known: self.query.map(\.name), what: "query parameters"))
      }
      let shown = String(value.prefix(80))
      func wrong(_ right: String) -> Failure {
        Failure(.invalidRequest, "query parameter '\(name)' must be \(right), not '\(shown)'")
      }
      switch parameter.kind {
      case .text: break
      case .integer(let range):
        guard let number = Int(value), range.contains(number) else {
          throw wrong(
            range.upperBound == .max
              ? "a whole number from \(range.lowerBound)" : "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
      case .seconds(let most):
        guard let seconds = QueryText.seconds(value), seconds <= most else {
          throw wrong("a number of seconds from 0 to \(JSONValue.double(most).text()), such as '20s'")
        }
      case .flag: if !["0", "1", "true", "false", ""].contains(value) { throw wrong("1 or 0") }
      case .choices(let choices): if !choices.contains(value) { throw wrong(choices.joined(separator: " or ")) }
      case .list(let choices):
        for part in value.split(separator: ",", omittingEmptySubsequences: false) where !choices.contains(String(part)) {
          throw wrong("a list of \(choices.joined(separator: ", "))")
        }
      }
    }
  }
}
