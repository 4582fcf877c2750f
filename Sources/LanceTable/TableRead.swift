package import Columnar
package import Core
import LanceFile
import LanceProto

/// Which rows of a fragment to read, counted from 0 among those that are not deleted.
package enum RowSelection: Sendable {
  case all
  case range(Range<Int>)
  /// Ascending; repeats are allowed.
  case positions([Int])
}

extension LanceTable {
  /// Rows of fragment `position` (its place in `fragments`), columns `columns` in that order (nil: all).
  ///
  /// Deleted rows are left out, columns that the fragment's files do not hold are null. Several threads may read at once.
  /// - Throws: `COLUMN_NOT_FOUND` naming the nearest column, `INVALID_ARGUMENT` for rows outside, `CORRUPT_DATA` and
  ///   `UNSUPPORTED` naming the file, `CANCELLED`.
  package func read(fragment position: Int, columns: [String]? = nil, rows: RowSelection = .all) throws(Failure) -> RecordBatch
  {
    guard fragments.indices.contains(position) else {
      throw Failure(.invalidArgument, "table '\(name)' has \(fragments.count) fragments; fragment \(position) was asked for")
    }
    let fragment = fragments[position]
    let wanted = try self.wanted(columns)
    let deletions = try cache.deletions(fragment, location)
    switch rows {
    case .all: return try read(fragment, wanted, 0..<fragment.rowCount, deletions)
    case .range(let range):
      guard range.lowerBound >= 0, range.upperBound <= fragment.rowCount else { throw outside(fragment, range.upperBound - 1) }
      return try read(fragment, wanted, range, deletions)
    case .positions(let positions):
      var physical: [Int] = []
      physical.reserveCapacity(positions.count)
      for position in positions {
        guard position >= 0, position < fragment.rowCount else { throw outside(fragment, position) }
        physical.append(deletions.physical(position))
      }
      return try assemble(fragment, wanted, count: physical.count) { reader, projection throws(Failure) in
        try reader.take(projection, rows: physical)
      }
    }
  }

  /// Rows at `positions` (0-based among the table's live rows; any order, repeats allowed), in that order.
  /// - Throws: as `read`.
  package func take(_ positions: [Int], columns: [String]? = nil) throws(Failure) -> RecordBatch {
    let wanted = try self.wanted(columns)
    let schema = Schema(wanted.map(\.field), metadata: self.schema.metadata)
    for position in positions where position < 0 || position >= rowCount {
      throw Failure(.invalidArgument, "row \(position) is not in table '\(name)' of \(rowCount) rows")
    }
    guard positions.count <= Int(Int32.max) else {
      throw Failure(.invalidArgument, "\(positions.count) rows are too many to take at once")
    }
    // Sorted and distinct for the files; the asked order is made at the end.
    var distinct = positions
    let isAscending = zip(positions, positions.dropFirst()).allSatisfy { $0 < $1 }
    if !isAscending {
      distinct.sort()
      var kept = 0
      for i in distinct.indices where i == 0 || distinct[i] != distinct[kept - 1] {
        distinct[kept] = distinct[i]
        kept += 1
      }
      distinct.removeLast(distinct.count - kept)
    }
    var batches: [RecordBatch] = []
    var next = 0
    while next < distinct.count {
      let fragment = fragments[fragmentIndex(ofRow: distinct[next])]
      let first = firstRows[fragment.position]
      let end = distinct[next...].firstIndex { $0 >= first + fragment.rowCount } ?? distinct.count
      let deletions = try cache.deletions(fragment, location)
      let physical = distinct[next..<end].map { deletions.physical($0 - first) }
      batches.append(
        try assemble(fragment, wanted, count: physical.count) { reader, projection throws(Failure) in
          try reader.take(projection, rows: physical)
        })
      next = end
    }
    let found = try RecordBatch.concatenate(batches, schema: schema)
    if isAscending { return found }
    return try found.take(positions.map { Int32(truncatingIfNeeded: lowerBound(distinct, $0)) })
  }

