package import Columnar
import Compute
package import Core
package import LanceIndex
package import LanceTable
package import Plan

extension LanceTable {
  /// The nearest rows that meet `filter`, nearest first: columns `select` and `_distance` (Float32).
  ///
  /// The filter comes before the search: what is found are the nearest of the rows that meet it. Scalar indices are asked for it as in
  /// any scan.
  /// - Parameters:
  ///   - filter: nil: all rows.
  ///   - select: nil: all columns but the one that is searched.
  /// - Throws: as `nearest`; `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` for the filter, `ALREADY_EXISTS` when the table has a column `_distance`
  ///   that is selected.
  package func search(_ vector: [Float], _ query: VectorQuery, where filter: Expr? = nil, select: [String]? = nil)
    throws(Failure) -> RecordBatch
  {
    try search([vector], query, where: filter, select: select)[0]
  }

  /// The same for several vectors, one batch each; cheaper than one by one.
  package func search(_ vectors: [[Float]], _ query: VectorQuery, where filter: Expr? = nil, select: [String]? = nil)
    throws(Failure) -> [RecordBatch]
  {
    let columns = select ?? schema.names.filter { $0 != query.column }
    let chosen = try schema.selecting(columns)
    guard !columns.contains(distanceColumn) else {
      throw Failure(.alreadyExists, "table '\(name)' has a column '\(distanceColumn)'; select others")
    }
    let among = try filter.map { filter throws(Failure) in try rows(meeting: filter) }
    let output = Schema(chosen.fields + [Field(distanceColumn, .float32, isNullable: false)])
    var batches: [RecordBatch] = []
    for found in try nearest(vectors, query, among: among) {
      let rows = columns.isEmpty ? nil : try take(found.rows, columns: columns)
      let distances = try Column.float32(found.distances.map { $0 })
      batches.append(try RecordBatch(schema: output, columns: (rows?.columns ?? []) + [distances], count: found.rows.count))
    }
    return batches
  }

  private var distanceColumn: String { "_distance" }

  /// The live rows that meet `filter`, fragment by fragment on all cores.
  /// - Throws: as `RowFilter(_:in:)`, and what the filter throws for a row.
  package func rows(meeting filter: Expr) throws(Failure) -> RowSet {
    let condition = try RowFilter(filter, in: self)
    let known = try IndexedFilter.rows(self, [filter])
    struct Part: Sendable {
      let fragment: Int
      let rows: RowSelection
      let positions: [Int32]?
      let first: Int
    }
    var parts: [Part] = []
    let batchRows = 1 << 16
    for fragment in fragments {
      if let live = known?.live[fragment.position] {
        for at in stride(from: 0, to: live.count, by: batchRows) {
          let part = Array(live[at..<min(live.count, at + batchRows)])
          parts.append(Part(fragment: fragment.position, rows: .positions(part.map { Int($0) }), positions: part, first: 0))
        }
      } else {
        for at in stride(from: 0, to: fragment.rowCount, by: batchRows) {
          let range = at..<min(fragment.rowCount, at + batchRows)
          parts.append(Part(fragment: fragment.position, rows: .range(range), positions: nil, first: at))
        }
      }
    }
    var results = [Result<[Int32], Failure>?](repeating: nil, count: parts.count)
    let all = parts
    results.withUnsafeMutableBufferPointer { raw in
      // Sendable proof: every block writes its own slots, and `forEach` returns when all are done.
      nonisolated(unsafe) let slots = raw
      Parallel.forEach(count: all.count, grain: 1) { block in
        for i in block {
          let part = all[i]
          do throws(Failure) {
            let batch = try read(fragment: part.fragment, columns: condition.columns, rows: part.rows)
            let found = try condition.matching(batch)
            slots[i] = .success(found.map { part.positions?[Int($0)] ?? Int32(part.first) + $0 })
          } catch { slots[i] = .failure(error) }
        }
      }
    }
    try Cancellation.check()
    var live = [[Int32]](repeating: [], count: fragments.count)
    for (part, result) in zip(parts, results) {
      guard let rows = try result?.get() else { throw Failure(.cancelled, "cancelled") }
      live[part.fragment] += rows
    }
    return RowSet(live: live)
  }
}
