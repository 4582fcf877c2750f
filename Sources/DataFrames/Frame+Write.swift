import Columnar
package import Core
package import Engine
package import LanceTable

/// What a write did.
package struct WriteReport: Sendable {
  package var rows: Int
  package var version: UInt64
  package var fragments: Int
  package var checks: [CheckResult]
}

extension Frame {
  /// Computes all rows and writes them to a Lance table, streaming. `progress` gets rows written so far and, if known, the
  /// total at most, after every batch; it may throw to stop, and nothing is committed then.
  package func write(
    to location: TableLocation, mode: WriteMode, progress: ((Int, Int?) throws(Failure) -> Void)? = nil
  ) throws(Failure) -> WriteReport {
    let execution = try batches()
    let reader = ProgressReader(execution, total: rowsToRead, progress)
    let table = try LanceTable.write(reader, to: location, mode: mode)
    return WriteReport(
      rows: reader.rows, version: table.version, fragments: table.fragments.count, checks: execution.checks)
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
