import Core
import HTTPTypes
import Hummingbird
import Lake
import NIOCore
import Plan
import Tasks

extension Failure.Code {
  static let routeNotFound = Failure.Code("ROUTE_NOT_FOUND")
  static let methodNotAllowed = Failure.Code("METHOD_NOT_ALLOWED")
  static let notAcceptable = Failure.Code("NOT_ACCEPTABLE")
  static let requestTimeout = Failure.Code("REQUEST_TIMEOUT")
  static let payloadTooLarge = Failure.Code("PAYLOAD_TOO_LARGE")
  static let uriTooLong = Failure.Code("URI_TOO_LONG")
  static let unsupportedMediaType = Failure.Code("UNSUPPORTED_MEDIA_TYPE")
  static let hostNotAllowed = Failure.Code("HOST_NOT_ALLOWED")
  static let originNotAllowed = Failure.Code("ORIGIN_NOT_ALLOWED")
  static let headersTooLarge = Failure.Code("HEADERS_TOO_LARGE")
  static let invalidCursor = Failure.Code("INVALID_CURSOR")
  static let notReady = Failure.Code("NOT_READY")
}

/// Errors as the contract shows them: `{"error": {"code", "message", "details"?, "request_id"}}`.
enum ErrorResponse {
  /// The status of an error code; 500 for a code that is not a client's affair.
  static func status(of code: Failure.Code) -> HTTPResponse.Status {
    switch code {
    case .invalidRequest, .invalidScript, .invalidParams, .invalidSchema, .invalidCursor, .invalidArgument, .invalidFilter,
      .columnNotFound, .typeMismatch, .shapeMismatch:
      .badRequest
    case .pathNotAllowed, .originNotAllowed: .forbidden
    case .datasetNotFound, .modelNotFound, .taskNotFound, .versionNotFound, .routeNotFound: .notFound
    case .methodNotAllowed: .methodNotAllowed
    case .notAcceptable: .notAcceptable
    case .requestTimeout: .requestTimeout
    case .taskNotCancellable, .alreadyExists, .inUse, .versionConflict: .conflict
    case .payloadTooLarge: .contentTooLarge
    case .uriTooLong: .uriTooLong
    case .unsupportedMediaType: .unsupportedMediaType
    case .hostNotAllowed: .misdirectedRequest
    case .queueFull: .tooManyRequests
    case .headersTooLarge: .requestHeaderFieldsTooLarge
    case .shuttingDown, .notReady: .serviceUnavailable
    case .insufficientStorage: .init(code: 507, reasonPhrase: "Insufficient Storage")
    default: .internalServerError
    }
  }

  /// The status of a failure: that of its code, but 412 when the client had said which version it wants to change.
  static func status(of failure: Failure) -> HTTPResponse.Status {
    failure.code == .versionConflict && failure.details["if_match"] != nil ? .preconditionFailed : status(of: failure.code)
  }

  /// True for an error whose message a client may read. Data that cannot be read is named; other inside matters are not.
  private static func isPublic(_ failure: Failure) -> Bool {
    status(of: failure.code) != .internalServerError || failure.code == .corruptData || failure.code == .unsupported
  }

  static func body(_ failure: Failure, requestID: String) -> JSONValue {
    let shown = isPublic(failure)
    var error: JSONObject = [
      "code": .string(shown ? failure.code.rawValue : Failure.Code.internalError.rawValue),
      "message": .string(
        shown ? failure.message : "the server could not do this; its log has the details under request id '\(requestID)'"),
    ]
    if shown, !failure.details.isEmpty {
      var details = JSONObject()
      for (key, value) in failure.details.sorted(by: { $0.key < $1.key }) { details[key] = value }
      error["details"] = failure.details["fields"] ?? .object(details)
    }
    error["request_id"] = .string(requestID)
    return ["error": .object(error)]
  }

  static func response(_ failure: Failure, requestID: String) -> Response {
    var headers = HTTPFields()
    switch failure.code {
    case .queueFull, .shuttingDown, .notReady: headers[.retryAfter] = "1"
    case .payloadTooLarge, .requestTimeout: headers[.connection] = "close"  // the rest of the body is not read
    default: break
    }
    return json(body(failure, requestID: requestID), status: status(of: failure), headers: headers)
  }
}

/// A JSON answer.
func json(_ value: JSONValue, status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields()) -> Response {
  json(bytes: ByteBuffer(bytes: value.utf8()), status: status, headers: headers)
}

/// A JSON answer whose text is there.
func json(bytes: ByteBuffer, status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields()) -> Response {
  var headers = headers
  headers[.contentType] = "application/json"
  headers[.cacheControl] = "no-store"
  return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: bytes))
}

/// A text answer.
func text(_ text: String, type: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields()) -> Response {
  var headers = headers
  headers[.contentType] = type
  return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
}

extension HTTPField.Name {
  static let requestID = known("X-Request-Id")
  static let serverTiming = known("Server-Timing")
  static let contentTypeOptions = known("X-Content-Type-Options")
  static let contentSecurityPolicy = known("Content-Security-Policy")
  static let lastEventID = known("Last-Event-ID")
  static let nextCursor = known("X-Next-Cursor")
  static let secFetchSite = known("Sec-Fetch-Site")
  static let totalCount = known("X-Total-Count")
  static let linkField = known("Link")
  static let allowField = known("Allow")
  static let hostField = known("Host")
  static let referrerPolicy = known("Referrer-Policy")

  /// A name that stands in this file.
  private static func known(_ name: String) -> HTTPField.Name {
    guard let name = HTTPField.Name(name) else { preconditionFailure("'\(name)' is no field name") }
    return name
  }
}
