import Columnar
import Core
import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A page that is ready to be written: the parts of each buffer, and the description.
struct EncodedPage: Sendable {
  var buffers: [[Buffer]]
  var rows: Int
  var encoding: PBAnyMessage

  init(_ layout: PBPageLayout, _ buffers: [[Buffer]], rows: Int) throws(Failure) {
    self.buffers = buffers
    self.rows = rows
    encoding = PBAnyMessage()
    encoding.typeURL = LanceTypeURL.pageLayout
    encoding.value = Data(try layout.encoded())
  }

  init(_ array: PBArrayEncoding, _ buffers: [[Buffer]], rows: Int) throws(Failure) {
    self.buffers = buffers
    self.rows = rows
    encoding = PBAnyMessage()
    encoding.typeURL = LanceTypeURL.arrayEncoding
    encoding.value = Data(try array.encoded())
  }
}

/// Makes pages of file versions 2.1 and 2.2 out of the rows of one leaf.
///
/// | rows | page |
/// |---|---|
/// | all null, or lists without any item | Constant |
/// | one repeated value of at most 32 bytes (2.2) | Constant |
/// | values of 256 bytes and more | full-zip: fixed width without nulls is the plain array |
/// | integers that need fewer bits | mini-block, InlineBitpacking |
/// | everything else | mini-block, Flat / FixedSizeList / Variable |
struct PageEncoder: Sendable {
  let shape: LeafShape
  /// Layers of the leaf when it is nested, leaf first; one item layer for top-level leaves.
  let layers: [Layer]
  let version: LanceFileVersion

  /// Values at least this wide go into full-zip pages; the official writers' limit.
  static let wide = 256

  /// True when every non-null page of the leaf is a plain array, so that nothing has to be put together.
  var isPlain: Bool { layers.count == 1 && isWideFixed }
  var isWideFixed: Bool {
    guard case .fixed(let bits) = shape.storage, bits % 8 == 0 else { return false }
    return bits / 8 * shape.factor >= PageEncoder.wide
  }

  /// The page of `parts`, which follow each other.
  func encode(_ parts: [LeafRows]) throws(Failure) -> EncodedPage {
    let rows = parts.reduce(0) { $0 + $1.rows }
    if isPlain, parts.allSatisfy({ $0.values.nullCount == 0 }) {
      let values = parts.map { FlatValues($0.values, shape) }
      if values.allSatisfy({ $0.validity.allSatisfy { $0 == nil } }) {
        var buffers: [Buffer] = []
        for value in values { buffers.append(try value.buffer()) }
        return try fullZip(
          [buffers], Levels(rep: [], def: [], nesting: Nesting([.item(nullable: false)])), rows: rows, items: rows, [false])
      }
    }
    let values = try Column.concatenate(parts.map(\.values), type: shape.type, count: parts.reduce(0) { $0 + $1.values.count })
    let levels = levels(parts, values)
    if values.count == 0 || shape.storage == .null || (layers.count == 1 && values.nullCount == rows) {
      return try constant(levels, rows: rows, value: nil)
    }
    let flat = FlatValues(values, shape)
    if version != .v2_1, layers.count == 1, levels.def.isEmpty, let value = flat.constant() {
      return try constant(levels, rows: rows, value: value)
    }
    if isWideFixed { return try wideFixed(flat, levels, rows: rows) }
    if case .variable = shape.storage {
      let strings = Strings(values)
      if strings.longest < PageEncoder.wide, let page = try miniBlock(strings, levels, rows: rows) { return page }
      return try wideVariable(strings, levels, rows: rows)
    }
    if let page = try miniBlock(flat, levels, rows: rows) { return page }
    return try wideFixed(flat, levels, rows: rows)
  }

  /// Levels of a page and the layers that they use.
  struct Levels {
    var rep: [UInt16]
    var def: [UInt16]
    var nesting: Nesting
    var hasLevels: Bool { !rep.isEmpty || !def.isEmpty }
    var entries: Int { max(rep.count, def.count) }
  }

