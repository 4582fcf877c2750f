import Columnar
package import Core
import LanceProto
package import LanceTable

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// How an index is built.
package struct IndexOptions: Sendable {
  /// Nil: `<column>_idx`.
  package var name: String?
  /// Nil: IVF_PQ for vectors, BTREE for other columns.
  package var kind: IndexKind?
  /// Of vector indices.
  package var metric = VectorMetric.l2
  /// Partitions of a vector index; nil: one per 4,096 rows.
  package var partitions: Int?
  /// Bytes of a product code; nil: one per eight numbers (or four, two, one, where the length asks for it).
  package var subVectors: Int?
  /// Rows per centroid that are learned from.
  package var sampleRate = 256
  /// Rounds of k-means at most.
  package var iterations = 20
  package var seed: UInt64 = 42
  /// What happens to an index of the same name: replaced, or `ALREADY_EXISTS`.
  package var replace = false
  /// Kept in the commit's transaction: who did it and why.
  package var properties: [String: String] = [:]

  package init() {}
}

extension TableLocation {
  /// Builds an index over all rows of `column` and commits it. The table can be read and written meanwhile; rows that come later
  /// count as not indexed (`optimizeIndices`).
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` for a column that this kind cannot hold, `INVALID_ARGUMENT`, `ALREADY_EXISTS`,
  ///   `UNSUPPORTED` on tables with stable row ids, `VERSION_CONFLICT`, `CANCELLED`, `IO_ERROR`.
  package func createIndex(on column: String, _ options: IndexOptions = IndexOptions()) throws(Failure) -> IndexInfo {
    let name = options.name ?? "\(column)_idx"
    guard !name.isEmpty else { throw Failure(.invalidArgument, "an index needs a name") }
    let made = try commit(options: change(options.properties)) { table, files throws(Failure) in
      let build = try IndexBuild(table, column, options)
      let old = try table.indexEntries().filter { $0.name == name }
      guard old.isEmpty || options.replace else {
        throw Failure(.alreadyExists, "table '\(table.name)' has an index '\(name)' already")
      }
      let entry = try build.entry(name, fragments: Array(table.fragments.indices), model: nil, files)
      return CreateIndexIntent(added: [entry], removed: old)
    }
    return try info(name, in: made)
  }

  /// An index over `column` that covers all rows: built when there is none, brought up to date when rows came later.
  /// - Throws: as `createIndex`; `ALREADY_EXISTS` when the name belongs to an index of another column or kind.
  package func ensureIndex(on column: String, _ options: IndexOptions = IndexOptions()) throws(Failure) -> IndexInfo {
    let name = options.name ?? "\(column)_idx"
    guard let known = try LanceTable(self).indexList().first(where: { $0.name == name }) else {
      return try createIndex(on: column, options)
    }
    guard known.column == column, options.kind == nil || options.kind == known.kind else {
      throw Failure(
        .alreadyExists, "table '\(self.name)' has an index '\(name)' already: \(known.kind.name) on column '\(known.column)'")
    }
    _ = try optimizeIndices([name])
    return try info(name, in: nil)
  }

  /// Takes an index out of the table; its files stay for older versions until a cleanup.
  /// - Throws: `INVALID_ARGUMENT` naming the nearest index when there is none of that name.
  package func dropIndex(_ name: String) throws(Failure) {
    _ = try commit(options: change([:])) { table, _ throws(Failure) in
      let all = try table.indexEntries()
      let gone = all.filter { $0.name == name }
      guard !gone.isEmpty else {
        throw Failure(
          .invalidArgument, "table '\(table.name)' has no index \(nearNames(name, known: all.map(\.name), what: "indices"))")
      }
      return CreateIndexIntent(added: [], removed: gone)
    }
  }

  /// Indexes the rows that came after the indices were built. A part is added to an index, over the fragments that it does not cover;
  /// an index that has many parts is written as one again. Vectors keep the centroids that were learned at first.
  /// - Parameter names: nil: all indices that can be built here.
  /// - Returns: how many indices have changed.
  package func optimizeIndices(_ names: [String]? = nil) throws(Failure) -> Int {
    var changed = 0
    _ = try commit(options: change([:])) { table, files throws(Failure) in
      let parts = try table.indexParts()
      for name in names ?? [] where !parts.contains(where: { $0.name == name }) {
        throw Failure(
          .invalidArgument, "table '\(table.name)' has no index \(nearNames(name, known: parts.map(\.name), what: "indices"))")
      }
      var (added, removed): ([PBIndexMetadata], [PBIndexMetadata]) = ([], [])
      changed = 0
      var seen: Set<String> = []
      for part in parts where seen.insert(part.name).inserted && names?.contains(part.name) ?? true {
        let same = parts.filter { $0.name == part.name }
        guard same.allSatisfy({ $0.isUsable && $0.kind == part.kind }) else { continue }
        let covered = same.reduce(into: Set<UInt64>()) { $0.formUnion($1.covered) }
        let missing = table.fragments.indices.filter { !covered.contains(table.fragments[$0].id) }
        guard missing.contains(where: { table.fragments[$0].rowCount > 0 }) else { continue }
        guard let field = table.fields.first(where: { $0.id == part.proto.fields[0] }) else { continue }
        let build = try IndexBuild(table, field.field.name, part)
        var model: IVFModel?
        if part.kind.isVector { model = IVFModel(try build.open(same[same.count - 1])) }
        let isFull = same.count >= IndexBuild.mostParts
        added.append(
          try build.entry(part.name, fragments: isFull ? Array(table.fragments.indices) : missing, model: model, files))
        if isFull { removed += same.map(\.proto) }
        changed += 1
      }
      return changed > 0 ? CreateIndexIntent(added: added, removed: removed) : nil
    }
    return changed
  }

  private func change(_ properties: [String: String]) -> ChangeOptions {
    var change = ChangeOptions()
    change.properties = properties
    return change
  }

  private func info(_ name: String, in table: LanceTable?) throws(Failure) -> IndexInfo {
    let table = if let table { table } else { try LanceTable(self) }
    guard let info = try table.indexList().first(where: { $0.name == name }) else {
      throw Failure(.versionConflict, "table '\(self.name)': index '\(name)' was dropped by somebody else")
    }
    return info
  }
}

/// One index over one column of one version, about to be built.
private struct IndexBuild {
  static let mostParts = 8
  private let table: LanceTable
  private let column: String
  private let field: TableField
  private let kind: IndexKind
  private let options: IndexOptions

  /// Checks what can be checked before rows are read.
  init(_ table: LanceTable, _ column: String, _ options: IndexOptions) throws(Failure) {
    self.table = table
    self.column = column
    self.options = options
    field = table.fields[try table.schema.index(of: column)]
    let type = field.field.type
    var isVector = false
    if case .fixedSizeList = type { isVector = true }
    kind = options.kind ?? (isVector ? .ivfPQ : .btree)
    guard !table.hasStableRowIDs else {
      throw Failure(.unsupported, "table '\(table.name)' has stable row ids; indices on such tables are not supported")
    }
    switch kind {
    case .btree, .bitmap:
      guard AddressedValues.isIndexable(type) else {
        throw Failure(
          .typeMismatch, "column '\(column)' of table '\(table.name)' is \(type); a \(kind.name) index cannot hold that")
      }
    case .ivfFlat, .ivfPQ:
      let vectors = try VectorColumn(table, column)
      guard vectors.element == .float32 else {
        throw Failure(
          .typeMismatch,
          "column '\(column)' of table '\(table.name)' is \(type); a \(kind.name) index needs Float32 (exact search needs no index)"
        )
      }
      guard options.partitions ?? 1 > 0, options.partitions ?? 1 <= 1 << 20 else {
        throw Failure(.invalidArgument, "partitions is \(options.partitions ?? 0); 1 to \(1 << 20) are possible")
      }
      guard options.iterations > 0, options.sampleRate > 0 else {
        throw Failure(.invalidArgument, "iterations and sampleRate must be at least 1")
      }
      let m = options.subVectors ?? 1
      guard m > 0, vectors.dim % m == 0 else {
        throw Failure(
          .invalidArgument, "subVectors is \(m); it must divide the length of the vectors of column '\(column)', \(vectors.dim)"
        )
      }
    case .other(let name):
      throw Failure(.unsupported, "indices of kind \(name) cannot be built; BTREE, BITMAP, IVF_FLAT and IVF_PQ can")
    }
  }

  /// A further part of an index that is there.
  init(_ table: LanceTable, _ column: String, _ part: IndexEntry) throws(Failure) {
    var options = IndexOptions()
    options.kind = part.kind
    options.metric = part.metric ?? .l2
    try self.init(table, column, options)
  }

  func open(_ part: IndexEntry) throws(Failure) -> IVFIndex {
    try OpenIndices.index(IndexFolder(location: table.location, uuid: part.uuid), dim: try VectorColumn(table, column).dim)
  }

  /// Builds and writes a part over `fragments` (places in the table).
  /// - Parameter model: what to put vectors into; nil: it is learned.
  func entry(_ name: String, fragments: [Int], model: IVFModel?, _ files: NewFiles) throws(Failure) -> PBIndexMetadata {
    let uuid = randomUUID()
    let folder = IndexFolder(location: table.location, uuid: uuid)
    var entry = PBIndexMetadata()
    var details = PBAnyMessage()
    switch kind {
    case .btree, .bitmap:
      let rows = try AddressedValues(table, column, fragments: fragments)
      entry.files =
        try kind == .btree
        ? BTreeIndex.write(rows, to: folder, files) : BitmapIndex.write(rows, to: folder, files)
      details.typeURL = kind == .btree ? LanceTypeURL.btreeIndexDetails : LanceTypeURL.bitmapIndexDetails
      entry.indexVersion = 0
    default:
      let rows = VectorRows(
        table: table, column: try VectorColumn(table, column), metric: model?.metric ?? options.metric, fragments: fragments)
      let known: IVFModel
      if let model {
        known = model
      } else {
        known = try IVFModel.train(
          rows, options, partitions: options.partitions ?? max(1, rows.liveRows / 4096),
          subVectors: kind == .ivfPQ ? subVectors(rows.column.dim) : nil)
      }
      var writer = IVFWriter(known)
      try writer.add(rows)
      entry.files = try writer.write(to: folder, rows, files)
      details.typeURL = LanceTypeURL.vectorIndexDetails
      details.value = Data(try Protobuf.bytes(known.details))
      entry.indexVersion = 1
    }
    entry.indexDetails = details
    entry.uuid.uuid = Data(IndexBuild.bytes(uuid))
    entry.fields = [field.id]
    entry.name = name
    entry.datasetVersion = table.version
    entry.setCovered(fragments.map { UInt32(truncatingIfNeeded: table.fragments[$0].id) }.sorted())
    let now = Instant.now
    entry.createdAt = UInt64(max(0, now.seconds)) * 1000 + UInt64(max(0, now.nanoseconds)) / 1_000_000
    return entry
  }

  private func subVectors(_ dim: Int) -> Int {
    options.subVectors ?? ([8, 4, 2].first { dim % $0 == 0 }.map { dim / $0 } ?? dim)
  }

  /// The sixteen bytes of a UUID in text.
  private static func bytes(_ uuid: String) -> [UInt8] {
    let digits = uuid.utf8.filter { $0 != UInt8(ascii: "-") }.map { $0 < 58 ? $0 - 48 : ($0 | 32) - 87 }
    return (0..<digits.count / 2).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] }
  }
}
