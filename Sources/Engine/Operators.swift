import Columnar
import Compute
package import Core
import Plan
import Synchronization

extension Failure.Code {
  /// A check with action `fail` met a row that does not pass.
  package static let checkFailed = Failure.Code("CHECK_FAILED")
}

/// Counts and handles the rows that a check does not let pass.
final class CheckCounter: Sendable {
  private let check: Check
  private let counts = Mutex((checked: 0, violations: 0))

  init(_ check: Check) { self.check = check }

  var result: CheckResult {
    counts.withLock { CheckResult(name: check.name, action: check.action, checked: $0.checked, violations: $0.violations) }
  }

  func apply(_ morsel: Morsel, _ schema: Schema) throws(Failure) -> Morsel {
    let batch = morsel.batch
    let passed = try check.expr.evaluate(batch)
    let kept = try Selection.indices(passed)
    let violations = batch.count - kept.count
    counts.withLock {
      $0.checked += batch.count
      $0.violations += violations
    }
    switch check.action {
    case .drop: return violations == 0 ? morsel : try morsel.keeping(kept)
    case .fail:
      if violations > 0 { throw failure(morsel, kept, violations) }
      return morsel
    case .flag:
      let wrong = try Buffer(byteCount: Bitmap.byteCount(batch.count))
      for i in 0..<batch.count { Bitmap.set(wrong.pointer, i, true) }
      for i in kept { Bitmap.set(wrong.pointer, Int(i), false) }
      let flags = Column(type: .bool, count: batch.count, buffers: [wrong])
      return morsel.with(try RecordBatch(schema: schema, columns: batch.columns + [flags], count: batch.count))
    }
  }

  private func failure(_ morsel: Morsel, _ kept: [Int32], _ violations: Int) -> Failure {
    var first = 0
    for i in kept {
      if Int(i) != first { break }
      first += 1
    }
    var row = JSONObject()
    for name in check.expr.columns { row[name] = (try? morsel.batch.column(name))?.json(first) }
    return Failure(
      .checkFailed,
      "check '\(check.name)' failed: \(check.expr) is not true for \(JSONValue.object(row).text())", place: morsel.place(first),
      details: ["check": .string(check.name), "row": .object(row)])
  }
}

/// Rows `offset ..< offset + count`.
final class LimitReader: MorselReader {
  private let input: any MorselReader
  private var skip: Int
  private var rest: Int

  init(_ input: any MorselReader, offset: Int, count: Int?) {
    self.input = input
    skip = offset
    rest = count ?? .max
  }

  func next() throws(Failure) -> Morsel? {
    while rest > 0, let morsel = try input.next() {
      let rows = morsel.batch.count
      if skip >= rows {
        skip -= rows
        continue
      }
      let (start, length) = (skip, min(rest, rows - skip))
      skip = 0
      rest -= length
      if start == 0, length == rows { return morsel }
      var origin = morsel.origin
      if let positions = origin.positions {
        origin.positions = Array(positions[start..<start + length])
      } else {
        origin.firstRow = origin.firstRow.map { $0 + start }
      }
      return Morsel(batch: morsel.batch.slice(start, length), origin: origin)
    }
    return nil
  }
}

/// A column of consecutive numbers put first.
final class RowIndexReader: MorselReader {
  private let input: any MorselReader
  private let schema: Schema
  private var row: Int64

  init(_ input: any MorselReader, _ schema: Schema, start: Int64) {
    self.input = input
    self.schema = schema
    row = start
  }

  func next() throws(Failure) -> Morsel? {
    guard let morsel = try input.next() else { return nil }
    let n = morsel.batch.count
    let out = try Buffer(byteCount: n * 8, zeroed: false)
    let z = out.mutableValues(of: Int64.self)
    for i in 0..<n { z[i] = row &+ Int64(i) }
    row = row &+ Int64(n)
    let index = Column(type: .int64, count: n, buffers: [out])
    return morsel.with(try RecordBatch(schema: schema, columns: [index] + morsel.batch.columns, count: n))
  }
}

/// The first row of each key.
final class DistinctReader: MorselReader {
  private let input: any MorselReader
  private let names: [String]
  private let table: GroupTable

  init(_ input: any MorselReader, _ schema: Schema, on: [String]) {
    self.input = input
    let names = on.isEmpty ? schema.names : on
    self.names = names
    table = GroupTable(types: schema.fields.filter { names.contains($0.name) }.map(\.type))
  }

  func next() throws(Failure) -> Morsel? {
    while let morsel = try input.next() {
      let batch = morsel.batch
      var keys: [Column] = []
      for (field, column) in zip(batch.schema.fields, batch.columns) where names.contains(field.name) { keys.append(column) }
      var next = Int32(table.count)
      var kept: [Int32] = []
      for (i, group) in try table.insert(keys, count: batch.count).enumerated() where group == next {
        kept.append(Int32(i))
        next += 1
      }
      if !kept.isEmpty { return try morsel.keeping(kept) }
    }
    return nil
  }
}

/// All rows in the order of the keys; read when the first part is asked for, gathered part by part.
final class SortParts: PartSource {
  private let input: any PartSource
  private let schema: Schema
  private let keys: [SortKey]
  private let batchRows: Int
  private var sorted: (batch: RecordBatch, order: [Int32])?
  private var at = 0

  init(_ input: any PartSource, _ schema: Schema, _ keys: [SortKey], batchRows: Int) {
    self.input = input
    self.schema = schema
    self.keys = keys
    self.batchRows = batchRows
  }

  func nextPart() throws(Failure) -> PartWork? {
    let (batch, order): (RecordBatch, [Int32])
    if let sorted { (batch, order) = sorted } else { (batch, order) = try sort() }
    guard at < order.count else { return nil }
    let rows = Array(order[at..<min(order.count, at + batchRows)])
    let first = at
    at += rows.count
    return {
      do throws(Failure) {
        return .success([Morsel(batch: try batch.take(rows), origin: .init(label: nil, firstRow: first))])
      } catch { return .failure(error) }
    }
  }

  private func sort() throws(Failure) -> (batch: RecordBatch, order: [Int32]) {
    let batch = try gather(input, schema)
    var columns: [SortColumn] = []
    for key in keys {
      columns.append(SortColumn(try key.expr.column(batch), descending: key.descending, nullsFirst: key.nullsFirst))
    }
    let made = (batch, try Sorting.indices(columns, count: batch.count))
    sorted = made
    return made
  }
}

/// All rows of `source` in one batch.
func gather(_ source: any PartSource, _ schema: Schema) throws(Failure) -> RecordBatch {
  let reader = ParallelReader(source)
  var batches: [RecordBatch] = []
  while let morsel = try reader.next() { batches.append(morsel.batch) }
  return try RecordBatch.concatenate(batches, schema: schema)
}
