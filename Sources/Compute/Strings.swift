import Columnar
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// String functions. Strings are UTF-8; a character is a Unicode code point. Null stays null.
package enum Strings {
  package enum Transform: String, Sendable, Hashable, CaseIterable {
    case lower, upper, strip
    case stripStart = "strip_start"
    case stripEnd = "strip_end"
  }
  package enum Test: String, Sendable, Hashable, CaseIterable {
    case contains
    case startsWith = "starts_with"
    case endsWith = "ends_with"
    case like
  }

  /// Lower or upper case (full Unicode mapping), or without blanks (space, tab, newlines) at the ends.
  package static func transform(_ how: Transform, _ a: Operand) throws(Failure) -> Operand {
    try map(how.rawValue, a) { bytes, out in
      switch how {
      case .lower, .upper:
        if bytes.allSatisfy({ $0 < 128 }) {
          let (from, delta): (UInt8, UInt8) = how == .lower ? (65, 32) : (97, 224)
          for byte in bytes { out.append(byte >= from && byte < from + 26 ? byte &+ delta : byte) }
        } else {
          let text = String(decoding: bytes, as: UTF8.self)
          out.append(contentsOf: (how == .lower ? text.lowercased() : text.uppercased()).utf8)
        }
      case .strip, .stripStart, .stripEnd:
        var (low, high) = (0, bytes.count)
        if how != .stripEnd { while low < high, isBlank(bytes[low]) { low += 1 } }
        if how != .stripStart { while high > low, isBlank(bytes[high - 1]) { high -= 1 } }
        out.append(contentsOf: bytes[low..<high])
      }
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || (byte >= 9 && byte <= 13) }

  /// Whether `a` contains, starts with or ends with the text of `b` (plain text), or is like the pattern `b`, where `%` is any
  /// text, `_` any one character, and a backslash takes the next character as it is.
  package static func test(_ what: Test, _ a: Operand, _ b: Operand) throws(Failure) -> Operand {
    try need(what.rawValue, a)
    try need(what.rawValue, b)
    let n = [a, b].rowsToCompute(a.count)
    if a.type == .null || b.type == .null || a.isNullConstant || b.isNullConstant {
      let none = try Column.nulls(.bool, count: n)
      return [a, b].areConstant ? Operand(constant: none, count: a.count) : Operand(none)
    }
    let (x, y) = (ByteRows(a.column), ByteRows(b.column))
    if what == .contains, b.isConstant, !a.isConstant, y.bytes(0).count > 0 {
      let hits = try occurrences(of: y.bytes(0), in: x, n)
      defer { withExtendedLifetime(hits) {} }
      return Operand(Column(type: .bool, count: n, validity: try Validity.intersection([a, b], n), buffers: [hits]))
    }
    let column = try Validity.boolColumn(n, validity: try Validity.intersection([a, b], n)) { i in
      let (text, part) = (x.bytes(i &* a.step), y.bytes(i &* b.step))
      switch what {
      case .contains: return find(part, in: text, from: 0) != nil
      case .startsWith: return part.count <= text.count && text[..<part.count].elementsEqual(part)
      case .endsWith: return part.count <= text.count && text[(text.count - part.count)...].elementsEqual(part)
      case .like: return matches(text, pattern: part)
      }
    }
    return [a, b].areConstant ? Operand(constant: column, count: a.count) : Operand(column)
  }

  /// `LIKE`: the last `%` seen takes one character more whenever the rest does not fit, so time is at most text times pattern.
  private static func matches(_ text: UnsafeBufferPointer<UInt8>, pattern: UnsafeBufferPointer<UInt8>) -> Bool {
    let (percent, underscore, escape) = (UInt8(ascii: "%"), UInt8(ascii: "_"), UInt8(ascii: "\\"))
    func nextCharacter(_ i: Int) -> Int {
      var next = i + 1
      while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
      return next
    }
    var (t, p) = (0, 0)
    var retry: (text: Int, pattern: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == percent {
        p += 1
        retry = (t, p)
        continue
      }
      if p < pattern.count, pattern[p] == underscore {
        (t, p) = (nextCharacter(t), p + 1)
        continue
      }
      if p < pattern.count {
        let width = pattern[p] == escape && p + 1 < pattern.count ? 2 : 1
        if text[t] == pattern[p + width - 1] {
          (t, p) = (t + 1, p + width)
          continue
        }
      }
      guard let last = retry else { return false }
      (t, p) = (nextCharacter(last.text), last.pattern)
      retry = (t, p)
    }
    while p < pattern.count, pattern[p] == percent { p += 1 }
    return p == pattern.count
  }

  /// A bit per row: does it contain `part`, which is not empty? The text of all rows is searched as one.
  private static func occurrences(of part: UnsafeBufferPointer<UInt8>, in rows: ByteRows, _ n: Int) throws(Failure) -> Buffer {
    let bits = try Buffer(byteCount: Bitmap.byteCount(n))
    guard n > 0, let needle = part.baseAddress else { return bits }
    let end = rows.bytes(n - 1).baseAddress.map { $0 + rows.bytes(n - 1).count }
    guard var at = rows.bytes(0).baseAddress, let end else { return bits }
    var row = 0
    while end - at >= part.count {
      guard let found = memchr(at, Int32(needle[0]), end - at - part.count + 1) else { break }
      let hit = UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
      guard hit[part.count - 1] == needle[part.count - 1], memcmp(hit, needle, part.count) == 0 else {
        at = hit + 1
        continue
      }
      // The row of the hit: the last one that begins at or before it. Null rows may hold text of their own, which is masked.
      while true {
        let (start, count) = rows.span(row)
        if hit < start + count { break }
        row += 1
      }
      let (start, count) = rows.span(row)
      if hit + part.count <= start + count {
        Bitmap.set(bits.pointer, row, true)
        at = start + count
        row += 1
        if row == n { break }
      } else {
        at = hit + 1
      }
    }
    return bits
  }

  /// First position of `part` in `text` at or after `from`.
  private static func find(_ part: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>, from: Int) -> Int? {
    let m = part.count
    if m == 0 { return from <= text.count ? from : nil }
    guard text.count >= m else { return nil }
    let first = part[0]
    var i = from
    while i <= text.count - m {
      if text[i] == first {
        var j = 1
        while j < m, text[i + j] == part[j] { j += 1 }
        if j == m { return i }
      }
      i += 1
    }
    return nil
  }

  /// Every occurrence of `old` replaced by `new` (plain text). An empty `old` changes nothing.
  package static func replace(_ a: Operand, old: String, new: String) throws(Failure) -> Operand {
    let (what, with) = (Array(old.utf8), Array(new.utf8))
    return try map("replace", a) { bytes, out in
      what.withUnsafeBufferPointer { part in
        var at = 0
        while !part.isEmpty, let hit = find(part, in: bytes, from: at) {
          out.append(contentsOf: bytes[at..<hit])
          out.append(contentsOf: with)
          at = hit + part.count
        }
        out.append(contentsOf: bytes[at...])
      }
    }
  }

  /// Characters `start` to `start + length - 1`; positions count from 1, -1 is the last. Without `length`, to the end.
  package static func slice(_ a: Operand, start: Int, length: Int?) throws(Failure) -> Operand {
    if start == 0 { throw Failure(.invalidArgument, "slice: positions count from 1 (-1 is the last), not from 0") }
    if let length, length < 0 { throw Failure(.invalidArgument, "slice: a length of \(length) is not possible") }
    return try map("slice", a) { bytes, out in
      let total = characters(bytes)
      let first = start > 0 ? start - 1 : max(0, total + start)
      let end = min(total, length.map { (start < 0 && total + start < 0 ? total + start : first) + $0 } ?? total)
      guard first < end else { return }
      var (at, seen) = (0, 0)
      while at < bytes.count, seen < end {
        var next = at + 1
        while next < bytes.count, bytes[next] & 0xC0 == 0x80 { next += 1 }
        if seen >= first { out.append(contentsOf: bytes[at..<next]) }
        seen += 1
        at = next
      }
    }
  }

  private static func characters(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var n = 0
    for byte in bytes where byte & 0xC0 != 0x80 { n += 1 }
    return n
  }

  /// Characters (or, with `bytes`, bytes) of each string as int64.
  package static func length(_ a: Operand, bytes: Bool = false) throws(Failure) -> Operand {
    try need("length", a)
    let c = a.column
    if c.type == .null { return a.with(try Column.nulls(.int64, count: c.count)) }
    let rows = ByteRows(c)
    let out = try Buffer(byteCount: c.count * 8)
    let z = out.mutableValues(of: Int64.self)
    for i in 0..<c.count { z[i] = Int64(bytes ? rows.span(i).1 : characters(rows.bytes(i))) }
    return a.with(Column(type: .int64, count: c.count, validity: try Validity.aligned(c), buffers: [out]))
  }

  /// The texts of all operands behind each other with `separator` between; null where one is null.
  package static func concat(_ parts: [Operand], separator: String = "") throws(Failure) -> Operand {
    guard let first = parts.first else { throw Failure(.invalidArgument, "concat needs at least one expression") }
    for part in parts { try need("concat", part) }
    let n = parts.rowsToCompute(first.count)
    if parts.contains(where: { $0.type == .null }) {
      let none = try Column.nulls(.utf8, count: n)
      return parts.areConstant ? Operand(constant: none, count: first.count) : Operand(none)
    }
    let rows = parts.map { ByteRows($0.column) }
    let valid = try Validity.intersection(parts, n)
    let glue = Array(separator.utf8)
    let column = try build(n, valid) { i, out in
      for (k, part) in parts.enumerated() {
        if k > 0 { out.append(contentsOf: glue) }
        let texts = rows[k]
        out.append(contentsOf: texts.bytes(i * part.step))
      }
    }
    return parts.areConstant ? Operand(constant: column, count: first.count) : Operand(column)
  }

  /// The parts of each string between occurrences of `separator`, as a list of strings. `""` gives one empty part.
  package static func split(_ a: Operand, separator: String) throws(Failure) -> Operand {
    try need("split", a)
    if separator.isEmpty { throw Failure(.invalidArgument, "split: the separator must not be empty") }
    let c = a.column
    let listType = DataType.list(Field("item", .utf8))
    if c.type == .null { return a.with(try Column.nulls(listType, count: c.count)) }
    let rows = ByteRows(c)
    var parts = ColumnBuilder(.utf8)
    var lengths: [Int?] = []
    let glue = Array(separator.utf8)
    for i in 0..<c.count {
      guard c.isValid(i) else {
        lengths.append(nil)
        continue
      }
      let text = rows.bytes(i)
      var (at, pieces) = (0, 1)
      while let hit = glue.withUnsafeBufferPointer({ find($0, in: text, from: at) }) {
        try parts.append(bytes: text[at..<hit])
        at = hit + glue.count
        pieces += 1
      }
      try parts.append(bytes: text[at...])
      lengths.append(pieces)
    }
    return a.with(try Column.list(try parts.finish(), lengths: lengths))
  }

  private static func need(_ name: String, _ a: Operand) throws(Failure) {
    guard a.type.isString || a.type == .null else {
      throw Failure(.typeMismatch, "\(name) needs a String, not \(a.type)")
    }
  }

  private static func map(
    _ name: String, _ a: Operand, _ f: (UnsafeBufferPointer<UInt8>, inout [UInt8]) -> Void
  ) throws(Failure) -> Operand {
    try need(name, a)
    if a.type == .null { return a.with(try Column.nulls(.utf8, count: a.column.count)) }
    let rows = ByteRows(a.column)
    return a.with(try build(a.column.count, try Validity.aligned(a.column)) { i, out in f(rows.bytes(i), &out) })
  }

  private static func build(_ n: Int, _ valid: Buffer?, _ f: (Int, inout [UInt8]) -> Void) throws(Failure) -> Column {
    var data: [UInt8] = []
    var offsets: [Int64] = [0]
    offsets.reserveCapacity(n + 1)
    for i in 0..<n {
      if valid.map({ Bitmap.get($0.pointer, i) }) ?? true { f(i, &data) }
      offsets.append(Int64(data.count))
    }
    let large = data.count > Int(Int32.max)
    if large { throw Failure(.memoryLimit, "\(data.count) bytes of text do not fit one String column; use smaller batches") }
    return Column(
      type: .utf8, count: n, validity: valid,
      buffers: [try Buffer(offsets.map { Int32(truncatingIfNeeded: $0) }), try Buffer(data)])
  }
}