  private func levels(_ parts: [LeafRows], _ values: Column) -> Levels {
    if layers.count == 1 {
      guard values.nullCount > 0 else { return Levels(rep: [], def: [], nesting: Nesting([.item(nullable: false)])) }
      let def = (0..<values.count).map { values.isValid($0) ? UInt16(0) : 1 }
      return Levels(rep: [], def: def, nesting: Nesting([.item(nullable: true)]))
    }
    let hasDef = parts.contains { !$0.def.isEmpty }
    var rep: [UInt16] = []
    var def: [UInt16] = []
    for part in parts {
      rep.append(contentsOf: part.rep)
      if hasDef {
        def.append(
          contentsOf: part.def.isEmpty ? [UInt16](repeating: 0, count: part.rep.isEmpty ? part.rows : part.rep.count) : part.def
        )
      }
    }
    if hasDef { return Levels(rep: rep, def: def, nesting: Nesting(layers)) }
    let plain = layers.map { $0.isList ? Layer.list(nullable: false, emptyable: false) : .item(nullable: false) }
    return Levels(rep: rep, def: [], nesting: Nesting(plain))
  }

  // MARK: Descriptions

  static func flat(_ bits: Int) -> PBCompressiveEncoding {
    var flat = PBFlatEncoding()
    flat.bitsPerValue = UInt64(bits)
    var message = PBCompressiveEncoding()
    message.flat = flat
    return message
  }

  /// The values' encoding wrapped in one FixedSizeList per list of the type.
  func wrapped(_ inner: PBCompressiveEncoding, _ hasValidity: [Bool]) -> PBCompressiveEncoding {
    var message = inner
    for (size, stored) in zip(shape.sizes, hasValidity).reversed() {
      var list = PBFixedSizeListEncoding()
      list.itemsPerValue = UInt64(size)
      list.values = message
      list.hasValidity_p = stored
      message = PBCompressiveEncoding()
      message.fixedSizeList = list
    }
    return message
  }

  private func constant(_ levels: Levels, rows: Int, value: [UInt8]?) throws(Failure) -> EncodedPage {
    var message = PBConstantLayout()
    if let value { message.inlineValue = Data(value) }
    var buffers: [[Buffer]] = []
    if layers.count == 1 {
      message.layers = [Layer.item(nullable: value == nil).message]
    } else {
      message.layers = levels.nesting.layers.map(\.message)
      buffers = [[try Buffer(levels.rep)], [try Buffer(levels.def)]]
    }
    var layout = PBPageLayout()
    layout.constant = message
    return try EncodedPage(layout, buffers, rows: rows)
  }

  // MARK: Full-zip

  private func fullZip(_ buffers: [[Buffer]], _ levels: Levels, rows: Int, items: Int, _ itemValidity: [Bool]) throws(Failure)
    -> EncodedPage
  {
    var message = PBFullZipLayout()
    message.bitsRep = UInt32(bitLength(levels.rep.isEmpty ? 0 : levels.nesting.maxRep))
    message.bitsDef = UInt32(bitLength(levels.def.isEmpty ? 0 : levels.nesting.maxDef))
    switch shape.storage {
    case .fixed(let bits):
      let stored = itemValidity.contains(true)
      message.bitsPerValue = UInt32(bits * shape.factor + (stored ? (shape.factor + 7) / 8 * 8 : 0))
      message.valueCompression = wrapped(
        PageEncoder.flat(bits), shape.sizes.isEmpty ? [] : [stored] + shape.sizes.dropFirst().map { _ in false })
    default:
      let bits = shape.element.hasLargeOffsets ? 64 : 32
      message.bitsPerOffset = UInt32(bits)
      var variable = PBVariableEncoding()
      variable.offsets = PageEncoder.flat(bits)
      message.valueCompression.variable = variable
    }
    let entries = max(items, levels.entries)
    guard let total = UInt32(exactly: entries) else { throw Failure(.invalidArgument, "\(entries) values do not fit one page") }
    message.numItems = total
    message.numVisibleItems = UInt32(items)
    message.layers = levels.nesting.layers.map(\.message)
    var layout = PBPageLayout()
    layout.fullZip = message
    return try EncodedPage(layout, buffers, rows: rows)
  }

  private func bitLength(_ value: Int) -> Int { Int.bitWidth - value.leadingZeroBitCount }

