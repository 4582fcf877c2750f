import Columnar
import Core

/// Codes strings with the symbols of a table: greedy, the longest symbol that fits.
///
/// Symbols of three bytes and more are found by a hash of their first three bytes, one per place, shorter ones by their first two.
struct SymbolCoder {
  /// Length in the upper byte, code in the lower; length 0: no symbol.
  private typealias Entry = UInt16
  private struct Long {
    var bytes: UInt64 = 0
    var mask: UInt64 = .max
    var entry: Entry = 0
  }
  private static let places = 2048

  private var short = [Entry](repeating: 0, count: 1 << 16)
  private var single = [Entry](repeating: 0, count: 256)
  private var long = [Long](repeating: Long(bytes: 1, mask: 0), count: SymbolCoder.places)
  private(set) var symbols: [(bytes: UInt64, length: Int)] = []

  /// Takes `candidates`, best first, until the table is full; a long symbol whose place is taken is left out.
  init(_ candidates: [(bytes: UInt64, length: Int)]) {
    for symbol in candidates where symbols.count < SymbolTable.mostSymbols {
      let entry = Entry(symbol.length << 8 | symbols.count)
      switch symbol.length {
      case 1: single[Int(symbol.bytes & 0xFF)] = entry
      case 2: short[Int(symbol.bytes & 0xFFFF)] = entry
      default:
        let place = SymbolCoder.place(symbol.bytes)
        guard long[place].entry == 0 else { continue }
        long[place] = Long(bytes: symbol.bytes, mask: .max >> UInt64(64 - 8 * symbol.length), entry: entry)
      }
      symbols.append(symbol)
    }
    // A pair without a symbol of its own is coded by its first byte.
    for pair in short.indices where short[pair] == 0 { short[pair] = single[pair & 0xFF] }
  }

  @inline(__always)
  private static func place(_ word: UInt64) -> Int {
    let key = (word & 0xFF_FFFF) &* 2_971_215_073
    return Int(truncatingIfNeeded: (key ^ key >> 15) & UInt64(places - 1))
  }

  /// Calls `emit` with the code (-1: none), first byte and length of each part of `string`.
  @inline(__always)
  private func walk(_ string: UnsafeRawBufferPointer, _ emit: (_ code: Int, _ byte: UInt8, _ length: Int) -> Void) {
    guard let base = string.baseAddress, string.count > 0 else { return }
    short.withUnsafeBufferPointer { short in
      single.withUnsafeBufferPointer { single in
        long.withUnsafeBufferPointer { long in
          var at = 0
          let end = string.count
          // A branch that is guessed right lets the processor begin with the next symbol: faster than asking both tables.
          while at &+ 8 <= end {
            let word = base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let candidate = long[SymbolCoder.place(word)]
            if candidate.bytes == word & candidate.mask {
              emit(Int(candidate.entry & 0xFF), UInt8(truncatingIfNeeded: word), Int(candidate.entry >> 8))
              at &+= Int(candidate.entry >> 8)
              continue
            }
            let pair = short[Int(word & 0xFFFF)]
            if pair >> 8 == 2 {
              emit(Int(pair & 0xFF), UInt8(truncatingIfNeeded: word), 2)
              at &+= 2
            } else {
              emit(pair == 0 ? -1 : Int(pair & 0xFF), UInt8(truncatingIfNeeded: word), 1)
              at &+= 1
            }
          }
          // The last bytes, with zeros behind the end: no symbol may reach beyond it.
          var word: UInt64 = 0
          if end >= 8 {
            let left = end &- at
            if left > 0 { word = base.loadUnaligned(fromByteOffset: end &- 8, as: UInt64.self) &>> UInt64(8 &* (8 &- left)) }
          } else {
            for k in 0..<end { word |= UInt64(base.load(fromByteOffset: k, as: UInt8.self)) &<< UInt64(8 &* k) }
          }
          while at < end {
            let left = end &- at
            let candidate = long[SymbolCoder.place(word)]
            let pair = left > 1 ? short[Int(word & 0xFFFF)] : single[Int(word & 0xFF)]
            let isLong = candidate.bytes == word & candidate.mask && Int(candidate.entry >> 8) <= left
            let entry = isLong ? candidate.entry : pair
            let length = max(1, Int(entry >> 8))
            emit(entry >> 8 == 0 ? -1 : Int(entry & 0xFF), UInt8(truncatingIfNeeded: word), length)
            at &+= length
            word = word &>> UInt64(8 &* length)
          }
        }
      }
    }
  }

