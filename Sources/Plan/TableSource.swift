package import Columnar
package import Core

/// Where rows come from: a Lance data set, a CSV file, columns in memory. Plan knows nothing else about them.
package protocol TableSource: AnyObject, Sendable {
  var schema: Schema { get }
  /// Kind and name, for `explain`: `lance mnist_clean version 3`.
  var label: String { get }
  /// Rows without any filter, when that is known without reading.
  var rowCount: Int? { get }
  /// True when a scan applies `filter` itself, exactly: no row that fails it comes out, and the engine need not test again.
  func accepts(_ filter: Expr) -> Bool
  /// What the source does about `filters` besides testing rows, for `explain`: the index that is asked; nil: nothing.
  func note(_ filters: [Expr]) -> String?
  /// Starts reading.
  func scan(_ request: ScanRequest) throws(Failure) -> any TableScan
}

extension TableSource {
  package func note(_ filters: [Expr]) -> String? { nil }
}

/// What a scan is asked for.
package struct ScanRequest: Sendable {
  /// Columns, in this order; none means that only rows are counted.
  package var columns: [String]
  /// Conditions that the source accepted, all to be met.
  package var filters: [Expr]
  /// Rows after filtering that suffice; more may come.
  package var limit: Int?
  /// Rows per batch aimed at; a part may hold several batches.
  package var batchRows: Int

  package init(columns: [String], filters: [Expr] = [], limit: Int? = nil, batchRows: Int = 65536) {
    self.columns = columns
    self.filters = filters
    self.limit = limit
    self.batchRows = batchRows
  }
}

/// One reading of a source, cut into parts in row order. `nextPart` is called by one thread at a time; the parts may be
/// run by other threads, several at once.
package protocol TableScan: AnyObject {
  /// The next part's work, or nil at the end.
  func nextPart() throws(Failure) -> ScanPart?
}

/// Work that yields some batches.
package struct ScanPart: Sendable {
  package typealias Work = @Sendable () -> Result<[RecordBatch], Failure>
  package let read: Work
  /// The position in the source of the part's first row, where that is known, for messages.
  package let firstRow: Int?
  package init(firstRow: Int? = nil, _ read: @escaping Work) {
    self.read = read
    self.firstRow = firstRow
  }
}

/// A table in memory.
package final class MemoryTable: TableSource {
  package let schema: Schema
  package let batches: [RecordBatch]
  package let label: String
  package var rowCount: Int? { batches.reduce(0) { $0 + $1.count } }

  package init(_ batches: [RecordBatch], schema: Schema, label: String = "memory") {
    self.batches = batches
    self.schema = schema
    self.label = label
  }

  /// Filters are left to the engine.
  package func accepts(_ filter: Expr) -> Bool { false }

  package func scan(_ request: ScanRequest) throws(Failure) -> any TableScan {
    _ = try schema.selecting(request.columns)
    return Scan(batches, request)
  }

  private final class Scan: TableScan {
    private let batches: [RecordBatch]
    private let request: ScanRequest
    private var at = (batch: 0, row: 0)
    private var done = 0

    init(_ batches: [RecordBatch], _ request: ScanRequest) {
      self.batches = batches
      self.request = request
    }

    func nextPart() throws(Failure) -> ScanPart? {
      if let limit = request.limit, done >= limit { return nil }
      while at.batch < batches.count, at.row >= batches[at.batch].count { at = (at.batch + 1, 0) }
      guard at.batch < batches.count else { return nil }
      let batch = batches[at.batch]
      let rows = min(max(1, request.batchRows), batch.count - at.row, request.limit.map { $0 - done } ?? .max)
      let slice = try batch.slice(at.row, rows).selecting(request.columns)
      defer {
        at.row += rows
        done += rows
      }
      return ScanPart(firstRow: done) { .success([slice]) }
    }
  }
}
