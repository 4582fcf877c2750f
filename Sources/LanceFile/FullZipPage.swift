import Columnar
import Core
import LanceProto

/// A page of wide values: control word and value of each item, one item after the other in buffer 0.
///
/// The control word holds `rep << bitsDef | def` in 0, 1, 2 or 4 bytes. A fixed-width value is always there for a visible item;
/// a variable-width one (u32 or u64 length, bytes) only when nothing is missing. Buffer 1, for lists and variable width,
/// has rows + 1 positions of the rows in buffer 0. Without levels, fixed-width rows are a plain array: read without a copy.
struct FullZipPage: PageReader, @unchecked Sendable {  // Sendable: the pointers are into `context.file`, which is read-only.
  private let context: PageContext
  private let nesting: Nesting
  private let bitsRep: Int
  private let bitsDef: Int
  private let controlSize: Int
  private let codec: Codec
  private let data: UnsafeRawBufferPointer
  /// Bytes of a fixed-width value, item validity included; nil for variable width.
  private let valueSize: Int?
  private let validityBytes: Int
  private let lengthSize: Int
  private let rowIndex: (bytes: UnsafeRawBufferPointer, width: Int)?

  init(_ message: PBFullZipLayout, _ context: PageContext) throws(Failure) {
    self.context = context
    nesting = try Nesting(message.layers)
    guard message.bitsRep <= 16, message.bitsDef <= 16 else { throw Failure(.corruptData, "levels of more than 16 bits") }
    bitsRep = Int(message.bitsRep)
    bitsDef = Int(message.bitsDef)
    let bits = bitsRep + bitsDef
    controlSize = bits == 0 ? 0 : bits <= 8 ? 1 : bits <= 16 ? 2 : 4
    guard nesting.maxRep == 0 || bitsRep > 0 else { throw Failure(.corruptData, "a page of lists without repetition levels") }
    codec = try context.codec(message.valueCompression)
    data = try context.unchecked(0, "values")
    switch message.details {
    case .bitsPerValue(let bits)?:
      guard bits % 8 == 0, let shapeBits = context.shape.bitsPerRow, shapeBits % 8 == 0 else {
        throw Failure(.unsupported, "wide values of \(bits) bits")
      }
      switch codec {
      case .flat, .fixedSizeList: break
      default: throw Failure(.unsupported, "the encoding \(codec.name) of wide fixed-width values")
      }
      validityBytes = try FullZipPage.validityBytes(codec, context.shape)
      guard Int(bits) == shapeBits + validityBytes * 8 else {
        throw Failure(.corruptData, "values of \(bits) bits for a column of type \(context.shape.type)")
      }
      valueSize = Int(bits) / 8
      lengthSize = 0
    case .bitsPerOffset(let bits)?:
      guard bits == 32 || bits == 64 else { throw Failure(.corruptData, "wide values with \(bits)-bit lengths") }
      valueSize = nil
      // Fixed-width values have a length when each of them is compressed.
      validityBytes = context.shape.bitsPerRow == nil ? 0 : try FullZipPage.validityBytes(codec, context.shape)
      lengthSize = Int(bits) / 8
    case nil: throw Failure(.corruptData, "a page of wide values without their width")
    }
    if valueSize == nil || bitsRep > 0 {
      let bytes = try context.unchecked(1, "row positions")
      let width = bytes.count / (context.rows + 1)
      guard [1, 2, 4, 8].contains(width), bytes.count % (context.rows + 1) == 0 else {
        throw Failure(.corruptData, "\(bytes.count) bytes of row positions for \(context.rows) rows")
      }
      rowIndex = (bytes, width)
    } else {
      rowIndex = nil
      let size = try Codec.product(context.rows, (valueSize ?? 0) + controlSize)
      guard size <= data.count else { throw Failure(.corruptData, "\(context.rows) wide values in \(data.count) bytes") }
    }
  }

  /// Bytes of item validity in front of each value.
  private static func validityBytes(_ codec: Codec, _ shape: LeafShape) throws(Failure) -> Int {
    let stored = codec.listValidity.filter { $0 }.count
    guard stored == 0 || (stored == 1 && shape.sizes.count == 1) else {
      throw Failure(.unsupported, "nulls inside of nested fixed-size lists of wide values")
    }
    return stored == 1 ? (shape.factor + 7) / 8 : 0
  }

  func unit(of row: Int) -> Int { row }

