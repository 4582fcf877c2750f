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
  /// Of fixed-width values back to back without levels: another such page right behind it makes one page with it.
  private(set) var plain: PBFullZipLayout?

  init(_ layout: PBPageLayout, _ buffers: [[Buffer]], rows: Int) throws(Failure) {
    self.buffers = buffers
    self.rows = rows
    encoding = PBAnyMessage()
    encoding.typeURL = LanceTypeURL.pageLayout
    encoding.value = Data(try layout.encoded())
    if case .fullZip(let message)? = layout.layout, message.bitsRep + message.bitsDef == 0, message.bitsPerValue > 0 {
      plain = message
    }
  }

  /// The description of the page that this one makes with the plain page `before`; nil when they do not go together.
  func joined(to before: PBFullZipLayout) throws(Failure) -> EncodedPage? {
    guard var message = plain, message.valueCompression == before.valueCompression,
      UInt64(message.numItems) + UInt64(before.numItems) <= UInt64(UInt32.max)
    else { return nil }
    message.numItems += before.numItems
    message.numVisibleItems += before.numVisibleItems
    var layout = PBPageLayout()
    layout.fullZip = message
    return try EncodedPage(layout, buffers, rows: rows)
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
/// | few long runs of one value (2.2) | Constant, a page for each run |
/// | wide values (256 bytes and more) | full-zip: fixed width without nulls is the plain array |
/// | long runs of one value | mini-block, RLE |
/// | numbers that need fewer bits | mini-block, InlineBitpacking |
/// | few distinct strings | mini-block, indices and dictionary |
/// | text | FSST over Variable, mini-block or full-zip |
/// | fields that ask for zstd or lz4 | General: chunks as a whole, wide strings one by one |
/// | everything else | mini-block, Flat / FixedSizeList / Variable |
///
/// The choice depends on the page's rows only: the same rows give the same bytes. Rules and limits stand with each encoder.
struct PageEncoder: Sendable {
  let shape: LeafShape
  /// Layers of the leaf when it is nested, leaf first; one item layer for top-level leaves.
  let layers: [Layer]
  let version: LanceFileVersion
  /// The field's metadata, which may ask for an encoding.
  let field: [String: String]
  let compression: CompressionChoice?

  /// - Throws: `INVALID_ARGUMENT` when the field asks for a compression that does not exist.
  init(_ leaf: FieldNode, shape: LeafShape, layers: [Layer], version: LanceFileVersion) throws(Failure) {
    self.shape = shape
    self.layers = layers
    self.version = version
    field = leaf.field.metadata
    compression = try CompressionChoice(leaf.field.metadata, field: leaf.field.name)
  }

  /// Values at least this wide go into full-zip pages; the official writers' limit.
  static let wide = 256

  /// True when every non-null page of the leaf is a plain array, so that nothing has to be put together.
  var isPlain: Bool { layers.count == 1 && isWideFixed && compression == nil }
  var isWideFixed: Bool {
    guard case .fixed(let bits) = shape.storage, bits % 8 == 0 else { return false }
    return bits / 8 * shape.factor >= PageEncoder.wide
  }

  /// The pages of `parts`, which follow each other: one, unless their values are few long runs.
  func encode(_ parts: [LeafRows]) throws(Failure) -> [EncodedPage] {
    let rows = parts.reduce(0) { $0 + $1.rows }
    if isPlain, parts.allSatisfy({ $0.values.nullCount == 0 }) {
      let values = parts.map { FlatValues($0.values, shape) }
      if values.allSatisfy({ $0.validity.allSatisfy { $0 == nil } }) {
        var buffers: [Buffer] = []
        for value in values { buffers.append(try value.buffer()) }
        return [
          try fullZip(
            [buffers], Levels(rep: [], def: [], nesting: Nesting([.item(nullable: false)])), rows: rows, items: rows, [false])
        ]
      }
    }
    let values = try Column.concatenate(parts.map(\.values), type: shape.type, count: parts.reduce(0) { $0 + $1.values.count })
    let levels = levels(parts, values)
    if values.count == 0 || shape.storage == .null || (layers.count == 1 && values.nullCount == rows) {
      return [try allNull(levels, rows: rows)]
    }
    let mayBeConstant = version != .v2_1 && layers.count == 1 && levels.def.isEmpty
    if case .variable = shape.storage {
      let strings = Strings(values)
      if mayBeConstant, let pages = try constants(strings) { return pages }
      return [try self.strings(strings, levels, rows: rows)]
    }
    let flat = FlatValues(values, shape)
    if mayBeConstant, let pages = try constants(flat) { return pages }
    return [try fixed(flat, levels, rows: rows)]
  }

  private func fixed(_ flat: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
    if isWideFixed {
      if let page = try general(flat, levels, rows: rows) { return page }
    } else if let page = try miniBlock(flat, levels, rows: rows) {
      return page
    }
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
      let def = [UInt16](unsafeUninitializedCapacity: values.count) { levels, count in
        guard let bits = values.validity.map({ UnsafeRawPointer($0.pointer) }) else {
          levels.initialize(repeating: 1)
          count = values.count
          return
        }
        for i in 0..<values.count { levels[i] = Bitmap.get(bits, values.offset &+ i) ? 0 : 1 }
        count = values.count
      }
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

  // MARK: Constant pages

  private func allNull(_ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
    var message = PBConstantLayout()
    guard layers.count > 1 else { return try constant(message, [], .item(nullable: true), rows: rows) }
    message.layers = levels.nesting.layers.map(\.message)
    var layout = PBPageLayout()
    layout.constant = message
    return try EncodedPage(layout, [[try Buffer(levels.rep)], [try Buffer(levels.def)]], rows: rows)
  }

  /// A page for each run of strings without nulls; nil when they are no runs.
  private func constants(_ strings: Strings) throws(Failure) -> [EncodedPage]? {
    guard let runs = ConstantRuns.of(strings) else { return nil }
    return try runs.map { (run) throws(Failure) in
      let scalar = try Buffer(scalar(strings.bytes(run.lowerBound)))
      return try constant(PBConstantLayout(), [[scalar]], .item(nullable: false), rows: run.count)
    }
  }

  /// The same of fixed-width values.
  private func constants(_ flat: FlatValues) throws(Failure) -> [EncodedPage]? {
    guard let runs = ConstantRuns.of(flat), let bits = shape.bitsPerRow else { return nil }
    return try runs.map { (run) throws(Failure) in
      var message = PBConstantLayout()
      if bits == 1 {
        message.inlineValue = Data([Bitmap.get(flat.element.buffers[0].pointer, flat.first + run.lowerBound) ? 1 : 0])
      } else {
        message.inlineValue = Data(UnsafeRawBufferPointer(start: flat.base + run.lowerBound * (bits / 8), count: bits / 8))
      }
      return try constant(message, [], .item(nullable: false), rows: run.count)
    }
  }

  /// A string as the buffer of a constant page: u32 parts, u32 bytes of each, then both offsets and the text.
  private func scalar(_ string: UnsafeRawBufferPointer) -> [UInt8] {
    let isLarge = shape.element.hasLargeOffsets
    var out = ByteWriter(reserving: 28 + string.count)
    out.write(UInt32(2))
    out.write(UInt32(isLarge ? 16 : 8))
    out.write(UInt32(string.count))
    for offset in [0, string.count] {
      if isLarge { out.write(UInt64(offset)) } else { out.write(UInt32(offset)) }
    }
    out.write(string)
    return out.bytes
  }

  private func constant(_ message: PBConstantLayout, _ buffers: [[Buffer]], _ layer: Layer, rows: Int) throws(Failure)
    -> EncodedPage
  {
    var layout = PBPageLayout()
    layout.constant = message
    layout.constant.layers = [layer.message]
    return try EncodedPage(layout, buffers, rows: rows)
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

extension Column {
  /// Like `concatenate(_:type:)`, but gives a column for no parts too.
  static func concatenate(_ parts: [Column], type: DataType, count: Int) throws(Failure) -> Column {
    count == 0 ? try Column.nulls(type, count: 0) : try Column.concatenate(parts, type: type)
  }
}
