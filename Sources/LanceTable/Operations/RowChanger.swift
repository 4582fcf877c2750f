import Columnar
import Core
import LanceProto
import ObjectStore

/// Runs one `RowChange` over a table. In memory are a batch of the columns looked at, a batch of rewritten rows, what the file
/// format buffers, and a bitmap of the rows that go.
struct RowChanger {
  private let table: LanceTable
  private let files: NewFiles
  private let change: RowChange
  private let plan: WritePlan
  private let writer: FragmentWriter
  /// Rows of a batch: of the columns looked at, and of all.
  private let batchRows: Int
  private let wideBatchRows: Int
  private(set) var masks: [RowMask] = []
  private(set) var inserted = 0
  private(set) var updated = 0
  private(set) var deleted = 0

  init(_ table: LanceTable, _ change: RowChange, _ files: NewFiles, _ options: ChangeOptions) throws(Failure) {
    self.table = table
    self.files = files
    self.change = change
    plan = try WritePlan(rewriting: table)
    batchRows = table.batchRows(of: change.columns)
    wideBatchRows = table.batchRows(of: table.schema.names)
    writer = FragmentWriter(location: table.location, plan: plan, maxRows: max(1, options.maxRowsPerFile))
  }

  /// - Returns: the intent; nil when nothing changes.
  mutating func run() throws(Failure) -> (any CommitIntent)? {
    let fragments: [PBDataFragment]
    do throws(Failure) {
      for fragment in table.fragments { try visit(fragment) }
      if let reader = try change.inserts() {
        while let batch = try reader.next() {
          try Cancellation.check()
          try writer.append(try plan.conform(batch))
          inserted += batch.count
        }
      }
      fragments = try writer.finish()
    } catch {
      writer.removeAll()
      throw error
    }
    for file in fragments.flatMap(\.files) { files.add(table.location.path("\(TableLocation.data)/\(file.path)")) }
    if masks.isEmpty, fragments.isEmpty { return nil }
    switch change.kind {
    case .delete(let predicate): return DeleteIntent(masks: masks, predicate: predicate)
    case .update(let columns):
      return UpdateIntent(
        name: "update", masks: masks, fragments: fragments, addsMissingRows: false,
        changedFields: table.fields.filter { columns.contains($0.field.name) }.flatMap(\.ids))
    case .merge:
      return UpdateIntent(
        name: "merge", masks: masks, fragments: fragments, addsMissingRows: inserted > 0,
        changedFields: table.fields.flatMap(\.ids))
    }
  }

  private mutating func visit(_ fragment: TableFragment) throws(Failure) {
    let deletions = try table.cache.deletions(fragment, table.location)
    var gone: [UInt32] = []
    var start = 0
    while start < fragment.rowCount {
      try Cancellation.check()
      let rows = start..<min(fragment.rowCount, start + batchRows)
      let batch = try table.read(fragment: fragment.position, columns: change.columns, rows: .range(rows))
      let decision = try change.decide(batch)
      try rewrite(fragment, decision, from: start)
      updated += decision.rewritten.count
      deleted += decision.deleted.count
      for position in RowChanger.merged(decision.deleted, decision.rewritten) {
        gone.append(UInt32(truncatingIfNeeded: deletions.physical(start + Int(position))))
      }
      start = rows.upperBound
    }
    if !gone.isEmpty { masks.append(RowMask(fragment: fragment, rows: gone)) }
  }

  /// Writes what the rewritten rows become, some at a time: rows may be wide.
  private func rewrite(_ fragment: TableFragment, _ decision: RowDecision, from start: Int) throws(Failure) {
    let all = decision.rewritten
    var next = 0
    while next < all.count {
      let part = next..<min(all.count, next + wideBatchRows)
      let positions = all[part].map { start + Int($0) }
      let old = try table.read(fragment: fragment.position, rows: .positions(positions))
      let sources = decision.sources.isEmpty ? [] : Array(decision.sources[part])
      let new = try change.rewrite(old, RowDecision(rewritten: Array(all[part]), sources: sources))
      try writer.append(try plan.conform(new))
      next = part.upperBound
    }
  }

  /// Two ascending lists as one.
  private static func merged(_ a: [Int32], _ b: [Int32]) -> [Int32] {
    if a.isEmpty { return b }
    if b.isEmpty { return a }
    return (a + b).sorted()
  }
}