  /// Codes `string` to `target`, which has room for twice its bytes; the bytes written.
  func code(_ string: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Int {
    let out = target.assumingMemoryBound(to: UInt8.self)
    var at = 0
    walk(string) { code, byte, _ in
      if code >= 0 {
        out[at] = UInt8(truncatingIfNeeded: code)
        at &+= 1
      } else {
        out[at] = UInt8(SymbolTable.escape)
        out[at &+ 1] = byte
        at &+= 2
      }
    }
    return at
  }

  /// The coder that suits `strings`, found in five rounds on a sample: code it, count symbols and neighbours, keep the parts and
  /// pairs that stand for the most bytes.
  /// - Returns: the coder and coded bytes per byte of the sample.
  static func trained(on strings: Strings) -> (coder: SymbolCoder, ratio: Double) {
    let sample = Sample(strings)
    var coder = SymbolCoder([])
    let rounds = 5
    for round in 0..<rounds { coder = SymbolCoder(coder.candidates(sample, isLast: round == rounds - 1)) }
    var coded = 0
    sample.forEach { coder.walk($0) { code, _, _ in coded += code >= 0 ? 1 : 2 } }
    return (coder, Double(coded) / Double(max(1, sample.bytes.count)))
  }

  /// Strings at even distances, about 32 KiB.
  private struct Sample {
    var bytes: [UInt8] = []
    var ends: [Int] = []
    private static let size = 32 << 10

    init(_ strings: Strings) {
      let mean = max(1, strings.byteCount(0..<strings.count) / max(1, strings.count))
      let wanted = max(1, Sample.size / mean)
      let step = max(1, strings.count / wanted)
      for i in stride(from: 0, to: strings.count, by: step) where bytes.count < Sample.size {
        bytes.append(contentsOf: strings.bytes(i).prefix(Sample.size - bytes.count))
        ends.append(bytes.count)
      }
    }

    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
      bytes.withUnsafeBytes { all in
        var start = 0
        for end in ends {
          body(UnsafeRawBufferPointer(rebasing: all[start..<end]))
          start = end
        }
      }
    }
  }

  /// Symbols for the next round, the most useful first.
  private func candidates(_ sample: Sample, isLast: Bool) -> [(bytes: UInt64, length: Int)] {
    // Parts are numbered: 0...255 a literal byte, 256 + c symbol c.
    let parts = 512
    var single = [Int32](repeating: 0, count: parts)
    var pairs = [Int32](repeating: 0, count: isLast ? 0 : parts * parts)
    sample.forEach { string in
      var before = -1
      walk(string) { code, byte, length in
        let part = code >= 0 ? 256 + code : Int(byte)
        single[part] += 1
        // A longer symbol's first byte may be the better end of the part before it.
        if length > 1 { single[Int(byte)] += 1 }
        if before >= 0, !isLast {
          pairs[before * parts + part] += 1
          if length > 1 { pairs[before * parts + Int(byte)] += 1 }
        }
        before = part
      }
    }
    func symbol(_ part: Int) -> (bytes: UInt64, length: Int) { part < 256 ? (UInt64(part), 1) : symbols[part - 256] }
    var found: [(bytes: UInt64, length: Int, gain: Int)] = []
    for part in 0..<256 + symbols.count where single[part] > 0 {
      let (bytes, length) = symbol(part)
      // A byte without a symbol costs two: single bytes count more than the one byte they stand for.
      found.append((bytes, length, Int(single[part]) * (length == 1 ? 8 : length)))
    }
    if !isLast {
      for first in 0..<256 + symbols.count where single[first] > 0 {
        let a = symbol(first)
        guard a.length < 8 else { continue }
        for second in 0..<256 + symbols.count where pairs[first * parts + second] > 1 {
          let b = symbol(second)
          let length = min(8, a.length + b.length)
          let bytes = (a.bytes | b.bytes << UInt64(8 * a.length)) & (.max >> UInt64(64 - 8 * length))
          found.append((bytes, length, Int(pairs[first * parts + second]) * length))
        }
      }
    }
    // The same bytes may come about in several ways: their gains are one.
    found.sort { ($0.length, $0.bytes) < ($1.length, $1.bytes) }
    var merged: [(bytes: UInt64, length: Int, gain: Int)] = []
    for item in found {
      if let last = merged.last, last.bytes == item.bytes, last.length == item.length {
        merged[merged.count - 1].gain += item.gain
      } else {
        merged.append(item)
      }
    }
    merged.sort { ($0.gain, $0.length, $0.bytes) > ($1.gain, $1.length, $1.bytes) }
    return merged.map { ($0.bytes, $0.length) }
  }
}
