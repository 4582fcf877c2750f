import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A fast reader for the bodies that models are asked with: one flat object whose fields are numbers and lists of numbers.
///
/// It only ever says yes: `{"image": [0, 0.5, ...]}` that fits its shape is read in one pass, without a value per number.
/// For everything else, wrong or merely unusual (escapes in a key, other types), it returns nil, and the full parser and
/// `BodyShape.check` decide and word the error. `NumberBodyTests` holds both to the same results.
package struct NumberBody: Sendable {
  private let fields: [BodyShape.Field]
  private let names: [[UInt8]]

  /// Nil when the shape holds anything but required or optional numbers and lists of numbers.
  package init?(_ shape: BodyShape) {
    guard case .object(let fields) = shape, !fields.isEmpty, fields.count <= 16 else { return nil }
    for field in fields {
      switch field.shape {
      case .number, .list(of: .number, _): continue
      default: return nil
      }
    }
    self.fields = fields
    self.names = fields.map { Array($0.name.utf8) }
  }

  /// The checked body, or nil when the full parser has to look at it.
  package func read(_ bytes: UnsafeRawBufferPointer) -> BodyValue? {
    var reader = Reader(bytes: bytes)
    guard reader.take(UInt8(ascii: "{")) else { return nil }
    var found = [BodyValue?](repeating: nil, count: fields.count)
    repeat {
      guard let key = reader.key(), let at = names.firstIndex(where: { key.elementsEqual($0) }), found[at] == nil,
        reader.take(UInt8(ascii: ":"))
      else { return nil }
      switch fields[at].shape {
      case .number(let bounds):
        reader.space()
        guard let value = reader.number(), bounds.allows(value) else { return nil }
        found[at] = .plain(.double(value))
      case .list(of: .number(let bounds), let length):
        guard let values = reader.list(bounds, length) else { return nil }
        found[at] = .numbers(values)
      default: return nil
      }
    } while reader.take(UInt8(ascii: ","))
    guard reader.take(UInt8(ascii: "}")) else { return nil }
    reader.space()
    guard reader.at == bytes.count else { return nil }
    var members: [BodyValue.Member] = []
    for (field, value) in zip(fields, found) {
      if let value {
        members.append(.init(name: field.name, value: value))
      } else if !field.isOptional {
        return nil
      } else if let fallback = field.fallback {
        members.append(.init(name: field.name, value: .plain(fallback)))
      }
    }
    return .object(members)
  }
}

private struct Reader {
  let bytes: UnsafeRawBufferPointer
  var at = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  @inline(__always)
  mutating func space() {
    while at < bytes.count, bytes[at] == 32 || bytes[at] == 10 || bytes[at] == 13 || bytes[at] == 9 { at += 1 }
  }

  /// Skips white space and, when it comes next, `byte`.
  @inline(__always)
  mutating func take(_ byte: UInt8) -> Bool {
    space()
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  /// The bytes of a quoted key of printable ASCII without escapes.
  mutating func key() -> UnsafeRawBufferPointer? {
    guard take(UInt8(ascii: "\"")) else { return nil }
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
      guard bytes[at] >= 32, bytes[at] < 127, bytes[at] != UInt8(ascii: "\\") else { return nil }
      at += 1
    }
    guard at < bytes.count else { return nil }
    at += 1
    return UnsafeRawBufferPointer(rebasing: bytes[start..<at - 1])
  }

  mutating func list(_ bounds: BodyShape.Bounds, _ length: BodyShape.Length) -> [Double]? {
    guard take(UInt8(ascii: "[")) else { return nil }
    let most = length.greatest ?? 10_000_000
    let least = bounds.least ?? -.infinity
    let greatest = bounds.greatest ?? .infinity
    var values: [Double] = []
    if take(UInt8(ascii: "]")) { return length.allows(0) ? values : nil }
    values.reserveCapacity(min(most, bytes.count / 2))
    repeat {
      space()
      guard values.count < most, let value = number(), value >= least, value <= greatest else { return nil }
      values.append(value)
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")), length.allows(values.count) else { return nil }
    return values
  }

  /// A JSON number, finite. Up to 2^53 times or over a power of ten up to 22 is exact in one rounding (Clinger 1990, "How
  /// to read floating point numbers accurately"); the rest goes to `strtod`.
  mutating func number() -> Double? {
    let start = at
    var mantissa: UInt64 = 0
    var digits = 0
    var exponent = 0
    var isExact = true
    let negative = at < bytes.count && bytes[at] == UInt8(ascii: "-")
    if negative { at += 1 }
    let first = at
    while at < bytes.count, bytes[at] &- 48 < 10 {
      if digits < 18 {
        mantissa = mantissa &* 10 &+ UInt64(bytes[at] &- 48)
        if mantissa > 0 { digits &+= 1 }
      } else {
        isExact = false
      }
      at += 1
    }
    guard at > first, !(bytes[first] == 48 && at - first > 1) else { return nil }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      at += 1
      let point = at
      while at < bytes.count, bytes[at] &- 48 < 10 {
        if digits < 18 {
          mantissa = mantissa &* 10 &+ UInt64(bytes[at] &- 48)
          if mantissa > 0 { digits &+= 1 }
          exponent &-= 1
        } else {
          isExact = false
        }
        at += 1
      }
      guard at > point else { return nil }
    }
    if at < bytes.count, bytes[at] | 32 == UInt8(ascii: "e") {
      isExact = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      let power = at
      while at < bytes.count, bytes[at] &- 48 < 10 { at += 1 }
      guard at > power else { return nil }
    }
    if isExact, mantissa <= 1 << 53, exponent >= -22 {
      let value = exponent == 0 ? Double(mantissa) : Double(mantissa) / Reader.powers[-exponent]
      return negative ? -value : value
    }
    let length = at - start
    guard length < 1024 else { return nil }
    let parsed = withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { text -> Double in
      for i in 0..<length { text[i] = CChar(bitPattern: bytes[start + i]) }
      text[length] = 0
      return text.baseAddress.map { strtod($0, nil) } ?? .nan
    }
    return parsed.isFinite ? parsed : nil
  }

  /// 10^0 ... 10^22, all exact doubles.
  private static let powers: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
  ]
}
