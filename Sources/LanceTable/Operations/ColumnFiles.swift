import Columnar
import Core
import LanceFile
import LanceProto
import ObjectStore

/// Writes values of new columns beside the fragments of a table: one data file for each fragment, with all of its physical rows.
///
/// Values are computed for live rows only. A deleted row gets null, or where the column allows none, the value of a live row.
struct ColumnFiles {
  let table: LanceTable
  /// Of the new columns, in pre-order, with their ids.
  let fields: [PBField]
  /// The columns that values are made from.
  let reads: [String]
  /// One column for each new top-level field from a batch of `reads`; the batches of a fragment come in order.
  let values: (RecordBatch) throws(Failure) -> [Column]
  let files: NewFiles
  private let schema: Schema
  private let batchRows: Int

  init(
    _ table: LanceTable, fields: [PBField], reads: [String], files: NewFiles,
    values: @escaping (RecordBatch) throws(Failure) -> [Column]
  ) throws(Failure) {
    self.table = table
    self.fields = fields
    self.reads = reads
    self.files = files
    self.values = values
    schema = try LanceSchema.schema(of: fields)
    batchRows = min(table.batchRows(of: reads), LanceTable.batchRows(of: schema.fields))
  }

  /// The new file of a fragment.
  func write(_ fragment: TableFragment) throws(Failure) -> PBDataFile {
    let deletions = try table.cache.deletions(fragment, table.location)
    let writer = try DataFileWriter(
      table.location, fields: fields, metadata: table.schema.metadata,
      version: try LanceFileVersion.named(table.fileVersion))
    do throws(Failure) {
      var fillers: [Column]?
      var start = 0
      while start < fragment.physicalRows {
        try Cancellation.check()
        let rows = start..<min(fragment.physicalRows, start + batchRows)
        var columns: [Column]
        if deletions.touches(rows) {
          if fillers == nil { fillers = try self.fillers(fragment) }
          let filled = fillers ?? []
          columns = try spread(try live(fragment, deletions, rows), over: rows, deletions, filled)
        } else {
          columns = try live(fragment, deletions, rows)
        }
        try writer.write(try RecordBatch(schema: typed(columns), columns: columns, count: rows.count))
        start = rows.upperBound
      }
      let (file, _) = try writer.finish()
      files.add(writer.path)
      return file
    } catch {
      writer.abort()
      throw error
    }
  }

  /// The values of the live rows among physical rows `rows`.
  private func live(_ fragment: TableFragment, _ deletions: DeletionVector, _ rows: Range<Int>) throws(Failure) -> [Column] {
    let first = rows.lowerBound - deletions.rank(rows.lowerBound)
    let end = rows.upperBound - deletions.rank(rows.upperBound)
    let batch = try table.read(fragment: fragment.position, columns: reads, rows: .range(first..<end))
    return try checked(try values(batch), count: batch.count)
  }

  private func checked(_ columns: [Column], count: Int) throws(Failure) -> [Column] {
    guard columns.count == schema.fields.count else {
      throw Failure(.internalError, "\(columns.count) columns for \(schema.fields.count) new fields")
    }
    for (field, column) in zip(schema.fields, columns) {
      let what = "new column '\(field.name)' of table '\(table.name)'"
      guard column.count == count else {
        throw Failure(.shapeMismatch, "\(what) has \(column.count) values for \(count) rows")
      }
      guard Conversion.fits(column.type, field.type) else {
        throw Failure(.typeMismatch, "\(what) is \(field.type), its values are \(column.type)")
      }
      guard field.isNullable || column.nullCount == 0 else {
        throw Failure(.invalidSchema, "\(what) does not allow nulls; there are \(column.nullCount) in one batch")
      }
    }
    return columns
  }

  /// For each new column one value that stands at deleted rows.
  private func fillers(_ fragment: TableFragment) throws(Failure) -> [Column] {
    guard schema.fields.contains(where: { !$0.isNullable }) else {
      var nulls: [Column] = []
      for field in schema.fields { nulls.append(try Column.nulls(field.type, count: 1)) }
      return nulls
    }
    let batch = try table.read(fragment: fragment.position, columns: reads, rows: .range(0..<min(1, fragment.rowCount)))
    return try checked(try values(batch), count: batch.count)
  }

  /// `live` at the places of the live rows among `rows`, `fillers` at those of the deleted ones.
  private func spread(_ live: [Column], over rows: Range<Int>, _ deletions: DeletionVector, _ fillers: [Column]) throws(Failure)
    -> [Column]
  {
    var places = [Int32](repeating: Int32(live.first?.count ?? 0), count: rows.count)
    for (i, place) in deletions.live(in: rows).enumerated() { places[Int(place)] = Int32(i) }
    var columns: [Column] = []
    for (column, filler) in zip(live, fillers) {
      columns.append(try Column.concatenate([column, filler], type: column.type).take(places))
    }
    return columns
  }

  private func typed(_ columns: [Column]) -> Schema {
    Schema(zip(schema.fields, columns).map { Field($0.name, $1.type, isNullable: $0.isNullable) })
  }
}
