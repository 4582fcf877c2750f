package import Core

/// One word of a filter's text.
struct FilterToken {
  enum Kind: Equatable {
    /// A bare word: a keyword, a function or a column.
    case word(String)
    /// `"..."` or `` `...` ``: a column, whatever its name is.
    case quoted(String)
    /// `'...'`
    case string(String)
    /// Digits as written, with at most one point and one exponent.
    case number(String)
    case symbol(String)
    case end
  }
  let kind: Kind
  /// Where it begins, in characters, from 1.
  let position: Int

  /// How messages show it.
  var shown: String {
    switch kind {
    case .word(let text), .number(let text), .symbol(let text): "'\(text.prefix(40))'"
    case .quoted(let text): "the column \"\(text.prefix(40))\""
    case .string(let text): "the text '\(text.prefix(40))'"
    case .end: "the end"
    }
  }

  /// True for keyword `word`, in any case.
  func isWord(_ word: String) -> Bool {
    if case .word(let text) = kind { return text.uppercased() == word }
    return false
  }
}

extension FilterToken {
  private static let symbols = [
    "<=", ">=", "<>", "!=", "==", "||", "(", ")", "[", "]", ",", "=", "<", ">", "+", "-", "*", "/", "%",
  ]

  /// All tokens of `text`, the last one `end`.
  /// - Throws: `INVALID_FILTER` naming the position.
  static func all(in text: String) throws(Failure) -> [FilterToken] {
    let characters = Array(text.unicodeScalars)
    var tokens: [FilterToken] = []
    var at = 0
    func isDigit(_ i: Int) -> Bool { i < characters.count && (48...57).contains(characters[i].value) }
    func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
      scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }
    func string(_ range: Range<Int>) -> String { String(String.UnicodeScalarView(characters[range])) }

    /// The text between quotes that begin at `at`; a doubled quote inside stands for one.
    func quotedText(_ what: String) throws(Failure) -> String {
      let (quote, start) = (characters[at], at)
      var inner = String.UnicodeScalarView()
      at += 1
      while at < characters.count {
        if characters[at] == quote {
          guard at + 1 < characters.count, characters[at + 1] == quote else {
            at += 1
            return String(inner)
          }
          at += 1
        }
        inner.append(characters[at])
        at += 1
      }
      throw .filter(start + 1, "\(what) begins here and has no closing \(quote)")
    }

    while true {
      while at < characters.count, characters[at].properties.isWhitespace { at += 1 }
      let start = at
      guard at < characters.count else {
        tokens.append(FilterToken(kind: .end, position: at + 1))
        return tokens
      }
      let kind: Kind
      switch characters[at] {
      case "'": kind = .string(try quotedText("a text"))
      case "\"", "`": kind = .quoted(try quotedText("a column"))
      case let scalar where isDigit(at) || (scalar == "." && isDigit(at + 1)):
        while isDigit(at) { at += 1 }
        if at < characters.count, characters[at] == "." {
          at += 1
          while isDigit(at) { at += 1 }
        }
        if at < characters.count, characters[at] == "e" || characters[at] == "E" {
          let signed = at + 1 < characters.count && (characters[at + 1] == "+" || characters[at + 1] == "-")
          guard isDigit(at + (signed ? 2 : 1)) else { throw .filter(start + 1, "'\(string(start..<at + 1))' is no number") }
          at += signed ? 2 : 1
          while isDigit(at) { at += 1 }
        }
        guard at == characters.count || !isWordPart(characters[at]) else {
          throw .filter(start + 1, "'\(string(start..<at + 1))' is no number; a column with such a name needs quotes: \"...\"")
        }
        kind = .number(string(start..<at))
      case let scalar where isWordPart(scalar):
        while at < characters.count, isWordPart(characters[at]) { at += 1 }
        kind = .word(string(start..<at))
      default:
        let two = string(at..<min(at + 2, characters.count))
        guard let symbol = symbols.first(where: { two.hasPrefix($0) }) else {
          throw .filter(start + 1, "the character '\(two.prefix(1))' means nothing here")
        }
        at += symbol.unicodeScalars.count
        kind = .symbol(symbol)
      }
      tokens.append(FilterToken(kind: kind, position: start + 1))
    }
  }
}

extension Failure.Code {
  package static let invalidFilter = Failure.Code("INVALID_FILTER")
}

extension Failure {
  /// `filter, position 9: ...`
  static func filter(_ position: Int, _ message: String) -> Failure {
    Failure(.invalidFilter, "filter, position \(position): \(message)", details: ["position": .int(Int64(position))])
  }
}
