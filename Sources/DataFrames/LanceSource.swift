package import Columnar
import Compute
package import Core
import LanceIndex
package import LanceTable
package import Plan

/// One version of a Lance table as a source. Row ranges of fragments are read in parallel; columns that filters use are
/// decoded first, the others only for the rows that are left. Where a BTREE or BITMAP index answers a filter, only the rows that it
/// names are read.
package final class LanceSource: TableSource {
  package let table: LanceTable
  package let schema: Schema
  package let label: String
  package var rowCount: Int? { table.rowCount }

  package init(_ table: LanceTable) {
    self.table = table
    schema = table.schema
    label = "lance \(table.name) version \(table.version)"
  }

  /// Any filter over columns of the table.
  package func accepts(_ filter: Expr) -> Bool { !filter.columns.isEmpty }

  package func note(_ filters: [Expr]) -> String? {
    let names = IndexedFilter.candidates(table, filters)
    return names.isEmpty ? nil : "index \(names.joined(separator: ", "))"
  }

  package func scan(_ request: ScanRequest) throws(Failure) -> any TableScan {
    _ = try schema.selecting(request.columns)
    return Scan(table, request, try IndexedFilter.rows(table, request.filters))
  }

  private final class Scan: TableScan {
    private let table: LanceTable
    private let request: ScanRequest
    /// By fragment, the rows that can meet the filters; all rows of fragments that are not named.
    private let known: IndexedRows?
    private var fragment = 0
    private var row = 0
    private var done = 0

    init(_ table: LanceTable, _ request: ScanRequest, _ known: IndexedRows?) {
      self.table = table
      self.request = request
      self.known = known
    }

    /// Rows of the current fragment that are read.
    private var candidates: Int { known?.live[fragment]?.count ?? table.fragments[fragment].rowCount }

    func nextPart() throws(Failure) -> ScanPart? {
      // Without filters a limit is known to be reached.
      if let limit = request.limit, request.filters.isEmpty, done >= limit { return nil }
      while fragment < table.fragments.count, row >= candidates {
        fragment += 1
        row = 0
      }
      guard fragment < table.fragments.count else { return nil }
      var rows = min(max(1, request.batchRows), candidates - row)
      if request.filters.isEmpty, let limit = request.limit { rows = min(rows, limit - done) }
      let (table, request, position, range, first) = (table, request, fragment, row..<row + rows, done)
      let chosen = known?.live[fragment].map { $0[range].map { Int($0) } }
      defer {
        row += rows
        done += rows
      }
      return ScanPart(firstRow: request.filters.isEmpty ? done : nil) {
        do throws(Failure) { return .success([try LanceSource.read(table, request, position, range, chosen)]) } catch {
          var failure = error
          if chosen == nil, let row = error.details["row"]?.intValue, error.details["expression"] != nil {
            failure.place = "row \(first + Int(row)) of lance \(table.name) version \(table.version)"
            failure.details = [:]
          }
          return .failure(failure)
        }
      }
    }
  }

  /// - Parameters:
  ///   - rows: of the fragment, or of `chosen`.
  ///   - chosen: live positions in the fragment; nil: those of `rows` themselves.
  private static func read(
    _ table: LanceTable, _ request: ScanRequest, _ fragment: Int, _ rows: Range<Int>, _ chosen: [Int]?
  ) throws(Failure) -> RecordBatch {
    let selection: RowSelection = chosen.map { .positions($0) } ?? .range(rows)
    guard let condition = Expr.conjunction(request.filters) else {
      if request.columns.isEmpty { return try RecordBatch(schema: Schema([]), columns: [], count: rows.count) }
      return try table.read(fragment: fragment, columns: request.columns, rows: selection)
    }
    let tested = condition.columns
    let first = try table.read(fragment: fragment, columns: tested, rows: selection)
    let kept = try Selection.indices(try condition.evaluate(first))
    let others = request.columns.filter { !tested.contains($0) }
    let left = kept.count == rows.count ? first : try first.take(kept)
    if others.isEmpty { return try left.selecting(request.columns) }
    let wanted = try table.schema.selecting(request.columns)
    if kept.isEmpty { return try RecordBatch.concatenate([], schema: wanted) }
    // More than one row in sixteen left: one run is read faster than many picked rows, of which most chunks of a page would have
    // some. Rows that an index chose are picked in any case: then it takes half of them.
    let rest: RecordBatch
    if kept.count * (chosen == nil ? 16 : 2) > rows.count {
      let all = try table.read(fragment: fragment, columns: others, rows: selection)
      rest = kept.count == rows.count ? all : try all.take(kept)
    } else {
      rest = try table.read(
        fragment: fragment, columns: others, rows: .positions(kept.map { chosen?[Int($0)] ?? rows.lowerBound + Int($0) }))
    }
    var columns: [Column] = []
    for name in request.columns {
      columns.append(try tested.contains(name) ? left.column(name) : rest.column(name))
    }
    return try RecordBatch(schema: wanted, columns: columns, count: kept.count)
  }
}