  /// Control words and row positions while a page's items are zipped.
  private struct Zipper {
    let levels: Levels
    let bitsDef: Int
    let controlSize: Int
    var out: GrowingBytes
    var rowStarts: [Int] = []

    init(_ levels: Levels, bitsRep: Int, bitsDef: Int, capacity: Int) throws(Failure) {
      self.levels = levels
      self.bitsDef = bitsDef
      let bits = bitsRep + bitsDef
      controlSize = bits == 0 ? 0 : bits <= 8 ? 1 : bits <= 16 ? 2 : 4
      out = try GrowingBytes(capacity: capacity + levels.entries * controlSize)
    }

    /// Writes the control word of entry `k`; the definition level comes back.
    mutating func control(_ k: Int) throws(Failure) -> Int {
      if levels.rep.isEmpty || levels.rep[k] == UInt16(levels.nesting.maxRep) { rowStarts.append(out.count) }
      let def = levels.def.isEmpty ? 0 : Int(levels.def[k])
      let word = UInt32((levels.rep.isEmpty ? 0 : Int(levels.rep[k])) << bitsDef | def).littleEndian
      try withUnsafeBytesOf(word) { (bytes) throws(Failure) in
        try out.append(UnsafeRawBufferPointer(rebasing: bytes[0..<controlSize]))
      }
      return def
    }

    /// Rows + 1 positions, as narrow as the last one allows.
    mutating func positions() throws(Failure) -> Buffer {
      let all = rowStarts + [out.count]
      if out.count <= Int(UInt8.max) { return try Buffer(all.map { UInt8($0) }) }
      if out.count <= Int(UInt16.max) { return try Buffer(all.map { UInt16($0) }) }
      if out.count <= Int(UInt32.max) { return try Buffer(all.map { UInt32($0) }) }
      return try Buffer(all.map { UInt64($0) })
    }
  }

  private func zipper(_ levels: Levels, capacity: Int) throws(Failure) -> Zipper {
    try Zipper(
      levels, bitsRep: bitLength(levels.rep.isEmpty ? 0 : levels.nesting.maxRep),
      bitsDef: bitLength(levels.def.isEmpty ? 0 : levels.nesting.maxDef), capacity: capacity)
  }

  private func wideFixed(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
    guard case .fixed(let bits) = shape.storage, bits % 8 == 0 else {
      throw Failure(.unsupported, "\(shape.type) values of this width cannot be stored in file version \(version)")
    }
    let stored = values.validity.map { $0 != nil }
    guard !stored.dropFirst().contains(true), !stored.contains(true) || stored.count == 1 else {
      throw Failure(.unsupported, "nulls inside of nested fixed-size lists (\(shape.type)) cannot be stored")
    }
    let width = bits / 8 * shape.factor
    let validityBytes = stored.contains(true) ? (shape.factor + 7) / 8 : 0
    var zipper = try zipper(levels, capacity: values.rows * (width + validityBytes))
    let base = values.base
    var item = 0
    for k in 0..<max(levels.entries, values.rows) {
      let def = levels.hasLevels ? try zipper.control(k) : 0
      guard def <= levels.nesting.maxVisible else { continue }
      if validityBytes > 0, let (source, first) = values.validity[0] {
        let place = try zipper.out.room(validityBytes)
        place.initializeMemory(as: UInt8.self, repeating: 0, count: validityBytes)
        Bitmap.copy(source.pointer, first + item * shape.factor, to: place, 0, count: shape.factor)
        zipper.out.added(validityBytes)
      }
      try zipper.out.append(UnsafeRawBufferPointer(start: base + item * width, count: width))
      item += 1
    }
    var buffers = [[try zipper.out.finish()]]
    if !levels.rep.isEmpty { buffers.append([try zipper.positions()]) }
    return try fullZip(buffers, levels, rows: rows, items: item, stored)
  }

