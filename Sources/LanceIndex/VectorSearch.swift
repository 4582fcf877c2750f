package import Core
package import LanceTable

/// What is searched for, besides the vectors themselves.
package struct VectorQuery: Sendable {
  /// A fixed-size list of numbers.
  package var column: String
  /// Rows wanted.
  package var k = 10
  /// Nil: that of the column's index, l2 without one. With another metric than the index's the search is exact.
  package var metric: VectorMetric?
  /// Partitions of an index that are looked at.
  package var probes = 20
  /// IVF_PQ: `refine * k` candidates are measured with their own vectors; 0: the codes' distances are taken as they are.
  package var refine = 10
  /// False: exact search.
  package var usesIndex = true

  package init(column: String) { self.column = column }
}

/// One query's answer: the nearest rows, nearest first, of equally near ones the one that stands first in the table.
package struct Neighbours: Sendable, Hashable {
  /// Positions among the table's live rows, for `LanceTable.take`.
  package let rows: [Int]
  package let distances: [Float]
}

extension LanceTable {
  /// The nearest rows for each of `vectors`. Deleted rows and null vectors are never found.
  ///
  /// With an index its fragments are asked through it and all others row by row. `among` is applied before the search: the rows that
  /// come out are the nearest of those in it. Fewer than `k` come out only when there are fewer.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `SHAPE_MISMATCH` when a vector has another length, `INVALID_ARGUMENT`,
  ///   `CORRUPT_DATA`, `CANCELLED`.
  package func nearest(_ vectors: [[Float]], _ query: VectorQuery, among: RowSet? = nil) throws(Failure) -> [Neighbours] {
    let column = try VectorColumn(self, query.column)
    for vector in vectors { try column.check(vector) }
    guard query.k > 0, query.k <= 1 << 20 else {
      throw Failure(.invalidArgument, "k is \(query.k); 1 to \(1 << 20) rows can be asked for")
    }
    guard query.probes > 0 else {
      throw Failure(.invalidArgument, "probes is \(query.probes); at least 1 partition is looked at")
    }
    guard query.refine >= 0, query.refine <= 1 << 20 else {
      throw Failure(.invalidArgument, "refine is \(query.refine); it must be 0 or more")
    }
    let parts =
      query.usesIndex
      ? try usableIndex(field: column.id) { $0.kind.isVector && (query.metric == nil || $0.metric == query.metric) } : []
    let metric = query.metric ?? parts.first?.metric ?? .l2
    let measures = vectors.map { DistanceMeasure($0, metric) }
    let found: [[Candidate]]
    // Few rows are measured faster than an index is asked, and exactly.
    if parts.isEmpty || (among?.count ?? .max) <= LanceTable.fewRows {
      let flat = FlatSearch(table: self, column: column, among: among, fragments: Array(fragments.indices))
      found = try flat.nearest(measures, k: query.k)
    } else {
      found = try indexed(measures, query, column, parts, among)
    }
    var answers: [Neighbours] = []
    for candidates in found {
      var rows: [Int] = []
      for candidate in candidates { rows.append(try livePosition(candidate.row)) }
      answers.append(Neighbours(rows: rows, distances: candidates.map(\.distance)))
    }
    return answers
  }

  private static let fewRows = 4096

  private func indexed(
    _ queries: [DistanceMeasure], _ query: VectorQuery, _ column: VectorColumn, _ parts: [IndexEntry], _ among: RowSet?
  ) throws(Failure) -> [[Candidate]] {
    let mask = try RowMask(self, among: among)
    var searches: [IVFSearch] = []
    var covered: Set<Int> = []
    for part in parts {
      var places: [UInt64: Int] = [:]
      for fragment in fragments where part.covered.contains(fragment.id) && covered.insert(fragment.position).inserted {
        places[fragment.id] = fragment.position
      }
      guard !places.isEmpty else { continue }
      let index = try OpenIndices.index(IndexFolder(location: location, uuid: part.uuid), dim: column.dim)
      searches.append(IVFSearch(index: index, mask: mask, fragments: places, physicalRows: fragments.map(\.physicalRows)))
    }
    let isCoded = parts.first?.kind == .ivfPQ
    let wanted = isCoded && query.refine > 0 ? min(query.k * query.refine, 1 << 20) : query.k
    let rest = FlatSearch(
      table: self, column: column, among: among, fragments: fragments.indices.filter { !covered.contains($0) })
    let unindexed = try rest.nearest(queries, k: query.k)
    var answers = [Result<[Candidate], Failure>?](repeating: nil, count: queries.count)
    let all = searches
    answers.withUnsafeMutableBufferPointer { raw in
      // Sendable proof: every block writes its own slots, and `forEach` returns when all are done.
      nonisolated(unsafe) let slots = raw
      Parallel.forEach(count: queries.count, grain: 1) { block in
        for i in block {
          do throws(Failure) {
            var heap = NearestHeap(wanted)
            for search in all { heap.merge(try search.nearest(queries[i], wanted: wanted, probes: query.probes)) }
            var best = NearestHeap(query.k)
            let candidates = isCoded && query.refine > 0 ? try rest.remeasured(heap.sorted.map(\.row), queries[i]) : heap.sorted
            for candidate in candidates + unindexed[i] { best.offer(candidate) }
            slots[i] = .success(best.sorted)
          } catch { slots[i] = .failure(error) }
        }
      }
    }
    try Cancellation.check()
    var found: [[Candidate]] = []
    for answer in answers {
      guard let candidates = try answer?.get() else { throw Failure(.cancelled, "cancelled") }
      found.append(candidates)
    }
    return found
  }
}
