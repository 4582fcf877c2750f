package import Columnar
package import Core

extension TableLocation {
  /// Deletes the rows that meet a condition, which `filter` makes for the version that is changed.
  package func delete(
    options: ChangeOptions = ChangeOptions(), where filter: (LanceTable) throws(Failure) -> RowFilter
  ) throws(Failure) -> ChangeReport {
    try change(options: options) { table throws(Failure) in
      let filter = try filter(table)
      return RowChange(.delete(predicate: filter.text), columns: filter.columns) { batch throws(Failure) in
        RowDecision(deleted: try filter.matching(batch))
      }
    }
  }

  /// Sets columns of the rows that meet a condition (nil: of all rows), as `update` says for the version that is changed. The rows
  /// move to new fragments behind the others.
  package func update(
    options: ChangeOptions = ChangeOptions(),
    _ update: (LanceTable) throws(Failure) -> (set: RowUpdate, where: RowFilter?)
  ) throws(Failure) -> ChangeReport {
    try change(options: options) { table throws(Failure) in
      let (update, condition) = try update(table)
      let filter = condition ?? .all
      for name in update.columns { _ = try table.schema.index(of: name) }
      return RowChange(.update(columns: update.columns), columns: filter.columns) { batch throws(Failure) in
        RowDecision(rewritten: try filter.matching(batch))
      } rewrite: { old, _ throws(Failure) in
        try old.replacing(update.columns, by: try update.values(try old.selecting(update.reads)))
      }
    }
  }

  package func delete(where filter: RowFilter, options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    try delete(options: options) { _ throws(Failure) in filter }
  }
  package func update(
    _ update: RowUpdate, where filter: RowFilter? = nil, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    try self.update(options: options) { _ throws(Failure) in (update, filter) }
  }
}

extension RecordBatch {
  /// The batch with other columns in place of those named.
  /// - Throws: `COLUMN_NOT_FOUND`, `INVALID_SCHEMA` for a column of another length.
  package func replacing(_ names: [String], by values: [Column]) throws(Failure) -> RecordBatch {
    guard names.count == values.count else {
      throw Failure(.internalError, "\(values.count) columns for \(names.count) names")
    }
    var fields = schema.fields
    var columns = self.columns
    for (name, column) in zip(names, values) {
      let at = try schema.index(of: name)
      fields[at].type = column.type
      columns[at] = column
    }
    return try RecordBatch(schema: Schema(fields, metadata: schema.metadata), columns: columns, count: count)
  }
}
