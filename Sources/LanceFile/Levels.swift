import Core
import LanceProto

/// One layer of a page's nesting, leaf first. The last layer is the row.
enum Layer: Equatable, Sendable {
  case item(nullable: Bool)
  case list(nullable: Bool, emptyable: Bool)

  init(_ message: PBRepDefLayer) throws(Failure) {
    switch message {
    case .allValidItem: self = .item(nullable: false)
    case .nullableItem: self = .item(nullable: true)
    case .allValidList: self = .list(nullable: false, emptyable: false)
    case .nullableList: self = .list(nullable: true, emptyable: false)
    case .emptyableList: self = .list(nullable: false, emptyable: true)
    case .nullAndEmptyList: self = .list(nullable: true, emptyable: true)
    default: throw Failure(.unsupported, "an unknown kind of nesting (\(message.rawValue))")
    }
  }

  var message: PBRepDefLayer {
    switch self {
    case .item(let nullable): nullable ? .nullableItem : .allValidItem
    case .list(false, false): .allValidList
    case .list(true, false): .nullableList
    case .list(false, true): .emptyableList
    case .list(true, true): .nullAndEmptyList
    }
  }

  var isList: Bool { if case .list = self { true } else { false } }

  /// Definition levels that the layer uses.
  var levelCount: Int {
    switch self {
    case .item(let nullable): nullable ? 1 : 0
    case .list(let nullable, let emptyable): (nullable ? 1 : 0) + (emptyable ? 1 : 0)
    }
  }
}

/// The layers of one page and what their levels mean.
///
/// A definition level names the innermost thing that is missing, numbered from the leaf outwards, 0 = nothing.
/// A repetition level counts how many lists restart: the number of list layers = a new row, 0 = the next item.
struct Nesting: Sendable {
  let layers: [Layer]
  let maxRep: Int
  let maxDef: Int
  /// Entries with a level up to this have a value slot: the levels of the layers inside the innermost list.
  let maxVisible: Int

  init(_ layers: [Layer]) {
    self.layers = layers
    maxRep = layers.count { $0.isList }
    maxDef = layers.reduce(0) { $0 + $1.levelCount }
    maxVisible = layers.prefix { !$0.isList }.reduce(0) { $0 + $1.levelCount }
  }

  init(_ messages: [PBRepDefLayer]) throws(Failure) {
    guard !messages.isEmpty, messages.count <= 64 else {
      throw Failure(.corruptData, "a page with \(messages.count) layers of nesting")
    }
    var layers: [Layer] = []
    for message in messages { layers.append(try Layer(message)) }
    self.init(layers)
  }
}

/// Rows of one page as they are stored: the visible values of a leaf and the levels around them.
struct LeafPiece {
  var values: LeafValues
  /// One entry per visible value and per thing that is missing; nil when the page has no such levels.
  var rep: [UInt16]?
  var def: [UInt16]?
  var nesting: Nesting
  var rows: Int
}

extension Codec {
  /// Appends `count` levels.
  func appendLevels(_ bytes: UnsafeRawBufferPointer, count: Int, to levels: inout [UInt16], _ scratch: Scratch) throws(Failure)
  {
    let values = try block(bytes, count: count, scratch)
    guard case .fixed(let base, let bits) = values.storage else { throw Failure(.corruptData, "levels that are no numbers") }
    switch bits {
    case 16:
      levels.append(contentsOf: UnsafeRawBufferPointer(start: base, count: count * 2).withLoadable(UInt16.self))
    case 8:
      for i in 0..<count { levels.append(UInt16(base.load(fromByteOffset: i, as: UInt8.self))) }
    default: throw Failure(.unsupported, "levels of \(bits) bits")
    }
  }

  /// The number of levels of a mini-block chunk whose header says `stored` (the count modulo 65536).
  func levelCount(_ bytes: UnsafeRawBufferPointer, stored: Int) throws(Failure) -> Int {
    guard case .runLength(_, let lengthBits) = self else { return stored }
    let total = try Codec.runTotal(try Codec.runParts(bytes).1, lengthBits)
    guard total & 0xFFFF == stored else {
      throw Failure(.corruptData, "a chunk has \(total) levels, its header says \(stored)")
    }
    return total
  }
}

extension UnsafeRawBufferPointer {
  /// The bytes as values of `T`, wherever they lie.
  func withLoadable<T: BitwiseCopyable>(_: T.Type) -> [T] {
    let n = count / MemoryLayout<T>.size
    return [T](unsafeUninitializedCapacity: n) { target, used in
      if let base = baseAddress, let first = target.baseAddress {
        UnsafeMutableRawPointer(first).copyMemory(from: base, byteCount: n * MemoryLayout<T>.size)
      }
      used = n
    }
  }
}
