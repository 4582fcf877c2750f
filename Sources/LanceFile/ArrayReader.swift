import Columnar
import Core
import LanceProto

/// Reads columns of file version 2.0: every field owns a column, a page is whole arrays without chunks.
struct ArrayReader {
  let reader: LanceFileReader
  let columnOfField: [Int32: Int]
  let file: Buffer

  /// Rows `ranges` (ascending) of `field`; items for the fields below a list.
  func read(_ field: FieldNode, _ ranges: [Range<Int>], _ count: Int) throws(Failure) -> Column {
    switch field.kind {
    case .structure:
      var members: [Column] = []
      for child in field.children { members.append(try read(child, ranges, count)) }
      return Column(type: field.field.type, count: count, buffers: [], children: members)
    case .list: return try readList(field, ranges, count)
    case .leaf, .packedStructure:
      guard let column = try column(field) else { return try Column.nulls(field.field.type, count: count) }
      let path = try LeafPath(field, [])
      let shape = column.isBlob ? try Blob.place() : path.shape
      var parts: [Column] = []
      for (page, part) in try split(column, ranges, count) {
        let array = self.page(column.pages[page], isDictionaryType: field.isDictionaryType)
        let encoding = try array.encoding()
        for range in part { parts.append(try array.read(encoding, shape, rows: column.pages[page].rows, range)) }
      }
      let joined = parts.isEmpty ? try Column.nulls(shape.type, count: 0) : try Column.concatenate(parts, type: shape.type)
      if column.isBlob {
        // A null has the place (1, 0), an empty value (0, 0).
        return try Blob.values(joined, file: file, reader.checksums, shape: path.shape) { (position) throws(Failure) in
          position == 0
        }
      }
      if case .packedStructure = field.kind { return try field.unpack(joined) }
      return joined
    }
  }

  private func page(_ page: FileColumn.Page, isDictionaryType: Bool = false) -> ArrayPage {
    ArrayPage(file: file, checksums: reader.checksums, page: page, isDictionaryType: isDictionaryType)
  }

  private func column(_ field: FieldNode) throws(Failure) -> FileColumn? {
    try columnOfField[field.id].map { (i) throws(Failure) in try reader.column(i) }
  }

  private func split(_ column: FileColumn, _ ranges: [Range<Int>], _ count: Int) throws(Failure) -> [(
    page: Int, ranges: [Range<Int>]
  )] {
    let parts = column.split(ranges)
    guard parts.reduce(0, { $0 + $1.ranges.rowCount }) == count else {
      throw Failure(.corruptData, "the column has \(column.rowCount) rows, too few")
    }
    return parts
  }

  /// A list: end offsets here, counted per page; the items in the child's column.
  private func readList(_ field: FieldNode, _ ranges: [Range<Int>], _ count: Int) throws(Failure) -> Column {
    guard let column = try column(field) else { return try Column.nulls(field.field.type, count: count) }
    // First item of each page of this column.
    var firstItems: [Int] = []
    var lists: [PBListArray] = []
    var total = 0
    for page in column.pages {
      let array = self.page(page)
      guard case .list(let list) = try array.encoding().arrayEncoding, list.numItems <= UInt64(PageContext.maxRows) * 64 else {
        throw Failure(.unsupported, "a list column whose pages are no lists")
      }
      firstItems.append(total)
      lists.append(list)
      total += Int(list.numItems)
    }
    var offsets: [Int64] = [0]
    var valid: [Bool] = []
    var itemRanges: [Range<Int>] = []
    let wide = try LeafShape(.uint64)
    for (page, part) in try split(column, ranges, count) {
      let array = self.page(column.pages[page])
      let list = lists[page]
      for range in part where !range.isEmpty {
        let from = max(0, range.lowerBound - 1)
        let ends = try array.read(list.offsets, wide, rows: column.pages[page].rows, from..<range.upperBound)
        let values = ends.values(of: UInt64.self)
        func end(_ i: Int) throws(Failure) -> (Int, Bool) {
          var value = values[i]
          let isNull = value >= list.nullOffsetAdjustment
          if isNull { value -= list.nullOffsetAdjustment }
          guard value <= list.numItems else { throw Failure(.corruptData, "a list ends at item \(value) of \(list.numItems)") }
          return (Int(value), !isNull)
        }
        var last = range.lowerBound > 0 ? try end(0).0 : 0
        let begin = last
        for i in (range.lowerBound - from)..<values.count {
          let (value, isValid) = try end(i)
          guard value >= last else { throw Failure(.corruptData, "the offsets of a list are not in order") }
          offsets.append(offsets[offsets.count - 1] + Int64(value - last))
          valid.append(isValid)
          last = value
        }
        itemRanges.append(firstItems[page] + begin..<firstItems[page] + last)
      }
    }
    let items = try read(field.children[0], itemRanges, itemRanges.rowCount)
    return try LeafPath.list(field.field.type, offsets, valid, items: items)
  }
}

