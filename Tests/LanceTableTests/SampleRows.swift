import Columnar
import Core
import LanceTable

/// Rows that are made from their id by the same formulas as in Tests/interop/lance_table.py.
enum SampleRows {
  static let schema = Schema([
    Field("id", .int64, isNullable: false), Field("label", .int32), Field("small", .uint8), Field("ratio", .float32),
    Field("score", .float64), Field("flag", .bool), Field("text", .utf8), Field("blob", .binary),
    Field("vector", .vector(.float32, 80)), Field("items", .list(Field("item", .float64))),
  ])

  static func text(_ i: Int) -> String? { i % 5 == 3 ? nil : "row \(i)" + String(repeating: "x", count: i % 40) }
  static func label(_ i: Int) -> Int32? { i % 11 == 4 ? nil : Int32(i % 10) }
  static func score(_ i: Int) -> Double? { i % 13 == 0 ? nil : Double(i) * 0.5 - 3 }
  static func blob(_ i: Int) -> [UInt8] {
    (0..<i % 4).flatMap { _ in [UInt8(i % 256), UInt8(i / 256 % 256)] }
  }
  static func items(_ i: Int) -> [Double]? { i % 17 == 5 ? nil : (0..<i % 4).map { Double(i) + Double($0) * 0.25 } }

  static func batch(_ ids: [Int]) throws -> RecordBatch {
    let vectors = ids.flatMap { i in (0..<80).map { Float(i) + Float($0) / 16 } }
    let items: [Double?] = ids.flatMap { (SampleRows.items($0) ?? []).map { $0 } }
    return try RecordBatch(
      schema: schema,
      columns: [
        try Column.int64(ids.map { Int64($0) }), try Column.int32(ids.map { label($0) }),
        try Column.uint8(ids.map { UInt8($0 % 251) }), try Column.float32(ids.map { Float($0) / 4 }),
        try Column.float64(ids.map { score($0) }), try Column.bool(ids.map { $0 % 3 == 0 }),
        try Column.utf8(ids.map { text($0) }), try Column.binary(ids.map { blob($0) }),
        Column.vectors(.float32, size: 80, count: ids.count, buffer: try Buffer(vectors)),
        try Column.list(try Column.float64(items), lengths: ids.map { SampleRows.items($0)?.count }),
      ])
  }

  /// A stream of `ids` in batches of `batchRows`.
  static func reader(_ ids: [Int], batchRows: Int = 100) throws -> InMemoryReader {
    var batches: [RecordBatch] = []
    for start in stride(from: 0, to: ids.count, by: batchRows) {
      batches.append(try batch(Array(ids[start..<min(ids.count, start + batchRows)])))
    }
    return InMemoryReader(schema: schema, batches)
  }

  /// What differs between `table` and the rows `ids`, in order; nil when nothing does.
  static func difference(_ table: LanceTable, _ ids: [Int]) throws -> String? {
    guard table.rowCount == ids.count else { return "\(table.rowCount) rows instead of \(ids.count)" }
    let scan = try table.scan(columns: schema.names, batchRows: 333)
    var row = 0
    while let batch = try scan.next() {
      let end = row + batch.count
      let expected = try SampleRows.batch(Array(ids[row..<end]))
      for i in 0..<batch.count where batch.json(row: i) != expected.json(row: i) {
        return "row \(row + i): \(batch.json(row: i)) instead of \(expected.json(row: i))".prefix(2000).description
      }
      row = end
    }
    return row == ids.count ? nil : "\(row) rows were scanned"
  }
}
