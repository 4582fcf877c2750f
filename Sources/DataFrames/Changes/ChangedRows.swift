import Columnar
package import Core
package import LanceTable
import Plan

extension Frame {
  /// The rows of version `to` that version `since` does not have: inserted since then, or rewritten by an update.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_NOT_FOUND`.
  package static func changes(of location: TableLocation, since: TableVersion, to: TableVersion = .latest) throws(Failure)
    -> Frame
  {
    let old = try LanceTable(location, version: since)
    return Frame(ChangedSource(try LanceTable(location, version: to), since: old.version))
  }
}

/// The changed rows of a table as a source; read front to back.
private final class ChangedSource: TableSource {
  let schema: Schema
  let label: String
  var rowCount: Int? { nil }
  private let table: LanceTable
  private let since: UInt64

  init(_ table: LanceTable, since: UInt64) {
    self.table = table
    self.since = since
    schema = table.schema
    label = "lance \(table.name) version \(table.version), changes since \(since)"
  }

  func accepts(_ filter: Expr) -> Bool { false }

  func scan(_ request: ScanRequest) throws(Failure) -> any TableScan {
    Scan(try table.changes(since: since, columns: request.columns, batchRows: request.batchRows))
  }

  private final class Scan: TableScan {
    private let reader: any RecordBatchReader
    init(_ reader: any RecordBatchReader) { self.reader = reader }
    func nextPart() throws(Failure) -> ScanPart? {
      guard let batch = try reader.next() else { return nil }
      return ScanPart { .success([batch]) }
    }
  }
}
