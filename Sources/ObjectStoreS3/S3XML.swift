package import Core

/// An element of an XML answer: its name without prefix, its text, its elements.
package struct S3XML: Sendable {
  package var name: String
  package var text = ""
  package var children: [S3XML] = []

  /// The first element called `name`.
  package subscript(_ name: String) -> S3XML? { children.first { $0.name == name } }
  /// The text of the first element called `name`.
  package func text(_ name: String) -> String? { self[name]?.text }
  /// All elements called `name`.
  package func all(_ name: String) -> [S3XML] { children.filter { $0.name == name } }

  /// Reads a whole document.
  ///
  /// The part of XML that S3 answers are written in, and no more: elements, attributes (not kept), text, character references, the
  /// five named entities, a declaration, comments. A document type, processing instructions and CDATA are refused, so nothing can
  /// refer to or define anything.
  /// - Throws: `CORRUPT_DATA` saying what is wrong and at which byte.
  package init(parsing bytes: [UInt8]) throws(Failure) {
    var reader = XMLReader(bytes: bytes)
    self = try reader.document()
  }

  fileprivate init(name: String) { self.name = name }
}

private struct XMLReader {
  let bytes: [UInt8]
  private var at = 0
  private var elements = 0

  static let mostBytes = 32 << 20
  static let mostElements = 200_000
  static let deepest = 16

  init(bytes: [UInt8]) { self.bytes = bytes }

  func fail(_ why: String) -> Failure {
    Failure(.corruptData, "the server's XML answer is not understood: \(why) at byte \(at)")
  }

  mutating func document() throws(Failure) -> S3XML {
    guard bytes.count <= XMLReader.mostBytes else { throw fail("\(bytes.count) bytes are too many") }
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { at = 3 }
    if has("<?xml") { try skip(past: "?>") }
    try skipBetween()
    guard peek == UInt8(ascii: "<") else { throw fail("no element") }
    let root = try element(depth: 0)
    try skipBetween()
    guard at == bytes.count else { throw fail("something follows the document") }
    return root
  }

  private mutating func element(depth: Int) throws(Failure) -> S3XML {
    guard depth < XMLReader.deepest else { throw fail("elements are nested too deeply") }
    elements += 1
    guard elements <= XMLReader.mostElements else { throw fail("too many elements") }
    at += 1  // <
    let full = try name()
    var element = S3XML(name: full.split(separator: ":").last.map(String.init) ?? full)
    if try attributes() { return element }
    var text: [UInt8] = []
    while true {
      guard let byte = peek else { throw fail("<\(full)> does not end") }
      if byte == UInt8(ascii: "<") {
        if has("</") {
          at += 2
          guard try name() == full else { throw fail("</\(full)> expected") }
          skipBlanks()
          guard take(">") else { throw fail("'>' expected") }
          break
        } else if has("<!--") {
          try skip(past: "-->")
        } else {
          element.children.append(try self.element(depth: depth + 1))
        }
      } else if byte == UInt8(ascii: "&") {
        text += try reference()
      } else {
        text.append(byte)
        at += 1
      }
    }
    guard let decoded = String(validating: text, as: UTF8.self) else { throw fail("the text of <\(full)> is not UTF-8") }
    // Text between elements is layout.
    element.text = element.children.isEmpty ? decoded : ""
    return element
  }

  /// Skips attributes and the end of a start tag; true when the element is empty (`/>`).
  private mutating func attributes() throws(Failure) -> Bool {
    while true {
      skipBlanks()
      if take("/>") { return true }
      if take(">") { return false }
      _ = try name()
      skipBlanks()
      guard take("=") else { throw fail("'=' expected") }
      skipBlanks()
      guard let quote = peek, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else { throw fail("a quote expected") }
      at += 1
      while let byte = peek, byte != quote {
        if byte == UInt8(ascii: "<") { throw fail("'<' in an attribute") }
        at += 1
      }
      guard peek == quote else { throw fail("an attribute does not end") }
      at += 1
    }
  }

  private mutating func name() throws(Failure) -> String {
    let start = at
    while let byte = peek {
      switch byte {
      case 48...58, 65...90, 97...122, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): at += 1
      default:
        guard at > start else { throw fail("a name expected") }
        return String(decoding: bytes[start..<at], as: UTF8.self)
      }
    }
    throw fail("the document ends in a name")
  }

  /// `&lt;` and its like; `&#13;`, `&#xD;`.
  private mutating func reference() throws(Failure) -> [UInt8] {
    guard let end = bytes[at...].prefix(12).firstIndex(of: UInt8(ascii: ";")) else { throw fail("a reference does not end") }
    let body = String(decoding: bytes[at + 1..<end], as: UTF8.self)
    let scalar: Unicode.Scalar?
    switch body {
    case "lt": scalar = "<"
    case "gt": scalar = ">"
    case "amp": scalar = "&"
    case "quot": scalar = "\""
    case "apos": scalar = "'"
    default:
      let digits = body.hasPrefix("#x") ? body.dropFirst(2) : body.dropFirst()
      let isNumber = body.hasPrefix("#") && !digits.isEmpty && !digits.hasPrefix("+") && !digits.hasPrefix("-")
      scalar = isNumber ? UInt32(digits, radix: body.hasPrefix("#x") ? 16 : 10).flatMap(Unicode.Scalar.init) : nil
    }
    guard let scalar, scalar.value != 0 else { throw fail("'&\(body);' is unknown") }
    at = end + 1
    return Array(String(Character(scalar)).utf8)
  }

  // MARK: bytes

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func has(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard count <= bytes.count - at else { return false }
    return bytes[at..<at + count].elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: count))
  }

  private mutating func take(_ text: StaticString) -> Bool {
    guard has(text) else { return false }
    at += text.utf8CodeUnitCount
    return true
  }

  private mutating func skip(past end: StaticString) throws(Failure) {
    while at < bytes.count {
      if take(end) { return }
      at += 1
    }
    throw fail("the document is cut off")
  }

  private mutating func skipBlanks() {
    while let byte = peek, byte == 32 || byte == 9 || byte == 10 || byte == 13 { at += 1 }
  }

  /// Blanks and comments outside of the root element.
  private mutating func skipBetween() throws(Failure) {
    while true {
      skipBlanks()
      guard has("<!--") else { return }
      try skip(past: "-->")
    }
  }
}
