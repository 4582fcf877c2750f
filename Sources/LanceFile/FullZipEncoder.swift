import Columnar
import Core
import LanceProto

extension PageEncoder {
  /// The full-zip page of `buffers`; `values` describes what a value of variable width holds.
  func fullZip(
    _ buffers: [[Buffer]], _ levels: Levels, rows: Int, items: Int, _ itemValidity: [Bool], values: PBCompressiveEncoding? = nil
  ) throws(Failure) -> EncodedPage {
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
      message.bitsPerOffset = shape.element.hasLargeOffsets ? 64 : 32
      message.valueCompression = values ?? variable()
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

  func bitLength(_ value: Int) -> Int { Int.bitWidth - value.leadingZeroBitCount }

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

  /// Wide fixed-width values, with control words where there are levels.
  func wideFixed(_ values: FlatValues, _ levels: Levels, rows: Int) throws(Failure) -> EncodedPage {
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

  /// Wide strings, coded with `table` or each one compressed where that is asked for.
  func wideVariable(
    _ strings: Strings, _ levels: Levels, rows: Int, _ table: SymbolTable? = nil, compression: CompressionChoice? = nil
  ) throws(Failure) -> EncodedPage {
    let compressor = try compression.map { (choice) throws(Failure) in try BlockCompressor(choice) }
    let lengthSize = shape.element.hasLargeOffsets ? 8 : 4
    var zipper = try zipper(levels, capacity: strings.byteCount(0..<strings.count) + strings.count * lengthSize)
    var item = 0
    for k in 0..<max(levels.entries, strings.count) {
      // Without levels every row begins with its length.
      let def = try zipper.control(k)
      guard def <= levels.nesting.maxVisible else { continue }
      if def == 0 {
        let bytes = strings.bytes(item)
        let place = try zipper.out.room(lengthSize + (compressor?.bound(bytes.count) ?? bytes.count))
        var count = bytes.count
        if let compressor, count > 0 {
          count = try compressor.compress(bytes, to: place + lengthSize)
        } else if let base = bytes.baseAddress {
          (place + lengthSize).copyMemory(from: base, byteCount: count)
        }
        if lengthSize == 4 {
          place.storeBytes(of: UInt32(truncatingIfNeeded: count).littleEndian, as: UInt32.self)
        } else {
          place.storeBytes(of: UInt64(count).littleEndian, as: UInt64.self)
        }
        zipper.out.added(lengthSize + count)
      }
      item += 1
    }
    let positions = try zipper.positions()
    return try fullZip(
      [[try zipper.out.finish()], [positions]], levels, rows: rows, items: item, [],
      values: compressor?.described(variable()) ?? variable(table))
  }
}
