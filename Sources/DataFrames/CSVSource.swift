package import Columnar
import Compute
package import Core
package import Plan

/// Opens a file for reading and gives its descriptor, which the caller closes. Called once per reading of a source.
package typealias FileOpener = @Sendable () throws(Failure) -> Int32

/// How a CSV file is read.
package struct CSVOptions: Sendable {
  /// The first record holds the column names; otherwise they are column_1, column_2 ...
  package var header = true
  /// One byte between fields.
  package var separator: Character = ","
  /// Unquoted texts that mean null. An empty quoted field is an empty string.
  package var nullValues: [String] = [""]
  /// Types by column name; other columns are inferred.
  package var schema: [(name: String, type: DataType)] = []
  /// Records looked at to infer types.
  package var inferRows = 1000

  package init() {}
}

/// A CSV file (RFC 4180: quotes, doubled quotes, newlines in quotes, CRLF, byte-order mark), read in blocks that are parsed in
/// parallel.
///
/// Types not given are inferred from the first records: Int64, Float64, Boolean, Date, Timestamp (microseconds), else String. A
/// later field that does not fit is an error naming file, line and column; fields are never guessed again.
package final class CSVSource: TableSource {
  package let schema: Schema
  package let label: String
  package var rowCount: Int? { nil }
  private let opener: FileOpener
  private let name: String
  private let options: CSVOptions
  private let separator: UInt8

  /// - Parameter name: how messages call the file.
  package init(opener: @escaping FileOpener, name: String, options: CSVOptions = CSVOptions()) throws(Failure) {
    guard let byte = options.separator.asciiValue, byte != 34, byte != 10, byte != 13 else {
      throw Failure(.invalidArgument, "csv: the separator must be one ASCII character, not a quote or newline")
    }
    guard options.inferRows >= 0 else { throw Failure(.invalidArgument, "csv: infer_rows must not be negative") }
    self.opener = opener
    self.name = name
    self.options = options
    separator = byte
    label = "csv \(name)"
    schema = try CSVSource.infer(CSVBlocks(try TextFile(opener, name: name), name: name), options, byte, name)
  }

  /// A file by its path, which is trusted.
  package convenience init(path: String, name: String, options: CSVOptions = CSVOptions()) throws(Failure) {
    try self.init(opener: TextFile.opener(path, name: name), name: name, options: options)
  }

  package func accepts(_ filter: Expr) -> Bool { false }

  package func scan(_ request: ScanRequest) throws(Failure) -> any TableScan {
    var columns: [(field: Field, position: Int)] = []
    for name in request.columns {
      let at = try schema.index(of: name)
      columns.append((schema.fields[at], at))
    }
    let blocks = CSVBlocks(try TextFile(opener, name: name), name: name)
    return Scan(self, blocks, columns)
  }

  private final class Scan: TableScan {
    private let source: CSVSource
    private let blocks: CSVBlocks
    private let columns: [(field: Field, position: Int)]
    private var skipsHeader: Bool

    init(_ source: CSVSource, _ blocks: CSVBlocks, _ columns: [(field: Field, position: Int)]) {
      self.source = source
      self.blocks = blocks
      self.columns = columns
      skipsHeader = source.options.header
    }

    func nextPart() throws(Failure) -> ScanPart? {
      guard let block = try blocks.next() else { return nil }
      let skip = skipsHeader
      skipsHeader = false
      let (source, columns) = (source, columns)
      return ScanPart {
        do throws(Failure) { return .success([try source.parse(block, columns, skipsHeader: skip)]) } catch {
          return .failure(error)
        }
      }
    }
  }

  private func parse(_ block: CSVBlock, _ columns: [(field: Field, position: Int)], skipsHeader: Bool) throws(Failure)
    -> RecordBatch
  {
    let fields = try CSVFields(block, separator: separator, width: schema.fields.count, name: name)
    let first = skipsHeader ? 1 : 0
    let n = max(0, fields.count - first)
    let nulls = options.nullValues.map { Array($0.utf8) }
    var made: [Column] = []
    for (field, position) in columns {
      let text = try CSVSource.texts(fields, first, n, position, nulls)
      do throws(Failure) { made.append(try Cast.cast(text, to: field.type)) } catch {
        guard let row = error.details["row"]?.intValue else { throw error.context("csv \(name), column '\(field.name)'") }
        let line = fields.lines[first + Int(row) - 1]
        throw Failure(
          .corruptData,
          "csv \(name) line \(line), column '\(field.name)': \(error.message); give its type, such as schema = { \(field.name) = \"string\" }",
          place: "line \(line)")
      }
    }
    return try RecordBatch(schema: Schema(columns.map(\.field)), columns: made, count: n)
  }

  /// Field `position` of all records as strings.
  private static func texts(_ fields: CSVFields, _ first: Int, _ n: Int, _ position: Int, _ nulls: [[UInt8]]) throws(Failure)
    -> Column
  {
    var total = 0
    for i in 0..<n { total += fields.span(first + i, position).0.count }
    let offsets = try Buffer(byteCount: (n + 1) * 4)
    let data = try Buffer(byteCount: total)
    let validity = try Bitmap.filled(n, true)
    let z = offsets.mutableValues(of: Int32.self)
    var at = 0
    fields.bytes.withUnsafeBytes { raw in
      for i in 0..<n {
        let (span, quoted) = fields.span(first + i, position)
        let text = UnsafeRawBufferPointer(rebasing: raw[span])
        if !quoted, nulls.contains(where: { $0.count == text.count && $0.elementsEqual(text) }) {
          Bitmap.set(validity.pointer, i, false)
        } else if let base = text.baseAddress, text.count > 0 {
          (data.pointer + at).copyMemory(from: base, byteCount: text.count)
          at += text.count
        }
        z[i + 1] = Int32(at)
      }
    }
    return Column(type: .utf8, count: n, validity: validity, buffers: [offsets, data])
  }

  // MARK: inference

  private static func infer(_ blocks: CSVBlocks, _ options: CSVOptions, _ separator: UInt8, _ name: String) throws(Failure)
    -> Schema
  {
    guard let block = try blocks.next() else {
      throw Failure(.corruptData, "csv \(name): the file is empty, so it has no columns")
    }
    var fields = try CSVFields(block, separator: separator, width: nil, name: name, limit: options.inferRows + 1)
    guard fields.count > 0 else { throw Failure(.corruptData, "csv \(name): the file is empty, so it has no columns") }
    let width = fields.width
    var names = (0..<width).map { "column_\($0 + 1)" }
    if options.header {
      for i in 0..<width {
        let text = fields.text(0, i).0
        if text.utf8.contains(13) {
          throw Failure(
            .corruptData, "csv \(name) line 1: a column's name holds a carriage return; lines must end in LF or CR LF",
            place: "line 1")
        }
        if !text.isEmpty { names[i] = text }
      }
      for (i, column) in names.enumerated() where names[..<i].contains(column) {
        throw Failure(.invalidSchema, "csv \(name) line 1: two columns are named '\(column)'", place: "line 1")
      }
    }
    for (given, _) in options.schema where !names.contains(given) {
      throw Failure(.columnNotFound, "csv \(name): schema names a column \(nearNames(given, known: names, what: "columns"))")
    }
    let nulls = options.nullValues.map { Array($0.utf8) }
    var types: [DataType?] = names.map { column in options.schema.first { $0.name == column }?.type }
    var open = Set(types.indices.filter { types[$0] == nil })
    var guesses: [Int: [DataType]] = [:]
    for i in open { guesses[i] = candidates }
    var first = options.header ? 1 : 0
    var left = options.inferRows
    while true {
      let n = min(left, fields.count - first)
      for i in open where n > 0 {
        let column = try texts(fields, first, n, i, nulls)
        guard column.nullCount < n else { continue }
        guesses[i] = guesses[i]?.filter { type in
          (try? Cast.cast(column, to: type, lenient: true)).map { $0.nullCount == column.nullCount } ?? false
        }
        if guesses[i]?.isEmpty ?? true {
          types[i] = .utf8
          open.remove(i)
        } else {
          types[i] = guesses[i]?.first
        }
      }
      left -= max(0, n)
      guard left > 0, !open.isEmpty, let more = try blocks.next() else { break }
      fields = try CSVFields(more, separator: separator, width: width, name: name, limit: left)
      first = 0
    }
    return Schema(zip(names, types).map { Field($0, $1 ?? .utf8) })
  }

  private static let candidates: [DataType] = [
    .int64, .float64, .bool, .date32, .timestamp(.microsecond, timeZone: nil),
  ]
}
