package import Core

/// `Fri, 27 Nov 2026 14:20:00 GMT`: the form that servers send (RFC 9110, section 5.6.7, IMF-fixdate).
package enum HTTPDate {
  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /// nil for any other form.
  package static func parse(_ text: String) -> Instant? {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 6, parts[0].hasSuffix(","), parts[5] == "GMT", let month = months.firstIndex(of: String(parts[2])),
      let day = number(parts[1], 2), (1...31).contains(day), let year = number(parts[3], 4)
    else { return nil }
    let clock = parts[4].split(separator: ":", omittingEmptySubsequences: false)
    guard clock.count == 3, let hour = number(clock[0], 2), hour < 24, let minute = number(clock[1], 2), minute < 60,
      let second = number(clock[2], 2), second < 61
    else { return nil }
    return Instant(seconds: Int64(Instant.days(year, month + 1, day)) * 86400 + Int64(hour * 3600 + minute * 60 + second))
  }

  private static func number(_ text: Substring, _ digits: Int) -> Int? {
    guard text.utf8.count == digits, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int(text)
  }
}
