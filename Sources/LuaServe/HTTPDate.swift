import Core
import HTTPTypes
import Synchronization

/// `Tue, 24 Nov 2026 03:41:18 GMT`, RFC 9110 section 5.6.7.
enum HTTPDate {
  private static let cached = Mutex<(seconds: Int64, text: String)>((.min, ""))

  /// The date now, made once per second.
  static var now: String {
    let seconds = Instant.now.seconds
    return cached.withLock { cached in
      if cached.seconds != seconds { cached = (seconds, text(seconds: seconds)) }
      return cached.text
    }
  }

  static func text(seconds: Int64) -> String {
    let day = Int((Double(seconds) / 86400).rounded(.down))
    let inDay = Int(seconds) - day * 86400
    let (y, m, d) = Instant.civil(fromDays: day)
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    func two(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
    let weekday = weekdays[((day % 7) + 7) % 7]
    return "\(weekday), \(two(d)) \(months[m - 1]) \(y) \(two(inDay / 3600)):\(two(inDay / 60 % 60)):\(two(inDay % 60)) GMT"
  }
}

extension HTTPResponse {
  /// The head of `answer`: its fields and those that every answer has.
  init(answer: Answer, requestID: String) {
    var fields = HTTPFields()
    fields.reserveCapacity(answer.headers.count + 4)
    for (name, value) in answer.headers {
      if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
    }
    fields[.date] = HTTPDate.now
    fields[.requestID] = requestID
    if answer.status != 204, answer.status != 304, fields[.contentLength] == nil {
      fields[.contentLength] = String(answer.body.count)
    }
    if answer.closes { fields[.connection] = "close" }
    self.init(status: .init(code: answer.status), headerFields: fields)
  }
}

extension HTTPField.Name {
  // "X-Request-Id" is a token, so the fallback is never taken.
  static let requestID = HTTPField.Name("X-Request-Id") ?? .date
}
