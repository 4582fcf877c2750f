package import Columnar
import Compute
package import Core
package import LanceTable

/// A condition on one column, as scalar indices are asked.
package struct ScalarQuery: Sendable {
  /// An interval of values with both ends; a column of one row each, nil for no end.
  package struct Interval: Sendable {
    package var low: Column?
    package var high: Column?
    package init(low: Column? = nil, high: Column? = nil) {
      self.low = low
      self.high = high
    }
  }
  package var column: String
  /// Where rows that meet the condition can be; parts of a BTREE outside are not read. One without ends: anywhere.
  package var intervals: [Interval]
  /// Null values can meet the condition.
  package var takesNulls: Bool
  /// The rows of a column of values that meet the condition, ascending: what decides in the end.
  package var matching: @Sendable (Column) throws(Failure) -> [Int32]

  package init(
    column: String, intervals: [Interval], takesNulls: Bool,
    matching: @escaping @Sendable (Column) throws(Failure) -> [Int32]
  ) {
    self.column = column
    self.intervals = intervals
    self.takesNulls = takesNulls
    self.matching = matching
  }
}

/// What scalar indices know of a condition.
package struct IndexedRows: Sendable {
  /// The index that was asked.
  package let index: String
  /// For each fragment (by place in the table) that the index covers: the ascending live positions of the rows that meet the condition.
  package let live: [Int: [Int32]]
  package var count: Int { live.values.reduce(0) { $0 + $1.count } }
}

extension LanceTable {
  /// The rows that meet `query` according to a BTREE or BITMAP index; rows of fragments that `live` does not name are not known.
  ///
  /// Nil when no index helps: there is none, or it would have to read more than `share` of its rows.
  /// - Throws: `CORRUPT_DATA` naming the index file.
  package func rows(matching query: ScalarQuery, share: Double = 0.25) throws(Failure) -> IndexedRows? {
    let field = fields[try schema.index(of: query.column)]
    let parts = try usableIndex(field: field.id) { $0.kind == .bitmap || $0.kind == .btree }
    guard let first = parts.first else { return nil }
    var addresses: [UInt64] = []
    var covered: [UInt64: Int] = [:]
    for part in parts {
      let fresh = fragments.filter { part.covered.contains($0.id) && covered[$0.id] == nil }
      guard !fresh.isEmpty else { continue }
      let folder = IndexFolder(location: location, uuid: part.uuid)
      let found =
        part.kind == .btree
        ? try BTreeIndex(folder).addresses(query, share: share) : try BitmapIndex(folder).addresses(query)
      guard let found else { return nil }
      let ids = Set(fresh.map(\.id))
      addresses += found.filter { ids.contains($0 >> 32) }
      for fragment in fresh { covered[fragment.id] = fragment.position }
    }
    return IndexedRows(index: "\(first.name) (\(first.kind.name))", live: try live(addresses, covered))
  }

  /// Addresses as live positions by fragment; deleted rows fall out.
  private func live(_ addresses: [UInt64], _ covered: [UInt64: Int]) throws(Failure) -> [Int: [Int32]] {
    var live: [Int: [Int32]] = [:]
    for position in covered.values { live[position] = [] }
    let sorted = addresses.sorted()
    var at = 0
    while at < sorted.count {
      let id = sorted[at] >> 32
      let end = sorted[at...].firstIndex { $0 >> 32 != id } ?? sorted.count
      defer { at = end }
      guard let position = covered[id] else { continue }
      let deletions = try deletions(fragment: position)
      let physicalRows = fragments[position].physicalRows
      var rows: [Int32] = []
      rows.reserveCapacity(end - at)
      for address in sorted[at..<end] {
        let offset = Int(address & 0xFFFF_FFFF)
        guard offset < physicalRows else {
          throw Failure(
            .corruptData, "table '\(name)': an index refers to row \(offset) of fragment \(id), which has \(physicalRows)")
        }
        if !deletions.isEmpty, deletions.touches(offset..<offset + 1) { continue }
        rows.append(Int32(truncatingIfNeeded: offset - deletions.rank(offset)))
      }
      live[position] = rows
    }
    return live
  }
}

/// A column's live values with the address of each row, for index builds.
struct AddressedValues {
  let values: Column
  let addresses: [UInt64]

  /// - Parameter fragments: places in the table.
  init(_ table: LanceTable, _ column: String, fragments: [Int]) throws(Failure) {
    let type = try table.schema.field(column).type
    var parts: [Column] = []
    var addresses: [UInt64] = []
    for position in fragments {
      let fragment = table.fragments[position]
      var first = 0
      while first < fragment.rowCount {
        try Cancellation.check()
        let end = min(fragment.rowCount, first + (1 << 18))
        parts.append(try table.read(fragment: position, columns: [column], rows: .range(first..<end)).columns[0])
        first = end
      }
      let deletions = try table.deletions(fragment: position)
      let base = fragment.id << 32
      if deletions.isEmpty {
        for row in 0..<fragment.physicalRows { addresses.append(base | UInt64(row)) }
      } else {
        for row in deletions.live(in: 0..<fragment.physicalRows) { addresses.append(base | UInt64(UInt32(bitPattern: row))) }
      }
    }
    values = try Column.concatenate(parts, type: type)
    self.addresses = addresses
    guard values.count == addresses.count else {
      throw Failure(.corruptData, "table '\(table.name)': column '\(column)' has \(values.count) rows of \(addresses.count)")
    }
  }

  /// Rows by value, nulls first, NaN last; equal ones by address.
  func order() throws(Failure) -> [Int32] {
    try Sorting.indices([SortColumn(values, nullsFirst: true)], count: values.count)
  }

  /// True for types that a scalar index can hold.
  static func isIndexable(_ type: DataType) -> Bool {
    switch type {
    case .null, .dictionary, .float16: false
    default: Sorting.isSortable(type)
    }
  }
}
