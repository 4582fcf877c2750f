import Core

/// A machine for pickles (protocols 2 to 5) that knows only what `torch.save` writes for tensors, numbers, strings, lists and
/// dicts, and only the names in `PickleGlobal`. It calls nothing: REDUCE builds the three things it knows itself.
///
/// Each opcode adds at most one value, so memory is bound by the length of the input. Source: Python's Lib/pickletools.py.
struct PickleMachine {
  private var reader: ByteReader
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [UInt32: PickleValue] = [:]
  private(set) var lists: [[PickleValue]] = []
  private(set) var dicts: [[(key: PickleValue, value: PickleValue)]] = []
  private(set) var storages: [PickleStorage] = []
  private(set) var tensors: [PickleTensor] = []

  init(_ bytes: UnsafeRawBufferPointer) { reader = ByteReader(bytes, what: "from_torch: data.pkl") }

  /// Runs to STOP; the value on the stack.
  mutating func run() throws(Failure) -> PickleValue {
    while true {
      let at = reader.offset
      let opcode: UInt8 = try reader.read()
      if opcode == UInt8(ascii: ".") {
        let result = try pop()
        guard stack.isEmpty, marks.isEmpty else { throw bad("it stops with \(stack.count) values left over") }
        return result
      }
      try step(opcode, at)
      if at & 0xffff == 0 { try Cancellation.check() }
    }
  }

  private func bad(_ message: String) -> Failure {
    Failure(.corruptData, "from_torch: data.pkl, before byte \(reader.offset): \(message)")
  }

