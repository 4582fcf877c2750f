import Columnar
package import Core
package import LanceTable
import TensorKernels

/// How many of the truly nearest rows an index finds.
package struct RecallReport: Sendable, Hashable {
  /// Mean share of the `k` nearest rows that were found, 0 to 1.
  package let recall: Double
  package let k: Int
  /// Queries that were asked.
  package let sample: Int
  /// Mean time of one query.
  package let exactMilliseconds: Double
  package let indexMilliseconds: Double

  package var json: JSONValue {
    [
      "recall": .double(recall), "k": .int(Int64(k)), "sample": .int(Int64(sample)), "exact_ms": .double(exactMilliseconds),
      "index_ms": .double(indexMilliseconds),
    ]
  }
}

extension LanceTable {
  /// Asks the same queries with the index and exactly, one after the other. Queries are vectors of the table, drawn by the seed and each
  /// moved a little way towards another one, so that none is its own answer.
  /// - Throws: as `nearest`; `INVALID_ARGUMENT` when there are no vectors to ask with.
  package func recall(_ query: VectorQuery, sample: Int = 100, seed: UInt64 = 42) throws(Failure) -> RecallReport {
    guard sample > 0 else { throw Failure(.invalidArgument, "sample is \(sample); at least one query is needed") }
    let column = try VectorColumn(self, query.column)
    let rows = Sample.rows(of: rowCount, min(rowCount, 2 * sample), seed: seed)
    let batch = try take(rows, columns: [query.column]).columns[0]
    let numbers = try column.numbers(batch)
    func value(_ row: Int, _ d: Int) -> Float {
      numbers.type == .float64
        ? Float(numbers.values(of: Double.self)[row * column.dim + d]) : numbers.values(of: Float.self)[row * column.dim + d]
    }
    var queries: [[Float]] = []
    for i in 0..<min(sample, rows.count) where VectorColumn.isWhole(batch, i, column.dim) {
      let other = (i + sample) % rows.count
      let isMoved = VectorColumn.isWhole(batch, other, column.dim)
      let vector = (0..<column.dim).map { isMoved ? 0.9 * value(i, $0) + 0.1 * value(other, $0) : value(i, $0) }
      if vector.allSatisfy(\.isFinite) { queries.append(vector) }
    }
    withExtendedLifetime(numbers) {}
    guard !queries.isEmpty else {
      throw Failure(.invalidArgument, "column '\(query.column)' of table '\(name)' has no vectors to ask with")
    }
    var exact = query
    exact.usesIndex = false
    if exact.metric == nil {
      exact.metric = try usableIndex(field: column.id) { $0.kind.isVector }.first?.metric
    }
    var (found, wanted) = (0, 0)
    var (exactTime, indexTime) = (Duration.zero, Duration.zero)
    let clock = ContinuousClock()
    _ = try nearest([queries[0]], query)
    for vector in queries {
      let start = clock.now
      let truth = try nearest([vector], exact)[0]
      let middle = clock.now
      let answer = try nearest([vector], query)[0]
      indexTime += clock.now - middle
      exactTime += middle - start
      wanted += truth.rows.count
      found += Set(truth.rows).intersection(answer.rows).count
    }
    func milliseconds(_ time: Duration) -> Double { time / .milliseconds(1) / Double(queries.count) }
    return RecallReport(
      recall: wanted == 0 ? 1 : Double(found) / Double(wanted), k: query.k, sample: queries.count,
      exactMilliseconds: milliseconds(exactTime), indexMilliseconds: milliseconds(indexTime))
  }
}
