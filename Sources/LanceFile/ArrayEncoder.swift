import Columnar
import Core
import LanceProto

/// Makes pages of file version 2.0: whole arrays, one column per field.
struct ArrayEncoder {
  /// The pages of `column` for `field` and all fields below it, in column order.
  /// - Throws: `UNSUPPORTED` for what 2.0 cannot store.
  static func encode(_ column: Column, _ field: FieldNode) throws(Failure) -> [EncodedPage] {
    func refuse(_ what: String) -> Failure {
      Failure(.unsupported, "file version 2.0 cannot store \(what) ('\(field.field.name)')")
    }
    try LeafPath.requireValid(column, field)
    switch field.kind {
    case .packedStructure: throw refuse("packed structs written by us")
    case .leaf(let shape): return [try leaf(try column.decodingDictionary(), shape)]
    case .structure:
      guard column.nullCount == 0 else { throw refuse("structs that are null") }
      var array = PBArrayEncoding()
      array.structure = PBEmptyMessage()
      var pages = [try EncodedPage(array, [], rows: column.count)]
      for (i, child) in field.children.enumerated() { pages += try encode(column.member(i), child) }
      return pages
    case .list:
      if case .map = field.field.type { throw refuse("maps") }
      return try list(column, field)
    }
  }

  private static func list(_ column: Column, _ field: FieldNode) throws(Failure) -> [EncodedPage] {
    var spans: [Range<Int>] = []
    var total = 0
    for i in 0..<column.count {
      let span = column.isValid(i) ? column.range(i) : 0..<0
      spans.append(span)
      total += span.count
    }
    var ends: [UInt64] = []
    var end = 0
    for i in 0..<column.count {
      end += spans[i].count
      ends.append(UInt64(end + (column.isValid(i) ? 0 : total + 1)))
    }
    // The items of all lists in a row; those of null lists are left out.
    let items: Column
    if column.nullCount == 0 {
      items = column.items()
    } else {
      var positions: [Int32] = []
      for span in spans { for k in span { positions.append(Int32(truncatingIfNeeded: k)) } }
      items = try column.children[0].take(positions)
    }
    var message = PBListArray()
    message.offsets = noNulls(flat(64, buffer: 0))
    message.nullOffsetAdjustment = UInt64(total + 1)
    message.numItems = UInt64(total)
    var array = PBArrayEncoding()
    array.list = message
    return [try EncodedPage(array, [[try Buffer(ends)]], rows: column.count)] + (try encode(items, field.children[0]))
  }

  private static func leaf(_ column: Column, _ shape: LeafShape) throws(Failure) -> EncodedPage {
    if shape.storage == .null || (column.nullCount == column.count && column.count > 0) {
      var nullable = PBNullableArray()
      nullable.allNulls = PBEmptyMessage()
      var array = PBArrayEncoding()
      array.nullable = nullable
      return try EncodedPage(array, [], rows: column.count)
    }
    if case .variable = shape.storage { return try strings(column) }
    guard case .fixed(let bits) = shape.storage else { throw Failure(.internalError, "a leaf without a layout") }
    let values = FlatValues(column, shape)
    guard values.validity.allSatisfy({ $0 == nil }) else {
      throw Failure(.unsupported, "file version 2.0 cannot store nulls inside of fixed-size lists (\(shape.type))")
    }
    let data: Buffer
    if bits == 1 {
      let count = values.rows * shape.factor
      data = try Buffer(byteCount: Bitmap.byteCount(count))
      Bitmap.copy(values.element.buffers[0].pointer, values.first, to: data.pointer, 0, count: count)
    } else {
      data = try values.buffer()
    }
    let hasNulls = column.nullCount > 0
    var array = flat(bits, buffer: hasNulls ? 1 : 0)
    for size in shape.sizes.reversed() {
      var list = PBFixedSizeListArray()
      list.dimension = UInt32(size)
      list.items = noNulls(array)
      array = PBArrayEncoding()
      array.fixedSizeList = list
    }
    guard hasNulls else { return try EncodedPage(noNulls(array), [[data]], rows: column.count) }
    let validity = try Buffer(byteCount: Bitmap.byteCount(column.count))
    for i in 0..<column.count where column.isValid(i) { Bitmap.set(validity.pointer, i, true) }
    var some = PBNullableArray.SomeNulls()
    some.validity = flat(1, buffer: 0)
    some.values = array
    var nullable = PBNullableArray()
    nullable.someNulls = some
    var whole = PBArrayEncoding()
    whole.nullable = nullable
    return try EncodedPage(whole, [[validity], [data]], rows: column.count)
  }

  /// End offsets (u64; a null adds total + 1) and bytes.
  private static func strings(_ column: Column) throws(Failure) -> EncodedPage {
    let strings = Strings(column)
    var total = 0
    for i in 0..<column.count { total += strings.bytes(i).count }
    var ends: [UInt64] = []
    var data = try GrowingBytes(capacity: total)
    for i in 0..<column.count {
      try data.append(strings.bytes(i))
      ends.append(UInt64(data.count + (column.isValid(i) ? 0 : total + 1)))
    }
    var binary = PBBinaryArray()
    binary.indices = noNulls(flat(64, buffer: 0))
    binary.bytes = flat(8, buffer: 1)
    binary.nullAdjustment = UInt64(total + 1)
    var array = PBArrayEncoding()
    array.binary = binary
    return try EncodedPage(array, [[try Buffer(ends)], [try data.finish()]], rows: column.count)
  }

  private static func flat(_ bits: Int, buffer: Int) -> PBArrayEncoding {
    var flat = PBFlatArray()
    flat.bitsPerValue = UInt64(bits)
    flat.buffer.bufferIndex = UInt32(buffer)
    var array = PBArrayEncoding()
    array.flat = flat
    return array
  }

  private static func noNulls(_ inner: PBArrayEncoding) -> PBArrayEncoding {
    var none = PBNullableArray.NoNulls()
    none.values = inner
    var nullable = PBNullableArray()
    nullable.noNulls = none
    var array = PBArrayEncoding()
    array.nullable = nullable
    return array
  }
}
