package import Columnar
package import Core
import LanceFile
import LanceProto

extension TableLocation {
  /// Adds columns behind the others that read as null in all rows. No data is written.
  /// - Throws: `ALREADY_EXISTS` naming a column that is there, `INVALID_SCHEMA` for one that allows no nulls, `UNSUPPORTED` for a type
  ///   that cannot be stored.
  package func addColumns(nulls fields: [Field], options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    for field in fields where !field.isNullable {
      throw Failure(
        .invalidSchema, "new column '\(field.name)' of table '\(name)' allows no nulls, but all its values are null")
    }
    return try changeManifest(options) { table, _ throws(Failure) in
      if fields.isEmpty { return nil }
      return MergeColumnsIntent(
        name: "new columns", fields: table.manifest.fields + (try table.newFields(fields)), files: [:])
    }
  }

  /// Adds columns behind the others.
  /// - Parameters:
  ///   - reads: the columns that values are made from.
  ///   - values: one column for each of `fields`, of its type, from a batch of `reads`.
  /// - Throws: `ALREADY_EXISTS`, `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `UNSUPPORTED`, `VERSION_CONFLICT`, and what `values` throws.
  package func addColumns(
    _ fields: [Field], reads: [String], options: ChangeOptions = ChangeOptions(),
    values: @escaping (RecordBatch) throws(Failure) -> [Column]
  ) throws(Failure) -> ChangeReport {
    try changeManifest(options) { table, files throws(Failure) in
      if fields.isEmpty { return nil }
      for name in reads { _ = try table.schema.index(of: name) }
      let new = try table.newFields(fields)
      let writer = try ColumnFiles(table, fields: new, reads: reads, files: files, values: values)
      var written: [UInt64: PBDataFile] = [:]
      for fragment in table.fragments { written[fragment.id] = try writer.write(fragment) }
      return MergeColumnsIntent(name: "new columns", fields: table.manifest.fields + new, files: written)
    }
  }

  /// Gives a column another type. It keeps its place and name and gets a new field id: older versions keep the old values. Indices over
  /// it are dropped.
  /// - Parameter convert: values of the old type to as many of the new one.
  /// - Throws: `COLUMN_NOT_FOUND`, `UNSUPPORTED`, `VERSION_CONFLICT`, and what `convert` throws.
  package func castColumn(
    _ name: String, to type: DataType, options: ChangeOptions = ChangeOptions(),
    convert: @escaping (Column) throws(Failure) -> Column
  ) throws(Failure) -> ChangeReport {
    try changeManifest(options) { table, files throws(Failure) in
      let old = table.fields[try table.schema.index(of: name)]
      if Conversion.fits(old.field.type, type) { return nil }
      let field = Field(name, type, isNullable: old.field.isNullable, metadata: old.field.metadata)
      let new = try table.fields(numbered: [field])
      let writer = try ColumnFiles(table, fields: new, reads: [name], files: files) { batch throws(Failure) in
        [try convert(batch.columns[0])]
      }
      var written: [UInt64: PBDataFile] = [:]
      for fragment in table.fragments {
        // A column that the fragment does not hold goes on reading as null.
        if try fragment.file(of: old, table: table.name) == nil { continue }
        written[fragment.id] = try writer.write(fragment)
      }
      var fields: [PBField] = []
      for proto in table.manifest.fields {
        if proto.id == old.id { fields += new } else if !old.ids.contains(proto.id) { fields.append(proto) }
      }
      return MergeColumnsIntent(name: "new column type", fields: fields, files: written)
    }
  }

  /// Drops columns from the schema; their values stay in the files for older versions. Indices over them are dropped.
  /// - Throws: `COLUMN_NOT_FOUND`, `INVALID_ARGUMENT` when no column would be left, `VERSION_CONFLICT`.
  package func dropColumns(_ names: [String], options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    try changeManifest(options) { table, _ throws(Failure) in
      var dropped: Set<Int32> = []
      for name in names { dropped.formUnion(table.fields[try table.schema.index(of: name)].ids) }
      if dropped.isEmpty { return nil }
      guard Set(names).count < table.fields.count else {
        throw Failure(
          .invalidArgument, "table '\(table.name)' needs at least one column; all \(table.fields.count) would be dropped")
      }
      return ProjectIntent(name: "drop of columns", dropped: dropped, renamed: [:])
    }
  }

  /// - Throws: `COLUMN_NOT_FOUND`, `ALREADY_EXISTS` when `new` is taken, `INVALID_SCHEMA` for an empty name, `VERSION_CONFLICT`.
  package func renameColumn(_ old: String, to new: String, options: ChangeOptions = ChangeOptions()) throws(Failure)
    -> ChangeReport
  {
    try changeManifest(options) { table, _ throws(Failure) in
      let field = table.fields[try table.schema.index(of: old)]
      if old == new { return nil }
      try table.checkNewNames([new])
      return ProjectIntent(name: "new column name", dropped: [], renamed: [field.id: new])
    }
  }
}

extension LanceTable {
  /// The protos of new columns, whose names must not be taken.
  fileprivate func newFields(_ fields: [Field]) throws(Failure) -> [PBField] {
    try checkNewNames(fields.map(\.name))
    return try self.fields(numbered: fields)
  }

  /// The protos of columns with field ids that were never used in this version.
  fileprivate func fields(numbered fields: [Field]) throws(Failure) -> [PBField] {
    let first = manifest.nextFieldID
    guard first < Int32.max - 100_000 else { throw Failure(.unsupported, "table '\(name)' has no field ids left") }
    do throws(Failure) { return try LanceSchema.fields(of: Schema(fields), firstID: first) } catch {
      throw error.context("table '\(name)'")
    }
  }

  fileprivate func checkNewNames(_ names: [String]) throws(Failure) {
    do throws(Failure) { try Schema(names.map { Field($0, .null) }).validate() } catch {
      throw error.context("table '\(name)'")
    }
    for new in names where schema.names.contains(new) {
      throw Failure(.alreadyExists, "table '\(name)' has a column '\(new)' already")
    }
  }
}
