import Columnar
import Core
import LanceProto

/// Writes the live rows of groups of fragments anew, streaming.
struct Rewriting {
  private let table: LanceTable
  private let files: NewFiles
  private let options: CompactOptions
  private let plan: WritePlan
  private(set) var groups: [RewriteIntent.Group] = []
  /// Live rows written.
  private(set) var rows = 0
  private(set) var deletedRows = 0

  init(table: LanceTable, files: NewFiles, options: CompactOptions) throws(Failure) {
    self.table = table
    self.files = files
    self.options = options
    plan = try WritePlan(rewriting: table)
  }

  /// Writes the rows of the fragments at `positions` of the table's list as new fragments.
  mutating func rewrite(_ positions: Range<Int>) throws(Failure) {
    let writer = FragmentWriter(location: table.location, plan: plan, maxRows: options.targetRowsPerFragment)
    let new: [PBDataFragment]
    do throws(Failure) {
      for position in positions {
        let count = table.fragments[position].rowCount
        // What a row takes in memory is not known before one is read; in the files it is less, as a rule not below an eighth.
        var batchRows = min(1024, rowsInMemory(8 * table.fragments[position].bytesPerRow))
        var row = 0
        while row < count {
          try Cancellation.check()
          let end = row + min(batchRows, count - row)
          let batch = try table.read(fragment: position, rows: .range(row..<end))
          let bytes = batch.columns.reduce(0) { $0 + $1.memoryBytes }
          try options.pace?(bytes)
          try writer.append(batch)
          row = end
          batchRows = min(4 * batchRows, rowsInMemory(bytes / max(1, batch.count)), 1 << 16)
        }
      }
      new = try writer.finish()
    } catch {
      writer.removeAll()
      throw error
    }
    for file in new.flatMap(\.files) { files.add(table.location.path("\(TableLocation.data)/\(file.path)")) }
    let old = table.fragments[positions]
    rows += old.reduce(0) { $0 + $1.rowCount }
    deletedRows += old.reduce(0) { $0 + $1.physicalRows - $1.rowCount }
    groups.append(RewriteIntent.Group(old: old.map(\.proto), new: new))
  }

  /// A batch, its encoded pages and copies made on the way: a quarter of the memory each.
  private func rowsInMemory(_ bytesPerRow: Int) -> Int { max(1, options.memoryBytes / 4 / max(1, bytesPerRow)) }

  /// Reserves ids for the new fragments and gives them to them.
  mutating func number(_ options: ChangeOptions) throws(Failure) {
    let count = groups.reduce(0) { $0 + $1.new.count }
    guard count > 0 else { return }
    let reserved = try table.location.commit(options: options) { _, _ in ReserveFragmentsIntent(count: count) }
    guard let last = reserved?.manifest.maxFragmentID, UInt64(last) + 1 >= UInt64(count) else {
      throw Failure(.internalError, "table '\(table.name)': no fragment ids were reserved")
    }
    var next = UInt64(last) + 1 - UInt64(count)
    groups = groups.map { group in
      RewriteIntent.Group(
        old: group.old,
        new: group.new.map { fragment in
          var numbered = fragment
          numbered.id = next
          next += 1
          return numbered
        })
    }
  }
}

extension TableFragment {
  /// Bytes of a row in the data files; as much as a page where they do not say.
  fileprivate var bytesPerRow: Int {
    let sizes = proto.files.map { $0.fileSizeBytes == 0 ? UInt64(physicalRows) * 4096 : $0.fileSizeBytes }
    return Int(clamping: sizes.reduce(0) { $0 &+ $1 }) / max(1, physicalRows)
  }
}

extension Column {
  /// Bytes of the buffers behind this column.
  var memoryBytes: Int {
    buffers.reduce(validity?.byteCount ?? 0) { $0 + $1.byteCount } + children.reduce(0) { $0 + $1.memoryBytes }
  }
}
