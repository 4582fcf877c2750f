package import Core

/// The portable 32-bit Roaring format (https://github.com/RoaringBitmap/RoaringFormatSpec), as used by `.bin` deletion
/// files and by an index's fragment bitmap. In memory a set is a sorted array of distinct numbers.
///
///     u32 cookie      12346: no run containers; u32 number of containers follows
///                     12347 in the low 16 bits: containers - 1 in the high 16 bits, a bit set of run containers follows
///     per container   u16 key (high half of its numbers), u16 cardinality - 1
///     per container   u32 position from the start of the bitmap (with run containers: only from 4 containers on)
///     containers      <= 4096 numbers: u16 each; more: 8192 bytes of bits; run: u16 runs, { u16 first, u16 length - 1 }
package enum RoaringBitmap {
  private static let plainCookie: UInt32 = 12346
  private static let runCookie: UInt32 = 12347
  private static let arrayLimit = 4096
  private static let noOffsetThreshold = 4

  /// The sorted numbers of a serialized bitmap.
  /// - Throws: `CORRUPT_DATA` naming `what` when sizes, order or positions do not fit.
  package static func decode(_ bytes: UnsafeRawBufferPointer, what: String) throws(Failure) -> [UInt32] {
    var reader = ByteReader(bytes, what: what)
    func fail(_ why: String) -> Failure { Failure(.corruptData, "\(what) is not a valid bitmap: \(why)") }
    let cookie: UInt32 = try reader.read()
    var containers: Int
    var runFlags: UnsafeRawBufferPointer?
    if cookie == plainCookie {
      containers = Int(try reader.read(UInt32.self))
    } else if cookie & 0xFFFF == runCookie {
      containers = Int(cookie >> 16) + 1
      runFlags = try reader.take((containers + 7) / 8)
    } else {
      throw fail("it begins with \(cookie)")
    }
    guard containers <= 1 << 16 else { throw fail("\(containers) containers") }
    var keys: [(key: UInt32, count: Int)] = []
    keys.reserveCapacity(min(containers, reader.remaining / 4))
    for _ in 0..<containers {
      let key: UInt16 = try reader.read()
      let cardinality: UInt16 = try reader.read()
      if let last = keys.last, last.key >= UInt32(key) { throw fail("its keys are out of order") }
      keys.append((UInt32(key), Int(cardinality) + 1))
    }
    // Containers lie in order, so their positions add nothing that could be trusted more.
    if runFlags == nil || containers >= noOffsetThreshold { try reader.skip(containers * 4) }
    var numbers: [UInt32] = []
    for (i, (key, count)) in keys.enumerated() {
      let high = key << 16
      let before = numbers.count
      if let runFlags, runFlags[i / 8] >> UInt8(i % 8) & 1 == 1 {
        let runs: UInt16 = try reader.read()
        var next = 0
        for _ in 0..<runs {
          let first = Int(try reader.read(UInt16.self))
          let last = first + Int(try reader.read(UInt16.self))
          guard first >= next, last <= 0xFFFF else { throw fail("a run is out of order") }
          for low in first...last { numbers.append(high | UInt32(low)) }
          next = last + 1
        }
      } else if count <= arrayLimit {
        var next = 0
        for _ in 0..<count {
          let low = Int(try reader.read(UInt16.self))
          guard low >= next else { throw fail("its numbers are out of order") }
          numbers.append(high | UInt32(low))
          next = low + 1
        }
      } else {
        let bits = try reader.take(8192)
        for word in 0..<1024 {
          var rest = UInt64(littleEndian: bits.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self))
          while rest != 0 {
            numbers.append(high | UInt32(word * 64 + rest.trailingZeroBitCount))
            rest &= rest - 1
          }
        }
      }
      guard numbers.count - before == count else {
        throw fail("a container holds \(numbers.count - before) numbers and says \(count)")
      }
    }
    return numbers
  }

  package static func decode(_ bytes: [UInt8], what: String) throws(Failure) -> [UInt32] {
    let result: Result<[UInt32], Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try decode(raw, what: what)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// The bitmap of `numbers`, which are sorted and distinct.
  package static func encode(_ numbers: [UInt32]) -> [UInt8] {
    var groups: [(key: UInt16, range: Range<Int>)] = []
    var start = 0
    while start < numbers.count {
      let key = numbers[start] >> 16
      var end = start
      while end < numbers.count, numbers[end] >> 16 == key { end += 1 }
      groups.append((UInt16(key), start..<end))
      start = end
    }
    var out = ByteWriter()
    out.write(plainCookie)
    out.write(UInt32(groups.count))
    for group in groups {
      out.write(group.key)
      out.write(UInt16(group.range.count - 1))
    }
    var position = 8 + groups.count * 8
    for group in groups {
      out.write(UInt32(position))
      position += group.range.count <= arrayLimit ? group.range.count * 2 : 8192
    }
    for group in groups {
      if group.range.count <= arrayLimit {
        for i in group.range { out.write(UInt16(truncatingIfNeeded: numbers[i])) }
      } else {
        var bits = [UInt8](repeating: 0, count: 8192)
        for i in group.range { bits[Int(numbers[i] & 0xFFFF) >> 3] |= 1 << UInt8(numbers[i] & 7) }
        out.write(bits)
      }
    }
    return out.bytes
  }
}
