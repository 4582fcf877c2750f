import Core
import TensorKernels

/// Reads a zip container whose entries are stored as they are, as PyTorch writes them; knows zip64.
///
/// Where an entry lies comes from the central directory at the end:
/// ```
/// local header 0 | data 0 | local header 1 | data 1 | ... | central directory | [zip64 end, locator] | end
/// ```
/// All of it is checked before any of it is used: places inside the file, no two entries over each other, headers that agree
/// with the directory, no compression, no encryption; and the CRC when an entry is read. Names are only names: nothing is
/// written anywhere. Source: PKWARE's APPNOTE.TXT 6.3.10.
struct StoredZip {
  struct Entry {
    let name: String
    /// The first byte of its local header, of its data, and the one after its data.
    let header, start, end: Int
    let crc: UInt32
  }
  /// In the order of the file.
  let entries: [Entry]
  private let byName: [String: Int]
  private let bytes: UnsafeRawBufferPointer

  /// `bytes` must outlive this.
  init(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    self.bytes = bytes
    let directory = try StoredZip.directory(bytes)
    var reader = ByteReader(bytes, at: directory.start, what: "zip directory")
    var found: [Entry] = []
    for _ in 0..<directory.count {
      found.append(try StoredZip.entry(&reader, bytes, directoryAt: directory.start))
    }
    guard reader.offset == directory.end else {
      throw StoredZip.bad("the directory ends at byte \(reader.offset), but says \(directory.end)")
    }
    found.sort { $0.header < $1.header }
    for (a, b) in zip(found, found.dropFirst()) where b.header < a.end {
      throw StoredZip.bad("the entries '\(a.name)' and '\(b.name)' lie over each other")
    }
    var names: [String: Int] = [:]
    for (i, entry) in found.enumerated() {
      guard names.updateValue(i, forKey: entry.name) == nil else {
        throw StoredZip.bad("the entry '\(entry.name)' is there twice")
      }
    }
    (entries, byName) = (found, names)
  }

  func entry(_ name: String) -> Entry? { byName[name].map { entries[$0] } }

  /// The bytes of an entry, inside those that this was made of.
  /// - Throws: `CORRUPT_DATA` when they do not have the CRC that the directory gives.
  func data(_ entry: Entry) throws(Failure) -> UnsafeRawBufferPointer {
    let data = UnsafeRawBufferPointer(rebasing: bytes[entry.start..<entry.end])
    guard Kernels.crc32(data) == entry.crc else { throw StoredZip.bad("the bytes of '\(entry.name)' do not have their CRC") }
    return data
  }

  private static func bad(_ message: String) -> Failure { Failure(.corruptData, "zip: \(message)") }