  /// All rows of `columns` in order, `batchRows` at a time (nil: as many as take about 4 MiB, at most 16,384). Batches are read ahead
  /// on all cores.
  package func scan(columns: [String]? = nil, batchRows: Int? = nil) throws(Failure) -> any RecordBatchReader {
    let wanted = try self.wanted(columns)
    return TableScan(
      table: self, columns: wanted.map(\.field.name), schema: Schema(wanted.map(\.field), metadata: schema.metadata),
      batchRows: max(1, batchRows ?? self.batchRows(of: wanted.map(\.field.name)) / 4))
  }

  // MARK: parts

  func wanted(_ names: [String]?) throws(Failure) -> [TableField] {
    guard let names else { return fields }
    var wanted: [TableField] = []
    for (i, name) in names.enumerated() {
      guard !names[..<i].contains(name) else {
        throw Failure(.invalidRequest, "column '\(name)' of table '\(self.name)' is named twice")
      }
      wanted.append(fields[try schema.index(of: name)])
    }
    return wanted
  }

  private func outside(_ fragment: TableFragment, _ position: Int) -> Failure {
    Failure(
      .invalidArgument,
      "row \(position) is not in fragment \(fragment.id) of table '\(name)', which has \(fragment.rowCount) rows")
  }

  /// The fragment that holds live row `position`, which exists.
  func fragmentIndex(ofRow position: Int) -> Int {
    // The last fragment that begins at or before the row: empty ones before it begin at the same row.
    var low = 0
    var high = firstRows.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if firstRows[middle] <= position { low = middle } else { high = middle }
    }
    return low
  }

  private func lowerBound(_ sorted: [Int], _ value: Int) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func read(_ fragment: TableFragment, _ wanted: [TableField], _ live: Range<Int>, _ deletions: DeletionVector)
    throws(Failure) -> RecordBatch
  {
    var physical = live
    var kept: [Int32]?
    if !deletions.isEmpty, !live.isEmpty {
      physical = deletions.physical(live.lowerBound)..<deletions.physical(live.upperBound - 1) + 1
      guard physical.count <= Int(Int32.max) else {
        throw Failure(.invalidArgument, "\(physical.count) rows are too many to read at once")
      }
      // Where few rows are left, what lies between them is not read: it can be the whole file.
      if physical.count / 8 > live.count {
        return try assemble(fragment, wanted, count: live.count) { reader, projection throws(Failure) in
          try reader.take(projection, rows: live.map { deletions.physical($0) })
        }
      }
      if deletions.touches(physical) { kept = deletions.live(in: physical) }
    }
    let batch = try assemble(fragment, wanted, count: physical.count) { reader, projection throws(Failure) in
      try reader.read(projection, rows: physical)
    }
    if let kept { return try batch.take(kept) }
    return batch
  }

  /// Reads each of the fragment's files that holds wanted columns, and puts the columns in their order.
  func assemble(
    _ fragment: TableFragment, _ wanted: [TableField], count: Int,
    _ read: (LanceFileReader, LanceProjection) throws(Failure) -> RecordBatch
  ) throws(Failure) -> RecordBatch {
    var columns: [Column?] = Array(repeating: nil, count: wanted.count)
    var ofFile: [Int: [Int]] = [:]
    for (i, field) in wanted.enumerated() {
      if let file = try fragment.file(of: field, table: name) { ofFile[file, default: []].append(i) }
    }
    for (index, members) in ofFile.sorted(by: { $0.key < $1.key }) {
      let file = fragment.proto.files[index]
      let reader = try cache.reader(file, location)
      guard reader.rowCount == fragment.physicalRows else {
        throw Failure(
          .corruptData,
          "table '\(name)': data file '\(file.path)' has \(reader.rowCount) rows, its fragment \(fragment.id) has \(fragment.physicalRows)"
        )
      }
      do throws(Failure) {
        let key = TableCache.ProjectionKey(path: reader.path, ids: members.map { wanted[$0].id })
        let projection = try cache.projection(key) { () throws(Failure) in
          var columnOfField: [Int32: Int] = [:]
          for (place, id) in file.fields.enumerated() where id >= 0 {
            let column = file.columnIndices.isEmpty ? place : Int(file.columnIndices[place])
            if column >= 0 { columnOfField[id] = column }
          }
          return try reader.projection(fields: members.flatMap { wanted[$0].protos }, columnOfField: columnOfField)
        }
        let batch = try read(reader, projection)
        for (place, i) in members.enumerated() { columns[i] = batch.columns[place] }
      } catch { throw error.context("table '\(name)'") }
    }
    var complete: [Column] = []
    for (i, field) in wanted.enumerated() {
      if let column = columns[i] {
        complete.append(column)
      } else {
        complete.append(try Column.nulls(field.field.type, count: count))
      }
    }
    return try RecordBatch(schema: Schema(wanted.map(\.field), metadata: schema.metadata), columns: complete, count: count)
  }
}

