package import Columnar
package import Core

/// Functions of list and fixed-size-list columns.
package enum Lists {
  package enum Reduction: String, Sendable, Hashable, CaseIterable {
    case sum = "list_sum"
    case mean = "list_mean"
    case min = "list_min"
    case max = "list_max"
  }

  /// The type of the items; nil for other types.
  package static func item(_ type: DataType) -> DataType? {
    switch type {
    case .fixedSizeList(let f, _), .list(let f), .largeList(let f): f.type
    default: nil
    }
  }

  /// Fixed-size lists inside fixed-size lists become one: 28 x 28 -> 784; lists of lists become one list.
  package static func flattened(_ type: DataType) -> DataType? {
    switch type {
    case .fixedSizeList(let f, let n):
      if case .fixedSizeList = f.type, let inner = flattened(f.type), case .fixedSizeList(let g, let m) = inner {
        let (total, overflow) = n.multipliedReportingOverflow(by: m)
        return overflow ? nil : .vector(g.type, total)
      }
      return .vector(f.type, n)
    case .list(let f), .largeList(let f):
      if case .list(let g) = f.type { return .list(Field("item", g.type)) }
      return type
    default: return nil
    }
  }

  /// See `flattened`; fixed-size lists share their memory with the result.
  package static func flatten(_ a: Operand) throws(Failure) -> Operand {
    guard let type = flattened(a.type) else { throw Failure(.typeMismatch, "flatten needs a list, not \(a.type)") }
    let c = a.column
    if case .fixedSizeList = c.type {
      var items = c.items()
      while case .fixedSizeList = items.type {
        guard items.nullCount == 0 else { throw Failure(.unsupported, "flatten: an inner list is null") }
        items = items.items()
      }
      return a.with(
        Column(type: type, count: c.count, validity: try Validity.aligned(c), buffers: [], children: [items]))
    }
    guard type != c.type else { return a }
    var lengths: [Int?] = []
    let inner = c.items()
    let first = c.count > 0 ? c.range(0).lowerBound : 0
    for i in 0..<c.count {
      guard c.isValid(i) else {
        lengths.append(nil)
        continue
      }
      lengths.append(c.range(i).reduce(0) { $0 + (inner.isValid($1 - first) ? inner.range($1 - first).count : 0) })
    }
    return a.with(try Column.list(inner.items(), lengths: lengths))
  }

  /// The size of each fixed-size list, or items of each list, as int64.
  package static func length(_ a: Operand) throws(Failure) -> Operand {
    let c = a.column
    guard item(c.type) != nil else { throw Failure(.typeMismatch, "len needs a list, not \(c.type)") }
    let out = try Buffer(byteCount: c.count * 8)
    let z = out.mutableValues(of: Int64.self)
    if case .fixedSizeList(_, let n) = c.type {
      for i in 0..<c.count { z[i] = Int64(n) }
    } else {
      for i in 0..<c.count { z[i] = Int64(c.range(i).count) }
    }
    return a.with(Column(type: .int64, count: c.count, validity: try Validity.aligned(c), buffers: [out]))
  }

  /// Begin and length of row `i` in `children[0]`.
  private static func span(_ c: Column, _ i: Int) -> (Int, Int) {
    if case .fixedSizeList(_, let n) = c.type { return ((c.offset + i) * n, n) }
    let r = c.range(i)
    return (r.lowerBound, r.count)
  }

  /// Item `position` of each list, from 1, -1 the last; null where the list is shorter.
  package static func get(_ a: Operand, _ position: Int) throws(Failure) -> Operand {
    let c = a.column
    guard let type = item(c.type) else { throw Failure(.typeMismatch, "get needs a list, not \(c.type)") }
    if position == 0 { throw Failure(.invalidArgument, "get: positions count from 1 (-1 is the last), not from 0") }
    let child = c.children[0]
    let spare = try Column.concatenate([child, try Column.nulls(type, count: 1)], type: type)
    var picks: [Int32] = []
    for i in 0..<c.count {
      let (begin, n) = span(c, i)
      let at = position > 0 ? position - 1 : n + position
      picks.append(c.isValid(i) && at >= 0 && at < n ? Int32(begin + at) : Int32(child.count))
    }
    return a.with(try spare.take(picks))
  }

  /// The type of a reduction over items of `type`.
  package static func reduced(_ how: Reduction, _ type: DataType) -> DataType? {
    guard let item = item(type), item.isNumeric else { return nil }
    switch how {
    case .mean: return .float64
    case .sum: return item.isFloat ? .float64 : .int64
    case .min, .max: return item.isFloat ? .float64 : .int64
    }
  }

  /// Sum, mean, least or greatest item of each list; null items are left out; an empty list gives 0 for a sum, else null.
  package static func reduce(_ how: Reduction, _ a: Operand) throws(Failure) -> Operand {
    let c = a.column
    guard let result = reduced(how, c.type), let itemType = item(c.type) else {
      throw Failure(.typeMismatch, "\(how.rawValue) needs a list of numbers, not \(c.type)")
    }
    let wide: DataType = itemType.isFloat || how == .mean ? .float64 : .int64
    let child = try Cast.cast(c.children[0], to: wide)
    let n = c.count
    let out = try Buffer(byteCount: n * 8)
    let bits: Buffer
    if let known = try Validity.aligned(c) { bits = known } else { bits = try Bitmap.filled(n, true) }
    let valid = try Buffer(copying: bits.bytes)
    if wide == .float64 {
      let (x, z) = (child.values(of: Double.self), out.mutableValues(of: Double.self))
      for i in 0..<n where c.isValid(i) {
        let (begin, length) = span(c, i)
        var (total, seen) = (0.0, 0)
        for j in begin..<begin + length where child.isValid(j) {
          total = seen == 0 ? x[j] : how == .min ? Swift.min(total, x[j]) : how == .max ? Swift.max(total, x[j]) : total + x[j]
          seen += 1
        }
        if seen == 0, how != .sum { Bitmap.set(valid.pointer, i, false) }
        z[i] = how == .mean && seen > 0 ? total / Double(seen) : total
      }
    } else {
      let (x, z) = (child.values(of: Int64.self), out.mutableValues(of: Int64.self))
      for i in 0..<n where c.isValid(i) {
        let (begin, length) = span(c, i)
        var (total, seen): (Int64, Int) = (0, 0)
        for j in begin..<begin + length where child.isValid(j) {
          if seen == 0 {
            total = x[j]
          } else if how == .sum {
            let (sum, over) = total.addingReportingOverflow(x[j])
            if over { throw rowFailure(.invalidArgument, "the sum of a list does not fit Int64", row: i) }
            total = sum
          } else {
            total = how == .min ? Swift.min(total, x[j]) : Swift.max(total, x[j])
          }
          seen += 1
        }
        if seen == 0, how != .sum { Bitmap.set(valid.pointer, i, false) }
        z[i] = total
      }
    }
    return a.with(Column(type: result, count: n, validity: valid, buffers: [out]))
  }
}
