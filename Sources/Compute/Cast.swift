package import Columnar
package import Core

/// Conversions between column types.
///
/// Checked: a value that the target cannot hold is an error naming row and value, or null with `lenient` (`try_cast`).
/// A float becomes an integer by cutting its fraction off towards zero; a float becomes a narrower float by rounding.
package enum Cast {
  /// `column` as `target`.
  /// - Throws: `TYPE_MISMATCH` when there is no such conversion, `INVALID_ARGUMENT` for a value that does not fit.
  package static func cast(_ column: Column, to target: DataType, lenient: Bool = false) throws(Failure) -> Column {
    let source = column.type
    if source == target { return column }
    if source == .null { return try Column.nulls(target, count: column.count) }
    if case .dictionary = source { return try cast(try column.decodingDictionary(), to: target, lenient: lenient) }
    guard isPossible(source, target) else { throw Failure(.typeMismatch, "\(source) cannot be cast to \(target)") }
    switch (source, target) {
    case (.fixedSizeList, _), (.list, _), (.largeList, _): return try lists(column, target, lenient)
    case (.utf8, .largeUtf8), (.largeUtf8, .utf8), (.binary, .largeBinary), (.largeBinary, .binary), (.utf8, .binary),
      (.utf8, .largeBinary), (.largeUtf8, .binary), (.largeUtf8, .largeBinary):
      return try rebuildBytes(column, target)
    case (.binary, .utf8), (.binary, .largeUtf8), (.largeBinary, .utf8), (.largeBinary, .largeUtf8):
      return try texts(column, target, lenient) { bytes in
        String(validating: bytes, as: UTF8.self)
      }
    case (_, .utf8), (_, .largeUtf8): return try TextCast.format(column, target)
    case (.utf8, _), (.largeUtf8, _): return try TextCast.parse(column, target, lenient)
    case (.bool, _): return try cast(try boolsAsBytes(column), to: target, lenient: lenient)
    case (_, .bool):
      let zero = Operand(constant: try cast(try Column.make(.uint8, [0 as UInt8]), to: source), count: column.count)
      return try Comparison.apply(.notEqual, Operand(column), zero).column
    case (.float16, _):
      return try cast(try halves(column), to: target, lenient: lenient)
    case (.decimal128(_, let scale), _): return try cast(try decimals(column, scale), to: target, lenient: lenient)
    case (.date32, .timestamp(let unit, _)):
      return try scaled(column, 86400 * unit.perSecond, 1, target, lenient)
    case (.timestamp(let unit, _), .date32): return try scaled(column, 1, 86400 * unit.perSecond, target, lenient)
    case (.date32, .date64): return try scaled(column, 86_400_000, 1, target, lenient)
    case (.date64, .date32): return try scaled(column, 1, 86_400_000, target, lenient)
    case (.timestamp(let from, _), .timestamp(let to, _)), (.duration(let from), .duration(let to)):
      if from == to { return column.reinterpreted(target) }
      return from.perSecond < to.perSecond
        ? try scaled(column, to.perSecond / from.perSecond, 1, target, lenient)
        : try scaled(column, 1, from.perSecond / to.perSecond, target, lenient)
    default:
      let plain = column.reinterpreted(source.storage)
      if plain.type == target.storage { return plain.reinterpreted(target) }
      return try NumberCast.convert(plain, to: target.storage, lenient, shown: target).reinterpreted(target)
    }
  }

  /// What a cast of `source` to `wanted` gives: a list cast to a plain number type is cast item by item, however deep.
  package static func target(_ source: DataType, _ wanted: DataType) -> DataType {
    guard wanted.isNumeric || wanted == .bool else { return wanted }
    switch source {
    case .fixedSizeList(let item, let size): return .vector(target(item.type, wanted), size)
    case .list(let item): return .list(Field("item", target(item.type, wanted)))
    case .largeList(let item): return .largeList(Field("item", target(item.type, wanted)))
    default: return wanted
    }
  }

  /// True when a conversion exists for some values.
  package static func isPossible(_ source: DataType, _ target: DataType) -> Bool {
    if source == target || source == .null { return true }
    if case .dictionary(_, let value) = source { return isPossible(value, target) }
    func plain(_ t: DataType) -> Bool { t.isNumeric && t != .float16 || t == .bool }
    switch (source, target) {
    case (.fixedSizeList(let f, let n), .fixedSizeList(let g, let m)): return n == m && isPossible(f.type, g.type)
    case (.fixedSizeList(let f, _), .list(let g)), (.fixedSizeList(let f, _), .largeList(let g)),
      (.list(let f), .list(let g)), (.list(let f), .largeList(let g)), (.largeList(let f), .list(let g)),
      (.list(let f), .fixedSizeList(let g, _)), (.largeList(let f), .fixedSizeList(let g, _)):
      return isPossible(f.type, g.type)
    case (.fixedSizeList(let f, _), _) where f.type.isNumeric && plain(target): return false
    case (.list, _), (.largeList, _), (.fixedSizeList, _), (.structure, _), (.map, _): return false
    case (_, .list), (_, .largeList), (_, .fixedSizeList), (_, .structure), (_, .map), (_, .dictionary), (_, .null):
      return false
    default: break
    }
    if source.isVariableWidth, target.isVariableWidth { return true }
    if source.isString {
      switch target {
      case .date32, .timestamp: return true
      default: return plain(target)
      }
    }
    if target.isString {
      switch source {
      case .fixedSizeBinary, .decimal256: return false
      default: return !source.isBinary
      }
    }
    switch (source, target) {
    case (.timestamp, .timestamp), (.duration, .duration), (.date32, .date64), (.date64, .date32), (.date32, .timestamp),
      (.timestamp, .date32):
      return true
    case (.timestamp, .int64), (.duration, .int64), (.date32, .int32), (.date32, .int64), (.time32, .int32), (.time64, .int64),
      (.date64, .int64), (.int64, .timestamp), (.int64, .duration), (.int32, .date32), (.int64, .date64):
      return true
    default: break
    }
    if source == .float16 || plain(source) { return plain(target) }
    if case .decimal128 = source { return plain(target) && target != .bool }
    return false
  }

  // MARK: pieces

  private static func boolsAsBytes(_ column: Column) throws(Failure) -> Column {
    let out = try Buffer(byteCount: column.count, zeroed: false)
    let z = out.mutableValues(of: UInt8.self)
    for i in 0..<column.count { z[i] = column.bool(i) ? 1 : 0 }
    return Column(type: .uint8, count: column.count, validity: try Validity.aligned(column), buffers: [out])
  }

  private static func halves(_ column: Column) throws(Failure) -> Column {
    let out = try Buffer(byteCount: column.count * 4, zeroed: false)
    let (x, z) = (column.values(of: UInt16.self), out.mutableValues(of: Float.self))
    for i in 0..<column.count { z[i] = Float(Column.double(half: x[i])) }
    return Column(type: .float32, count: column.count, validity: try Validity.aligned(column), buffers: [out])
  }

  private static func decimals(_ column: Column, _ scale: Int) throws(Failure) -> Column {
    let out = try Buffer(byteCount: column.count * 8, zeroed: false)
    let z = out.mutableValues(of: Double.self)
    var divisor = 1.0
    for _ in 0..<min(max(0, scale), 76) { divisor *= 10 }
    let raw = column.buffers[0].pointer + column.offset * 16
    for i in 0..<column.count {
      let high = raw.loadUnaligned(fromByteOffset: i * 16 + 8, as: Int64.self)
      let low = raw.loadUnaligned(fromByteOffset: i * 16, as: UInt64.self)
      z[i] = Double(Int128(high) << 64 | Int128(low)) / divisor
    }
    return Column(type: .float64, count: column.count, validity: try Validity.aligned(column), buffers: [out])
  }

  /// `value * up / down` (floored) for date and time units.
  private static func scaled(_ column: Column, _ up: Int64, _ down: Int64, _ target: DataType, _ lenient: Bool)
    throws(Failure) -> Column
  {
    let wide = try NumberCast.convert(column.reinterpreted(column.type.storage), to: .int64, false, shown: .int64)
    let factor = Operand(constant: try .int64([max(up, down)]), count: column.count)
    let moved = try Arithmetic.apply(down > 1 ? .floorDivide : .multiply, Operand(wide), factor).column
    return try NumberCast.convert(moved, to: target.storage, lenient, shown: target).reinterpreted(target)
  }

  /// Strings and binaries with other offsets or another name for the bytes.
  private static func rebuildBytes(_ column: Column, _ target: DataType) throws(Failure) -> Column {
    if column.type.hasLargeOffsets == target.hasLargeOffsets { return column.reinterpreted(target) }
    let n = column.count
    let first = n == 0 ? 0 : column.range(0).lowerBound
    let end = n == 0 ? 0 : column.range(n - 1).upperBound
    let offsets = try Buffer(byteCount: (n + 1) * (target.hasLargeOffsets ? 8 : 4))
    if target.hasLargeOffsets {
      let z = offsets.mutableValues(of: Int64.self)
      for i in 0..<n { z[i + 1] = Int64(column.range(i).upperBound - first) }
    } else {
      guard end - first <= Int(Int32.max) else {
        throw Failure(.memoryLimit, "\(end - first) bytes do not fit one \(target) column; use smaller batches")
      }
      let z = offsets.mutableValues(of: Int32.self)
      for i in 0..<n { z[i + 1] = Int32(column.range(i).upperBound - first) }
    }
    let data = try column.buffers[1].slice(offset: first, byteCount: end - first)
    return Column(type: target, count: n, validity: try Validity.aligned(column), buffers: [offsets, data])
  }

  private static func texts(
    _ column: Column, _ target: DataType, _ lenient: Bool, _ convert: (UnsafeRawBufferPointer) -> String?
  ) throws(Failure) -> Column {
    var builder = ColumnBuilder(target, reserving: column.count)
    for i in 0..<column.count {
      guard column.isValid(i) else {
        try builder.appendNull()
        continue
      }
      if let text = convert(column.bytes(i)) {
        try builder.append(string: text)
      } else if lenient {
        try builder.appendNull()
      } else {
        throw rowFailure(.invalidArgument, "the bytes are not UTF-8 text", row: i)
      }
    }
    return try builder.finish()
  }

  private static func lists(_ column: Column, _ target: DataType, _ lenient: Bool) throws(Failure) -> Column {
    let n = column.count
    switch (column.type, target) {
    case (.fixedSizeList(_, let size), .fixedSizeList(let g, _)):
      let items = try itemsCast(column, g.type, lenient) { $0 / max(1, size) }
      return Column(type: target, count: n, validity: try Validity.aligned(column), buffers: [], children: [items])
    case (.fixedSizeList(_, let size), .list), (.fixedSizeList(_, let size), .largeList):
      let items = try itemsCast(column, target.children[0].type, lenient) { $0 / max(1, size) }
      let made = try Column.list(items, lengths: [Int?](repeating: size, count: n), large: target.hasLargeOffsets)
      return Column(
        type: target, count: n, validity: try Validity.aligned(column), buffers: made.buffers, children: made.children)
    case (_, .fixedSizeList(let g, let size)):
      for i in 0..<n where column.isValid(i) && column.range(i).count != size {
        throw rowFailure(.invalidArgument, "a list of \(column.range(i).count) items does not fit \(target)", row: i)
      }
      var picks: [Int32] = []
      picks.reserveCapacity(n * size)
      let source = try cast(column.children[0], to: g.type, lenient: lenient)
      if column.nullCount == 0 {
        let first = n == 0 ? 0 : column.range(0).lowerBound
        return Column(type: target, count: n, buffers: [], children: [source.slice(first, n * size)])
      }
      let filler = try Column.concatenate([source, try Column.nulls(g.type, count: 1)], type: g.type)
      for i in 0..<n {
        let start = column.range(i).lowerBound
        for j in 0..<size { picks.append(column.isValid(i) ? Int32(start + j) : Int32(source.count)) }
      }
      return Column(
        type: target, count: n, validity: try Validity.aligned(column), buffers: [], children: [try filler.take(picks)])
    default:
      var lengths: [Int?] = []
      for i in 0..<n { lengths.append(column.range(i).count) }
      let items = try itemsCast(column, target.children[0].type, lenient) { item in
        var row = 0
        let first = column.range(0).lowerBound
        while row + 1 < n, column.range(row).upperBound - first <= item { row += 1 }
        return row
      }
      let made = try Column.list(items, lengths: lengths, large: target.hasLargeOffsets)
      return Column(
        type: target, count: n, validity: try Validity.aligned(column), buffers: made.buffers, children: made.children)
    }
  }

  /// The items cast; a failure names the row of the list, not of the item.
  private static func itemsCast(_ column: Column, _ type: DataType, _ lenient: Bool, _ rowOf: (Int) -> Int) throws(Failure)
    -> Column
  {
    do throws(Failure) { return try cast(column.items(), to: type, lenient: lenient) } catch {
      guard let item = error.details["row"]?.intValue else { throw error }
      throw rowFailure(error.code, error.message + " (in a list)", row: rowOf(Int(item) - 1))
    }
  }
}