  private mutating func step(_ opcode: UInt8, _ at: Int) throws(Failure) {
    switch opcode {
    case 0x80:  // PROTO
      let version: UInt8 = try reader.read()
      guard (2...5).contains(version) else { throw bad("pickle protocol \(version); 2 to 5 are known") }
    case 0x95: try reader.skip(8)  // FRAME
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.integer(Int64(try reader.read(UInt8.self))))
    case UInt8(ascii: "M"): stack.append(.integer(Int64(try reader.read(UInt16.self))))
    case UInt8(ascii: "J"): stack.append(.integer(Int64(try reader.read(Int32.self))))
    case 0x8a: stack.append(.integer(try longInteger()))
    case UInt8(ascii: "G"): stack.append(.float(Double(bitPattern: try reader.readBigEndian(UInt64.self))))
    case UInt8(ascii: "X"): stack.append(.text(try text(UInt64(try reader.read(UInt32.self)))))
    case 0x8c: stack.append(.text(try text(UInt64(try reader.read(UInt8.self)))))
    case 0x8d: stack.append(.text(try text(try reader.read(UInt64.self))))
    case UInt8(ascii: "]"), UInt8(ascii: ")"): push(list: [])
    case UInt8(ascii: "}"): push(dict: [])
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "t"): push(list: try popToMark())
    case 0x85...0x87: push(list: try pop(Int(opcode) - 0x84))
    case UInt8(ascii: "a"): try append([try pop()])
    case UInt8(ascii: "e"): try append(try popToMark())
    case UInt8(ascii: "s"): try setItems(try pop(2))
    case UInt8(ascii: "u"): try setItems(try popToMark())
    case UInt8(ascii: "q"): memo[UInt32(try reader.read(UInt8.self))] = try top()
    case UInt8(ascii: "r"): memo[try reader.read(UInt32.self)] = try top()
    case 0x94: memo[UInt32(truncatingIfNeeded: memo.count)] = try top()
    case UInt8(ascii: "h"): try recall(UInt32(try reader.read(UInt8.self)))
    case UInt8(ascii: "j"): try recall(try reader.read(UInt32.self))
    case UInt8(ascii: "c"): stack.append(.global(try PickleGlobal(module: try line(), name: try line())))
    case 0x93:  // STACK_GLOBAL
      let names = try pop(2)
      guard case .text(let module) = names[0], case .text(let name) = names[1] else { throw bad("a global without a name") }
      stack.append(.global(try PickleGlobal(module: module, name: name)))
    case UInt8(ascii: "Q"): try persistent(try pop())
    case UInt8(ascii: "R"): try reduce()
    case UInt8(ascii: "b"): try build()
    case UInt8(ascii: "i"):  // INST names a class too
      _ = try PickleGlobal(module: try line(), name: try line())
      fallthrough
    default:
      let code = String(opcode, radix: 16)
      throw Failure(
        .unsupported,
        "from_torch: data.pkl, byte \(at): opcode 0x\(code) is refused: torch.save does not write it for tensors, numbers, strings, lists and dicts"
      )
    }
  }

  // MARK: The stack

  /// Values below the last mark are out of reach, as in Python.
  private var reach: Int { stack.count - (marks.last ?? 0) }

  private func top() throws(Failure) -> PickleValue {
    guard reach > 0, let value = stack.last else { throw bad("the stack is empty") }
    return value
  }
  private mutating func pop() throws(Failure) -> PickleValue {
    guard reach > 0, let value = stack.popLast() else { throw bad("the stack is empty") }
    return value
  }
  private mutating func pop(_ count: Int) throws(Failure) -> [PickleValue] {
    guard reach >= count else { throw bad("the stack has less than \(count) values") }
    let values = Array(stack.suffix(count))
    stack.removeLast(count)
    return values
  }
  private mutating func popToMark() throws(Failure) -> [PickleValue] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw bad("no mark on the stack") }
    let values = Array(stack[mark...])
    stack.removeLast(stack.count - mark)
    return values
  }
  private mutating func push(list: [PickleValue]) {
    stack.append(.list(lists.count))
    lists.append(list)
  }
  private mutating func push(dict: [(key: PickleValue, value: PickleValue)]) {
    stack.append(.dict(dicts.count))
    dicts.append(dict)
  }
  private mutating func recall(_ index: UInt32) throws(Failure) {
    guard let value = memo[index] else { throw bad("memo \(index) was never set") }
    stack.append(value)
  }

  // MARK: Reading

  private mutating func text(_ count: UInt64) throws(Failure) -> String {
    guard let count = Int(exactly: count) else { throw bad("a string of \(count) bytes") }
    return String(decoding: try reader.take(count), as: UTF8.self)
  }
  /// To the next line feed; names are short.
  private mutating func line() throws(Failure) -> String {
    var out: [UInt8] = []
    while out.count < 256 {
      let byte: UInt8 = try reader.read()
      if byte == 10 { return String(decoding: out, as: UTF8.self) }
      out.append(byte)
    }
    throw bad("a name of more than 256 bytes")
  }
  /// Little-endian two's complement of a given number of bytes.
  private mutating func longInteger() throws(Failure) -> Int64 {
    let count = Int(try reader.read(UInt8.self))
    let bytes = try reader.take(count)
    guard count <= 8 else { throw bad("a whole number of \(count) bytes; 8 are the most") }
    var value: UInt64 = 0
    for (i, byte) in bytes.enumerated() { value |= UInt64(byte) << UInt64(8 * i) }
    if count > 0, count < 8, bytes[count - 1] & 0x80 != 0 { value |= UInt64.max << UInt64(8 * count) }
    return Int64(bitPattern: value)
  }

  // MARK: Building

  private mutating func append(_ values: [PickleValue]) throws(Failure) {
    guard case .list(let i) = try top() else { throw bad("APPEND to a \(try top().kind)") }
    lists[i] += values
  }

  private mutating func setItems(_ values: [PickleValue]) throws(Failure) {
    guard case .dict(let i) = try top(), values.count % 2 == 0 else {
      throw bad("SETITEM with \(values.count) values on a \(try top().kind)")
    }
    for k in stride(from: 0, to: values.count, by: 2) { dicts[i].append((values[k], values[k + 1])) }
  }

  /// BUILD: PyTorch puts `_metadata` (versions of layers) on an OrderedDict; nothing else has a state.
  private mutating func build() throws(Failure) {
    _ = try pop()
    guard case .dict = try top() else { throw bad("BUILD of a \(try top().kind)") }
  }

  /// ("storage", class, key, device, elements)
  private mutating func persistent(_ id: PickleValue) throws(Failure) {
    guard case .list(let i) = id, lists[i].count == 5, case .text("storage") = lists[i][0],
      case .global(.storage(let element)) = lists[i][1], case .text(let key) = lists[i][2], case .text = lists[i][3],
      case .integer(let count) = lists[i][4], count >= 0
    else { throw bad("a persistent id that is no storage of a known type") }
    stack.append(.storage(storages.count))
    storages.append(PickleStorage(element: element, key: key, count: Int(count)))
  }

  private mutating func reduce() throws(Failure) {
    let pair = try pop(2)
    guard case .global(let global) = pair[0], case .list(let i) = pair[1] else {
      throw bad("a call of a \(pair[0].kind) with a \(pair[1].kind)")
    }
    let arguments = lists[i]
    switch global {
    case .orderedDict:
      guard arguments.isEmpty else { throw bad("collections.OrderedDict with arguments") }
      push(dict: [])
    case .rebuildParameter:
      guard let first = arguments.first, case .tensor = first else { throw bad("a parameter of no tensor") }
      stack.append(first)
    case .rebuildTensor:
      guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .integer(let offset) = arguments[1] else {
        throw bad("a tensor without a storage")
      }
      let (shape, strides) = (try extents(arguments[2]), try extents(arguments[3]))
      guard shape.count == strides.count, offset >= 0 else { throw bad("a tensor with shape \(shape), strides \(strides)") }
      stack.append(.tensor(tensors.count))
      tensors.append(PickleTensor(storage: storage, offset: Int(offset), shape: shape, strides: strides))
    case .storage: throw bad("a call of \(global.name)")
    }
  }

  private func extents(_ value: PickleValue) throws(Failure) -> [Int] {
    guard case .list(let i) = value, lists[i].count <= 16 else { throw bad("a shape must be a tuple of at most 16 numbers") }
    var out: [Int] = []
    for extent in lists[i] {
      guard case .integer(let n) = extent, n >= 0, n <= 1 << 48 else { throw bad("an extent or stride that is no size") }
      out.append(Int(n))
    }
    return out
  }
}