/// One page of whole arrays.
struct ArrayPage {
  let file: Buffer
  let checksums: FileChecksums?
  let page: FileColumn.Page
  let isDictionaryType: Bool

  func encoding() throws(Failure) -> PBArrayEncoding {
    guard page.encoding.isType(LanceTypeURL.arrayEncoding) else {
      throw Failure(.unsupported, "the page encoding '\(page.encoding.typeURL)'")
    }
    return try PBArrayEncoding.decoding(page.encoding.value, what: "the page's description")
  }

  /// Compares bytes of a page buffer with their checksums: `range`, counted from its start, or all of it.
  private func check(_ place: FileRange, _ range: Range<Int>? = nil) throws(Failure) {
    guard let checksums else { return }
    let range = range ?? 0..<place.count
    try checksums.check(place.offset + range.lowerBound..<place.offset + range.upperBound)
  }

  private func buffer(_ reference: PBBufferReference) throws(Failure) -> FileRange {
    guard reference.bufferType == .page, Int(reference.bufferIndex) < page.buffers.count else {
      throw Failure(.corruptData, "a page refers to buffer \(reference.bufferIndex) of \(page.buffers.count)")
    }
    return page.buffers[Int(reference.bufferIndex)]
  }

  /// Values `range` of an array of `rows` values.
  func read(_ encoding: PBArrayEncoding, _ shape: LeafShape, rows: Int, _ range: Range<Int>) throws(Failure) -> Column {
    func fail(_ what: String) -> Failure { Failure(.corruptData, what) }
    guard range.upperBound <= rows else { throw fail("row \(range.upperBound) of \(rows)") }
    switch encoding.arrayEncoding {
    case .nullable(let nullable):
      switch nullable.nullability {
      case .noNulls(let none): return try read(none.values, shape, rows: rows, range)
      case .allNulls: return try Column.nulls(shape.type, count: range.count)
      case .someNulls(let some):
        let values = try read(some.values, shape, rows: rows, range)
        let bits = try read(some.validity, try LeafShape(.bool), rows: rows, range)
        return Column(
          type: values.type, count: values.count, offset: values.offset, validity: try bits.shifted(by: values.offset),
          buffers: values.buffers, children: values.children)
      case nil: throw fail("an array without a description")
      }
    case .flat(let flat): return try readFlat(flat, shape, rows: rows, range)
    case .fixedSizeList(let list):
      guard case .fixedSizeList(let item, let size) = shape.type, Int(list.dimension) == size else {
        throw fail("lists of \(list.dimension) items for a column of type \(shape.type)")
      }
      let first = try Codec.product(range.lowerBound, size)
      let items = try read(
        list.items, try LeafShape(item.type), rows: try Codec.product(rows, size),
        first..<first + (try Codec.product(range.count, size)))
      return Column(type: shape.type, count: range.count, buffers: [], children: [items])
    case .fixedSizeBinary(let binary):
      guard shape.bitsPerRow == Int(binary.byteWidth) * 8 else {
        throw fail("values of \(binary.byteWidth) bytes for \(shape.type)")
      }
      // The bytes may be described as a list of u8: the flat array below is what counts.
      var inner = binary.bytes
      while true {
        if case .nullable(let nullable) = inner.arrayEncoding, case .noNulls(let none) = nullable.nullability {
          inner = none.values
        } else if case .fixedSizeList(let list) = inner.arrayEncoding {
          inner = list.items
        } else {
          break
        }
      }
      guard case .flat(var flat) = inner.arrayEncoding else {
        throw Failure(.unsupported, "fixed-size binary values that are not flat")
      }
      flat.bitsPerValue = UInt64(binary.byteWidth) * 8
      return try readFlat(flat, shape, rows: rows, range)
    case .binary(let binary): return try readBinary(binary, nil, shape, rows: rows, range)
    case .fsst(let fsst):
      guard case .binary(let binary) = fsst.binary.arrayEncoding else { throw fail("FSST over values that are no strings") }
      return try readBinary(binary, try SymbolTable([UInt8](fsst.symbolTable)), shape, rows: rows, range)
    case .dictionary(let dictionary): return try readDictionary(dictionary, shape, rows: rows, range)
    case .packedStruct(let packed):
      guard let bits = shape.bitsPerRow else { throw fail("a packed struct for a column of type \(shape.type)") }
      var flat = PBFlatArray()
      flat.bitsPerValue = UInt64(bits)
      flat.buffer = packed.buffer
      return try readFlat(flat, shape, rows: rows, range)
    case .constant(let constant): return try ArrayPage.constant([UInt8](constant.value), shape, range)
    case .bitpacked(let packed):
      return try ArrayPage.packedBits(
        try whole(packed.buffer), width: packed.compressedBitsPerValue, bits: packed.uncompressedBitsPerValue,
        signed: packed.signed, shape, rows: rows, range)
    case .bitpackedForNonNegative(let packed):
      return try ArrayPage.packedBlocks(
        try whole(packed.buffer), width: packed.compressedBitsPerValue, bits: packed.uncompressedBitsPerValue,
        shape, rows: rows, range)
    case .list, .structure: throw fail("a nested array in a column of type \(shape.type)")
    case nil: throw Failure(.unsupported, "a 2.0 encoding that this version of Moonlake does not know")
    }
  }

