import Core
import NIOHTTP1

/// An error answer: `<Error><Code>SlowDown</Code><Message>...</Message><RequestId>...</RequestId></Error>`, or just a status (HEAD).
/// Source: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
struct S3Error: Sendable {
  var status: UInt
  /// `NoSuchKey`; `HTTP 404` when the answer does not say.
  var code: String
  var message: String
  var requestID: String?

  init(_ response: S3Response) {
    status = response.status
    let xml = response.text.isEmpty ? nil : try? S3XML(parsing: response.text)
    let error = xml?.name == "Error" ? xml : nil
    // Only these members are taken: others quote the key id, the token and what was signed.
    code = error?.text("Code").map(S3Error.plain) ?? "HTTP \(response.status)"
    message = S3Error.plain(error?.text("Message") ?? "")
    requestID = (response.fields.first(name: "x-amz-request-id") ?? error?.text("RequestId")).map(S3Error.plain)
  }

  /// One line of at most 300 characters without control characters.
  private static func plain(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(300).map { $0.value < 32 || $0.value == 127 ? " " : $0 }))
  }

  /// Worth another try. `409` of a conditional put means that another one was under way at the same time.
  var isPassing: Bool {
    switch status {
    case 429, 500, 502, 503, 504: true
    case 409: code == "ConditionalRequestConflict" || code == "OperationAborted"
    case 400: code == "RequestTimeout"
    default: false
    }
  }
  var isClockSkew: Bool { code == "RequestTimeTooSkewed" }
  var isExpiry: Bool { code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired" }

  /// What a user reads: what was tried, where, what the server said, what to do about it.
  /// - Parameters:
  ///   - doing: `read 'datasets/x.lance/data/y.lance'`.
  ///   - store: `s3://bucket/prefix`.
  func failure(_ doing: String, store: String, settings: S3Settings, tries: Int = 1) -> Failure {
    var text = "cannot \(doing) in \(store): \(code)"
    if code != "HTTP \(status)" { text += " (HTTP \(status))" }
    if !message.isEmpty { text += ": \(message)" }
    if tries > 1 { text += "; tried \(tries) times" }
    if let advice = advice(settings) { text += "; \(advice)" }
    var details: [String: JSONValue] = ["http_status": .int(Int64(clamping: status)), "s3_code": .string(code)]
    if let requestID { details["request_id"] = .string(requestID) }
    return Failure(.ioError, text, details: details)
  }

  private func advice(_ settings: S3Settings) -> String? {
    switch code {
    case "NoSuchBucket": return "create bucket '\(settings.bucket)' or correct server.storage_path"
    case "InvalidAccessKeyId": return "the server does not know the access key; check AWS_ACCESS_KEY_ID and the endpoint"
    case "SignatureDoesNotMatch": return "check AWS_SECRET_ACCESS_KEY and storage.region (now '\(settings.region)')"
    case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken":
      return "the temporary credentials are no longer valid; get new ones (nothing was changed by this request)"
    case "RequestTimeTooSkewed": return "this machine's clock and the server's are too far apart"
    case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
      return "storage.region ('\(settings.region)') or storage.endpoint is not the bucket's"
    case "SlowDown", "ServiceUnavailable": return "the server is overloaded; try again later"
    default: break
    }
    switch status {
    case 301, 307: return "storage.region ('\(settings.region)') or storage.endpoint is not the bucket's"
    case 401, 403: return "check the credentials and what they allow in bucket '\(settings.bucket)'"
    case 507: return "the server has no room left"
    default: return nil
    }
  }
}
