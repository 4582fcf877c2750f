import Columnar
import Core
import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// How values are compressed, taken from a page's description and checked once; decoding is in `Codec+Decode.swift`.
indirect enum Codec: Sendable {
  /// `bits` per value, back to back, least significant bit first.
  case flat(bits: Int)
  /// Chunks of up to 1024 values: one word with the width, then the packed values.
  case inlineBitpacking(bits: Int)
  /// Blocks of 1024 values of `width` bits; the width stands in the description.
  case outOfLineBitpacking(bits: Int, width: Int)
  /// Offsets of `offsetBits` and bytes.
  case variable(offsetBits: Int)
  case fsst(SymbolTable, Codec)
  /// Run values of `bits` and run lengths of `lengthBits`.
  case runLength(bits: Int, lengthBits: Int)
  case byteStreamSplit(bits: Int)
  case general(Compression, Codec)
  case fixedSizeList(size: Int, Codec, hasValidity: Bool)
  /// Rows of several fixed-width members, back to back.
  case packedStructure(bits: [Int])
  /// Rows of several members, some of variable width, one after the other; only in pages of wide values.
  case variablePackedStructure([PackedMember])
  case constant([UInt8])

  enum Compression: Sendable { case lz4, zstd }

  /// A member of a packed row: its bytes, or a length of `lengthBytes` and that many bytes.
  struct PackedMember: Sendable {
    enum Layout: Sendable { case fixed(bytes: Int), variable(lengthBytes: Int) }
    let codec: Codec
    let layout: Layout
  }

  /// Buffers in a mini-block chunk.
  var bufferCount: Int {
    switch self {
    case .runLength: 2
    case .fsst(_, let inner), .general(_, let inner): inner.bufferCount
    case .fixedSizeList(_, let inner, let hasValidity): inner.bufferCount + (hasValidity ? 1 : 0)
    case .constant: 0
    default: 1
    }
  }

  /// For each fixed-size list from the outside: does it store validity bits?
  var listValidity: [Bool] {
    switch self {
    case .fixedSizeList(_, let inner, let hasValidity): [hasValidity] + inner.listValidity
    case .general(_, let inner): inner.listValidity
    default: []
    }
  }

  /// The name that users see in messages.
  var name: String {
    switch self {
    case .flat: "Flat"
    case .inlineBitpacking: "InlineBitpacking"
    case .outOfLineBitpacking: "OutOfLineBitpacking"
    case .variable: "Variable"
    case .fsst: "FSST"
    case .runLength: "RLE"
    case .byteStreamSplit: "ByteStreamSplit"
    case .general: "General"
    case .fixedSizeList: "FixedSizeList"
    case .packedStructure: "PackedStruct"
    case .variablePackedStructure: "VariablePackedStruct"
    case .constant: "Constant"
    }
  }

  /// - Throws: `UNSUPPORTED` naming the encoding, `CORRUPT_DATA` for a description that makes no sense.
  init(_ message: PBCompressiveEncoding) throws(Failure) {
    func fail(_ what: String) -> Failure { Failure(.corruptData, what) }
    func width(_ bits: UInt64, _ allowed: [Int], _ what: String) throws(Failure) -> Int {
      guard let value = Int(exactly: bits), allowed.contains(value) else { throw fail("\(what) of \(bits)-bit values") }
      return value
    }
    func flatBits(_ message: PBCompressiveEncoding, _ what: String) throws(Failure) -> Int {
      guard case .flat(let flat) = message.compression, flat.bitsPerValue <= 1 << 36, !flat.hasData else {
        throw Failure(.unsupported, "\(what) over an encoding that is not Flat")
      }
      return Int(flat.bitsPerValue)
    }
    let words = [8, 16, 32, 64]
    switch message.compression {
    case .flat(let flat):
      guard !flat.hasData || flat.data.scheme == .unspecified else {
        throw Failure(.unsupported, "the encoding Flat with compressed data")
      }
      guard flat.bitsPerValue <= 1 << 36, flat.bitsPerValue == 1 || flat.bitsPerValue % 8 == 0 else {
        throw fail("Flat with \(flat.bitsPerValue) bits per value")
      }
      self = .flat(bits: Int(flat.bitsPerValue))
    case .inlineBitpacking(let packing):
      self = .inlineBitpacking(bits: try width(packing.uncompressedBitsPerValue, words, "InlineBitpacking"))
    case .outOfLineBitpacking(let packing):
      let bits = try width(packing.uncompressedBitsPerValue, words, "OutOfLineBitpacking")
      let packed = try flatBits(packing.values, "OutOfLineBitpacking")
      guard packed <= bits else { throw fail("OutOfLineBitpacking of \(bits)-bit values to \(packed) bits") }
      self = .outOfLineBitpacking(bits: bits, width: packed)
    case .variable(let variable):
      guard !variable.hasValues || variable.values.scheme == .unspecified else {
        throw Failure(.unsupported, "the encoding Variable with compressed data")
      }
      self = .variable(
        offsetBits: try width(UInt64(try flatBits(variable.offsets, "Variable offsets")), [32, 64], "Variable offsets"))
    case .fsst(let fsst):
      self = .fsst(try SymbolTable([UInt8](fsst.symbolTable)), try Codec(fsst.values))
    case .rle(let rle):
      let bits = try width(UInt64(try flatBits(rle.values, "RLE values")), words, "RLE values")
      self = .runLength(
        bits: bits, lengthBits: try width(UInt64(try flatBits(rle.runLengths, "RLE lengths")), words, "RLE lengths"))
    case .byteStreamSplit(let split):
      self = .byteStreamSplit(
        bits: try width(UInt64(try flatBits(split.values, "ByteStreamSplit")), [16, 32, 64], "ByteStreamSplit"))
    case .general(let general):
      let inner = try Codec(general.values)
      switch general.compression.scheme {
      case .lz4: self = .general(.lz4, inner)
      case .zstd: self = .general(.zstd, inner)
      default: throw Failure(.unsupported, "the compression scheme \(general.compression.scheme.rawValue)")
      }
    case .fixedSizeList(let list):
      guard list.itemsPerValue > 0, list.itemsPerValue <= 1 << 30 else { throw fail("lists of \(list.itemsPerValue) items") }
      self = .fixedSizeList(size: Int(list.itemsPerValue), try Codec(list.values), hasValidity: list.hasValidity_p)
    case .packedStruct(let packed):
      let total = try flatBits(packed.values, "PackedStruct")
      var sum = 0
      for bits in packed.bitsPerValue {
        guard bits > 0, bits % 8 == 0, bits <= 1 << 30, sum <= 1 << 34 else { throw fail("a packed member of \(bits) bits") }
        sum += Int(bits)
      }
      guard sum == total, sum > 0 else { throw fail("PackedStruct members of \(sum) bits in values of \(total)") }
      self = .packedStructure(bits: packed.bitsPerValue.map { Int($0) })
    case .constant(let constant): self = .constant([UInt8](constant.value))
    case .dictionary: throw Failure(.unsupported, "the encoding Dictionary inside values")
    case .variablePackedStruct(let packed):
      var members: [PackedMember] = []
      for member in packed.fields {
        let layout: PackedMember.Layout
        switch member.layout {
        case .bitsPerValue(let bits)?:
          guard bits > 0, bits % 8 == 0, bits <= 1 << 30 else { throw fail("a packed member of \(bits) bits") }
          layout = .fixed(bytes: Int(bits) / 8)
        case .bitsPerLength(let bits)?:
          layout = .variable(lengthBytes: try width(bits, [8, 16, 32, 64], "lengths of a packed member") / 8)
        case nil: throw fail("a packed member without a width")
        }
        members.append(PackedMember(codec: try Codec(member.value), layout: layout))
      }
      guard !members.isEmpty else { throw fail("a packed struct without members") }
      self = .variablePackedStructure(members)
    case nil: throw Failure(.unsupported, "an encoding that this version of Moonlake does not know")
    }
  }

  /// Checks that decoded values have the form that a column of `shape` needs.
  func check(_ shape: LeafShape) throws(Failure) {
    var codec = self
    for size in shape.sizes {
      while case .general(_, let inner) = codec { codec = inner }
      guard case .fixedSizeList(size, let inner, _) = codec else {
        throw Failure(.corruptData, "\(codec.name) values for a column of type \(shape.type)")
      }
      codec = inner
    }
    try codec.check(shape.storage, shape.type)
  }

  private func check(_ storage: LeafShape.Storage, _ type: DataType) throws(Failure) {
    let bits: Int
    switch self {
    case .general(_, let inner): return try inner.check(storage, type)
    case .variable:
      if case .variable = storage { return }
      throw Failure(.corruptData, "Variable values for a column of type \(type)")
    case .fsst(_, let inner): return try inner.check(storage, type)
    case .flat(let width), .inlineBitpacking(let width), .outOfLineBitpacking(let width, _), .runLength(let width, _),
      .byteStreamSplit(let width):
      bits = width
    case .constant(let value): bits = value.count * 8
    case .packedStructure(let members): bits = members.reduce(0, +)
    case .variablePackedStructure:
      if case .variable = storage { return }
      throw Failure(.corruptData, "VariablePackedStruct values for a column of type \(type)")
    case .fixedSizeList: throw Failure(.corruptData, "FixedSizeList values for a column of type \(type)")
    }
    guard storage == .fixed(bits: bits) else {
      throw Failure(.corruptData, "\(name) values of \(bits) bits for a column of type \(type)")
    }
  }
}
