import Core
import Dispatch
import HTTPTypes
import Hummingbird
import NIOCore

/// One request on its way through a route.
struct Call: Sendable {
  let request: Request
  let id: String
  let parameters: [(name: String, value: String)]
  let query: [(name: String, value: String)]
  let bodyLimitBytes: Int

  /// A `{name}` of the path, decoded.
  func parameter(_ name: String) -> String { parameters.first { $0.name == name }?.value ?? "" }
  /// A parameter of the query, which the route table has checked.
  func text(_ name: String) -> String? { query.first { $0.name == name }?.value }
  func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }
  func flag(_ name: String) -> Bool { text(name).map { $0 == "1" || $0 == "true" || $0.isEmpty } ?? false }
  func seconds(_ name: String) -> Double? { text(name).flatMap { QueryText.seconds($0) } }

  /// True when the client asks for this type more than for JSON.
  func accepts(_ type: String) -> Bool {
    request.headers[.accept]?.split(separator: ",").contains { $0.prefix { $0 != ";" }.trimmingSpaces() == type } ?? false
  }

  /// The members of the JSON body, checked against the schema `name` of the OpenAPI document. Where `isOptional`, a request
  /// without a body counts as an empty object.
  func body(_ name: String, isOptional: Bool = false) async throws(Failure) -> JSONObject {
    let isAbsent =
      request.headers[.contentType] == nil && (request.headers[.contentLength] ?? "0") == "0"
      && request.headers[.transferEncoding] == nil
    return try BodySchema.check(isOptional && isAbsent ? [:] : try await jsonBody(), name)
  }

  /// The JSON body.
  /// - Throws: `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `INVALID_REQUEST` naming line and column.
  func jsonBody() async throws(Failure) -> JSONValue {
    let type = request.headers[.contentType] ?? ""
    let parts = type.lowercased().split(separator: ";").map { $0.trimmingSpaces() }
    guard parts.first == "application/json" else {
      throw Failure(
        .unsupportedMediaType,
        "the body must be JSON: send the header 'Content-Type: application/json'"
          + (type.isEmpty ? "" : ", not '\(String(type.prefix(80)))'"))
    }
    for part in parts.dropFirst()
    where part.hasPrefix("charset=") && !["utf-8", "\"utf-8\"", "utf8"].contains(part.dropFirst(8)) {
      throw Failure(.unsupportedMediaType, "JSON is UTF-8, not '\(part.dropFirst(8).prefix(40))'")
    }
    if let coding = request.headers[.contentEncoding], coding.lowercased() != "identity" {
      throw Failure(.unsupportedMediaType, "a body with 'Content-Encoding: \(coding.prefix(40))' is not taken; send it plain")
    }
    let tooLarge = Failure(.payloadTooLarge, "the body is larger than \(bodyLimitBytes) bytes")
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > bodyLimitBytes { throw tooLarge }
    var bytes: [UInt8] = []
    do {
      for try await part in request.body {
        if part.readableBytes > bodyLimitBytes - bytes.count { throw tooLarge }
        bytes.append(contentsOf: part.readableBytesView)
      }
    } catch let failure as Failure { throw failure } catch {
      throw Failure(.invalidRequest, "the body did not come as announced")
    }
    return try JSONValue(parsing: bytes)
  }
}

/// Runs `body`, which may block, on a thread that may wait, never on one of the server's own.
func offload<T: Sendable>(_ body: @escaping @Sendable () throws(Failure) -> T) async throws(Failure) -> T {
  let result: Result<T, Failure> = await withCheckedContinuation { continuation in
    offloadQueue.async {
      let result: Result<T, Failure>
      do throws(Failure) { result = .success(try body()) } catch { result = .failure(error) }
      continuation.resume(returning: result)
    }
  }
  return try result.get()
}

private let offloadQueue = DispatchQueue(label: "moonlake.offload", attributes: .concurrent)

extension StringProtocol {
  func trimmingSpaces() -> String {
    var part = self[...]
    while let first = part.first, first == " " || first == "\t" { part = part.dropFirst() }
    while let last = part.last, last == " " || last == "\t" { part = part.dropLast() }
    return String(part)
  }
}
