package import Columnar
import Core

/// Rows as a table of text for terminals and logs.
package enum TextTable {
  /// `batch`'s first rows with names and types above; `total` says how many rows there are in all, when that is known.
  ///
  /// ```
  /// index  label  split
  /// Int64  Int64  String
  /// -----  -----  ------
  ///     0      5  train
  /// 1 of 70000 rows
  /// ```
  package static func text(_ batch: RecordBatch, total: Int?, cellWidth: Int = 32) -> String {
    var columns: [[String]] = []
    var right: [Bool] = []
    for (field, column) in zip(batch.schema.fields, batch.columns) {
      columns.append(
        [clean(field.name, cellWidth), clean(field.type.description, cellWidth)]
          + (0..<batch.count).map { cell(column, $0, cellWidth) })
      right.append(field.type.isNumeric)
    }
    var lines: [String] = []
    let widths = columns.map { $0.map(\.count).max() ?? 0 }
    for row in 0..<(batch.count + 2) {
      var line: [String] = []
      for (k, column) in columns.enumerated() {
        let pad = String(repeating: " ", count: widths[k] - column[row].count)
        line.append(right[k] ? pad + column[row] : column[row] + pad)
      }
      lines.append(trimmed(line.joined(separator: "  ")))
      if row == 1 { lines.append(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")) }
    }
    let rows = batch.count
    lines.append(total.map { $0 > rows ? "\(rows) of \($0) rows" : "\($0) row\($0 == 1 ? "" : "s")" } ?? "first \(rows) rows")
    return lines.joined(separator: "\n")
  }

  private static func trimmed(_ line: String) -> String {
    var line = line[...]
    while line.last == " " { line.removeLast() }
    return String(line)
  }

  private static func cell(_ column: Column, _ row: Int, _ width: Int) -> String {
    switch column.json(row) {
    case .null: return "null"
    case .string(let text): return clean(text, width)
    case .double(let d):
      return d == d.rounded() && abs(d) < 1e15 ? "\(d)" : JSONValue.double(d).text() == "null" ? "\(d)" : "\(d)"
    case .array(let items):
      let shown = items.prefix(4).map { $0.text() }.joined(separator: ", ")
      return clean("[\(shown)\(items.count > 4 ? ", ... \(items.count) in all" : "")]", width + 16)
    case let other: return clean(other.text(), width)
    }
  }

  /// Without control characters, at most `width` characters.
  private static func clean(_ text: String, _ width: Int) -> String {
    var out = ""
    for scalar in text.unicodeScalars.prefix(width + 1) {
      switch scalar.value {
      case 10: out += "\\n"
      case 9: out += "\\t"
      case 0..<32, 127..<160, 0x202A...0x202E, 0x2066...0x2069: out += "\u{FFFD}"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out.count > width ? out.prefix(width - 3) + "..." : out
  }
}