  /// Where row `i` (0 ... rows) begins in buffer 0.
  private func position(_ i: Int) throws(Failure) -> Int {
    guard let (bytes, width) = rowIndex else { return i * ((valueSize ?? 0) + controlSize) }
    try context.check(1, i * width..<(i + 1) * width)
    let value: UInt64 =
      switch width {
      case 1: UInt64(bytes[i])
      case 2: UInt64(bytes.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
      case 4: UInt64(bytes.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))
      default: bytes.loadUnaligned(fromByteOffset: i * 8, as: UInt64.self)
      }
    guard value <= UInt64(data.count) else {
      throw Failure(.corruptData, "row \(i) begins at byte \(value) of \(data.count)")
    }
    return Int(value)
  }

  func read(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    let rows = ranges.rowCount
    if let valueSize, controlSize == 0, validityBytes == 0 {
      for range in ranges { try context.check(0, range.lowerBound * valueSize..<range.upperBound * valueSize) }
      if ranges.count == 1 {
        let place = context.buffers[0].offset + ranges[0].lowerBound * valueSize
        return LeafPiece(values: .plain(offset: place, rows: rows), rep: nil, def: nil, nesting: nesting, rows: rows)
      }
      var sink = try LeafSink(context.shape, capacity: rows)
      guard let base = data.baseAddress, let bits = elementBits else { throw Failure(.corruptData, "a page without values") }
      let values = ChunkValues(count: context.rows, storage: .fixed(base, bits: bits))
      for range in ranges { try sink.append(values, range) }
      return LeafPiece(values: .column(try sink.finish()), rep: nil, def: nil, nesting: nesting, rows: rows)
    }
    // First pass: levels and value positions; second: the values.
    var reps: [UInt16] = []
    var defs: [UInt16] = []
    var places: [(offset: Int, count: Int)] = []
    places.reserveCapacity(rows)
    var totalBytes = 0
    let visible = nesting.maxVisible
    for range in ranges {
      var at = try position(range.lowerBound)
      let end = try position(range.upperBound)
      guard at <= end else { throw Failure(.corruptData, "the row positions of a page are not in order") }
      try context.check(0, at..<end)
      var reader = ByteReader(UnsafeRawBufferPointer(rebasing: data[0..<end]), at: at, what: "page of wide values")
      while at < end {
        var control = 0
        switch controlSize {
        case 1: control = Int(try reader.read(UInt8.self))
        case 2: control = Int(try reader.read(UInt16.self))
        case 4: control = Int(try reader.read(UInt32.self))
        default: break
        }
        let def = control & ((1 << bitsDef) - 1)
        if bitsRep > 0 { reps.append(UInt16(truncatingIfNeeded: control >> bitsDef)) }
        if bitsDef > 0 { defs.append(UInt16(def)) }
        if def <= visible {
          if let valueSize {
            places.append((reader.offset, valueSize))
            try reader.skip(valueSize)
          } else if def == 0 {
            let length = lengthSize == 4 ? UInt64(try reader.read(UInt32.self)) : try reader.read(UInt64.self)
            guard let count = Int(exactly: length) else { throw Failure(.corruptData, "a value of \(length) bytes") }
            places.append((reader.offset, count))
            try reader.skip(count)
            totalBytes += count
          } else {
            places.append((reader.offset, 0))
          }
        }
        at = reader.offset
      }
    }
    var sink = try LeafSink(context.shape, capacity: places.count, listValidity: codec.listValidity, bytesHint: totalBytes)
    guard let base = data.baseAddress else {
      guard places.isEmpty else { throw Failure(.corruptData, "a page without values") }
      return piece(try sink.finish(), reps, defs, rows)
    }
    let rowBytes = context.shape.bitsPerRow.map { $0 / 8 + validityBytes }
    for place in places {
      if valueSize != nil {
        try sink.append(row: base + place.offset, validityBytes: validityBytes)
      } else if let rowBytes {
        try append(
          compressed: UnsafeRawBufferPointer(start: base + place.offset, count: place.count), rowBytes, to: &sink, scratch)
      } else {
        try append(UnsafeRawBufferPointer(start: base + place.offset, count: place.count), codec, to: &sink, scratch)
      }
    }
    return piece(try sink.finish(), reps, defs, rows)
  }

  private var elementBits: Int? {
    if case .fixed(let bits) = context.shape.storage { return bits }
    return nil
  }

