extension JSONValue {
  /// JSON text. Doubles are written so that they read back equal; NaN and infinities become `null`, as JSON has none.
  public func text(pretty: Bool = false) -> String {
    String(decoding: utf8(pretty: pretty), as: UTF8.self)
  }

  /// The bytes of `text(pretty:)`.
  public func utf8(pretty: Bool = false) -> [UInt8] {
    var out: [UInt8] = []
    write(to: &out, indent: pretty ? 0 : nil)
    return out
  }

  /// Appends the JSON text to `out`; `indent` is the current depth when pretty-printing.
  public func write(to out: inout [UInt8], indent: Int? = nil) {
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let b): out.append(contentsOf: (b ? "true" : "false").utf8)
    case .int(let i): out.append(contentsOf: i.description.utf8)
    case .double(let d): out.append(contentsOf: JSONValue.text(of: d).utf8)
    case .string(let s): JSONValue.write(string: s, to: &out)
    case .array(let items):
      if items.isEmpty {
        out.append(contentsOf: "[]".utf8)
        return
      }
      // Arrays of plain values stay on one line, which keeps vectors readable.
      let nested = items.contains { $0.arrayValue != nil || $0.objectValue != nil }
      let inner = nested ? indent.map { $0 + 1 } : nil
      out.append(UInt8(ascii: "["))
      for (i, item) in items.enumerated() {
        if i > 0 { out.append(contentsOf: (indent != nil && inner == nil ? ", " : ",").utf8) }
        JSONValue.newline(inner, &out)
        item.write(to: &out, indent: inner)
      }
      if inner != nil { JSONValue.newline(indent, &out) }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      if members.isEmpty {
        out.append(contentsOf: "{}".utf8)
        return
      }
      let inner = indent.map { $0 + 1 }
      out.append(UInt8(ascii: "{"))
      var first = true
      for (key, value) in members {
        if !first { out.append(UInt8(ascii: ",")) }
        first = false
        JSONValue.newline(inner, &out)
        JSONValue.write(string: key, to: &out)
        out.append(contentsOf: (indent != nil ? ": " : ":").utf8)
        value.write(to: &out, indent: inner)
      }
      JSONValue.newline(indent, &out)
      out.append(UInt8(ascii: "}"))
    }
  }

  private static func newline(_ indent: Int?, _ out: inout [UInt8]) {
    guard let indent else { return }
    out.append(10)
    for _ in 0..<indent { out.append(contentsOf: "  ".utf8) }
  }

  private static func text(of d: Double) -> String {
    guard d.isFinite else { return "null" }
    if d == d.rounded(), abs(d) < 1e15 { return "\(Int64(d))" + (d == 0 && d.sign == .minus ? ".0" : "") }
    return d.description
  }

  private static func write(string: String, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): out.append(contentsOf: "\\\"".utf8)
      case UInt8(ascii: "\\"): out.append(contentsOf: "\\\\".utf8)
      case 10: out.append(contentsOf: "\\n".utf8)
      case 13: out.append(contentsOf: "\\r".utf8)
      case 9: out.append(contentsOf: "\\t".utf8)
      case 0..<32, 127: out.append(contentsOf: ("\\u00" + hex(byte)).utf8)
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }
}
