import Columnar
import Core
import LanceFile
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file in memory.
final class MemorySink: LanceFileSink {
  var bytes: [UInt8] = []
  func append(_ part: UnsafeRawBufferPointer) throws(Failure) { bytes.append(contentsOf: part) }
}

/// The file of `batches`.
func written(_ batches: [RecordBatch], schema: Schema, _ version: LanceFileVersion = .default) throws -> [UInt8] {
  let sink = MemorySink()
  let writer = try LanceFileWriter(schema: schema, version: version, sink: sink)
  for batch in batches { try writer.write(batch) }
  let summary = try writer.finish()
  #expect(summary.byteCount == sink.bytes.count)
  #expect(summary.rowCount == batches.reduce(0) { $0 + $1.count })
  return sink.bytes
}

/// The same file as another writer would leave it: the footer counts one global buffer less, and the checksums have lost their mark.
func withoutChecksums(_ file: [UInt8]) -> [UInt8] {
  var file = file
  file[file.count - 16] -= 1
  let metadata = file.count - 40
  let start = (0..<8).reduce(0) { $0 | Int(file[metadata + $1]) << (8 * $1) }
  file[start - 1] = 0
  return file
}

func reader(_ bytes: [UInt8]) throws -> LanceFileReader { try LanceFileReader(buffer: try Buffer(bytes), path: "test.lance") }

/// The first difference of two columns' values; nil when there is none. What null rows hold does not count.
func difference(_ a: Column, _ b: Column, _ place: String = "") -> String? {
  guard a.count == b.count else { return "\(place): \(a.count) rows and \(b.count)" }
  var first: [Int] = []
  var second: [Int] = []
  for i in 0..<a.count {
    guard a.isValid(i) == b.isValid(i) else { return "\(place) row \(i): \(a.json(i)) and \(b.json(i))" }
    guard a.isValid(i) else { continue }
    switch a.type {
    case .null: break
    case .bool: if a.bool(i) != b.bool(i) { return "\(place) row \(i): \(a.json(i)) and \(b.json(i))" }
    case .utf8, .binary, .largeUtf8, .largeBinary, .fixedSizeBinary:
      if !a.bytes(i).elementsEqual(b.bytes(i)) { return "\(place) row \(i): \(a.json(i)) and \(b.json(i))" }
    case .list, .largeList, .map:
      guard a.range(i).count == b.range(i).count else { return "\(place) row \(i): \(a.json(i)) and \(b.json(i))" }
      first += Array(a.range(i))
      second += Array(b.range(i))
    case .fixedSizeList(_, let size):
      first += (a.offset + i) * size..<(a.offset + i + 1) * size
      second += (b.offset + i) * size..<(b.offset + i + 1) * size
    case .structure:
      first.append(a.offset + i)
      second.append(b.offset + i)
    default:
      let width = a.type.byteWidth ?? 0
      if memcmp(a.buffers[0].pointer + (a.offset + i) * width, b.buffers[0].pointer + (b.offset + i) * width, width) != 0 {
        return "\(place) row \(i): \(a.json(i)) and \(b.json(i))"
      }
    }
  }
  for (k, (x, y)) in zip(a.children, b.children).enumerated() where !first.isEmpty {
    guard let p = try? x.take(first.map { Int32($0) }), let q = try? y.take(second.map { Int32($0) }) else {
      return "\(place): take failed"
    }
    if let found = difference(p, q, "\(place).\(k)") { return found }
  }
  return nil
}

/// Columns of `n` rows of every type that we write, by name.
enum Samples {
  static let names = [
    "int8", "int16", "int32", "int64", "int64 sequence", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "bool",
    "constant", "utf8", "long utf8", "large utf8", "binary", "wide binary", "fixed binary", "date32", "date64", "time32",
    "time64",
    "timestamp", "timestamp utc", "duration", "decimal", "null", "all null", "vector", "wide vector", "image", "bools",
    "matrix", "list",
    "large list of text", "list of wide text", "list of vectors", "list of wide vectors", "list of lists", "sparse lists",
    "empty lists", "struct",
    "list of structs", "struct of list", "map", "dictionary",
  ]

