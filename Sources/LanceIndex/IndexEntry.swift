package import Core
package import LanceProto
package import LanceTable
import SwiftProtobuf

/// The kinds of index that are known here.
package enum IndexKind: Sendable, Hashable {
  case btree, bitmap, ivfFlat, ivfPQ
  /// Kept in the manifest and not used: IVF_HNSW_SQ, INVERTED, ...
  case other(String)

  package static let buildable: [IndexKind] = [.btree, .bitmap, .ivfFlat, .ivfPQ]

  /// As users write it.
  package var name: String {
    switch self {
    case .btree: "BTREE"
    case .bitmap: "BITMAP"
    case .ivfFlat: "IVF_FLAT"
    case .ivfPQ: "IVF_PQ"
    case .other(let name): name
    }
  }

  /// A kind that can be built, by its name in any case.
  package init?(named name: String) {
    guard let kind = IndexKind.buildable.first(where: { $0.name == name.uppercased() }) else { return nil }
    self = kind
  }

  package var isVector: Bool { self == .ivfFlat || self == .ivfPQ }
}

/// One entry of a manifest's index section. Several entries of one name make up an index: the first build and its deltas.
package struct IndexEntry: Sendable {
  package let proto: PBIndexMetadata
  package let kind: IndexKind
  /// Of vector indices.
  package let metric: VectorMetric?
  /// False when it can only be kept: another kind, a variant that is not read here, files in another table.
  package let isUsable: Bool
  /// Ids of the fragments that it covers.
  package let covered: Set<UInt64>

  package var name: String { proto.name }

  /// - Throws: `CORRUPT_DATA` for a damaged bitmap or details.
  init(_ proto: PBIndexMetadata, isStable: Bool) throws(Failure) {
    self.proto = proto
    covered = Set(try proto.coveredFragments())
    let details = proto.indexDetails
    var (kind, metric, usable) = (IndexKind.other(IndexEntry.shortName(details.typeURL)), VectorMetric?.none, false)
    if details.isType(LanceTypeURL.btreeIndexDetails) {
      (kind, usable) = (.btree, true)
    } else if details.isType(LanceTypeURL.bitmapIndexDetails) {
      (kind, usable) = (.bitmap, true)
    } else if details.isType(LanceTypeURL.vectorIndexDetails) {
      let vector: PBVectorIndexDetails
      do { vector = try PBVectorIndexDetails(serializedBytes: [UInt8](details.value)) } catch {
        throw Failure(.corruptData, "the details of index '\(proto.name)' are damaged: \(error)")
      }
      metric = VectorMetric(vector.metricType)
      switch vector.compression {
      case .flat where !vector.hasHnsw: (kind, usable) = (.ivfFlat, metric != nil)
      case .pq(let pq) where !vector.hasHnsw: (kind, usable) = (.ivfPQ, metric != nil && (pq.numBits == 8 || pq.numBits == 0))
      case .flat: kind = .other("IVF_HNSW_FLAT")
      case .pq: kind = .other("IVF_HNSW_PQ")
      case .sq: kind = .other(vector.hasHnsw ? "IVF_HNSW_SQ" : "IVF_SQ")
      case .rq: kind = .other("IVF_RQ")
      case nil: kind = .other("VECTOR")
      }
    }
    self.kind = kind
    self.metric = metric
    // Row ids of tables with stable ones are no addresses; files of other tables are not followed.
    isUsable = usable && !isStable && !proto.hasBaseID && proto.fields.count == 1 && proto.uuid.uuid.count == 16
  }

  /// `/lance.table.InvertedIndexDetails` -> `INVERTED`.
  private static func shortName(_ url: String) -> String {
    var name = String(url.split(separator: ".").last ?? "UNKNOWN")
    for end in ["IndexDetails", "Details"] where name.hasSuffix(end) { name.removeLast(end.count) }
    return name.isEmpty ? "UNKNOWN" : name.uppercased()
  }

  /// The name of its folder.
  var uuid: String {
    var text = ""
    for (i, byte) in proto.uuid.uuid.enumerated() {
      if [4, 6, 8, 10].contains(i) { text += "-" }
      text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }
    return text
  }
}

extension LanceTable {
  /// The entries of this version's index section that belong to one of its columns.
  package func indexParts() throws(Failure) -> [IndexEntry] {
    var parts: [IndexEntry] = []
    for proto in try indexEntries() { parts.append(try IndexEntry(proto, isStable: hasStableRowIDs)) }
    return parts
  }

  /// Ids of the fragments whose rows an index knows that cannot be built here: their rows would be lost to it if they moved.
  package func fragmentsOfForeignIndices() throws(Failure) -> Set<UInt64> {
    try indexParts().filter { !$0.isUsable }.reduce(into: []) { $0.formUnion($1.covered) }
  }

  /// False when the manifest names no index at all.
  package var hasIndices: Bool { file.indexSection != nil }

  /// Rows have ids of their own that are no addresses (feature flag 2).
  var hasStableRowIDs: Bool { manifest.readerFeatureFlags & 2 != 0 }

  /// The usable entries of the index over field `id` that is meant: the first one in the section that `accepts`.
  func usableIndex(field id: Int32, _ accepts: (IndexEntry) -> Bool) throws(Failure) -> [IndexEntry] {
    let parts = try indexParts().filter { $0.isUsable && $0.proto.fields == [id] && accepts($0) }
    guard let first = parts.first else { return [] }
    return parts.filter { $0.name == first.name && $0.kind == first.kind }
  }
}
