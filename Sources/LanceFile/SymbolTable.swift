import Core

/// The symbols of FSST string compression: code c stands for 1 to 8 bytes, code 255 for the literal byte after it.
///
/// `u64 header` (magic "TSSF" in the upper half, bit 24: compression used, low byte: symbols n), then n 8-byte symbols,
/// then n length bytes; 2312 bytes with the unused end. Source: Boncz, Neumann, Leis, "FSST: Fast Random Access String Compression".
struct SymbolTable: Sendable {
  static let byteCount = 8 + 256 * 8 + 256
  static let mostSymbols = 255
  /// The code that stands before a literal byte.
  static let escape = 255

  let isUsed: Bool
  let count: Int
  /// 256 symbols and lengths; those of codes without a symbol have length 0.
  private let symbols: [UInt64]
  private let lengths: [UInt8]

  /// A table of `symbols`: bytes (first one lowest) and lengths, at most 255 of them.
  init(_ symbols: [(bytes: UInt64, length: Int)]) {
    isUsed = true
    count = min(symbols.count, SymbolTable.mostSymbols)
    let rest = 256 - count
    self.symbols = symbols.prefix(count).map(\.bytes) + [UInt64](repeating: 0, count: rest)
    lengths = symbols.prefix(count).map { UInt8(truncatingIfNeeded: $0.length) } + [UInt8](repeating: 0, count: rest)
  }

  init(_ bytes: [UInt8]) throws(Failure) {
    func word(_ at: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) } }
    guard bytes.count >= 8, word(0) >> 32 == 0x4653_5354 else {
      throw Failure(.corruptData, "the FSST symbol table is damaged")
    }
    let header = word(0)
    isUsed = header >> 24 & 1 == 1
    let n = Int(header & 255)
    guard bytes.count >= 8 + 9 * n else { throw Failure(.corruptData, "the FSST symbol table is cut short") }
    count = n
    symbols = (0..<n).map { word(8 + 8 * $0) } + [UInt64](repeating: 0, count: 256 - n)
    lengths = (0..<n).map { bytes[8 + 8 * n + $0] } + [UInt8](repeating: 0, count: 256 - n)
    guard lengths.prefix(n).allSatisfy({ (1...8).contains($0) }) else {
      throw Failure(.corruptData, "the FSST symbol table is damaged")
    }
  }

  /// The table as it stands in a page's description.
  var bytes: [UInt8] {
    var out = ByteWriter(reserving: SymbolTable.byteCount)
    out.write(UInt64(0x4653_5354) << 32 | 1 << 24 | UInt64(count))
    for symbol in symbols.prefix(count) { out.write(symbol) }
    out.write(lengths.prefix(count))
    out.write(repeatElement(0, count: SymbolTable.byteCount - out.count))
    return out.bytes
  }

  /// The most bytes that `count` coded bytes stand for.
  func bound(_ count: Int) -> Int { isUsed ? count * 8 : count }

  /// Decodes `source` to `target`, which has room for `bound(source.count)` bytes plus 8 spare; the bytes written.
  func decode(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) throws(Failure) -> Int {
    guard source.count > 0, let base = source.baseAddress else { return 0 }
    var written = 0
    try decode(base, count: 1, end: { $0 == 0 ? 0 : source.count }, to: target) { _, at in written = at }
    return written
  }

  /// Decodes `count` strings that stand one after the other at `base`: string i is bytes `end(i) ..< end(i + 1)`, which were checked
  /// to ascend. `target` has room for all; `ended` is called with i and the bytes written up to the end of string i.
  @inline(__always)
  func decode(
    _ base: UnsafeRawPointer, count: Int, end: (Int) -> Int, to target: UnsafeMutableRawPointer, _ ended: (Int, Int) -> Void
  ) throws(Failure) {
    var bad = 0
    symbols.withUnsafeBufferPointer { symbols in
      lengths.withUnsafeBufferPointer { lengths in
        guard let symbols = symbols.baseAddress, let lengths = lengths.baseAddress else { return }
        var at = 0
        var i = end(0)
        for string in 0..<count {
          let stop = end(string &+ 1)
          guard isUsed else {
            (target + at).copyMemory(from: base + i, byteCount: stop &- i)
            at &+= stop &- i
            i = stop
            ended(string, at)
            continue
          }
          while i < stop {
            // Eight bytes are written and the symbol's length of them count: no branch on the length.
            let code = Int(base.load(fromByteOffset: i, as: UInt8.self))
            target.storeBytes(of: symbols[code], toByteOffset: at, as: UInt64.self)
            let length = Int(lengths[code])
            at &+= length
            i &+= 1
            guard length == 0 else { continue }
            if code == SymbolTable.escape, i < stop {
              target.storeBytes(of: base.load(fromByteOffset: i, as: UInt8.self), toByteOffset: at, as: UInt8.self)
              at &+= 1
              i &+= 1
            } else {
              bad += 1
            }
          }
          ended(string, at)
        }
      }
    }
    guard bad == 0 else { throw Failure(.corruptData, "FSST codes that are not in the symbol table") }
  }
}