  /// All bytes of a buffer, compared with their checksums.
  private func whole(_ reference: PBBufferReference) throws(Failure) -> UnsafeRawBufferPointer {
    let place = try buffer(reference)
    try check(place)
    return file.bytes.part(place)
  }

  private static func scheme(_ flat: PBFlatArray) throws(Failure) -> Codec.Compression? {
    guard flat.hasCompression else { return nil }
    switch flat.compression.scheme {
    case "none": return nil
    case "lz4": return .lz4
    case "zstd": return .zstd
    default: throw Failure(.unsupported, "the compression scheme '\(flat.compression.scheme)'")
    }
  }

  private func readFlat(_ flat: PBFlatArray, _ shape: LeafShape, rows: Int, _ range: Range<Int>) throws(Failure) -> Column {
    guard case .fixed(let bits) = shape.storage, shape.sizes.isEmpty, flat.bitsPerValue == UInt64(bits) else {
      throw Failure(.corruptData, "Flat values of \(flat.bitsPerValue) bits for a column of type \(shape.type)")
    }
    let place = try buffer(flat.buffer)
    let size = (try Codec.product(rows, bits) + 7) / 8
    var content = try file.slice(offset: place.offset, byteCount: place.count)
    let scheme = try ArrayPage.scheme(flat)
    if let scheme {
      let scratch = Scratch()
      try check(place)
      content = try Buffer(copying: try Codec.decompress(content.bytes, scheme, scratch))
      withExtendedLifetime(scratch) {}
    }
    guard content.byteCount >= size else {
      throw Failure(.corruptData, "\(rows) values of \(bits) bits in \(content.byteCount) bytes")
    }
    if scheme == nil { try check(place, range.lowerBound * bits / 8..<(range.upperBound * bits + 7) / 8) }
    if bits == 1 { return Column(type: shape.type, count: range.count, offset: range.lowerBound, buffers: [content]) }
    let width = bits / 8
    let view = try content.slice(offset: range.lowerBound * width, byteCount: range.count * width)
    let alignment = width & (width - 1) == 0 ? min(width, 16) : 1
    let isAligned = Int(bitPattern: view.pointer) % alignment == 0
    return Column(type: shape.type, count: range.count, buffers: [isAligned ? view : try Buffer(copying: view.bytes)])
  }

  /// u64 end offsets; a null stores its offset plus `null_adjustment`.
  private func readBinary(_ binary: PBBinaryArray, _ table: SymbolTable?, _ shape: LeafShape, rows: Int, _ range: Range<Int>)
    throws(Failure) -> Column
  {
    guard case .variable = shape.storage else { throw Failure(.corruptData, "strings in a column of type \(shape.type)") }
    var bytesEncoding = binary.bytes
    while case .nullable(let nullable) = bytesEncoding.arrayEncoding, case .noNulls(let none) = nullable.nullability {
      bytesEncoding = none.values
    }
    guard case .flat(let flat) = bytesEncoding.arrayEncoding else {
      throw Failure(.unsupported, "string bytes that are not flat")
    }
    let place = try buffer(flat.buffer)
    var data = file.bytes.part(place)
    let scratch = Scratch()
    let scheme = try ArrayPage.scheme(flat)
    if let scheme {
      try check(place)
      data = try Codec.decompress(data, scheme, scratch)
    }
    let from = max(0, range.lowerBound - 1)
    let endColumn = try read(binary.indices, try LeafShape(.uint64), rows: rows, from..<range.upperBound)
    defer { withExtendedLifetime(endColumn) {} }  // `ends` points into it
    let ends = endColumn.values(of: UInt64.self)
    let adjustment = binary.nullAdjustment
    func end(_ i: Int) throws(Failure) -> (Int, Bool) {
      var value = ends[i]
      let isNull = adjustment > 0 && value >= adjustment
      if isNull { value -= adjustment }
      guard value <= UInt64(data.count) else { throw Failure(.corruptData, "a string ends at byte \(value) of \(data.count)") }
      return (Int(value), !isNull)
    }
    var sink = try LeafSink(shape, capacity: range.count, bytesHint: range.count * 8)
    var last = range.lowerBound > 0 ? try end(0).0 : 0
    if scheme == nil, let final = try ends.indices.last.map({ (i) throws(Failure) in try end(i).0 }), final > last {
      try check(place, last..<final)
    }
    var validity: Buffer?
    for i in 0..<range.count {
      let (value, isValid) = try end(range.lowerBound - from + i)
      guard value >= last else { throw Failure(.corruptData, "the offsets of a string page are not in order") }
      let bytes = UnsafeRawBufferPointer(rebasing: data[last..<value])
      if let table {
        try sink.append(bound: table.bound(bytes.count)) { (target) throws(Failure) in try table.decode(bytes, to: target) }
      } else {
        try sink.append(bytes)
      }
      last = value
      if !isValid {
        if validity == nil { validity = try Bitmap.filled(range.count, true) }
        if let validity { Bitmap.set(validity.pointer, i, false) }
      }
    }
    let column = try sink.finish()
    return Column(type: column.type, count: column.count, validity: validity, buffers: column.buffers)
  }

