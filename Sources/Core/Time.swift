#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A point in time with nanoseconds, written as RFC 3339 UTC.
public struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Seconds since 1970-01-01T00:00:00Z.
  public var seconds: Int64
  /// 0 ..< 1,000,000,000.
  public var nanoseconds: Int32

  public init(seconds: Int64, nanoseconds: Int32 = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// The wall clock.
  public static var now: Instant {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Instant(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec))
  }

  public static func < (a: Instant, b: Instant) -> Bool {
    (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
  }

  /// Seconds since 1970 with fraction.
  public var timeInterval: Double { Double(seconds) + Double(nanoseconds) / 1e9 }

  /// `2026-02-10T10:00:00Z`, the contract's form.
  public var description: String { text(fractionDigits: 0) }

  /// RFC 3339 with `fractionDigits` (0 to 9) digits of the second.
  public func text(fractionDigits: Int) -> String {
    let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86400)
    let day = rest < 0 ? days - 1 : days
    let inDay = Int(rest < 0 ? rest + 86400 : rest)
    let (y, m, d) = Instant.civil(fromDays: Int(day))
    func two(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
    var year = "\(y)"
    while year.count < 4 { year = "0" + year }
    var text = "\(year)-\(two(m))-\(two(d))T\(two(inDay / 3600)):\(two(inDay / 60 % 60)):\(two(inDay % 60))"
    if fractionDigits > 0 {
      var digits = "\(nanoseconds)"
      while digits.count < 9 { digits = "0" + digits }
      text += "." + digits.prefix(min(9, fractionDigits))
    }
    return text + "Z"
  }

  /// Reads `YYYY-MM-DDTHH:MM:SS[.fff]Z`; nil for anything else.
  public init?(_ text: String) {
    let b = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int? {
      var value = 0
      for i in range {
        guard i < b.count, b[i] >= 48, b[i] <= 57 else { return nil }
        value = value * 10 + Int(b[i] - 48)
      }
      return value
    }
    guard b.count >= 20, b.count <= 30, b[4] == 45, b[7] == 45, b[10] == 84, b[13] == 58, b[16] == 58, b[b.count - 1] == 90,
      let y = number(0..<4), let m = number(5..<7), let d = number(8..<10), let h = number(11..<13), let mi = number(14..<16),
      let s = number(17..<19), (1...12).contains(m), (1...31).contains(d), h < 24, mi < 60, s < 61
    else { return nil }
    var nanos = 0
    if b[19] == 46 {
      guard let fraction = number(20..<b.count - 1), b.count > 21 else { return nil }
      nanos = fraction
      for _ in 0..<(9 - (b.count - 21)) { nanos *= 10 }
    } else if b.count != 20 {
      return nil
    }
    self.init(seconds: Int64(Instant.days(y, m, d) * 86400 + h * 3600 + mi * 60 + s), nanoseconds: Int32(nanos))
  }

  /// Days since 1970-01-01 to (year, month, day); Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  public static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
    let z = days + 719468
    let era = (z >= 0 ? z : z - 146096) / 146097
    let doe = z - era * 146097
    let yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100)
    let mp = (5 * doy + 2) / 153
    let month = mp < 10 ? mp + 3 : mp - 9
    return (yoe + era * 400 + (month <= 2 ? 1 : 0), month, doy - (153 * mp + 2) / 5 + 1)
  }

  /// The inverse of `civil(fromDays:)`.
  public static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yoe = y - era * 400
    let doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468
  }
}

/// Seconds on a clock that never goes back, for durations.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A random version-4 UUID in lower-case text, RFC 9562.
public func randomUUID() -> String {
  // Two draws: each is a system call.
  let high = UInt64.random(in: 0 ... .max) & 0xffff_ffff_ffff_0fff | 0x4000
  let low = UInt64.random(in: 0 ... .max) & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
  return String(unsafeUninitializedCapacity: 36) { text in
    var at = 0
    for i in 0..<32 {
      if i == 8 || i == 12 || i == 16 || i == 20 {
        text[at] = UInt8(ascii: "-")
        at += 1
      }
      let digit = UInt8(truncatingIfNeeded: (i < 16 ? high : low) >> UInt64(60 - i % 16 * 4)) & 15
      text[at] = digit < 10 ? 48 + digit : 87 + digit
      at += 1
    }
    return at
  }
}

/// Two lower-case hex digits.
public func hex(_ byte: UInt8) -> String { String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }
