package import Core

/// `/items/:id/parts`: literal segments and named ones.
package struct RoutePattern: Sendable, Hashable {
  package enum Segment: Sendable, Hashable {
    case literal(String)
    case parameter(String)
  }
  package let text: String
  package let segments: [Segment]

  /// - Throws: `INVALID_ARGUMENT` for a path that does not start with `/`, has empty segments, or a bad parameter name.
  package init(_ text: String) throws(Failure) {
    func wrong(_ why: String) -> Failure { Failure(.invalidArgument, "route '\(text)': \(why)") }
    guard text.first == "/" else { throw wrong("a path starts with '/'") }
    guard !text.contains(where: { "?#%".contains($0) || $0.isWhitespace }) else {
      throw wrong("a path has no '?', '#', '%' or white space")
    }
    var segments: [Segment] = []
    var names: Set<String> = []
    if text != "/" {
      for part in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
        guard !part.isEmpty else { throw wrong("a segment is empty") }
        guard part.first == ":" else {
          segments.append(.literal(String(part)))
          continue
        }
        let name = String(part.dropFirst())
        guard let first = name.utf8.first, !(48...57).contains(first),
          name.utf8.allSatisfy({ $0 == 95 || (48...57).contains($0) || (97...122).contains($0 | 32) })
        else { throw wrong("'\(part)' is no parameter; write ':name' with letters, digits and '_'") }
        guard names.insert(name).inserted else { throw wrong("parameter ':\(name)' appears twice") }
        segments.append(.parameter(name))
      }
    }
    self.text = text
    self.segments = segments
  }

  /// The values of the parameters, or nil when `path` is another one.
  package func match(_ path: [String]) -> [(name: String, value: String)]? {
    guard path.count == segments.count else { return nil }
    var found: [(name: String, value: String)] = []
    for (segment, part) in zip(segments, path) {
      switch segment {
      case .literal(let text): if text != part { return nil }
      case .parameter(let name):
        if part.isEmpty { return nil }
        found.append((name, part))
      }
    }
    return found
  }

  /// Literal segments come before parameters, so that `/items/new` wins over `/items/:id`.
  package func isMoreSpecific(than other: RoutePattern) -> Bool {
    for (a, b) in zip(segments, other.segments) {
      switch (a, b) {
      case (.literal, .parameter): return true
      case (.parameter, .literal): return false
      default: continue
      }
    }
    return false
  }

  /// The same path for a client: parameters without their names, to find routes that would hide each other.
  package var form: String {
    segments.map { segment in
      switch segment {
      case .literal(let text): "/" + text
      case .parameter: "/:"
      }
    }.joined()
  }

  /// The path as OpenAPI writes it: `/items/{id}`.
  package var template: String {
    segments.isEmpty
      ? "/"
      : segments.map { segment in
        switch segment {
        case .literal(let text): "/" + text
        case .parameter(let name): "/{\(name)}"
        }
      }.joined()
  }
}

/// The target of a request line, split and decoded: `/a%20b/c?x=1` is segments `a b`, `c` and one query pair.
package struct RequestTarget: Sendable {
  package var path: String
  package var segments: [String]
  /// The path ended in a slash: a directory for static files; routes do not care.
  package var isDirectory: Bool
  package var query: [(name: String, value: String)]

  /// - Throws: `INVALID_REQUEST` for a target that is no path, bad percent-encoding, invalid UTF-8, NUL, or a repeated
  ///   query key.
  package init(_ target: String) throws(Failure) {
    var rest = Substring(target)
    if rest.utf8.first != UInt8(ascii: "/") {  // the absolute form, which proxies send
      for scheme in ["http://", "https://"] where rest.lowercased().hasPrefix(scheme) {
        rest = rest.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
        if rest.first != "/" { rest = "/" + rest }
      }
    }
    guard rest.utf8.first == UInt8(ascii: "/") else {
      throw Failure(.invalidRequest, "the target of a request is a path that starts with '/'")
    }
    if let hash = rest.utf8.firstIndex(of: UInt8(ascii: "#")) { rest = rest[..<hash] }
    let mark = rest.utf8.firstIndex(of: UInt8(ascii: "?"))
    let path = mark.map { rest[..<$0] } ?? rest
    var segments: [String] = []
    for part in path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      segments.append(try RequestTarget.decode(part, plusIsSpace: false, what: "path"))
    }
    self.isDirectory = segments.last == ""
    if isDirectory { segments.removeLast() }
    self.path = String(path)
    self.segments = segments
    var query: [(name: String, value: String)] = []
    if let mark {
      for pair in rest[mark...].utf8.dropFirst().split(separator: UInt8(ascii: "&")) {
        let equal = pair.firstIndex(of: UInt8(ascii: "="))
        let name = try RequestTarget.decode(pair[..<(equal ?? pair.endIndex)], plusIsSpace: true, what: "query")
        let value = try equal.map { at throws(Failure) in
          try RequestTarget.decode(pair[pair.index(after: at)...], plusIsSpace: true, what: "query")
        }
        guard !query.contains(where: { $0.name == name }) else {
          throw Failure(.invalidRequest, "query parameter '\(Answer.shown(name))' is given twice")
        }
        guard query.count < 100 else { throw Failure(.invalidRequest, "more than 100 query parameters") }
        query.append((name, value ?? ""))
      }
    }
    self.query = query
  }

  private static func decode(_ text: Substring.UTF8View, plusIsSpace: Bool, what: String) throws(Failure) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count)
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case 48...57: byte - 48
      case 65...70: byte - 55
      case 97...102: byte - 87
      default: nil
      }
    }
    var at = text.startIndex
    while at < text.endIndex {
      let byte = text[at]
      text.formIndex(after: &at)
      if byte == UInt8(ascii: "%") {
        guard at < text.endIndex, let high = digit(text[at]) else { throw bad(what) }
        text.formIndex(after: &at)
        guard at < text.endIndex, let low = digit(text[at]) else { throw bad(what) }
        text.formIndex(after: &at)
        bytes.append(high << 4 | low)
      } else {
        bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? 32 : byte)
      }
    }
    guard !bytes.contains(0), let decoded = String(validating: bytes, as: UTF8.self) else { throw bad(what) }
    return decoded
  }

  private static func bad(_ what: String) -> Failure {
    Failure(.invalidRequest, "the \(what) is not valid: percent-encoded UTF-8 without NUL is expected")
  }
}
