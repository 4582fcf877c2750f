package import Columnar
package import Core

/// Rows chosen by a condition.
package enum Selection {
  /// The rows where `condition` (bool) is true; false and null drop the row.
  package static func indices(_ condition: Operand) throws(Failure) -> [Int32] {
    guard condition.type == .bool || condition.type == .null else {
      throw Failure(.typeMismatch, "a filter must be Boolean, not \(condition.type)")
    }
    if condition.isConstant || condition.type == .null {
      let all = condition.type == .bool && condition.column.count > 0 && condition.column.isValid(0) && condition.column.bool(0)
      return condition.isConstant && all ? (0..<Int32(condition.count)).map { $0 } : []
    }
    let c = condition.column
    let (values, validity) = (try Logic.bits(c), try Validity.aligned(c))
    defer { withExtendedLifetime((values, validity)) {} }
    let (bits, valid) = (values.values(of: UInt8.self), validity?.values(of: UInt8.self))
    var out: [Int32] = []
    out.reserveCapacity(c.count)
    for b in 0..<Bitmap.byteCount(c.count) {
      var byte = bits[b] & (valid?[b] ?? 0xFF)
      while byte != 0 {
        let i = b << 3 + byte.trailingZeroBitCount
        if i >= c.count { break }
        out.append(Int32(truncatingIfNeeded: i))
        byte &= byte &- 1
      }
    }
    return out
  }
}

/// Membership in a fixed set.
package enum Membership {
  /// True where `a` equals one of `values` (same type as `a`, no nulls counted); null where `a` is null.
  package static func isIn(_ a: Operand, _ values: Column) throws(Failure) -> Operand {
    guard let type = Comparison.comparable(a.type, values.type) else {
      throw Failure(.typeMismatch, "is_in: \(a.type) values cannot be among \(values.type) values")
    }
    let column = try Cast.cast(a.column, to: type)
    if type == .null { return a.with(try Column.nulls(.bool, count: column.count)) }
    let table = GroupTable(types: [type])
    let present = try Cast.cast(values, to: type)
    var kept: [Int32] = []
    for i in 0..<present.count where present.isValid(i) { kept.append(Int32(i)) }
    _ = try table.insert([try present.take(kept)], count: kept.count)
    let ids = try table.find([column], count: column.count)
    return a.with(try Validity.boolColumn(column.count, validity: try Validity.aligned(column)) { ids[$0] >= 0 })
  }
}
