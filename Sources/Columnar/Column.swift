package import Core

/// One immutable column in Arrow's layout; a slice shares the memory of what it was cut from.
///
/// | type | buffers | children |
/// |---|---|---|
/// | fixed width, bool (bits), fixed-size binary | values | |
/// | utf8, binary (large: 64-bit) | offsets (count + 1), bytes | |
/// | list, map (large: 64-bit) | offsets (count + 1) | items |
/// | fixed-size list | | items: `size` per row |
/// | struct | | one per field |
/// | dictionary | indices | values |
/// | null | | |
///
/// Row `i` is element `offset + i` of the buffers, and of a struct's children; element `(offset + i) * size` and on
/// of a fixed-size list's child. `validity` has one bit per element, 1 = present; nil means that nothing is null.
package final class Column: Sendable {
  package let type: DataType
  /// Rows.
  package let count: Int
  /// First row's position in the buffers.
  package let offset: Int
  package let validity: Buffer?
  package let buffers: [Buffer]
  package let children: [Column]
  /// Null rows.
  package let nullCount: Int

  /// Takes the parts as they are. Rooms that read files call `validated()` on the result.
  package init(
    type: DataType, count: Int, offset: Int = 0, validity: Buffer? = nil, buffers: [Buffer], children: [Column] = [],
    nullCount: Int? = nil
  ) {
    self.type = type
    self.count = count
    self.offset = offset
    self.buffers = buffers
    self.children = children
    if case .null = type {
      self.validity = nil
      self.nullCount = count
    } else {
      let nulls = nullCount ?? validity.map { count - Bitmap.countSet($0.pointer, offset: offset, count: count) } ?? 0
      self.nullCount = nulls
      self.validity = nulls == 0 ? nil : validity
    }
  }

  /// True when row `i` (0 ..< count) is not null.
  package func isValid(_ i: Int) -> Bool {
    if let validity { return Bitmap.get(validity.pointer, offset + i) }
    return nullCount == 0
  }

  /// The values of a fixed-width column as `T`, row 0 first. `T` must have the type's width; null rows hold anything.
  /// From a column that has a name only: the pointer does not keep it (see `Buffer`).
  package func values<T: BitwiseCopyable>(of type: T.Type) -> UnsafeBufferPointer<T> {
    UnsafeBufferPointer(rebasing: buffers[0].values(of: type)[offset..<offset + count])
  }

  /// The value of row `i` of a bool column.
  package func bool(_ i: Int) -> Bool { Bitmap.get(buffers[0].pointer, offset + i) }

  /// Begin and end of row `i` in the bytes or items of a variable-width or list column.
  package func range(_ i: Int) -> Range<Int> {
    if type.hasLargeOffsets {
      let offsets = buffers[0].values(of: Int64.self)
      return Int(offsets[offset + i])..<Int(offsets[offset + i + 1])
    }
    let offsets = buffers[0].values(of: Int32.self)
    return Int(offsets[offset + i])..<Int(offsets[offset + i + 1])
  }

  /// The bytes of row `i` of a string or binary column (or fixed-size binary). As for `values(of:)`, the column needs a name.
  package func bytes(_ i: Int) -> UnsafeRawBufferPointer {
    if case .fixedSizeBinary(let width) = type {
      return UnsafeRawBufferPointer(rebasing: buffers[0].bytes[(offset + i) * width..<(offset + i + 1) * width])
    }
    return UnsafeRawBufferPointer(rebasing: buffers[1].bytes[range(i)])
  }

  /// Row `i` of a string column; bytes that are no UTF-8 are shown as U+FFFD.
  package func string(_ i: Int) -> String { String(decoding: bytes(i), as: UTF8.self) }

  /// The items of all rows of a fixed-size list, or the used items of a list, as one column.
  package func items() -> Column {
    switch type {
    case .fixedSizeList(_, let size): return children[0].slice(offset * size, count * size)
    case .list, .largeList, .map:
      guard count > 0 else { return children[0].slice(0, 0) }
      let first = range(0).lowerBound
      return children[0].slice(first, range(count - 1).upperBound - first)
    default: return self
    }
  }

  /// Field `i` of a struct column, rows as in this column (its own nulls only).
  package func member(_ i: Int) -> Column { children[i].slice(offset, count) }

  /// Rows `start ..< start + length`, sharing memory. The range must lie in the column.
  package func slice(_ start: Int, _ length: Int) -> Column {
    precondition(start >= 0 && length >= 0 && start + length <= count, "slice outside of a column")
    if start == 0, length == count { return self }
    return Column(
      type: type, count: length, offset: offset + start, validity: validity, buffers: buffers, children: children,
      nullCount: validity == nil ? (nullCount == 0 ? 0 : length) : nil)
  }

  /// Bytes of memory that the column's buffers hold, shared parts counted in full.
  package var byteCount: Int {
    (validity?.byteCount ?? 0) + buffers.reduce(0) { $0 + $1.byteCount } + children.reduce(0) { $0 + $1.byteCount }
  }

  /// A column of `count` nulls.
  package static func nulls(_ type: DataType, count: Int) throws(Failure) -> Column {
    guard count >= 0 else { throw Failure(.invalidArgument, "a column of \(count) rows is not possible") }
    if case .null = type { return Column(type: type, count: count, buffers: []) }
    let validity = try Bitmap.filled(count, false)
    switch type {
    case .utf8, .binary:
      return Column(
        type: type, count: count, validity: validity,
        buffers: [try Buffer(byteCount: (count + 1) * 4), try Buffer(byteCount: 0)])
    case .largeUtf8, .largeBinary:
      return Column(
        type: type, count: count, validity: validity,
        buffers: [try Buffer(byteCount: (count + 1) * 8), try Buffer(byteCount: 0)])
    case .list(let f), .map(let f):
      return Column(
        type: type, count: count, validity: validity, buffers: [try Buffer(byteCount: (count + 1) * 4)],
        children: [try nulls(f.type, count: 0)])
    case .largeList(let f):
      return Column(
        type: type, count: count, validity: validity, buffers: [try Buffer(byteCount: (count + 1) * 8)],
        children: [try nulls(f.type, count: 0)])
    case .fixedSizeList(let f, let size):
      let (total, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow else { throw Failure(.memoryLimit, "\(count) rows of \(size) items are too many") }
      return Column(type: type, count: count, validity: validity, buffers: [], children: [try nulls(f.type, count: total)])
    case .structure(let fields):
      var members: [Column] = []
      for field in fields { members.append(try nulls(field.type, count: count)) }
      return Column(type: type, count: count, validity: validity, buffers: [], children: members)
    case .dictionary(let index, let value):
      return Column(
        type: type, count: count, validity: validity, buffers: [try Buffer(byteCount: count * (index.byteWidth ?? 8))],
        children: [try nulls(value, count: 1)])
    default:
      let (bits, overflow) = count.multipliedReportingOverflow(by: type.bitWidth ?? 8)
      guard !overflow else { throw Failure(.memoryLimit, "\(count) rows of \(type) are too many") }
      return Column(type: type, count: count, validity: validity, buffers: [try Buffer(byteCount: Bitmap.byteCount(bits))])
    }
  }
}
