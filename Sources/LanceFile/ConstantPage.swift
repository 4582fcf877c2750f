import Columnar
import Core
import LanceProto

/// A page whose visible values are all one value, or all null.
///
/// No buffers: the value stands in the description, or everything is null. One buffer: the value (u32 number of parts, u32 size of
/// each, the parts). Two: repetition and definition levels (u16 each, unless compressed). Three: value and levels.
struct ConstantPage: PageReader {
  private let context: PageContext
  private let nesting: Nesting
  /// One row; nil when all are null.
  private let value: Column?
  private let rep: [UInt16]?
  private let def: [UInt16]?
  /// First entry of each row, and the number of entries; empty without lists.
  private let rowEntries: [Int]

  init(_ message: PBConstantLayout, _ context: PageContext) throws(Failure) {
    self.context = context
    let nesting = try Nesting(message.layers)
    self.nesting = nesting
    let scratch = Scratch()
    var buffers = context.buffers.indices
    if message.hasInlineValue {
      value = try ConstantPage.value([UInt8](message.inlineValue), context.shape)
    } else if buffers.count == 1 || buffers.count == 3 {
      value = try ConstantPage.scalar(try context.bytes(buffers.removeFirst(), "value"), context.shape)
    } else {
      value = nil
    }
    var rep: [UInt16]?
    var def: [UInt16]?
    func levels(_ bytes: UnsafeRawBufferPointer, _ compression: PBCompressiveEncoding?, _ count: UInt64) throws(Failure)
      -> [UInt16]
    {
      guard let compression else { return bytes.withLoadable(UInt16.self) }
      guard count <= UInt64(PageContext.maxRows) else { throw Failure(.corruptData, "a page of \(count) levels") }
      var result: [UInt16] = []
      try Codec(compression).appendLevels(bytes, count: Int(count), to: &result, scratch)
      return result
    }
    if buffers.count >= 2 {
      let bytes = try context.bytes(buffers.lowerBound, "repetition levels")
      let more = try context.bytes(buffers.lowerBound + 1, "definition levels")
      if nesting.maxRep > 0 {
        rep = try levels(bytes, message.hasRepCompression ? message.repCompression : nil, message.numRepValues)
      }
      if nesting.maxDef > 0, more.count > 0 || message.hasDefCompression {
        def = try levels(more, message.hasDefCompression ? message.defCompression : nil, message.numDefValues)
      }
    }
    if let rep, let def, rep.count != def.count {
      throw Failure(.corruptData, "a page with \(rep.count) repetition and \(def.count) definition levels")
    }
    var rowEntries: [Int] = []
    if nesting.maxRep > 0 {
      guard let rep else { throw Failure(.corruptData, "a page of lists without repetition levels") }
      for (i, level) in rep.enumerated() where level == UInt16(nesting.maxRep) { rowEntries.append(i) }
      guard rowEntries.count == context.rows else {
        throw Failure(.corruptData, "a page of \(context.rows) rows has levels for \(rowEntries.count)")
      }
      rowEntries.append(rep.count)
    } else if let def, def.count != context.rows {
      throw Failure(.corruptData, "a page of \(context.rows) rows has levels for \(def.count)")
    }
    self.rep = rep
    self.def = def
    self.rowEntries = rowEntries
  }

  private static func value(_ bytes: [UInt8], _ shape: LeafShape) throws(Failure) -> Column {
    guard let bits = shape.bitsPerRow, bytes.count == (bits + 7) / 8 else {
      throw Failure(.corruptData, "a constant of \(bytes.count) bytes for a column of type \(shape.type)")
    }
    var bytes = bytes
    if bits == 1 { bytes[0] = bytes[0] == 0 ? 0 : 1 }
    return shape.column(rows: 1, buffers: [try Buffer(bytes)], validity: shape.sizes.map { _ in nil })
  }

  private static func scalar(_ bytes: UnsafeRawBufferPointer, _ shape: LeafShape) throws(Failure) -> Column {
    var reader = ByteReader(bytes, what: "constant")
    let count = try reader.read(UInt32.self)
    guard count <= 16 else { throw Failure(.corruptData, "a constant of \(count) parts") }
    var sizes: [Int] = []
    for _ in 0..<count { sizes.append(Int(try reader.read(UInt32.self))) }
    var parts: [UnsafeRawBufferPointer] = []
    for size in sizes { parts.append(try reader.take(size)) }
    guard case .variable = shape.storage else {
      guard parts.count == 1 else {
        throw Failure(.unsupported, "a constant of \(count) parts for a column of type \(shape.type)")
      }
      return try value([UInt8](parts[0]), shape)
    }
    guard parts.count == 2, let offsets = parts[0].baseAddress, [8, 16].contains(parts[0].count) else {
      throw Failure(.corruptData, "a constant of \(count) parts for a column of type \(shape.type)")
    }
    var sink = try LeafSink(shape, capacity: 1)
    try sink.append(
      ChunkValues(count: 1, storage: .variable(parts[1], offsets: offsets, width: parts[0].count / 2, nil)), 0..<1)
    return try sink.finish()
  }

  func unit(of row: Int) -> Int { 0 }

  func read(_ ranges: [Range<Int>], _ scratch: Scratch) throws(Failure) -> LeafPiece {
    let rows = ranges.rowCount
    guard rep != nil || def != nil else {
      return LeafPiece(values: .column(try filled(rows)), rep: nil, def: nil, nesting: nesting, rows: rows)
    }
    var reps: [UInt16] = []
    var defs: [UInt16] = []
    for range in ranges {
      let entries = rowEntries.isEmpty ? range : rowEntries[range.lowerBound]..<rowEntries[range.upperBound]
      if let rep { reps.append(contentsOf: rep[entries]) }
      if let def { defs.append(contentsOf: def[entries]) }
    }
    let visible = UInt16(nesting.maxVisible)
    let count = def == nil ? reps.count : defs.count { $0 <= visible }
    return LeafPiece(
      values: .column(try filled(count)), rep: rep == nil ? nil : reps, def: def == nil ? nil : defs, nesting: nesting,
      rows: rows)
  }

  private func filled(_ count: Int) throws(Failure) -> Column {
    guard let value else { return try Column.nulls(context.shape.type, count: count) }
    guard context.shape.sizes.isEmpty, let bits = context.shape.bitsPerRow else {
      return try value.take([Int32](repeating: 0, count: count))
    }
    if bits == 1 { return Column(type: value.type, count: count, buffers: [try Bitmap.filled(count, value.bool(0))]) }
    let width = bits / 8
    let out = try Buffer(byteCount: try Codec.product(count, width), zeroed: false)
    let source = value.buffers[0]
    func fill<T: BitwiseCopyable>(_: T.Type) { out.mutableValues(of: T.self).update(repeating: source.values(of: T.self)[0]) }
    switch width {
    case 1: fill(UInt8.self)
    case 2: fill(UInt16.self)
    case 4: fill(UInt32.self)
    case 8: fill(UInt64.self)
    default: for i in 0..<count { (out.pointer + i * width).copyMemory(from: source.pointer, byteCount: width) }
    }
    return Column(type: value.type, count: count, buffers: [out])
  }
}
