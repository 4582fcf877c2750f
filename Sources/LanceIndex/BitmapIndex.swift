import Columnar
import Compute
import Core
import LanceFile
import LanceProto
import LanceTable

/// The rows of each distinct value (Lance's BITMAP), for columns of few values.
///
///     bitmap_page_lookup.lance   keys (the value, null first), bitmaps binary:
///                                u32 n, then n x { u32 fragment id, u32 bytes (0: the whole fragment), roaring bitmap of offsets }
struct BitmapIndex {
  private let file: LanceFileReader
  private static let fileName = "bitmap_page_lookup.lance"

  init(_ folder: IndexFolder) throws(Failure) { file = try folder.open(BitmapIndex.fileName) }

  /// Addresses of the rows whose value meets `query`, in no order; nil when a value covers whole fragments without naming rows.
  func addresses(_ query: ScalarQuery) throws(Failure) -> [UInt64]? {
    let whole = try file.wholeFile()
    let keys = try file.read(try whole.selecting(["keys"]), rows: 0..<file.rowCount).columns[0]
    let chosen = try query.matching(keys)
    let bitmaps = try file.take(try whole.selecting(["bitmaps"]), rows: chosen.map { Int($0) }).columns[0]
    guard bitmaps.type.isBinary else { throw Failure(.corruptData, "\(file.path): its bitmaps are \(bitmaps.type)") }
    var found: [UInt64] = []
    for i in 0..<bitmaps.count where bitmaps.isValid(i) {
      let isComplete = try withExtendedLifetime(bitmaps) { () throws(Failure) in try add(bitmaps.bytes(i), to: &found) }
      if !isComplete { return nil }
    }
    return found
  }

  private func add(_ bytes: UnsafeRawBufferPointer, to found: inout [UInt64]) throws(Failure) -> Bool {
    var reader = ByteReader(bytes, what: "\(file.path): a bitmap")
    let fragments: UInt32 = try reader.read()
    for _ in 0..<fragments {
      let id: UInt32 = try reader.read()
      let size: UInt32 = try reader.read()
      guard size > 0 else { return false }
      let offsets = try RoaringBitmap.decode(try reader.take(Int(size)), what: "\(file.path): a bitmap of fragment \(id)")
      for offset in offsets { found.append(UInt64(id) << 32 | UInt64(offset)) }
    }
    return true
  }

  /// Writes the file of an index over `rows`.
  static func write(_ rows: AddressedValues, to folder: IndexFolder, _ files: NewFiles) throws(Failure) -> [PBIndexFile] {
    let order = try rows.order()
    let starts = try starts(rows.values, order)
    let schema = Schema([Field("keys", rows.values.type), Field("bitmaps", .binary)])
    let written = try folder.write(fileName, schema, files) { writer throws(Failure) in
      var at = 0
      while at < starts.count {
        try Cancellation.check()
        let until = min(starts.count, at + 1024)
        var bitmaps: [[UInt8]?] = []
        for i in at..<until {
          let end = i + 1 < starts.count ? starts[i + 1] : order.count
          bitmaps.append(bitmap(order[starts[i]..<end].map { rows.addresses[Int($0)] }.sorted()))
        }
        let keys = try rows.values.take(starts[at..<until].map { order[$0] })
        try writer.write(try RecordBatch(schema: schema, columns: [keys, try Column.binary(bitmaps)]))
        at = until
      }
    }
    return [written]
  }

  /// Where in `order` each distinct value begins.
  private static func starts(_ values: Column, _ order: [Int32]) throws(Failure) -> [Int] {
    guard order.count > 0 else { return [] }
    let sorted = try values.take(order)
    let nulls = sorted.nullCount
    var starts = nulls > 0 ? [0] : []
    guard order.count > nulls else { return starts }
    starts.append(nulls)
    let present = sorted.slice(nulls, sorted.count - nulls)
    guard present.count > 1 else { return starts }
    let (before, after) = (present.slice(0, present.count - 1), present.slice(1, present.count - 1))
    let differ = try Selection.indices(try Comparison.apply(.notEqual, Operand(before), Operand(after)))
    // NaN differs from itself and is one key all the same: NaNs stand last.
    let same =
      present.type.isFloat ? try Selection.indices(try Comparison.apply(.equal, Operand(before), Operand(before))) : nil
    let numbers = same.map { Int($0.last ?? -1) + 1 } ?? present.count
    for i in differ where Int(i) < numbers { starts.append(nulls + Int(i) + 1) }
    return starts
  }

  /// - Parameter addresses: ascending.
  private static func bitmap(_ addresses: [UInt64]) -> [UInt8] {
    var groups: [(id: UInt32, bytes: [UInt8])] = []
    var at = 0
    while at < addresses.count {
      let id = addresses[at] >> 32
      let end = addresses[at...].firstIndex { $0 >> 32 != id } ?? addresses.count
      let offsets = addresses[at..<end].map { UInt32(truncatingIfNeeded: $0) }
      groups.append((UInt32(truncatingIfNeeded: id), RoaringBitmap.encode(offsets)))
      at = end
    }
    var out = ByteWriter()
    out.write(UInt32(groups.count))
    for group in groups {
      out.write(group.id)
      out.write(UInt32(group.bytes.count))
      out.write(group.bytes)
    }
    return out.bytes
  }
}