  /// Where the central directory is and how many entries it has.
  private static func directory(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> (start: Int, end: Int, count: Int) {
    let end = try endRecord(bytes)
    var reader = ByteReader(bytes, at: end + 4, what: "zip end")
    let (disk, first, here, all): (UInt16, UInt16, UInt16, UInt16) = (
      try reader.read(), try reader.read(), try reader.read(), try reader.read()
    )
    let (size, start): (UInt32, UInt32) = (try reader.read(), try reader.read())
    guard disk == first, here == all else { throw bad("an archive in several parts") }
    var numbers = (start: UInt64(start), size: UInt64(size), count: UInt64(all))
    var limit = end
    if end >= 20, bytes.loadUnaligned(fromByteOffset: end - 20, as: UInt32.self).littleEndian == 0x0706_4b50 {
      var locator = ByteReader(bytes, at: end - 12, what: "zip64 locator")
      let at: UInt64 = try locator.read()
      guard let position = Int(exactly: at), position <= end - 20 - 56 else { throw bad("the zip64 end is not in the file") }
      limit = position
      var large = ByteReader(bytes, at: position, what: "zip64 end")
      guard try large.read(UInt32.self) == 0x0606_4b50 else { throw bad("no zip64 end at byte \(position)") }
      try large.skip(8 + 2 + 2)
      let (disk, first): (UInt32, UInt32) = (try large.read(), try large.read())
      let (here, all): (UInt64, UInt64) = (try large.read(), try large.read())
      let (size, start): (UInt64, UInt64) = (try large.read(), try large.read())
      guard disk == first, here == all else { throw bad("an archive in several parts") }
      // Where both ends have a number they must agree, or two readers would see two archives.
      guard numbers.start == 0xffff_ffff || numbers.start == start, numbers.size == 0xffff_ffff || numbers.size == size,
        numbers.count == 0xffff || numbers.count == all
      else { throw bad("its two ends do not agree") }
      numbers = (start, size, all)
    }
    guard let start = Int(exactly: numbers.start), let size = Int(exactly: numbers.size), start <= limit, size <= limit - start,
      numbers.count <= UInt64(size / 46)
    else {
      throw bad("a directory of \(numbers.count) entries in \(numbers.size) bytes at \(numbers.start) is not in the file")
    }
    return (start, start + size, Int(numbers.count))
  }

  /// The position of the end record: its comment must reach the end of the file.
  private static func endRecord(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> Int {
    var at = bytes.count - 22
    while at >= 0, at >= bytes.count - 22 - 0xffff {
      if bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self).littleEndian == 0x0605_4b50,
        at + 22 + Int(bytes.loadUnaligned(fromByteOffset: at + 20, as: UInt16.self).littleEndian) == bytes.count
      {
        return at
      }
      at -= 1
    }
    throw bad("no end of an archive: the file is cut short or not a zip file")
  }

  /// The next entry of the directory, checked against its local header.
  private static func entry(
    _ reader: inout ByteReader, _ bytes: UnsafeRawBufferPointer, directoryAt: Int
  ) throws(Failure) -> Entry {
    guard try reader.read(UInt32.self) == 0x0201_4b50 else { throw bad("no entry at byte \(reader.offset - 4)") }
    try reader.skip(4)
    let (flags, method): (UInt16, UInt16) = (try reader.read(), try reader.read())
    try reader.skip(4)
    let crc: UInt32 = try reader.read()
    let (packedSize, plainSize): (UInt32, UInt32) = (try reader.read(), try reader.read())
    let (nameCount, extraCount, noteCount): (UInt16, UInt16, UInt16) = (
      try reader.read(), try reader.read(), try reader.read()
    )
    try reader.skip(2 + 2 + 4)
    let place: UInt32 = try reader.read()
    let nameBytes = try reader.take(Int(nameCount))
    let name = String(decoding: nameBytes, as: UTF8.self)
    let extra = try reader.take(Int(extraCount))
    try reader.skip(Int(noteCount))
    let sizes = try large(extra, [plainSize, packedSize, place], name)
    guard flags & 1 == 0 else { throw bad("the entry '\(name)' is encrypted") }
    guard method == 0 else {
      throw Failure(.unsupported, "zip: the entry '\(name)' is compressed (method \(method)); only stored ones are read")
    }
    guard sizes[0] == sizes[1] else { throw bad("the entry '\(name)' is stored, but has two sizes") }
    guard let header = Int(exactly: sizes[2]), header <= directoryAt, let size = Int(exactly: sizes[0]) else {
      throw bad("the entry '\(name)' is not in the file")
    }
    var local = ByteReader(bytes, at: header, what: "zip entry '\(name)'")
    guard try local.read(UInt32.self) == 0x0403_4b50 else { throw bad("no header of '\(name)' at byte \(header)") }
    try local.skip(2)
    let (localFlags, localMethod): (UInt16, UInt16) = (try local.read(), try local.read())
    try local.skip(4 + 4)
    let localSize: UInt32 = try local.read()
    try local.skip(4)
    let (localName, localExtra): (UInt16, UInt16) = (try local.read(), try local.read())
    // Sizes may follow the data (flag 8) or be in the extra field (all ones); the directory's are what counts.
    let sizeAgrees = localFlags & 8 != 0 || localSize == UInt32.max || UInt64(localSize) == sizes[1]
    guard localMethod == 0, localFlags & 1 == 0, sizeAgrees, try local.take(Int(localName)).elementsEqual(nameBytes) else {
      throw bad("the header of '\(name)' does not agree with the directory")
    }
    try local.skip(Int(localExtra))
    guard local.offset <= directoryAt, size <= directoryAt - local.offset else {
      throw bad("the entry '\(name)' of \(size) bytes at \(local.offset) reaches into the directory")
    }
    return Entry(name: name, header: header, start: local.offset, end: local.offset + size, crc: crc)
  }

  /// The three numbers, those that are all ones taken from the zip64 extra field.
  private static func large(_ extra: UnsafeRawBufferPointer, _ small: [UInt32], _ name: String) throws(Failure) -> [UInt64] {
    guard small.contains(UInt32.max) else { return small.map(UInt64.init) }
    var reader = ByteReader(extra, what: "zip extra field of '\(name)'")
    while reader.remaining >= 4 {
      let (id, count): (UInt16, UInt16) = (try reader.read(), try reader.read())
      guard id == 1 else {
        try reader.skip(Int(count))
        continue
      }
      var out: [UInt64] = []
      for number in small { out.append(number == UInt32.max ? try reader.read() : UInt64(number)) }
      return out
    }
    throw bad("the entry '\(name)' lacks its large sizes")
  }
}
