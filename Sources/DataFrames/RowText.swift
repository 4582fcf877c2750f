package import Columnar
import Core

/// Rows as text that `CSVSource` and `JSONLinesSource` read again.
package enum RowText: String, Sendable, CaseIterable {
  /// RFC 4180 with a line of names first. Null is an empty field (`""` in a table of one column), an empty text is `""`; lists
  /// and structs are JSON.
  case csv
  /// One JSON object per line; null members are there.
  case ndjson

  package var mediaType: String { self == .csv ? "text/csv; charset=utf-8" : "application/x-ndjson" }

  /// What stands before the rows.
  package func head(_ schema: Schema) -> [UInt8] {
    guard self == .csv else { return [] }
    var out: [UInt8] = []
    for (i, name) in schema.names.enumerated() {
      if i > 0 { out.append(comma) }
      RowText.appendField(name, to: &out)
    }
    return out + [newline]
  }

  /// Appends all rows of `batch` to `out`.
  package func append(_ batch: RecordBatch, to out: inout [UInt8]) {
    for row in 0..<batch.count {
      switch self {
      case .ndjson: JSONValue.object(batch.json(row: row)).write(to: &out)
      case .csv:
        for (i, column) in batch.columns.enumerated() {
          if i > 0 { out.append(comma) }
          // A line without a byte would be no record, and readers skip it.
          if batch.columns.count == 1, !column.isValid(row) { out += [quote, quote] }
          RowText.append(column, row, to: &out)
        }
      }
      out.append(newline)
    }
  }

  private static func append(_ column: Column, _ row: Int, to out: inout [UInt8]) {
    switch column.json(row) {
    case .null: return
    case .string(let text): appendField(text, to: &out)
    case .double(let number) where !number.isFinite:
      out.append(contentsOf: (number.isNaN ? "nan" : number < 0 ? "-inf" : "inf").utf8)
    case .array, .object: appendField(column.json(row).text(), to: &out)
    case let plain: plain.write(to: &out)
    }
  }

  /// A field, quoted where it has to be.
  private static func appendField(_ text: String, to out: inout [UInt8]) {
    let special = text.utf8.contains { $0 == comma || $0 == quote || $0 == newline || $0 == 13 }
    guard special || text.isEmpty || text.first == " " || text.last == " " else { return out.append(contentsOf: text.utf8) }
    out.append(quote)
    for byte in text.utf8 {
      if byte == quote { out.append(quote) }
      out.append(byte)
    }
    out.append(quote)
  }
}

private let (comma, quote, newline) = (UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "\n"))
