package import Core

extension Column {
  /// A column of plain numbers; `nil` is null.
  package static func make<T: BitwiseCopyable & ExpressibleByIntegerLiteral>(_ type: DataType, _ items: [T?]) throws(Failure)
    -> Column
  {
    let buffer = try Buffer(byteCount: items.count * MemoryLayout<T>.stride)
    let values = buffer.mutableValues(of: T.self)
    var validity: Buffer?
    for (i, item) in items.enumerated() {
      if let item {
        values[i] = item
      } else {
        if validity == nil { validity = try Bitmap.filled(items.count, true) }
        if let validity { Bitmap.set(validity.pointer, i, false) }
      }
    }
    return Column(type: type, count: items.count, validity: validity, buffers: [buffer])
  }

  package static func int64(_ items: [Int64?]) throws(Failure) -> Column { try make(.int64, items) }
  package static func int32(_ items: [Int32?]) throws(Failure) -> Column { try make(.int32, items) }
  package static func uint8(_ items: [UInt8?]) throws(Failure) -> Column { try make(.uint8, items) }
  package static func float64(_ items: [Double?]) throws(Failure) -> Column { try make(.float64, items) }
  package static func float32(_ items: [Float?]) throws(Failure) -> Column { try make(.float32, items) }

  package static func bool(_ items: [Bool?]) throws(Failure) -> Column {
    var builder = ColumnBuilder(.bool)
    for item in items { if let item { try builder.append(bool: item) } else { try builder.appendNull() } }
    return try builder.finish()
  }

  package static func utf8(_ items: [String?], type: DataType = .utf8) throws(Failure) -> Column {
    var builder = ColumnBuilder(type)
    for item in items { if let item { try builder.append(string: item) } else { try builder.appendNull() } }
    return try builder.finish()
  }

  package static func binary(_ items: [[UInt8]?], type: DataType = .binary) throws(Failure) -> Column {
    var builder = ColumnBuilder(type)
    for item in items {
      if let item { try builder.append(bytes: item) } else { try builder.appendNull() }
    }
    return try builder.finish()
  }

  /// Rows of `size` numbers each, without a copy of `buffer`.
  package static func vectors(_ element: DataType, size: Int, count: Int, buffer: Buffer) -> Column {
    let items = Column(type: element, count: count * size, buffers: [buffer])
    return Column(type: .vector(element, size), count: count, buffers: [], children: [items])
  }

  /// Lists of the given lengths over `items`.
  package static func list(_ items: Column, lengths: [Int?], large: Bool = false) throws(Failure) -> Column {
    let field = Field("item", items.type)
    var validity: Buffer?
    var offsets: [Int64] = [0]
    for (i, length) in lengths.enumerated() {
      if length == nil {
        if validity == nil { validity = try Bitmap.filled(lengths.count, true) }
        if let validity { Bitmap.set(validity.pointer, i, false) }
      }
      offsets.append(offsets[i] + Int64(length ?? 0))
    }
    let buffer = large ? try Buffer(offsets) : try Buffer(offsets.map { Int32(truncatingIfNeeded: $0) })
    return Column(
      type: large ? .largeList(field) : .list(field), count: lengths.count, validity: validity, buffers: [buffer],
      children: [items])
  }
}
