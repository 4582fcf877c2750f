import Columnar
package import Core
import LanceProto
package import LanceTable

/// One index of a table version, all of its parts together.
package struct IndexInfo: Sendable, Hashable {
  package let name: String
  package let column: String
  package let kind: IndexKind
  /// False for kinds that are only kept.
  package let isUsable: Bool
  /// Entries of this name: the first build and its deltas.
  package let parts: Int
  /// Live rows in fragments that a part covers.
  package let indexedRows: Int
  /// Live rows in other fragments; they are searched too, one by one.
  package let unindexedRows: Int
  /// Bytes of the index files, as far as the manifest says.
  package let byteCount: Int
  /// When the first part was made.
  package let created: Instant?
  /// Of vector indices.
  package let metric: VectorMetric?

  package var json: JSONValue {
    [
      "name": .string(name), "column": .string(column), "kind": .string(kind.name), "usable": .bool(isUsable),
      "parts": .int(Int64(parts)), "indexed_rows": .int(Int64(indexedRows)), "unindexed_rows": .int(Int64(unindexedRows)),
      "bytes": .int(Int64(byteCount)), "created": created.map { .string($0.description) } ?? .null,
      "metric": metric.map { .string($0.rawValue) } ?? .null,
    ]
  }
}

extension LanceTable {
  /// The indices of this version in the order of its section.
  /// - Throws: `CORRUPT_DATA`.
  package func indexList() throws(Failure) -> [IndexInfo] {
    let parts = try indexParts()
    var names: [String] = []
    for part in parts where !names.contains(part.name) { names.append(part.name) }
    return names.map { name in describe(parts.filter { $0.name == name }) }
  }

  private func describe(_ parts: [IndexEntry]) -> IndexInfo {
    let first = parts[0]
    let covered = parts.reduce(into: Set<UInt64>()) { $0.formUnion($1.covered) }
    let indexed = fragments.reduce(0) { $0 + (covered.contains($1.id) ? $1.rowCount : 0) }
    let columns = first.proto.fields.map { id in
      fields.first { $0.protos.contains { $0.id == id } }?.field.name ?? "field \(id)"
    }
    let bytes = parts.flatMap(\.proto.files).reduce(0) { $0.addingReportingOverflow(Int(clamping: $1.sizeBytes)).partialValue }
    let times = parts.filter(\.proto.hasCreatedAt).map(\.proto.createdAt)
    return IndexInfo(
      name: first.name, column: columns.joined(separator: ", "), kind: first.kind, isUsable: parts.allSatisfy(\.isUsable),
      parts: parts.count, indexedRows: indexed, unindexedRows: rowCount - indexed, byteCount: max(0, bytes),
      created: times.min().map { Instant(seconds: Int64(clamping: $0 / 1000), nanoseconds: Int32($0 % 1000) * 1_000_000) },
      metric: first.metric)
  }
}
