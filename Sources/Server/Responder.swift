import Core
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
import Tasks

/// Takes one request from its head to its answer.
struct Responder: HTTPResponder {
  typealias Context = BasicRequestContext

  let table: RouteTable
  let metrics: ServerMetrics
  let configuration: MoonlakeServer.Configuration
  let logger: Logger
  private let requestIDs = RequestIDs()
  private let isLoopback: Bool

  init(table: RouteTable, metrics: ServerMetrics, configuration: MoonlakeServer.Configuration, logger: Logger) {
    self.table = table
    self.metrics = metrics
    self.configuration = configuration
    self.logger = logger
    isLoopback = HostRule.isLoopback(configuration.host)
  }

  func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
    let began = monotonicSeconds()
    let id = requestIDs.id(of: request)
    var route = -1
    var response: Response
    do throws(Failure) {
      response = try await answer(request, id, &route)
    } catch {
      response = ErrorResponse.response(error, requestID: id)
      if error.code == .methodNotAllowed, let allow = error.details["allow"]?.stringValue {
        response.headers[.allowField] = allow
      }
      if response.status.code >= 500, error.code != .shuttingDown, error.code != .notReady {
        logger.error(
          "request failed",
          metadata: [
            "request": "\(id)", "method": "\(request.method)", "path": "\(escaped(request.head.path ?? ""))",
            "error": "\(error)",
            "origin": "\(error.origin)",
          ])
      }
    }
    let took = monotonicSeconds() - began
    metrics.count(route: route, method: request.method, status: response.status.code, seconds: took)
    logger.debug(
      "request",
      metadata: [
        "request": "\(id)", "method": "\(request.method)", "path": "\(escaped(request.head.path ?? ""))",
        "status": "\(response.status.code)", "seconds": "\(took)",
      ])
    response.headers[.requestID] = id
    response.headers[.serverTiming] = "total;dur=\(Int(took * 1e6) / 1000).\(ServerMetrics.three(Int(took * 1e6) % 1000))"
    response.headers[.contentTypeOptions] = "nosniff"
    if request.method == .head {
      // The length that GET would answer with stays; a stream has none.
      return Response(status: response.status, headers: response.headers, body: ResponseBody())
    }
    return response
  }

  private func answer(_ request: Request, _ id: String, _ routeNumber: inout Int) async throws(Failure) -> Response {
    try HostRule.check(request, isLoopback: isLoopback)
    let path = request.head.path ?? ""
    if path == "*", request.method == .options {
      return Response(status: .noContent, headers: [.allowField: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"])
    }
    let target = try RequestTarget(path)
    switch table.match(request.method, target.segments) {
    case .nothing:
      throw Failure(
        .routeNotFound, "there is no '/\(target.segments.joined(separator: "/").prefix(200))' here; /docs lists the routes")
    case .otherMethods(let methods):
      let allow = RouteTable.allowed(methods)
      if request.method == .options { return Response(status: .noContent, headers: [.allowField: allow]) }
      throw Failure(
        .methodNotAllowed, "'\(request.method.rawValue.prefix(40))' is not possible here; allowed: \(allow)",
        details: ["allow": .string(allow)])
    case .found(let number, let parameters):
      routeNumber = number
      let route = table.routes[number]
      if request.method != .get, request.method != .head { try HostRule.checkOrigin(request) }
      try route.check(target.query)
      return try await route.handler(
        Call(
          request: request, id: id, parameters: parameters, query: target.query, bodyLimitBytes: configuration.bodyLimitBytes))
    }
  }

  private func escaped(_ path: String) -> String { plainLine(String(path.prefix(500))) }
}

extension RouteTable {
  /// The `Allow` field for a path with these methods.
  static func allowed(_ methods: [HTTPRequest.Method]) -> String {
    var names = Set(methods.map(\.rawValue))
    if names.contains("GET") { names.insert("HEAD") }
    names.insert("OPTIONS")
    return ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].filter { names.contains($0) }.joined(separator: ", ")
  }
}

/// Against DNS rebinding and cross-site requests: a page of another site must not drive this server through a browser.
enum HostRule {
  static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" || host == "::1" || host == "[::1]" || host.hasSuffix(".localhost") { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)  // 127.0.0.0/8, and not 127.example.com
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }

  /// - Throws: `INVALID_REQUEST` without a Host; `HOST_NOT_ALLOWED` for a name that is not loopback's, when bound to loopback.
  static func check(_ request: Request, isLoopback bound: Bool) throws(Failure) {
    guard let authority = request.head.authority, !authority.isEmpty else {
      throw Failure(.invalidRequest, "the request has no 'Host' field")
    }
    // The first one has become the authority; what is left here is a second.
    guard !request.headers.contains(.hostField) else { throw Failure(.invalidRequest, "the request has two 'Host' fields") }
    guard bound else { return }
    var name = authority[...]
    if name.hasPrefix("["), let end = name.firstIndex(of: "]") {
      name = name[...end]
    } else if let colon = name.lastIndex(of: ":") {
      name = name[..<colon]
    }
    guard isLoopback(name.lowercased()) else {
      throw Failure(
        .hostNotAllowed,
        "this server listens on loopback only and answers to 'localhost', not to '\(plainLine(String(authority.prefix(100))))'")
    }
  }

  /// - Throws: `ORIGIN_NOT_ALLOWED` when the request comes from a page of another origin.
  static func checkOrigin(_ request: Request) throws(Failure) {
    let refused = { (origin: String) in
      Failure(.originNotAllowed, "a page of '\(plainLine(String(origin.prefix(100))))' may not change anything here")
    }
    if let origin = request.headers[.origin] {
      guard let host = request.head.authority, origin.lowercased() == "http://" + host.lowercased() else {
        throw refused(origin)
      }
    } else if let site = request.headers[.secFetchSite], site != "same-origin", site != "none" {
      throw refused(site)
    }
  }
}

/// `X-Request-Id`: the client's own where it is a plain word, else a new one.
final class RequestIDs: Sendable {
  private let prefix = String(randomUUID().prefix(8))
  private let next = Atomic<UInt64>(0)

  func id(of request: Request) -> String {
    if let given = request.headers[.requestID], given.utf8.count <= 64, !given.isEmpty,
      given.utf8.allSatisfy({ ($0 | 32) >= 97 && ($0 | 32) <= 122 || $0 >= 48 && $0 <= 57 || $0 == 45 || $0 == 46 || $0 == 95 })
    {
      return given
    }
    return prefix + "-" + String(next.add(1, ordering: .relaxed).newValue)
  }
}

/// `text` on one line, with control characters shown as `\xNN`, so that nothing in a log or a terminal can be forged.
func plainLine(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: isControl) else { return text }
  var out = ""
  for scalar in text.unicodeScalars {
    if isControl(scalar) {
      out += scalar.value < 256 ? "\\x" + hex(UInt8(scalar.value)) : "\\u{" + String(scalar.value, radix: 16) + "}"
    } else {
      out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// C0, C1, delete, line and paragraph separators, and what changes the direction of text.
func isControl(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<32, 127..<160, 0x2028, 0x2029, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
  default: false
  }
}
