import Columnar
import Compute
package import Core
package import LanceTable
package import Plan

/// What a merge does with rows of the table whose key is in the source.
package enum MatchedAction: String, Sendable, CaseIterable {
  /// They take the source's values; columns that the source does not have stay.
  case update
  /// They stay.
  case keep
  /// The merge fails with `ALREADY_EXISTS` naming the key.
  case fail
}

/// What a merge does with rows of the source whose key is not in the table.
package enum MissingAction: String, Sendable, CaseIterable {
  /// They are added; columns that the source does not have are null.
  case insert
  case skip
}

/// What a merge does with rows of the table whose key is not in the source.
package enum NotInSourceAction: Sendable, Hashable {
  case keep
  /// They are deleted where the condition is true; without one, all of them.
  case delete(where: Expr?)
}

extension TableLocation {
  /// Compares the rows of `frame` with those of the table by `key`, and changes, adds and deletes rows in one commit.
  ///
  /// The frame's rows are held in memory, the table streams. A key with a null in it matches nothing.
  ///
  ///     whenMatched: .update                                    upsert
  ///     whenMatched: .keep                                      insert what is not there
  ///     notInSource: .delete(where: day == '2026-11-27')        replace a partition
  /// - Throws: `INVALID_ARGUMENT` naming a key that stands twice in the frame, `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `ALREADY_EXISTS`
  ///   (`.fail`), `INVALID_SCHEMA` when rows to add lack a column that allows no nulls, and what `change` throws.
  package func merge(
    _ frame: Frame, key: [String], whenMatched: MatchedAction = .update, whenMissing: MissingAction = .insert,
    notInSource: NotInSourceAction = .keep, options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    var source: MergeSource?
    return try change(options: options) { table throws(Failure) in
      for name in frame.schema.names where !table.schema.names.contains(name) {
        throw Failure(
          .columnNotFound,
          "table '\(table.name)' has no column \(nearNames(name, known: table.schema.names, what: "columns"))")
      }
      // The frame may read this table: it is computed once, before the first change.
      let known: MergeSource
      if let source { known = source } else { known = try MergeSource(frame, key: key, of: table, columns: frame.schema.names) }
      source = known
      let merge = try Merge(table, known, whenMatched, whenMissing, notInSource)
      return RowChange(.merge, columns: merge.columns) { batch throws(Failure) in
        try merge.decide(batch)
      } rewrite: { old, decision throws(Failure) in
        try merge.rewrite(old, decision)
      } inserts: { () throws(Failure) in
        try merge.inserts()
      }
    }
  }
}

/// One merge over one version of the table.
private final class Merge {
  private let table: LanceTable
  private let source: MergeSource
  private let whenMatched: MatchedAction
  private let whenMissing: MissingAction
  /// Of rows of the table without a partner, which are deleted; nil: none.
  private let deletes: RowFilter?
  /// Rows of the source whose key was found.
  private var found: [Bool]
  /// The columns that matched rows take from the source.
  private let updated: [String]

  init(
    _ table: LanceTable, _ source: MergeSource, _ whenMatched: MatchedAction, _ whenMissing: MissingAction,
    _ notInSource: NotInSourceAction
  ) throws(Failure) {
    self.table = table
    self.source = source
    self.whenMatched = whenMatched
    self.whenMissing = whenMissing
    switch notInSource {
    case .keep: deletes = nil
    case .delete(nil): deletes = .all
    case .delete(let condition?): deletes = try RowFilter(condition, in: table)
    }
    found = Array(repeating: false, count: source.batch.count)
    let names = source.batch.schema.names
    updated = names.filter { !source.key.contains($0) }
    if whenMissing == .insert, let lost = table.schema.fields.first(where: { !$0.isNullable && !names.contains($0.name) }) {
      throw Failure(
        .invalidSchema,
        "column '\(lost.name)' of table '\(table.name)' does not allow nulls and is missing in the frame whose rows are inserted"
      )
    }
  }

  /// What `decide` looks at.
  var columns: [String] {
    source.key + (deletes?.columns ?? []).filter { !source.key.contains($0) }
  }

  func decide(_ batch: RecordBatch) throws(Failure) -> RowDecision {
    var decision = RowDecision()
    let rows = try source.rows(of: batch)
    for (i, row) in rows.enumerated() where row >= 0 {
      found[Int(row)] = true
      switch whenMatched {
      case .update:
        if updated.isEmpty { continue }
        decision.rewritten.append(Int32(i))
        decision.sources.append(row)
      case .keep: continue
      case .fail:
        throw Failure(
          .alreadyExists, "table '\(table.name)' has a row with the key \(MergeSource.text(batch, source.key, i)) already")
      }
    }
    if let deletes {
      let looked = try batch.selecting(deletes.columns)
      decision.deleted = try deletes.matching(looked).filter { rows[Int($0)] < 0 }
    }
    return decision
  }

  func rewrite(_ old: RecordBatch, _ decision: RowDecision) throws(Failure) -> RecordBatch {
    var columns: [Column] = []
    for name in updated { columns.append(try source.batch.column(name).take(decision.sources)) }
    return try old.replacing(updated, by: columns)
  }

  /// The rows of the source that were not found, as rows of the table.
  func inserts() throws(Failure) -> (any RecordBatchReader)? {
    guard whenMissing == .insert else { return nil }
    let rows = found.indices.filter { !found[$0] }.map { Int32($0) }
    if rows.isEmpty { return nil }
    return InsertedRows(source.batch, rows, table.schema, batchRows: table.batchRows(of: table.schema.names))
  }
}

/// Chosen rows of a batch under the schema of a table, some at a time.
private final class InsertedRows: RecordBatchReader {
  let schema: Schema
  private let source: RecordBatch
  private var rows: ArraySlice<Int32>
  private let batchRows: Int

  init(_ source: RecordBatch, _ rows: [Int32], _ schema: Schema, batchRows: Int) {
    self.source = source
    self.rows = rows[...]
    self.schema = schema
    self.batchRows = batchRows
  }

  func next() throws(Failure) -> RecordBatch? {
    if rows.isEmpty { return nil }
    let part = Array(rows.prefix(batchRows))
    rows = rows.dropFirst(part.count)
    var columns: [Column] = []
    for field in schema.fields {
      columns.append(
        source.schema.names.contains(field.name)
          ? try source.column(field.name).take(part) : try Column.nulls(field.type, count: part.count))
    }
    return try RecordBatch(schema: schema, columns: columns, count: part.count)
  }
}
