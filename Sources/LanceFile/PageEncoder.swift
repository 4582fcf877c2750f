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
    if case .variable = shape.storage { return try strings(values, levels, rows: rows) }
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