  /// A small generator of pseudo-random numbers (splitmix64).
  struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  static func column(_ name: String, _ n: Int, nulls: Bool) throws -> Column {
    var random = Random(state: UInt64(n) &+ (nulls ? 1 : 0))
    func isNull(_ i: Int) -> Bool { nulls && (i % 7 == 3 || (40..<60).contains(i % 211)) }
    func numbers<T: FixedWidthInteger & BitwiseCopyable>(_ type: DataType, _: T.Type, _ make: (Int) -> T) throws -> Column {
      try Column.make(type, (0..<n).map { isNull($0) ? nil : make($0) })
    }
    func texts(_ type: DataType, _ make: (Int) -> String) throws -> Column {
      try Column.utf8((0..<n).map { isNull($0) ? nil : make($0) }, type: type)
    }
    func withNulls(_ column: Column) throws -> Column {
      guard nulls, n > 0 else { return column }
      let bits = try Bitmap.filled(n, true)
      for i in 0..<n where isNull(i) { Bitmap.set(bits.pointer, i, false) }
      return Column(type: column.type, count: n, validity: bits, buffers: column.buffers, children: column.children)
    }
    func lengths(_ make: (Int) -> Int) -> [Int?] { (0..<n).map { nulls && $0 % 11 == 0 ? nil : make($0) } }
    func total(_ lengths: [Int?]) -> Int { lengths.reduce(0) { $0 + ($1 ?? 0) } }
    func floats(_ count: Int, _ size: Int) throws -> Column {
      let values: [Float] = (0..<count * size).map { Float($0) }
      return Column.vectors(.float32, size: size, count: count, buffer: try Buffer(values))
    }
    switch name {
    case "int8": return try numbers(.int8, Int8.self) { _ in Int8(truncatingIfNeeded: random.next()) }
    case "int16": return try numbers(.int16, Int16.self) { _ in Int16(random.next() % 300) }
    case "int32": return try numbers(.int32, Int32.self) { _ in Int32(truncatingIfNeeded: random.next()) }
    case "int64": return try numbers(.int64, Int64.self) { _ in Int64(bitPattern: random.next()) }
    case "int64 sequence": return try numbers(.int64, Int64.self) { Int64($0) }
    case "uint8": return try numbers(.uint8, UInt8.self) { _ in UInt8(random.next() % 10) }
    case "uint16": return try numbers(.uint16, UInt16.self) { _ in UInt16(truncatingIfNeeded: random.next()) }
    case "uint32": return try numbers(.uint32, UInt32.self) { _ in UInt32(random.next() % 1_000_000) }
    case "uint64": return try numbers(.uint64, UInt64.self) { UInt64(1) << 63 + UInt64($0) }
    case "float16": return try numbers(.float16, UInt16.self) { _ in UInt16(random.next() % 0x7C00) }
    case "float32": return try Column.float32((0..<n).map { isNull($0) ? nil : Float($0) * 0.1 })
    case "float64": return try Column.float64((0..<n).map { isNull($0) ? nil : Double($0) * 0.1 })
    case "bool": return try Column.bool((0..<n).map { isNull($0) ? nil : random.next() % 2 == 0 })
    case "constant": return try numbers(.int64, Int64.self) { _ in -42 }
    case "utf8": return try texts(.utf8) { i in String(repeating: "ä", count: Int(random.next() % 20)) + "\(i)" }
    case "long utf8": return try texts(.utf8) { i in "\(i) " + String(repeating: "lorem ", count: i % 90) }
    case "large utf8": return try texts(.largeUtf8) { i in "row \(i)" }
    case "binary":
      return try Column.binary((0..<n).map { isNull($0) ? nil : [UInt8](repeating: UInt8($0 & 255), count: $0 % 40) })
    case "wide binary":
      return try Column.binary(
        (0..<n).map { isNull($0) ? nil : [UInt8](repeating: UInt8($0 & 255), count: 200 + $0 % 300) }, type: .largeBinary)
    case "fixed binary":
      var builder = ColumnBuilder(.fixedSizeBinary(byteWidth: 5))
      for i in 0..<n {
        if isNull(i) { try builder.appendNull() } else { try builder.append(bytes: [1, 2, 3, UInt8(i & 255), 5]) }
      }
      return try builder.finish()
    case "date32": return try numbers(.date32, Int32.self) { Int32($0 % 5000) }
    case "date64": return try numbers(.date64, Int64.self) { Int64($0 % 5000) * 86_400_000 }
    case "time32": return try numbers(.time32(.second), Int32.self) { Int32($0 % 86400) }
    case "time64": return try numbers(.time64(.nanosecond), Int64.self) { Int64($0) * 1000 }
    case "timestamp":
      return try numbers(.timestamp(.microsecond, timeZone: nil), Int64.self) { 1_700_000_000_000_000 + Int64($0) }
    case "timestamp utc":
      return try numbers(.timestamp(.millisecond, timeZone: "UTC"), Int64.self) { 1_700_000_000_000 + Int64($0) }
    case "duration": return try numbers(.duration(.second), Int64.self) { Int64($0) - 5 }
    case "decimal":
      return try withNulls(
        Column(
          type: .decimal128(precision: 20, scale: 2), count: n,
          buffers: [try Buffer((0..<n).flatMap { (i: Int) -> [Int64] in [Int64(i) * 7 - 99, i * 7 < 99 ? -1 : 0] })]))
    case "null": return Column(type: .null, count: n, buffers: [])
    case "all null": return try Column.nulls(.float64, count: n)
    case "vector": return try withNulls(floats(n, 16))
    case "wide vector": return try withNulls(floats(n, 100))
    case "image":
      let pixels: [UInt8] = (0..<n * 784).map { UInt8(truncatingIfNeeded: $0 / 3) }
      return try withNulls(Column.vectors(.uint8, size: 784, count: n, buffer: try Buffer(pixels)))
    case "bools":
      let bits = try Column.bool((0..<n * 3).map { _ in random.next() % 2 == 0 })
      return try withNulls(Column(type: .vector(.bool, 3), count: n, buffers: [], children: [bits]))
    case "matrix":
      let items = try Column.make(.int16, (0..<n * 6).map { nulls && $0 % 5 == 0 ? nil : Int16(truncatingIfNeeded: $0) })
      let inner = Column(type: .vector(.int16, 3), count: n * 2, buffers: [], children: [items])
      return Column(type: .vector(.vector(.int16, 3), 2), count: n, buffers: [], children: [inner])
    case "list":
      let sizes = lengths { $0 % 5 == 0 ? 0 : $0 % 9 + 1 }
      return try Column.list(
        try Column.int32((0..<total(sizes)).map { nulls && $0 % 4 == 1 ? nil : Int32($0) }), lengths: sizes)
    case "large list of text":
      let sizes = lengths { $0 % 4 }
      return try Column.list(try Column.utf8((0..<total(sizes)).map { "t\($0)" }), lengths: sizes, large: true)
    case "list of wide text":
      let sizes = lengths { $0 % 4 }
      return try Column.list(
        try Column.utf8((0..<total(sizes)).map { nulls && $0 % 4 == 1 ? nil : String(repeating: "x", count: $0 % 500) }),
        lengths: sizes)
    case "list of vectors", "list of wide vectors":
      let sizes = lengths { $0 % 3 }
      let size = name == "list of vectors" ? 4 : 80
      let count = total(sizes)
      return try Column.list(try floats(count, size), lengths: sizes)
    case "list of lists":
      let outer = lengths { $0 % 4 }
      let inner: [Int?] = (0..<total(outer)).map { nulls && $0 % 6 == 0 ? nil : $0 % 3 }
      return try Column.list(
        try Column.list(try Column.int64((0..<total(inner)).map { Int64($0) }), lengths: inner), lengths: outer)
    case "sparse lists":
      let sizes = lengths { $0 % 5000 == 4999 ? 1 : 0 }
      return try Column.list(try Column.int32((0..<total(sizes)).map { Int32($0) }), lengths: sizes)
    case "empty lists": return try Column.list(try Column.int32([]), lengths: lengths { _ in 0 })
    case "struct":
      let inner = DataType.structure([Field("d", .float64)])
      let type = DataType.structure([Field("a", .int32), Field("b", .utf8), Field("c", inner)])
      return try withNulls(
        Column(
          type: type, count: n, buffers: [],
          children: [
            try Column.int32((0..<n).map { nulls && $0 % 3 == 0 ? nil : Int32($0 % 100) }),
            try Column.utf8((0..<n).map { "s\($0)" }),
            Column(type: inner, count: n, buffers: [], children: [try Column.float64((0..<n).map { Double($0) })]),
          ]))
    case "list of structs":
      let sizes = lengths { $0 % 4 }
      let count = total(sizes)
      let tags = try Column.list(
        try Column.utf8((0..<count * 2).map { "t\($0)" }),
        lengths: (0..<count).map { nulls && $0 % 5 == 0 ? nil : ($0 % 5 == 1 ? 0 : 2) })
      let type = DataType.structure([Field("x", .int32), Field("tags", tags.type)])
      let bits = try Bitmap.filled(count, true)
      for i in 0..<count where nulls && i % 6 == 2 { Bitmap.set(bits.pointer, i, false) }
      let items = Column(
        type: type, count: count, validity: bits, buffers: [],
        children: [try Column.int32((0..<count).map { Int32($0) }), tags])
      return try Column.list(items, lengths: sizes)
    case "struct of list":
      let list = try column("list", n, nulls: nulls)
      return try withNulls(
        Column(
          type: .structure([Field("l", list.type), Field("n", .int64)]), count: n, buffers: [],
          children: [list, try Column.int64((0..<n).map { Int64($0) })]))
    case "map":
      let sizes = lengths { $0 % 3 }
      let count = total(sizes)
      let entries = DataType.structure([Field("key", .utf8, isNullable: false), Field("value", .int32)])
      let list = try Column.list(
        Column(
          type: entries, count: count, buffers: [],
          children: [try Column.utf8((0..<count).map { "k\($0)" }), try Column.int32((0..<count).map { Int32($0) })]),
        lengths: sizes)
      return Column(
        type: .map(entries: Field("entries", entries, isNullable: false)), count: n, validity: list.validity,
        buffers: list.buffers,
        children: list.children)
    case "dictionary":
      return try withNulls(
        Column(
          type: .dictionary(index: .uint8, value: .utf8), count: n, buffers: [try Buffer((0..<n).map { UInt8($0 % 3) })],
          children: [try Column.utf8(["red", "green", "blue"])]))
    default: throw Failure(.invalidArgument, "no sample '\(name)'")
    }
  }

  /// What 2.0 cannot store.
  static func isStorable(_ name: String, _ version: LanceFileVersion, nulls: Bool) -> Bool {
    guard version == .v2_0 else { return true }
    return !(name == "map" || (nulls && ["struct", "struct of list", "list of structs", "matrix"].contains(name)))
  }
}
