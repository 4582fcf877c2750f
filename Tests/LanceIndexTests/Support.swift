import Columnar
import Compute
import Core
import Foundation
import LanceIndex
import LanceTable
import ObjectStore
import Testing

/// Vectors around a few centres, the same for the same seed.
struct Cloud {
  let dim: Int
  let vectors: [[Float]]

  init(_ count: Int, dim: Int, centres: Int = 20, seed: UInt64 = 1) {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    func next() -> Float {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
    let middle = (0..<centres).map { _ in (0..<dim).map { _ in 2 * next() } }
    self.dim = dim
    vectors = (0..<count).map { i in middle[(i &* 7919) % centres].map { $0 + 0.3 * next() } }
  }

  /// A batch of `id` (first, first + 1, ...), `cat` (id % 7 as text, null for every eleventh), `v`; rows in `nulls` have no vector.
  func batch(first: Int = 0, nulls: Set<Int> = [], element: DataType = .float32) throws -> RecordBatch {
    let flat = try Buffer(vectors.flatMap { $0 })
    let floats = Column(type: .float32, count: vectors.count * dim, buffers: [flat])
    let items =
      element == .float16
      ? Column(type: .float16, count: floats.count, buffers: [try Buffer(vectors.flatMap { $0.map { Float16($0) } })])
      : try Cast.cast(floats, to: element, lenient: true)
    var validity: Buffer?
    if !nulls.isEmpty {
      let bits = try Bitmap.filled(vectors.count, true)
      for i in nulls { Bitmap.set(bits.pointer, i, false) }
      validity = bits
    }
    let column = Column(type: .vector(element, dim), count: vectors.count, validity: validity, buffers: [], children: [items])
    let ids = first..<first + vectors.count
    return try RecordBatch([
      "id": try Column.int64(ids.map { Int64($0) }), "cat": try Column.utf8(ids.map { $0 % 11 == 0 ? nil : "c\($0 % 7)" }),
      "v": column,
    ])
  }

  /// The plain answer: rows by distance, in Double.
  func nearest(_ query: [Float], _ metric: VectorMetric, k: Int, among: (Int) -> Bool = { _ in true }) -> [Int] {
    let q = query.map(Double.init)
    func distance(_ v: [Float]) -> Double {
      let x = v.map(Double.init)
      let dot = zip(x, q).reduce(0) { $0 + $1.0 * $1.1 }
      switch metric {
      case .l2: return zip(x, q).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      case .dot: return 1 - dot
      case .cosine:
        return 1 - dot / (x.reduce(0) { $0 + $1 * $1 } * q.reduce(0) { $0 + $1 * $1 }).squareRoot()
      }
    }
    let all = vectors.indices.filter(among).map { (distance(vectors[$0]), $0) }
    return all.sorted { $0 < $1 }.prefix(k).map(\.1)
  }
}

func write(_ batches: [RecordBatch], _ location: TableLocation, mode: WriteMode = .create, rowsPerFile: Int = 1 << 20) throws {
  var options = WriteOptions()
  options.maxRowsPerFile = rowsPerFile
  try LanceTable.write(InMemoryReader(schema: batches[0].schema, batches), to: location, mode: mode, options: options)
}

func memoryTable() -> TableLocation { TableLocation(MemoryStore(), "t.lance") }

/// Deletes the rows whose id `isGone`.
func delete(_ location: TableLocation, _ isGone: @escaping @Sendable (Int64) -> Bool) throws {
  let filter = RowFilter(columns: ["id"], text: "test") { batch throws(Failure) in
    let column = batch.columns[0]
    return withExtendedLifetime(column) {
      let ids = column.values(of: Int64.self)
      return ids.indices.filter { isGone(ids[$0]) }.map { Int32($0) }
    }
  }
  _ = try location.delete(where: filter)
}

/// The ids of rows at live positions.
func ids(_ table: LanceTable, _ rows: [Int]) throws -> [Int] {
  let column = try table.take(rows, columns: ["id"]).columns[0]
  return withExtendedLifetime(column) { column.values(of: Int64.self).map { Int($0) } }
}