  private func piece(_ column: Column, _ reps: [UInt16], _ defs: [UInt16], _ rows: Int) -> LeafPiece {
    LeafPiece(
      values: .column(column), rep: bitsRep > 0 ? reps : nil, def: bitsDef > 0 ? defs : nil, nesting: nesting, rows: rows)
  }

  /// One fixed-width value that is compressed; a null has no bytes.
  private func append(compressed value: UnsafeRawBufferPointer, _ rowBytes: Int, to sink: inout LeafSink, _ scratch: Scratch)
    throws(Failure)
  {
    scratch.reset()
    if value.count == 0 {
      let zeros = try scratch.bytes(rowBytes)
      zeros.initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes)
      return try sink.append(row: zeros, validityBytes: validityBytes)
    }
    let plain = try FullZipPage.plain(value, codec, scratch)
    guard plain.count == rowBytes, let base = plain.baseAddress else {
      throw Failure(.corruptData, "a compressed value of \(plain.count) bytes where \(rowBytes) are wanted")
    }
    try sink.append(row: base, validityBytes: validityBytes)
  }

  /// One packed row, rewritten for `FieldNode.unpack`: fixed-width members as they are, others as u32 length and plain bytes.
  private func append(
    packed row: UnsafeRawBufferPointer, _ members: [Codec.PackedMember], to sink: inout LeafSink, _ scratch: Scratch
  )
    throws(Failure)
  {
    var reader = ByteReader(row, what: "packed row")
    var out = ByteWriter(reserving: row.count * 2)
    for member in members {
      switch member.layout {
      case .fixed(let bytes): out.write(try reader.take(bytes))
      case .variable(let lengthBytes):
        let length: UInt64
        switch lengthBytes {
        case 1: length = UInt64(try reader.read(UInt8.self))
        case 2: length = UInt64(try reader.read(UInt16.self))
        case 4: length = UInt64(try reader.read(UInt32.self))
        default: length = try reader.read(UInt64.self)
        }
        guard let count = Int(exactly: length) else { throw Failure(.corruptData, "a packed member of \(length) bytes") }
        let value = try reader.take(count)
        scratch.reset()
        let plain: UnsafeRawBufferPointer
        if case .fsst(let table, let inner) = member.codec {
          let coded = try FullZipPage.plain(value, inner, scratch)
          let target = try scratch.bytes(table.bound(coded.count) + 8)
          plain = UnsafeRawBufferPointer(start: target, count: try table.decode(coded, to: target))
        } else {
          plain = try FullZipPage.plain(value, member.codec, scratch)
        }
        guard let size = UInt32(exactly: plain.count) else {
          throw Failure(.corruptData, "a packed member of \(plain.count) bytes")
        }
        out.write(size)
        out.write(plain)
      }
    }
    let result: Result<Void, Failure> = out.bytes.withUnsafeBytes { bytes in
      do throws(Failure) { return .success(try sink.append(bytes)) } catch { return .failure(error) }
    }
    try result.get()
  }

  /// One variable-width value, decoded.
  private func append(_ value: UnsafeRawBufferPointer, _ codec: Codec, to sink: inout LeafSink, _ scratch: Scratch)
    throws(Failure)
  {
    switch codec {
    case .variable: try sink.append(value)
    case .variablePackedStructure(let members):
      // A null row has no bytes; its members are never looked at.
      if value.count > 0 { try append(packed: value, members, to: &sink, scratch) } else { try sink.append(value) }
    case .fsst(let table, .variable):
      try sink.append(bound: table.bound(value.count)) { (target) throws(Failure) in try table.decode(value, to: target) }
    case .fsst(let table, let inner):
      scratch.reset()
      let plain = try FullZipPage.plain(value, inner, scratch)
      try sink.append(bound: table.bound(plain.count)) { (target) throws(Failure) in try table.decode(plain, to: target) }
    default:
      scratch.reset()
      try sink.append(try FullZipPage.plain(value, codec, scratch))
    }
  }

  private static func plain(_ value: UnsafeRawBufferPointer, _ codec: Codec, _ scratch: Scratch) throws(Failure)
    -> UnsafeRawBufferPointer
  {
    switch codec {
    case .variable, .flat: return value
    case .fixedSizeList(_, let inner, _): return try plain(value, inner, scratch)
    case .general(let scheme, let inner): return try plain(try Codec.decompress(value, scheme, scratch), inner, scratch)
    default: throw Failure(.unsupported, "the encoding \(codec.name) of wide values")
    }
  }
}
