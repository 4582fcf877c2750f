import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Bytes of whole CSV records and the line they begin at.
struct CSVBlock: Sendable {
  var bytes: [UInt8]
  /// Line of the first byte, from 1.
  var line: Int
}

/// Cuts a CSV file into blocks that end where a record ends, so that blocks can be parsed by different threads.
final class CSVBlocks {
  private let file: TextFile
  private let name: String
  private var rest: [UInt8] = []
  private var line = 1
  private var ended = false
  private var isFirst = true
  let blockBytes: Int
  /// A record longer than this is taken for a quote that is never closed.
  static let recordLimit = 64 << 20

  init(_ file: TextFile, name: String, blockBytes: Int = 1 << 20) {
    self.file = file
    self.name = name
    self.blockBytes = blockBytes
  }

  func next() throws(Failure) -> CSVBlock? {
    while true {
      if ended, rest.isEmpty { return nil }
      if !ended { ended = try !file.read(blockBytes, into: &rest) }
      if isFirst {
        isFirst = false
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest.removeFirst(3) }
      }
      // The end of the last whole record: a newline outside of quotes.
      var quoted = false
      var end = -1
      var lines = 0
      var linesAtEnd = 0
      var quoteLine = 0
      for i in 0..<rest.count {
        let byte = rest[i]
        if byte == 34 {
          quoted.toggle()
          if quoted { quoteLine = line + lines }
        } else if byte == 10 {
          lines += 1
          if !quoted {
            end = i
            linesAtEnd = lines
          }
        }
      }
      if ended {
        if quoted {
          throw Failure(
            .corruptData, "csv \(name): the quote opened in line \(quoteLine) is never closed", place: "line \(quoteLine)")
        }
        let block = CSVBlock(bytes: rest, line: line)
        rest = []
        return block.bytes.isEmpty ? nil : block
      }
      if end < 0 {
        if rest.count > CSVBlocks.recordLimit {
          throw Failure(
            .corruptData, "csv \(name): the record in line \(line) is longer than 64 MiB; is a quote never closed?",
            place: "line \(line)")
        }
        continue
      }
      let block = CSVBlock(bytes: Array(rest[...end]), line: line)
      rest.removeFirst(end + 1)
      line += linesAtEnd
      return block
    }
  }
}

/// The fields of a block's records as places in its bytes: RFC 4180, and blank lines are skipped.
struct CSVFields {
  /// Bytes with doubled quotes made single in place.
  private(set) var bytes: [UInt8]
  private(set) var width = 0
  /// Per record and field: begin, and length; a quoted field's length is ~length.
  private(set) var begins: [Int32] = []
  private(set) var lengths: [Int32] = []
  /// Line of each record.
  private(set) var lines: [Int] = []

  var count: Int { lines.count }

  /// - Parameter width: fields that every record must have; nil takes the first record's.
  init(_ block: CSVBlock, separator: UInt8, width expected: Int?, name: String, limit: Int = .max) throws(Failure) {
    bytes = block.bytes
    width = expected ?? 0
    var known = expected != nil
    var line = block.line
    var at = 0
    let end = bytes.count
    var failure: Failure?
    bytes.withUnsafeMutableBufferPointer { b in
      while at < end, lines.count < limit {
        if b[at] == 10 {
          line += 1
          at += 1
          continue
        }
        if b[at] == 13, at + 1 < end, b[at + 1] == 10 {
          line += 1
          at += 2
          continue
        }
        let recordLine = line
        var fields = 0
        var open = true
        while open {
          if at < end, b[at] == 34 {
            let begin = at + 1
            var write = begin
            at = begin
            while at < end {
              if b[at] == 34 {
                if at + 1 < end, b[at + 1] == 34 { at += 1 } else { break }
              }
              if b[at] == 10 { line += 1 }
              b[write] = b[at]
              write += 1
              at += 1
            }
            at += 1  // the closing quote
            begins.append(Int32(begin))
            lengths.append(~Int32(write - begin))
            if at < end, b[at] == 13, at + 1 == end || b[at + 1] == 10 { at += 1 }
            if at < end, b[at] != separator, b[at] != 10 {
              failure = Failure(
                .corruptData, "csv \(name) line \(line): text after the closing quote of field \(fields + 1)",
                place: "line \(line)")
              return
            }
          } else {
            let begin = at
            while at < end, b[at] != separator, b[at] != 10 { at += 1 }
            var length = at - begin
            if length > 0, at == end || b[at] == 10, b[at - 1] == 13 { length -= 1 }
            begins.append(Int32(begin))
            lengths.append(Int32(length))
          }
          fields += 1
          if at < end, b[at] == separator {
            at += 1
          } else {
            open = false
            if at < end { line += 1 }
            at += 1
          }
        }
        if !known {
          width = fields
          known = true
        }
        if fields != width {
          failure = Failure(
            .corruptData, "csv \(name) line \(recordLine): \(fields) fields where \(width) are expected",
            place: "line \(recordLine)")
          return
        }
        lines.append(recordLine)
      }
    }
    if let failure { throw failure }
    try checkText(name)
  }

  /// - Throws: `CORRUPT_DATA` naming line and field of the first text that is not UTF-8.
  private func checkText(_ name: String) throws(Failure) {
    // All bytes or-ed: a loop without an early exit takes many bytes at once, and most files are ASCII.
    if bytes.reduce(0, |) < 0x80 || String(validating: bytes, as: UTF8.self) != nil { return }
    for record in 0..<count {
      for field in 0..<width {
        let span = span(record, field).0
        guard String(validating: bytes[span], as: UTF8.self) == nil else { continue }
        throw Failure(
          .corruptData,
          "csv \(name) line \(lines[record]): field \(field + 1) is not UTF-8 text; save the file as UTF-8",
          place: "line \(lines[record])")
      }
    }
  }

  /// The text of a field and whether it was quoted.
  func text(_ record: Int, _ field: Int) -> (String, quoted: Bool) {
    let (span, quoted) = span(record, field)
    return (String(decoding: bytes[span], as: UTF8.self), quoted)
  }

  @inline(__always)
  func span(_ record: Int, _ field: Int) -> (Range<Int>, quoted: Bool) {
    let k = record * width + field
    let begin = Int(begins[k])
    let length = lengths[k]
    return length < 0 ? (begin..<begin + Int(~length), true) : (begin..<begin + Int(length), false)
  }
}
