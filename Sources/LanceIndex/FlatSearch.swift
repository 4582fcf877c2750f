import Columnar
import Core
import LanceTable
import TensorKernels

/// Exact search: every row that counts is measured.
///
/// One query or a few: a kernel per query over the rows where they lie, at the speed of memory. From `batchQueries` on: blocks of rows
/// times all queries as one matrix product; the best of that are measured again one by one, so that both ways answer the same.
/// Rows are split into runs by their number only, and each run keeps its own best: 1 and 2 threads give the same answer.
struct FlatSearch {
  let table: LanceTable
  let column: VectorColumn
  let among: RowSet?
  /// Places of the fragments that are searched.
  let fragments: [Int]

  static let runRows = 1 << 15
  private static let blockRows = 1024
  private static let batchQueries = 4

  private struct Run {
    let fragment: Int
    let rows: Range<Int>
    /// Physical offsets of the rows that count; nil: all that are not deleted.
    let chosen: ArraySlice<UInt32>?
  }

  /// For each query the `k` nearest rows, nearest first.
  func nearest(_ queries: [DistanceMeasure], k: Int) throws(Failure) -> [[Candidate]] {
    let runs = try self.runs()
    guard !runs.isEmpty, let first = queries.first else { return queries.map { _ in [] } }
    guard queries.count >= FlatSearch.batchQueries, column.element != .float64 else {
      return try search(runs, queries.count, k) { run, heaps throws(Failure) in try direct(run, queries, &heaps) }
        .map(\.sorted)
    }
    var answers: [[Candidate]] = []
    var at = 0
    while at < queries.count {
      let part = Array(queries[at..<min(at + 64, queries.count)])
      let matrix = try Buffer(part.flatMap(\.query))
      let rough = try search(runs, part.count, k + max(16, k / 2)) { run, heaps throws(Failure) in
        try products(run, part, matrix, first.metric, &heaps)
      }
      for (query, heap) in zip(part, rough) {
        answers.append(Array(try remeasured(heap.sorted.map(\.row), query).prefix(k)))
      }
      at += part.count
    }
    return answers
  }

  /// `rows` with their exact distances, nearest first.
  func remeasured(_ rows: [UInt64], _ query: DistanceMeasure) throws(Failure) -> [Candidate] {
    let rows = rows.sorted()
    var found: [Candidate] = []
    var at = 0
    while at < rows.count {
      let fragment = Int(rows[at] >> 32)
      let end = rows[at...].firstIndex { Int($0 >> 32) != fragment } ?? rows.count
      let offsets = rows[at..<end].map { Int($0 & 0xFFFF_FFFF) }
      let vectors = try table.takePhysical(fragment: fragment, columns: [column.name], offsets: offsets).columns[0]
      let numbers = try column.numbers(vectors)
      var distances = [Float](repeating: 0, count: offsets.count)
      distances.withUnsafeMutableBufferPointer { out in
        if let out = out.baseAddress { query.measure(numbers, 0, offsets.count, out) }
      }
      for (i, row) in rows[at..<end].enumerated() where distances[i] == distances[i] {
        found.append(Candidate(distance: distances[i], row: row))
      }
      at = end
    }
    return found.sorted()
  }

  private func runs() throws(Failure) -> [Run] {
    var runs: [Run] = []
    for position in fragments {
      let chosen = try among?.offsets(table, fragment: position)
      if chosen?.isEmpty == true { continue }
      var next = 0
      for rows in try table.runs(fragment: position, column: column.name, most: FlatSearch.runRows) {
        guard let chosen else {
          runs.append(Run(fragment: position, rows: rows, chosen: nil))
          continue
        }
        let end = chosen[next...].firstIndex { Int($0) >= rows.upperBound } ?? chosen.count
        if end > next { runs.append(Run(fragment: position, rows: rows, chosen: chosen[next..<end])) }
        next = end
      }
    }
    return runs
  }

  /// Runs `body` for every run on all cores; one heap per query and run, joined at the end.
  private func search(
    _ runs: [Run], _ queries: Int, _ k: Int, _ body: (Run, inout [NearestHeap]) throws(Failure) -> Void
  ) throws(Failure) -> [NearestHeap] {
    var results = [Result<[NearestHeap], Failure>?](repeating: nil, count: runs.count)
    results.withUnsafeMutableBufferPointer { raw in
      // Sendable proof: every block writes its own slots, and `forEach` returns when all are done.
      nonisolated(unsafe) let slots = raw
      nonisolated(unsafe) let body = body
      Parallel.forEach(count: runs.count, grain: 1) { block in
        for i in block {
          var heaps = [NearestHeap](repeating: NearestHeap(k), count: queries)
          do throws(Failure) {
            try body(runs[i], &heaps)
            slots[i] = .success(heaps)
          } catch { slots[i] = .failure(error) }
        }
      }
    }
    try Cancellation.check()
    var joined = [NearestHeap](repeating: NearestHeap(k), count: queries)
    for result in results {
      guard let heaps = try result?.get() else { throw Failure(.cancelled, "cancelled") }
      for (i, heap) in heaps.enumerated() { joined[i].merge(heap) }
    }
    return joined
  }

