package import Columnar
package import Core

/// What a write does with rows that are there already.
package enum WriteMode: String, Sendable {
  /// The table must not exist.
  case create
  /// The rows go behind the others; the table must exist.
  case append
  /// The rows replace the others in a new version; a table that does not exist is made.
  case overwrite
}

extension LanceTable {
  /// Writes all rows of `reader` and commits them as one version.
  @discardableResult
  package static func write(_ reader: any RecordBatchReader, to location: TableLocation, mode: WriteMode) throws(Failure)
    -> LanceTable
  {
    throw Failure(.unsupported, "writing table '\(location.name)' is not built yet")
  }
}