  /// Indices of the writer's own choice count from 1, with 0 = null; those of dictionary-typed columns count from 0.
  private func readDictionary(_ dictionary: PBDictionaryArray, _ shape: LeafShape, rows: Int, _ range: Range<Int>)
    throws(Failure)
    -> Column
  {
    guard dictionary.numDictionaryItems <= 1 << 30 else {
      throw Failure(.corruptData, "a dictionary of \(dictionary.numDictionaryItems) items")
    }
    let count = Int(dictionary.numDictionaryItems)
    let items = try read(dictionary.items, shape, rows: count, 0..<count)
    guard let bits = ArrayPage.bits(dictionary.indices) else {
      throw Failure(.unsupported, "dictionary indices that are not flat")
    }
    let type: DataType
    switch bits {
    case 8: type = .uint8
    case 16: type = .uint16
    case 32: type = .uint32
    case 64: type = .uint64
    default: throw Failure(.corruptData, "dictionary indices of \(bits) bits")
    }
    let indices = try read(dictionary.indices, try LeafShape(type), rows: rows, range)
    let validity = try Bitmap.filled(range.count, true)
    var positions: [Int32] = []
    positions.reserveCapacity(range.count)
    for i in 0..<range.count {
      var index: UInt64 =
        switch type {
        case .uint8: UInt64(indices.values(of: UInt8.self)[i])
        case .uint16: UInt64(indices.values(of: UInt16.self)[i])
        case .uint32: UInt64(indices.values(of: UInt32.self)[i])
        default: indices.values(of: UInt64.self)[i]
        }
      var isNull = !indices.isValid(i)
      if !isDictionaryType {
        isNull = isNull || index == 0
        index &-= 1
      }
      if isNull {
        Bitmap.set(validity.pointer, i, false)
        positions.append(0)
      } else {
        guard index < UInt64(count) else { throw Failure(.corruptData, "index \(index) in a dictionary of \(count) items") }
        positions.append(Int32(index))
      }
    }
    guard count > 0 else { return try Column.nulls(shape.type, count: range.count) }
    let column = try items.take(positions)
    for i in 0..<range.count where !column.isValid(i) { Bitmap.set(validity.pointer, i, false) }
    return Column(
      type: column.type, count: column.count, offset: column.offset,
      validity: try Column.shift(validity, by: column.offset, count: range.count),
      buffers: column.buffers, children: column.children)
  }

  private static func bits(_ encoding: PBArrayEncoding) -> Int? {
    switch encoding.arrayEncoding {
    case .flat(let flat): return Int(clamping: flat.bitsPerValue)
    case .nullable(let nullable):
      switch nullable.nullability {
      case .noNulls(let none): return bits(none.values)
      case .someNulls(let some): return bits(some.values)
      default: return nil
      }
    default: return nil
    }
  }
}

extension Column {
  /// The values of a bool column as bits that begin at bit `offset`.
  func shifted(by target: Int) throws(Failure) -> Buffer {
    let bits = try Buffer(byteCount: Bitmap.byteCount(target + count))
    Bitmap.copy(buffers[0].pointer, offset, to: bits.pointer, target, count: count)
    return bits
  }

  static func shift(_ bits: Buffer, by target: Int, count: Int) throws(Failure) -> Buffer {
    guard target > 0 else { return bits }
    let moved = try Buffer(byteCount: Bitmap.byteCount(target + count))
    Bitmap.copy(bits.pointer, 0, to: moved.pointer, target, count: count)
    return moved
  }
}
