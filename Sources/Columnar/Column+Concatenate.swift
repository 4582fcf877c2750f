package import Core

extension Column {
  /// The rows of all `parts`, in order. All parts have `type`; one part is returned as it is.
  package static func concatenate(_ parts: [Column], type: DataType) throws(Failure) -> Column {
    let parts = parts.filter { $0.count > 0 }
    guard parts.count != 1 else { return parts[0] }
    for part in parts where part.type != type {
      throw Failure(.typeMismatch, "a \(part.type) column cannot follow a \(type) column")
    }
    let count = parts.reduce(0) { $0 + $1.count }
    var validity: Buffer?
    if parts.contains(where: { $0.nullCount > 0 }), type != .null {
      let bits = try Bitmap.filled(count, true)
      var at = 0
      for part in parts {
        if let source = part.validity { Bitmap.copy(source.pointer, part.offset, to: bits.pointer, at, count: part.count) }
        at += part.count
      }
      validity = bits
    }
    switch type {
    case .null: return Column(type: type, count: count, buffers: [])
    case .bool:
      let bits = try Buffer(byteCount: Bitmap.byteCount(count))
      var at = 0
      for part in parts {
        Bitmap.copy(part.buffers[0].pointer, part.offset, to: bits.pointer, at, count: part.count)
        at += part.count
      }
      return Column(type: type, count: count, validity: validity, buffers: [bits])
    case .utf8, .binary, .largeUtf8, .largeBinary:
      let (offsets, total) = try joinedOffsets(parts, type, count)
      let data = try Buffer(byteCount: total, zeroed: false)
      var at = 0
      for part in parts {
        let span = part.range(0).lowerBound..<part.range(part.count - 1).upperBound
        (data.pointer + at).copyMemory(from: part.buffers[1].pointer + span.lowerBound, byteCount: span.count)
        at += span.count
      }
      return Column(type: type, count: count, validity: validity, buffers: [offsets, data])
    case .list(let f), .largeList(let f), .map(let f):
      let (offsets, _) = try joinedOffsets(parts, type, count)
      let items = try concatenate(parts.map { $0.items() }, type: f.type)
      return Column(type: type, count: count, validity: validity, buffers: [offsets], children: [items])
    case .fixedSizeList(let f, _):
      let items = try concatenate(parts.map { $0.items() }, type: f.type)
      return Column(type: type, count: count, validity: validity, buffers: [], children: [items])
    case .structure(let fields):
      var members: [Column] = []
      for (i, field) in fields.enumerated() { members.append(try concatenate(parts.map { $0.member(i) }, type: field.type)) }
      return Column(type: type, count: count, validity: validity, buffers: [], children: members)
    case .dictionary(_, let value):
      // Each part has its own dictionary: the values themselves are joined.
      var decoded: [Column] = []
      for part in parts { decoded.append(try part.decodingDictionary()) }
      let joined = try concatenate(decoded, type: value)
      let indices = try Buffer((0..<Int32(count)).map { $0 })
      return Column(
        type: .dictionary(index: .int32, value: value), count: count, validity: validity, buffers: [indices], children: [joined]
      )
    default:
      let width = type.byteWidth ?? 0
      let out = try Buffer(byteCount: count * width, zeroed: false)
      var at = 0
      for part in parts {
        (out.pointer + at).copyMemory(from: part.buffers[0].pointer + part.offset * width, byteCount: part.count * width)
        at += part.count * width
      }
      return Column(type: type, count: count, validity: validity, buffers: [out])
    }
  }

  /// A dictionary column as a plain column of its value type; others unchanged.
  package func decodingDictionary() throws(Failure) -> Column {
    guard case .dictionary(_, let value) = type else { return self }
    guard children[0].count > 0 else { return try Column.nulls(value, count: count) }
    let plain = try children[0].take((0..<count).map { isValid($0) ? Int32(dictionaryIndex($0) ?? 0) : 0 })
    guard nullCount > 0 else { return plain }
    let bits = try Bitmap.filled(count, false)
    for i in 0..<count where isValid(i) && plain.isValid(i) { Bitmap.set(bits.pointer, i, true) }
    return Column(
      type: plain.type, count: count, offset: plain.offset, validity: bits, buffers: plain.buffers, children: plain.children)
  }

  private static func joinedOffsets(_ parts: [Column], _ type: DataType, _ count: Int) throws(Failure) -> (Buffer, Int) {
    type.hasLargeOffsets
      ? try joinedOffsets(Int64.self, parts, type, count) : try joinedOffsets(Int32.self, parts, type, count)
  }

  private static func joinedOffsets<T: FixedWidthInteger & SignedInteger & BitwiseCopyable>(
    _: T.Type, _ parts: [Column], _ type: DataType, _ count: Int
  ) throws(Failure) -> (Buffer, Int) {
    let offsets = try Buffer(byteCount: (count + 1) * MemoryLayout<T>.size, zeroed: false)
    let target = offsets.pointer.assumingMemoryBound(to: T.self)
    target[0] = 0
    var row = 0
    var base = 0
    for part in parts {
      defer { withExtendedLifetime(part) {} }
      let source = part.buffers[0].pointer.assumingMemoryBound(to: T.self) + part.offset
      let first = source[0]
      let end = base + Int(source[part.count] - first)
      guard end <= Int(T.max) else {
        throw Failure(.memoryLimit, "\(end) bytes or items do not fit one \(type) column; use smaller batches")
      }
      let shift = T(base) &- first
      for i in 0..<part.count { target[row &+ 1 &+ i] = source[i &+ 1] &+ shift }
      row += part.count
      base = end
    }
    return (offsets, base)
  }
}

extension RecordBatch {
  /// All rows of `batches` in one batch of `schema`.
  package static func concatenate(_ batches: [RecordBatch], schema: Schema) throws(Failure) -> RecordBatch {
    if batches.count == 1 { return batches[0] }
    var columns: [Column] = []
    for (i, field) in schema.fields.enumerated() {
      let parts = batches.map { $0.columns[i] }
      columns.append(parts.isEmpty ? try Column.nulls(field.type, count: 0) : try Column.concatenate(parts, type: field.type))
    }
    return try RecordBatch(schema: schema, columns: columns, count: batches.reduce(0) { $0 + $1.count })
  }
}