extension TableFragment {
  /// The place of the data file that holds `field`; nil when none does and the field reads as null.
  func file(of field: TableField, table: String) throws(Failure) -> Int? {
    var found: Int?
    for (i, file) in proto.files.enumerated() where field.ids.contains(where: { file.fields.contains($0) }) {
      if found != nil, field.protos.count > 1 {
        throw Failure(
          .unsupported,
          "table '\(table)': the parts of column '\(field.field.name)' lie in several files of fragment \(id), which is not supported"
        )
      }
      // A later file replaces an earlier one.
      found = i
    }
    return found
  }
}

/// Reads a table front to back, some batches ahead.
private final class TableScan: RecordBatchReader {
  let schema: Schema
  private let table: LanceTable
  private let columns: [String]
  private let batchRows: Int
  private var fragment = 0
  private var row = 0
  private var ready: ArraySlice<RecordBatch> = []
  /// Batches that are read at once: one at first, for who looks at the first rows only.
  private var ahead = 1

  init(table: LanceTable, columns: [String], schema: Schema, batchRows: Int) {
    self.table = table
    self.columns = columns
    self.schema = schema
    self.batchRows = batchRows
  }

  func next() throws(Failure) -> RecordBatch? {
    if let batch = ready.popFirst() { return batch }
    try Cancellation.check()
    var parts: [(fragment: Int, rows: Range<Int>)] = []
    while parts.count < ahead, let part = nextPart() { parts.append(part) }
    ahead = min(2 * Parallel.threads, ahead * 2)
    guard parts.count > 1 else {
      return try parts.first.map { (part) throws(Failure) in try read(part) }
    }
    var results = [Result<RecordBatch, Failure>?](repeating: nil, count: parts.count)
    results.withUnsafeMutableBufferPointer { raw in
      // Sendable proof: every block writes its own slots; this reader waits.
      nonisolated(unsafe) let slots = raw
      nonisolated(unsafe) let scan = self
      let parts = parts
      Parallel.forEach(count: parts.count, grain: 1) { block in
        for i in block {
          do throws(Failure) { slots[i] = .success(try scan.read(parts[i])) } catch { slots[i] = .failure(error) }
        }
      }
    }
    var batches: [RecordBatch] = []
    for result in results {
      guard let result else { throw Failure(.cancelled, "cancelled") }
      batches.append(try result.get())
    }
    ready = batches[...]
    return ready.popFirst()
  }

  private func read(_ part: (fragment: Int, rows: Range<Int>)) throws(Failure) -> RecordBatch {
    try table.read(fragment: part.fragment, columns: columns, rows: .range(part.rows))
  }

  private func nextPart() -> (fragment: Int, rows: Range<Int>)? {
    while fragment < table.fragments.count {
      let rows = table.fragments[fragment].rowCount
      if row < rows {
        let part = row..<row + min(batchRows, rows - row)
        row = part.upperBound
        return (fragment, part)
      }
      fragment += 1
      row = 0
    }
    return nil
  }
}