  private func wideVariable(_ strings: Strings, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
    let lengthSize = shape.element.hasLargeOffsets ? 8 : 4
    var zipper = try zipper(levels, capacity: strings.byteCount(0..<strings.count) + strings.count * lengthSize)
    var item = 0
    for k in 0..<max(levels.entries, strings.count) {
      // Without levels every row begins with its length.
      let def = try zipper.control(k)
      guard def <= levels.nesting.maxVisible else { continue }
      if def == 0 {
        let bytes = strings.bytes(item)
        let length = UInt64(bytes.count).littleEndian
        try withUnsafeBytesOf(length) { (raw) throws(Failure) in
          try zipper.out.append(UnsafeRawBufferPointer(rebasing: raw[0..<lengthSize]))
        }
        try zipper.out.append(bytes)
      }
      item += 1
    }
    let positions = try zipper.positions()
    return try fullZip([[try zipper.out.finish()], [positions]], levels, rows: rows, items: item, [])
  }
}

/// `body` with the bytes of `value`; unlike the standard function it keeps the thrown type.
func withUnsafeBytesOf<T: BitwiseCopyable>(_ value: T, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void) throws(Failure)
{
  var copy = value
  let result: Result<Void, Failure> = withUnsafeBytes(of: &copy) { bytes in
    do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
  }
  try result.get()
}

/// The strings of a column by position; nulls are empty.
struct Strings {
  let longest: Int
  let hasNulls: Bool
  let count: Int
  // The column's parts without its type, which would be looked at for every row.
  private let offsets: UnsafeRawPointer
  private let isLarge: Bool
  private let data: UnsafeRawPointer
  private let validity: UnsafeRawPointer?
  private let first: Int
  /// Keeps the memory alive.
  private let owner: Column

  init(_ column: Column) {
    owner = column
    count = column.count
    hasNulls = column.nullCount > 0
    first = column.offset
    isLarge = column.type.hasLargeOffsets
    let width = isLarge ? 8 : 4
    offsets = UnsafeRawPointer(column.buffers[0].pointer) + column.offset * width
    data = UnsafeRawPointer(column.buffers[1].pointer)
    validity = column.validity.map { UnsafeRawPointer($0.pointer) }
    var longest = 0
    var last = count > 0 ? Strings.offset(offsets, isLarge, 0) : 0
    for i in 0..<column.count {
      let end = Strings.offset(offsets, isLarge, i + 1)
      longest = max(longest, end - last)
      last = end
    }
    self.longest = longest
  }

  @inline(__always)
  private static func offset(_ table: UnsafeRawPointer, _ isLarge: Bool, _ i: Int) -> Int {
    isLarge ? Int(table.load(fromByteOffset: i &* 8, as: Int64.self)) : Int(table.load(fromByteOffset: i &* 4, as: Int32.self))
  }

  @inline(__always)
  func bytes(_ i: Int) -> UnsafeRawBufferPointer {
    if let validity, !Bitmap.get(validity, first + i) { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let start = Strings.offset(offsets, isLarge, i)
    return UnsafeRawBufferPointer(start: data + start, count: Strings.offset(offsets, isLarge, i + 1) - start)
  }

  /// Bytes of rows `range`, those of nulls included: an upper bound.
  @inline(__always)
  func byteCount(_ range: Range<Int>) -> Int {
    range.isEmpty ? 0 : Strings.offset(offsets, isLarge, range.upperBound) - Strings.offset(offsets, isLarge, range.lowerBound)
  }
}

extension FlatValues {
  /// The bytes of the one value that all rows have, for a constant page; nil when there is none.
  func constant() -> [UInt8]? {
    // Below some rows a constant page saves nothing.
    guard rows >= 16, shape.sizes.isEmpty, let bits = shape.bitsPerRow, bits <= 256 else { return nil }
    if bits == 1 {
      let set = Bitmap.countSet(element.buffers[0].pointer, offset: first, count: rows)
      return set == 0 ? [0] : set == rows ? [1] : nil
    }
    let width = bits / 8
    // All bytes equal those one value earlier.
    let base = base
    guard equal(base, base + width, width), equal(base, base + width, (rows - 1) * width) else { return nil }
    return (0..<width).map { base.load(fromByteOffset: $0, as: UInt8.self) }
  }

  private func equal(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool { compareBytes(a, b, count) }
}

extension Column {
  /// Like `concatenate(_:type:)`, but gives a column for no parts too.
  static func concatenate(_ parts: [Column], type: DataType, count: Int) throws(Failure) -> Column {
    count == 0 ? try Column.nulls(type, count: 0) : try Column.concatenate(parts, type: type)
  }
}
