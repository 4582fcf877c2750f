package import Columnar
package import Core
package import Plan

/// How a file of JSON lines is read.
package struct JSONLinesOptions: Sendable {
  /// Types by column name; other columns are inferred.
  package var schema: [(name: String, type: DataType)] = []
  /// Lines looked at to infer columns and types.
  package var inferRows = 1000
  package init() {}
}

/// A file with one JSON object per line, read in blocks that are parsed in parallel. Columns are the members of the first
/// lines, in order of appearance; an absent member is null; a member that the sample did not show is an error.
package final class JSONLinesSource: TableSource {
  package let schema: Schema
  package let label: String
  package var rowCount: Int? { nil }
  private let opener: FileOpener
  private let name: String

  package init(opener: @escaping FileOpener, name: String, options: JSONLinesOptions = JSONLinesOptions()) throws(Failure) {
    self.opener = opener
    self.name = name
    label = "jsonl \(name)"
    schema = try JSONLinesSource.infer(opener, name, options)
  }

  /// A file by its path, which is trusted.
  package convenience init(path: String, name: String, options: JSONLinesOptions = JSONLinesOptions()) throws(Failure) {
    try self.init(opener: TextFile.opener(path, name: name), name: name, options: options)
  }

  package func accepts(_ filter: Expr) -> Bool { false }

  package func scan(_ request: ScanRequest) throws(Failure) -> any TableScan {
    Scan(self, LineBlocks(try TextFile(opener, name: name), name: name), try schema.selecting(request.columns))
  }

  private final class Scan: TableScan {
    private let source: JSONLinesSource
    private let blocks: LineBlocks
    private let wanted: Schema

    init(_ source: JSONLinesSource, _ blocks: LineBlocks, _ wanted: Schema) {
      self.source = source
      self.blocks = blocks
      self.wanted = wanted
    }

    func nextPart() throws(Failure) -> ScanPart? {
      guard let block = try blocks.next() else { return nil }
      let (source, wanted) = (source, wanted)
      return ScanPart {
        do throws(Failure) { return .success([try source.parse(block, wanted)]) } catch { return .failure(error) }
      }
    }
  }

  private func parse(_ block: CSVBlock, _ wanted: Schema) throws(Failure) -> RecordBatch {
    let (rows, lines) = try JSONLinesSource.objects(block, name, limit: .max)
    let known = Set(schema.names)
    for (row, line) in zip(rows, lines) {
      for key in row.keys where !known.contains(key) {
        throw Failure(
          .corruptData,
          "jsonl \(name) line \(line): member \(nearNames(key, known: schema.names, what: "columns")); name it in schema = { ... }",
          place: "line \(line)")
      }
    }
    var columns: [Column] = []
    for field in wanted.fields {
      do throws(Failure) { columns.append(try JSONColumns.column(rows.map { $0[field.name] }, field.type)) } catch {
        guard let row = error.details["row"]?.intValue, Int(row) <= lines.count else {
          throw error.context("jsonl \(name), column '\(field.name)'")
        }
        let line = lines[Int(row) - 1]
        throw Failure(
          .corruptData, "jsonl \(name) line \(line), column '\(field.name)': \(error.message)", place: "line \(line)")
      }
    }
    return try RecordBatch(schema: wanted, columns: columns, count: rows.count)
  }

  /// The objects of a block and the lines they stand in.
  private static func objects(_ block: CSVBlock, _ name: String, limit: Int) throws(Failure) -> ([JSONObject], [Int]) {
    var (rows, lines): ([JSONObject], [Int]) = ([], [])
    var line = block.line
    for part in block.bytes.split(separator: 10, omittingEmptySubsequences: false) {
      defer { line += 1 }
      if part.allSatisfy({ $0 == 13 || $0 == 32 || $0 == 9 }) { continue }
      if rows.count >= limit { break }
      let value: JSONValue
      do throws(Failure) { value = try JSONValue(parsing: Array(part)) } catch {
        throw Failure(.corruptData, "jsonl \(name) line \(line): \(error.message)", place: "line \(line)")
      }
      guard let object = value.objectValue else {
        throw Failure(
          .corruptData, "jsonl \(name) line \(line): an object is expected, this is of type \(value.kind)",
          place: "line \(line)")
      }
      rows.append(object)
      lines.append(line)
    }
    return (rows, lines)
  }

  private static func infer(_ opener: FileOpener, _ name: String, _ options: JSONLinesOptions) throws(Failure) -> Schema {
    let blocks = LineBlocks(try TextFile(opener, name: name), name: name)
    var (rows, lines): ([JSONObject], [Int]) = ([], [])
    while rows.count < max(1, options.inferRows), let block = try blocks.next() {
      let (more, places) = try objects(block, name, limit: max(1, options.inferRows) - rows.count)
      rows += more
      lines += places
    }
    var names = options.schema.map(\.name)
    var seen = Set(names)
    for row in rows { for key in row.keys where seen.insert(key).inserted { names.append(key) } }
    guard !names.isEmpty else { throw Failure(.corruptData, "jsonl \(name): there are no members, so there are no columns") }
    var fields: [Field] = []
    for column in names {
      if let given = options.schema.first(where: { $0.name == column }) {
        fields.append(Field(column, given.type))
        continue
      }
      do throws(Failure) {
        let type = try JSONColumns.type(of: rows.map { $0[column] })
        fields.append(Field(column, type == .null ? .utf8 : type))
      } catch {
        let line = error.details["row"]?.intValue.map { lines[Int($0) - 1] } ?? 1
        throw Failure(
          .corruptData, "jsonl \(name) line \(line), column '\(column)': \(error.message); give its type in schema = { ... }",
          place: "line \(line)")
      }
    }
    return Schema(fields)
  }
}

/// Cuts a text file into blocks of whole lines.
final class LineBlocks {
  private let file: TextFile
  private let name: String
  private var rest: [UInt8] = []
  private var line = 1
  private var ended = false

  init(_ file: TextFile, name: String) {
    self.file = file
    self.name = name
  }

  func next() throws(Failure) -> CSVBlock? {
    while true {
      if ended, rest.isEmpty { return nil }
      if !ended { ended = try !file.read(1 << 20, into: &rest) }
      let end = ended ? rest.count - 1 : rest.lastIndex(of: 10) ?? -1
      if end < 0 {
        if rest.isEmpty { return nil }
        if rest.count > CSVBlocks.recordLimit {
          throw Failure(.corruptData, "'\(name)' line \(line) is longer than 64 MiB", place: "line \(line)")
        }
        continue
      }
      let block = CSVBlock(bytes: Array(rest[...end]), line: line)
      rest.removeFirst(end + 1)
      line += block.bytes.reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
      return block
    }
  }
}
