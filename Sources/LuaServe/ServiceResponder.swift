import Core
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix

/// Answers one request: from a handler through the queue, from a file, or by itself.
struct ServiceResponder: Sendable {
  let options: HTTPService.Options
  let table: RouteTable
  let files: [StaticFiles]
  let queue: RequestQueue
  let connections: ConnectionTable
  let statistics: Statistics
  let checksHost: Bool
  let host: String
  private let document: [UInt8]

  init(
    options: HTTPService.Options, table: RouteTable, files: [StaticFiles], queue: RequestQueue, connections: ConnectionTable,
    statistics: Statistics, checksHost: Bool, host: String
  ) {
    self.options = options
    self.table = table
    self.files = files
    self.queue = queue
    self.connections = connections
    self.statistics = statistics
    self.checksHost = checksHost
    self.host = host
    self.document = OpenAPIDocument.make(title: options.title, routes: table.routes).utf8()
  }

  private enum Reply: Sendable {
    case answer(Answer)
    case file(StaticFiles.OpenFile, Answer)
  }

  func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
    let requestID = ServiceResponder.requestID(request.headers[.requestID])
    let isHead = request.method == .head
    switch await reply(to: request, requestID: requestID, channel) {
    case .answer(var answer):
      allowOrigin(request, &answer)
      statistics.count(status: answer.status)
      let head = HTTPResponse(answer: answer, requestID: requestID)
      if isHead || answer.body.isEmpty {
        try await writer.writeResponse(head)
      } else {
        try await writer.write(response: head, body: .init(byteBuffer: ByteBuffer(bytes: answer.body)))
      }
    case .file(let file, var answer):
      allowOrigin(request, &answer)
      statistics.count(status: answer.status)
      var head = HTTPResponse(answer: answer, requestID: requestID)
      head.headerFields[.contentLength] = String(file.byteCount)
      if isHead || file.byteCount == 0 {
        try await writer.writeResponse(head)
        return
      }
      var body: any ResponseBodyWriter = try await writer.writeHead(head)
      var offset = 0
      while offset < file.byteCount {
        let start = offset
        let count = min(256 << 10, file.byteCount - start)
        let bytes = try await NIOThreadPool.singleton.runIfActive { file.read(offset: start, count: count) }
        // A file that became shorter while it was sent: the promise of the head cannot be kept, so the connection ends.
        guard bytes.count == count else { throw ChannelError.eof }
        try await body.write(ByteBuffer(bytes: bytes))
        offset += count
      }
      try await body.finish(nil)
    }
  }

  private func reply(to request: Request, requestID: String, _ channel: any Channel) async -> Reply {
    if let refusal = refuseCaller(request) { return .answer(refusal) }
    let method = request.method.rawValue
    if request.head.path == "*", method == "OPTIONS" {
      return .answer(Answer(status: 204, headers: [("Allow", "GET, HEAD, OPTIONS")]))
    }
    let target: RequestTarget
    do { target = try RequestTarget(request.head.path ?? "") } catch { return .answer(.invalid(error)) }

    var (match, allowed) = table.find(method, target.segments)
    if let match { return .answer(await ask(request, match, target, requestID, channel)) }
    if allowed.isEmpty {
      // What every service has, unless the script has its own.
      switch target.segments {
      case ["healthz"]:
        if method == "GET" || method == "HEAD" { return .answer(.json(["status": "ok"])) }
        allowed = ["GET"]
      case ["openapi.json"]:
        if method == "GET" || method == "HEAD" {
          return .answer(Answer(status: 200, headers: [("Content-Type", "application/json")], body: document))
        }
        allowed = ["GET"]
      default: break
      }
    }
    for folder in files where target.segments.starts(with: folder.prefix) {
      let (segments, isDirectory) = (target.segments, target.isDirectory)
      let found = try? await NIOThreadPool.singleton.runIfActive { folder.open(segments, isDirectory: isDirectory) }
      guard let found = found ?? nil else { continue }
      guard method == "GET" || method == "HEAD" else {
        if !allowed.contains("GET") { allowed.append("GET") }
        break
      }
      guard allowed.isEmpty || !allowed.contains("GET") else { break }
      switch found {
      case .redirect: return .answer(Answer(status: 308, headers: [("Location", target.path + "/")]))
      case .file(let file): return send(file, request)
      }
    }
    guard !allowed.isEmpty else { return .answer(.notFound(target.path)) }
    if allowed.contains("GET") { allowed.append("HEAD") }
    allowed.append("OPTIONS")
    guard method == "OPTIONS" else { return .answer(.methodNotAllowed(method, target.path, allowed)) }
    return .answer(preflight(request, allowed))
  }

  // MARK: handlers

  private func ask(
    _ request: Request, _ match: RouteTable.Match, _ target: RequestTarget, _ requestID: String, _ channel: any Channel
  ) async -> Answer {
    let content: RequestBodyContent
    do {
      let body = try await request.body.collect(upTo: options.bodyLimitBytes)
      if table.routes[match.route].body != nil, let refusal = refuseType(request) { return refusal }
      let result: Result<RequestBodyContent, Failure> = body.withUnsafeReadableBytes { bytes in
        do throws(Failure) { return .success(try table.readBody(bytes, route: match.route)) } catch { return .failure(error) }
      }
      content = try result.get()
    } catch let failure as Failure {
      return .invalid(failure)
    } catch {
      return .invalid("the body could not be read")
    }
    let pending = PendingRequest(
      route: match.route, method: request.method.rawValue, path: target.path, parameters: match.parameters, query: target.query,
      headers: fields(request), body: content, requestID: requestID)
    // A client that has left already: nobody reads what is answered, and nothing needs to run.
    guard let connection = connections.find(channel), connection.begin(pending) else { return .stopping }
    defer { connection.end() }
    let queue = queue
    let timer = channel.eventLoop.scheduleTask(in: .nanoseconds(Int64(options.timeoutSeconds * 1e9))) {
      queue.forget(pending)
      pending.finish(.timedOut)
    }
    defer { timer.cancel() }
    switch await pending.outcome(from: queue) {
    case .answered(let answer), .refused(let answer): return answer
    case .timedOut: return .timedOut(seconds: options.timeoutSeconds)
    case .left: return Answer(status: 499)  // nobody reads it
    }
  }

  private func fields(_ request: Request) -> [(name: String, value: String)] {
    var fields: [(name: String, value: String)] = []
    fields.reserveCapacity(request.headers.count + 1)
    if let authority = request.head.authority { fields.append(("host", authority)) }
    for field in request.headers {
      let name = field.name.canonicalName
      if let at = fields.firstIndex(where: { $0.name == name }) {
        fields[at].value += (name == "cookie" ? "; " : ", ") + field.value
      } else {
        fields.append((name, field.value))
      }
    }
    return fields
  }

  /// 415 unless the body is JSON in UTF-8, as it stands.
  private func refuseType(_ request: Request) -> Answer? {
    func refuse(_ what: String) -> Answer {
      .error(415, "UNSUPPORTED_MEDIA_TYPE", "\(what); send JSON with Content-Type: application/json")
    }
    guard let type = request.headers[.contentType] else { return refuse("the Content-Type is missing") }
    if type == "application/json", request.headers[.contentEncoding] == nil { return nil }
    let parts = type.lowercased().split(separator: ";").map { $0.filter { !$0.isWhitespace } }
    guard let kind = parts.first, kind == "application/json" || kind.hasPrefix("application/") && kind.hasSuffix("+json") else {
      return refuse("Content-Type '\(Answer.shown(type))' is not supported")
    }
    for part in parts.dropFirst() where part.hasPrefix("charset=") {
      let charset = part.dropFirst(8).filter { $0 != "\"" }
      guard charset == "utf-8" || charset == "utf8" || charset == "us-ascii" else {
        return refuse("charset '\(Answer.shown(charset))' is not supported")
      }
    }
    if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
      return refuse("Content-Encoding '\(Answer.shown(encoding))' is not supported")
    }
    return nil
  }

  // MARK: files

  private func send(_ file: StaticFiles.OpenFile, _ request: Request) -> Reply {
    let headers = [
      ("ETag", file.tag), ("Last-Modified", HTTPDate.text(seconds: file.modifiedSeconds)), ("Cache-Control", "no-cache"),
      ("X-Content-Type-Options", "nosniff"),
    ]
    if let asked = request.headers[.ifNoneMatch] {
      let tags = asked.split(separator: ",").map { $0.drop { $0 == " " || $0 == "\t" } }
      if tags.contains(where: { $0 == "*" || $0 == file.tag || $0 == "W/" + file.tag }) {
        return .answer(Answer(status: 304, headers: headers))
      }
    }
    return .file(file, Answer(status: 200, headers: [("Content-Type", StaticFiles.mediaType(file.name))] + headers))
  }

  // MARK: who may call

  /// Refuses names that a browser may have been tricked into (DNS rebinding), and changes asked for by pages from elsewhere.
  private func refuseCaller(_ request: Request) -> Answer? {
    guard let authority = request.head.authority, !authority.isEmpty, request.headers[values: .host].isEmpty else {
      return .invalid("one Host header field is needed")
    }
    let name = ServiceResponder.hostName(authority)
    if checksHost || !options.hosts.isEmpty, !options.hosts.contains("*"), !options.hosts.contains(name), !isOwn(name) {
      return .error(
        421, "HOST_NOT_ALLOWED", "this service does not answer as '\(Answer.shown(name))'; its script may allow that by 'hosts'"
      )
    }
    let changes = request.method != .get && request.method != .head && request.method != .options
    if changes, let origin = request.headers[.origin], !isAllowed(origin: origin, authority: authority) {
      return .error(403, "ORIGIN_NOT_ALLOWED", "pages from '\(Answer.shown(origin))' may not call this service")
    }
    return nil
  }

  private func isOwn(_ name: String) -> Bool {
    if name == "localhost" || name.hasSuffix(".localhost") || name == host { return true }
    // An address: no name was looked up, so none can have been rebound.
    return name.contains(":") || name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { UInt8($0) != nil }
  }

  private func isAllowed(origin: String, authority: String) -> Bool {
    origin == "http://" + authority || origin == "https://" + authority || options.corsOrigins.contains(origin)
      || options.corsOrigins.contains("*")
  }

  private static func hostName(_ authority: String) -> String {
    let name = authority.lowercased()
    if name.first == "[" { return String(name.dropFirst().prefix { $0 != "]" }) }
    return String(name.prefix { $0 != ":" })
  }

  private func allowOrigin(_ request: Request, _ answer: inout Answer) {
    guard !options.corsOrigins.isEmpty, let origin = request.headers[.origin] else { return }
    if options.corsOrigins.contains("*") {
      answer.headers.append(("Access-Control-Allow-Origin", "*"))
    } else if options.corsOrigins.contains(origin) {
      answer.headers += [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    }
  }

  private func preflight(_ request: Request, _ allowed: [String]) -> Answer {
    let methods = allowed.joined(separator: ", ")
    var answer = Answer(status: 204, headers: [("Allow", methods)])
    if let origin = request.headers[.origin], options.corsOrigins.contains(origin) || options.corsOrigins.contains("*") {
      answer.headers += [
        ("Access-Control-Allow-Methods", methods), ("Access-Control-Allow-Headers", "Content-Type, X-Request-Id"),
        ("Access-Control-Max-Age", "600"),
      ]
    }
    return answer
  }

  /// The client's own id when it is harmless in a log, else a new one.
  private static func requestID(_ given: String?) -> String {
    if let given, (1...128).contains(given.utf8.count),
      given.utf8.allSatisfy({ $0 == 45 || $0 == 46 || $0 == 95 || (48...57).contains($0) || (97...122).contains($0 | 32) })
    {
      return given
    }
    return randomUUID()
  }
}

extension HTTPField.Name {
  static let host = HTTPField.Name("Host") ?? .date
}
