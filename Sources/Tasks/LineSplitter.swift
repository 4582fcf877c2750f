/// Cuts a stream of bytes into lines at `\n`. A line longer than `limit` bytes comes in pieces (text), or is dropped and
/// counted (events, where half a line is of no use). Never holds more than `limit` bytes and one chunk.
struct LineSplitter {
  enum Overflow { case split, drop }

  let limit: Int
  let overflow: Overflow
  /// Lines dropped for their length.
  private(set) var dropped = 0
  private var rest: [UInt8] = []
  private var isDropping = false

  /// True when a line has begun that has no end yet.
  var hasRest: Bool { !rest.isEmpty || isDropping }

  init(limit: Int, overflow: Overflow) {
    self.limit = limit
    self.overflow = overflow
  }

  /// Takes the next bytes and hands each whole line, without its end, to `line`.
  mutating func feed(_ bytes: UnsafeRawBufferPointer, line: (UnsafeRawBufferPointer) -> Void) {
    var start = 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 10)
      let part = UnsafeRawBufferPointer(rebasing: bytes[start..<(end ?? bytes.count)])
      start = (end ?? bytes.count) + 1
      if end != nil, rest.isEmpty, !isDropping, part.count <= limit {
        line(part)  // the common case: no copy
        continue
      }
      add(part, line: line)
      if end != nil { finish(line: line) }
    }
  }

  private mutating func add(_ part: UnsafeRawBufferPointer, line: (UnsafeRawBufferPointer) -> Void) {
    if isDropping { return }
    rest.append(contentsOf: part)
    guard rest.count > limit else { return }
    switch overflow {
    case .drop:
      isDropping = true
      dropped += 1
      rest = []
    case .split:
      var from = 0
      while rest.count - from > limit {
        var to = from + limit
        while to > from + limit - 4, rest[to] & 0xC0 == 0x80 { to -= 1 }  // not inside a UTF-8 sequence
        rest.withUnsafeBytes { line(UnsafeRawBufferPointer(rebasing: $0[from..<to])) }
        from = to
      }
      rest.removeFirst(from)
    }
  }

  /// Ends the line that has begun, if one has; at the end of the stream.
  mutating func finish(line: (UnsafeRawBufferPointer) -> Void) {
    if !isDropping, !rest.isEmpty { rest.withUnsafeBytes { line($0) } }
    rest.removeAll(keepingCapacity: rest.capacity < 65536)
    isDropping = false
  }
}
