import Columnar
import Core

/// Keeps all values, for quantiles and lists.
final class ValuesAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let type: DataType
  private let result: DataType
  private let kind: Aggregate
  private var parts: [(column: Column, ids: [Int32])] = []

  init(_ type: DataType, _ result: DataType, _ kind: Aggregate) {
    self.type = type
    self.result = result
    self.kind = kind
  }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    guard let column else { return }
    parts.append((try Cast.cast(column, to: type), ids))
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    for part in other.parts { parts.append((part.column, part.ids.map { mapping[Int($0)] })) }
  }

  func finish(groups: Int) throws(Failure) -> Column {
    let all = parts.isEmpty ? try Column.nulls(type, count: 0) : try Column.concatenate(parts.map(\.column), type: type)
    let ids = parts.flatMap(\.ids)
    // Rows by group, in order within each: a counting sort.
    var starts = [Int](repeating: 0, count: groups + 1)
    for id in ids { starts[Int(id) + 1] += 1 }
    for g in 0..<groups { starts[g + 1] += starts[g] }
    var cursor = starts
    var order = [Int32](repeating: 0, count: ids.count)
    for (row, id) in ids.enumerated() {
      order[cursor[Int(id)]] = Int32(row)
      cursor[Int(id)] += 1
    }
    if case .quantile(let q) = kind {
      let x = all.values(of: Double.self)
      var out: [Double?] = []
      for g in 0..<groups {
        var values: [Double] = []
        for row in order[starts[g]..<starts[g + 1]] where all.isValid(Int(row)) { values.append(x[Int(row)]) }
        out.append(ValuesAccumulator.quantile(&values, q))
      }
      return try Column.float64(out)
    }
    return try Column.list(try all.take(order), lengths: (0..<groups).map { starts[$0 + 1] - starts[$0] })
  }

  /// Linear interpolation between the two nearest ranks (type 7 of Hyndman and Fan, 1996). NaN counts as the greatest.
  static func quantile(_ values: inout [Double], _ q: Double) -> Double? {
    guard !values.isEmpty else { return nil }
    values.sort { $0 < $1 || ($1 != $1 && $0 == $0) }
    let place = q * Double(values.count - 1)
    let low = Int(place.rounded(.down))
    let high = Swift.min(low + 1, values.count - 1)
    let fraction = place - Double(low)
    return fraction == 0 ? values[low] : values[low] + (values[high] - values[low]) * fraction
  }
}

/// Counts different values, null being one.
final class UniqueAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let table: GroupTable
  private var counts: [Int64] = []

  init(_ type: DataType) { table = GroupTable(types: [.int32, type]) }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    guard let column else { return }
    try add(ids, column, groups)
  }

  private func add(_ ids: [Int32], _ column: Column, _ groups: Int) throws(Failure) {
    counts.grow(to: groups, 0)
    let owner = Column(type: .int32, count: ids.count, buffers: [try Buffer(ids)])
    var next = table.count
    for (row, pair) in try table.insert([owner, column], count: ids.count).enumerated() where Int(pair) == next {
      counts[Int(ids[row])] += 1
      next += 1
    }
  }

  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    counts.grow(to: groups, 0)
    guard other.table.count > 0 else { return }
    let keys = try other.table.keys()
    let owners = keys[0]
    try add(owners.values(of: Int32.self).map { mapping[Int($0)] }, keys[1], groups)
  }
  func finish(groups: Int) throws(Failure) -> Column {
    counts.grow(to: groups, 0)
    return Column(type: .int64, count: groups, buffers: [try Buffer(counts)])
  }
}

/// The first or last row of each group, null or not.
final class EndAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let type: DataType
  private let last: Bool
  private var rows: [Int32] = []  // by group: row in `kept`, -1 = none
  private var parts: [Column] = []
  private var count = 0

  init(_ type: DataType, last: Bool) {
    self.type = type
    self.last = last
  }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    rows.grow(to: groups, -1)
    guard let column else { return }
    var chosen: [Int32] = []
    var position: [Int32: Int] = [:]
    for (i, id) in ids.enumerated() {
      if let at = position[id] {
        if last { chosen[at] = Int32(i) }
      } else if last || rows[Int(id)] < 0 {
        position[id] = chosen.count
        rows[Int(id)] = Int32(count + chosen.count)
        chosen.append(Int32(i))
      }
    }
    if !chosen.isEmpty {
      parts.append(try column.take(chosen))
      count += chosen.count
    }
  }

  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    rows.grow(to: groups, -1)
    for (g, row) in other.rows.enumerated() where row >= 0 {
      let mine = Int(mapping[g])
      if last || rows[mine] < 0 { rows[mine] = Int32(count) + row }
    }
    parts += other.parts
    count += other.count
  }

  func finish(groups: Int) throws(Failure) -> Column {
    rows.grow(to: groups, -1)
    let all = try Column.concatenate(parts + [try Column.nulls(type, count: 1)], type: type)
    return try all.take(rows.map { $0 < 0 ? Int32(count) : $0 })
  }
}

/// Least or greatest of strings and binaries, by bytes.
final class BytesExtreme: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let type: DataType
  private let max: Bool
  private var best: [[UInt8]?] = []

  init(_ type: DataType, max: Bool) {
    self.type = type
    self.max = max
  }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    best.grow(to: groups, nil)
    guard let column else { return }
    for i in 0..<ids.count where column.isValid(i) { take(Int(ids[i]), column.bytes(i)) }
  }

  private func take(_ group: Int, _ bytes: some Sequence<UInt8>) {
    if let old = best[group] {
      let less = max ? old.lexicographicallyPrecedes(bytes) : bytes.lexicographicallyPrecedes(old)
      if less { best[group] = Array(bytes) }
    } else {
      best[group] = Array(bytes)
    }
  }

  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    best.grow(to: groups, nil)
    for (g, bytes) in other.best.enumerated() { if let bytes { take(Int(mapping[g]), bytes) } }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    best.grow(to: groups, nil)
    return try Column.binary(best, type: type)
  }
}
