package import Columnar
package import Core

extension LanceTable {
  /// Rows at `positions` (0-based among the live rows, any order), columns `columns` (all: nil).
  package func take(_ positions: [Int], columns: [String]? = nil) throws(Failure) -> RecordBatch {
    throw Failure(.unsupported, "reading rows of table '\(name)' is not built yet")
  }
}