  /// The vectors of a run, and the physical offset of each; nil offsets: they follow each other from `rows.lowerBound` on.
  private func vectors(_ run: Run) throws(Failure) -> (column: Column, offsets: [Int]?) {
    if let chosen = run.chosen, chosen.count * 8 < run.rows.count {
      let offsets = chosen.map { Int($0) }
      return (try table.takePhysical(fragment: run.fragment, columns: [column.name], offsets: offsets).columns[0], offsets)
    }
    return (try table.readPhysical(fragment: run.fragment, columns: [column.name], rows: run.rows).columns[0], nil)
  }

  /// Offers the rows of a run whose distances stand in `distances` (rows `first ...` of the run's vectors).
  private struct Offering {
    let fragment: UInt64
    let firstOffset: Int
    let offsets: [Int]?
    /// Set where only some of the rows count.
    let mask: [Bool]?
    let deletions: DeletionVector
    let vectors: Column
    let dim: Int
    let hasNulls: Bool

    func offer(
      _ distances: UnsafePointer<Float>, _ first: Int, _ count: Int, _ places: UnsafeMutablePointer<Int32>,
      to heap: inout NearestHeap
    ) {
      let found = Kernels.places(atMost: heap.bound, distances, count: count, places: places)
      for p in 0..<found {
        let i = first + Int(places[p])
        let offset = offsets.map { $0[i] } ?? firstOffset + i
        let candidate = Candidate(distance: distances[Int(places[p])], row: fragment << 32 | UInt64(offset))
        guard heap.takes(candidate) else { continue }
        if let mask, !mask[i] { continue }
        if !deletions.isEmpty, deletions.touches(offset..<offset + 1) { continue }
        if hasNulls, !VectorColumn.isWhole(vectors, i, dim) { continue }
        heap.offer(candidate)
      }
    }
  }

  private func offering(_ run: Run, _ vectors: Column, _ offsets: [Int]?) throws(Failure) -> Offering {
    var mask: [Bool]?
    if let chosen = run.chosen, offsets == nil {
      var bits = [Bool](repeating: false, count: run.rows.count)
      for offset in chosen { bits[Int(offset) - run.rows.lowerBound] = true }
      mask = bits
    }
    let deletions = run.chosen == nil ? try table.deletions(fragment: run.fragment) : .none
    return Offering(
      fragment: UInt64(run.fragment), firstOffset: run.rows.lowerBound, offsets: offsets, mask: mask, deletions: deletions,
      vectors: vectors, dim: column.dim, hasNulls: vectors.nullCount > 0 || vectors.children[0].nullCount > 0)
  }

  private func direct(_ run: Run, _ queries: [DistanceMeasure], _ heaps: inout [NearestHeap]) throws(Failure) {
    let (vectors, offsets) = try vectors(run)
    let numbers = try column.numbers(vectors)
    let offering = try offering(run, vectors, offsets)
    let rows = FlatSearch.blockRows
    let scratch = try BufferPool.take(byteCount: rows * 8, zeroed: false)
    defer { BufferPool.give(scratch) }
    let distances = scratch.mutableValues(of: Float.self).baseAddress
    let places = (scratch.pointer + rows * 4).assumingMemoryBound(to: Int32.self)
    guard let distances else { return }
    var first = 0
    while first < vectors.count {
      let count = min(rows, vectors.count - first)
      for (i, query) in queries.enumerated() {
        query.measure(numbers, first, count, distances)
        offering.offer(distances, first, count, places, to: &heaps[i])
      }
      first += count
    }
  }

  /// `matrix` holds the queries (queries, dim).
  private func products(
    _ run: Run, _ queries: [DistanceMeasure], _ matrix: Buffer, _ metric: VectorMetric, _ heaps: inout [NearestHeap]
  ) throws(Failure) {
    let (vectors, offsets) = try vectors(run)
    let numbers = try column.numbers(vectors)
    let offering = try offering(run, vectors, offsets)
    let (rows, dim) = (FlatSearch.blockRows, column.dim)
    let scratch = try BufferPool.take(byteCount: (queries.count + 2) * rows * 4, zeroed: false)
    defer { BufferPool.give(scratch) }
    let distances = scratch.pointer.assumingMemoryBound(to: Float.self)
    let norms = distances + queries.count * rows
    let places = (scratch.pointer + (queries.count + 1) * rows * 4).assumingMemoryBound(to: Int32.self)
    let x = UnsafePointer(numbers.buffers[0].pointer.assumingMemoryBound(to: Float.self)) + numbers.offset
    defer { withExtendedLifetime((numbers, matrix)) {} }
    let squares = queries.map { $0.query.reduce(0) { $0 + $1 * $1 } }
    var first = 0
    while first < vectors.count {
      let count = min(rows, vectors.count - first)
      try Kernels.gemm(
        .f32, transA: false, transB: true, m: queries.count, n: count, k: dim, a: matrix.pointer, lda: dim, b: x + first * dim,
        ldb: dim, c: distances, ldc: rows)
      if metric != .dot { Kernels.squaredNorms(x + first * dim, count: count, dim: dim, out: norms) }
      for i in queries.indices {
        let row = distances + i * rows
        switch metric {
        case .l2: for j in 0..<count { row[j] = norms[j] + squares[i] - 2 * row[j] }
        case .dot: for j in 0..<count { row[j] = 1 - row[j] }
        case .cosine: for j in 0..<count { row[j] = norms[j] > 0 ? 1 - row[j] / norms[j].squareRoot() : 1 }
        }
        offering.offer(row, first, count, places, to: &heaps[i])
      }
      first += count
    }
  }
}
