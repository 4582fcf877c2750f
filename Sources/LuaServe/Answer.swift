package import Core

/// What goes back to a client.
package struct Answer: Sendable {
  package var status: Int
  /// Header fields beside `Content-Length`, `Date` and `X-Request-Id`, which are added to every answer.
  package var headers: [(name: String, value: String)]
  package var body: [UInt8]
  /// The connection is closed after this answer.
  package var closes = false

  package init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  package static func json(_ value: JSONValue, status: Int = 200, headers: [(name: String, value: String)] = []) -> Answer {
    Answer(status: status, headers: [("Content-Type", "application/json")] + headers, body: value.utf8())
  }

  /// The contract's error shape: `{"error": {"code": "...", "message": "..."}}`.
  package static func error(
    _ status: Int, _ code: String, _ message: String, headers: [(name: String, value: String)] = [], closes: Bool = false
  ) -> Answer {
    let error: JSONValue = ["error": ["code": .string(code), "message": .string(message)]]
    var answer = json(error, status: status, headers: headers)
    answer.closes = closes
    return answer
  }

  /// A body, path or header that is wrong.
  package static func invalid(_ failure: Failure) -> Answer { error(400, failure.code.rawValue, failure.message) }
  package static func invalid(_ message: String) -> Answer { error(400, "INVALID_REQUEST", message) }

  // Answers that the service gives by itself.
  static func notFound(_ path: String) -> Answer { error(404, "NOT_FOUND", "no route or file for \(shown(path))") }
  static func methodNotAllowed(_ method: String, _ path: String, _ allowed: [String]) -> Answer {
    error(
      405, "METHOD_NOT_ALLOWED",
      "\(shown(method)) is not allowed on \(shown(path)); allowed: \(allowed.joined(separator: ", "))",
      headers: [("Allow", allowed.joined(separator: ", "))])
  }
  static func tooLarge(limitBytes: Int) -> Answer {
    error(
      413, "BODY_TOO_LARGE", "the body is larger than \(Quantity.text(bytes: limitBytes)) (\(limitBytes) bytes)", closes: true)
  }
  static let overloaded = error(
    503, "OVERLOADED", "too many requests are waiting; try again in a second", headers: [("Retry-After", "1")])
  static let stopping = error(
    503, "STOPPING", "the service is stopping", headers: [("Retry-After", "5")], closes: true)
  static func timedOut(seconds: Double) -> Answer {
    error(504, "TIMEOUT", "no answer within \(JSONValue.double(seconds).text()) s")
  }
  static func bodyTimedOut(seconds: Double) -> Answer {
    error(408, "REQUEST_TIMEOUT", "the body did not arrive within \(JSONValue.double(seconds).text()) s", closes: true)
  }
  static func internalError(_ requestID: String) -> Answer {
    error(500, "INTERNAL_ERROR", "the handler failed; the log has the reason under request \(requestID)")
  }

  /// Text from a client, short and without control characters.
  static func shown(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars.prefix(200) {
      out.unicodeScalars.append(scalar.value < 32 || scalar.value == 127 ? "?" : scalar)
    }
    return out
  }
}
