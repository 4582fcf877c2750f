import Columnar
package import Core
package import Engine
package import LanceTable
import Plan

/// What a write did.
package struct WriteReport: Sendable {
  /// Rows of the frame.
  package var rows: Int
  package var version: UInt64
  package var fragments: Int
  package var checks: [CheckResult]
  /// Rows of the table that are new, have other values, are gone. Rows that an overwrite replaced are not counted.
  package var inserted: Int
  package var updated: Int
  package var deleted: Int
}

extension Frame {
  /// Computes all rows and writes them to a Lance table, streaming. `progress` gets rows written so far and, if known, the
  /// total at most, after every batch; it may throw to stop, and nothing is committed then.
  /// - Parameter key: for `merge`, whose rows are all held in memory: rows of the table with the same key take the frame's values, the
  ///   others are added.
  package func write(
    to location: TableLocation, mode: WriteMode, key: [String] = [], options: WriteOptions = WriteOptions(),
    progress: ((Int, Int?) throws(Failure) -> Void)? = nil
  ) throws(Failure) -> WriteReport {
    let execution = try batches()
    let reader = ProgressReader(execution, total: rowsToRead, progress)
    guard mode == .merge else {
      guard key.isEmpty else {
        throw Failure(.invalidArgument, "a key is only for mode 'merge', not for '\(mode.rawValue)'")
      }
      let table = try LanceTable.write(reader, to: location, mode: mode, options: options)
      return WriteReport(
        rows: reader.rows, version: table.version, fragments: table.fragments.count, checks: execution.checks,
        inserted: reader.rows, updated: 0, deleted: 0)
    }
    var parts: [RecordBatch] = []
    while let batch = try reader.next() { parts.append(batch) }
    let rows = Frame(MemoryTable(parts, schema: schema, label: "rows to merge"))
    let report = try rows.merged(into: location, key: key, options)
    return WriteReport(
      rows: reader.rows, version: report.version,
      fragments: try LanceTable(location, version: .number(report.version)).fragments.count,
      checks: execution.checks, inserted: report.inserted, updated: report.updated, deleted: report.deleted)
  }

  /// An upsert into a table, which is made when there is none.
  private func merged(into location: TableLocation, key: [String], _ options: WriteOptions) throws(Failure) -> ChangeReport {
    if try !LanceTable.exists(location) {
      // A key that stands twice is an error here too.
      let source = try MergeSource(self, key: key, columns: [])
      do throws(Failure) {
        let table = try LanceTable.write(try batches(), to: location, mode: .create, options: options)
        return ChangeReport(version: table.version, inserted: source.batch.count)
      } catch { guard error.code == .alreadyExists else { throw error } }
    }
    try options.checkRowsOnly(try LanceTable(location))
    return try location.merge(self, key: key, options: ChangeOptions(options))
  }
}

/// Reports rows as they pass.
private final class ProgressReader: RecordBatchReader {
  let schema: Schema
  private let input: Execution
  private let total: Int?
  private let report: ((Int, Int?) throws(Failure) -> Void)?
  private(set) var rows = 0

  init(_ input: Execution, total: Int?, _ report: ((Int, Int?) throws(Failure) -> Void)?) {
    schema = input.schema
    self.input = input
    self.total = total
    self.report = report
  }

  func next() throws(Failure) -> RecordBatch? {
    guard let batch = try input.next() else { return nil }
    rows += batch.count
    try report?(rows, total)
    return batch
  }
}
