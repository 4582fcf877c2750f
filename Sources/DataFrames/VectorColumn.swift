import Columnar
package import Core
package import LanceTable

extension LanceTable {
  /// The name of the table's only column of vectors (fixed-size lists of floats).
  /// - Throws: `INVALID_ARGUMENT` when there is none, or naming them when there are several.
  package func onlyVectorColumn() throws(Failure) -> String {
    let vectors = schema.fields.filter { if case .fixedSizeList(let item, _) = $0.type { item.type.isFloat } else { false } }
    if let first = vectors.first, vectors.count == 1 { return first.name }
    throw Failure(
      .invalidArgument,
      vectors.isEmpty
        ? "table '\(name)' has no column of vectors (fixed-size lists of floats)"
        : "give the column: table '\(name)' has the vectors \(vectors.map(\.name).joined(separator: ", "))")
  }
}
