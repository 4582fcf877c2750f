import Core
package import LuaHost

/// A listening service in a script. `LuaLib/http.lua` holds the loop of `server:wait()`; this is what it stands on.
package final class LuaServer: LuaObject {
  let service: HTTPService
  private let handlers: [LuaFunction]
  private var taken: [Int: PendingRequest] = [:]
  private var lastID = 0
  private var isWaiting = false
  private var isStopping = false
  private var stopDeadline = Double.infinity
  private var hold: StopHold?

  init(service: HTTPService, handlers: [LuaFunction]) {
    self.service = service
    self.handlers = handlers
  }

  deinit { hold?.end(afterSeconds: 0) }

  /// The next request within `seconds`. Looks every 20 ms whether the task was asked to stop.
  private func take(seconds: Double, onlyIfArriving: Bool) -> PendingRequest? {
    let deadline = monotonicSeconds() + seconds
    while true {
      if !isStopping, Cancellation.isAsked { stop() }
      let left = deadline - monotonicSeconds()
      if let request = service.queue.take(within: min(max(0, left), 0.02), onlyIfArriving: onlyIfArriving) {
        guard request.isWanted else {
          service.queue.finished()
          continue
        }
        return request
      }
      if left <= 0 || onlyIfArriving || isStopping { return nil }
    }
  }

  private func stop() {
    isStopping = true
    stopDeadline = monotonicSeconds() + service.options.timeoutSeconds
    service.stopAccepting()
  }

  package static let luaType = ObjectType(
    "HttpServer", "A listening HTTP service.",
    [
      Fn(
        "close", "fun(self: HttpServer)",
        "Stops: waiting requests are refused, connections closed. Inside a handler, server:wait() first answers what it has begun."
      ) { call in
        let server = try call.object(1, as: LuaServer.self)
        if server.isWaiting { server.stop() } else { server.service.close() }
        return 0
      }
    ],
    metamethods: [
      Fn("__tostring", "fun(self: HttpServer): string", "Its address.") { call in
        call.push("HttpServer \(try call.object(1, as: LuaServer.self).service.url)")
      }
    ],
    index: Fn("__index", "fun(self: HttpServer, key: any): any", "url, host, port, requests, errors, in_flight, connections.") {
      call in
      let server = try call.object(1, as: LuaServer.self)
      let name = call.describe(2)
      switch name {
      case "url": return call.push(server.service.url)
      case "host": return call.push(server.service.host)
      case "port": return call.push(server.service.port)
      case "requests": return call.push(server.service.statistics.requests)
      case "errors": return call.push(server.service.statistics.errors)
      case "in_flight": return call.push(server.service.queue.inFlight)
      case "connections": return call.push(server.service.connectionCount)
      default:
        let known = ["url", "host", "port", "requests", "errors", "in_flight", "connections", "wait", "close"]
        throw Failure(.plain, "HttpServer has no method or field \(nearNames(name, known: known, what: "fields"))")
      }
    })

  /// What the loop in `LuaLib/http.lua` needs; scripts cannot require it.
  package static let internals = Module(
    "_http", "The loop of server:wait().",
    [
      Fn("begin", "fun(server: HttpServer)", "Begins the loop of wait().") { call in
        let server = try call.object(1, as: LuaServer.self)
        guard !server.isWaiting else { throw Failure(.plain, "server:wait() runs already") }
        server.isWaiting = true
        server.hold = StopHold(seconds: server.service.options.timeoutSeconds)
        return 0
      },
      Fn("finish", "fun(server: HttpServer)", "Ends the loop of wait(): closes the service.") { call in
        let server = try call.object(1, as: LuaServer.self)
        guard server.isWaiting else { return 0 }
        for request in server.taken.values {
          request.finish(.answered(.stopping))
          server.service.queue.finished()
        }
        server.taken = [:]
        server.service.close()
        server.isWaiting = false
        server.hold?.end(afterSeconds: 0.5)  // long enough for the script to return its result
        return 0
      },
      Fn(
        "take", "fun(server: HttpServer, seconds: number, only_if_arriving: boolean): function|boolean|nil, table?, integer?",
        "Handler, request and its number; nil when none came; false when the service has ended."
      ) { call in
        let server = try call.object(1, as: LuaServer.self)
        guard let request = server.take(seconds: try call.number(2), onlyIfArriving: try call.boolean(3)) else {
          if server.isStopping, server.service.queue.isDrained || monotonicSeconds() > server.stopDeadline {
            return call.push(false)
          }
          return call.pushNil()
        }
        server.lastID += 1
        server.taken[server.lastID] = request
        call.push(reference: server.handlers[request.route])
        LuaServer.push(call, request)
        return 2 + call.push(server.lastID)
      },
      Fn("now", "fun(): number", "Seconds on a clock that never goes back.") { call in
        call.push(monotonicSeconds())
      },
      Fn("wanted", "fun(server: HttpServer, number: integer): boolean", "Does the client still wait?") { call in
        let server = try call.object(1, as: LuaServer.self)
        return call.push(server.taken[try call.integer(2)]?.isWanted ?? false)
      },
      Fn("label", "fun(server: HttpServer, number: integer): string", "The request as logs name it.") { call in
        let server = try call.object(1, as: LuaServer.self)
        guard let request = server.taken[try call.integer(2)] else { return call.push("request") }
        return call.push("\(request.method) \(Answer.shown(request.path)) (request \(request.requestID))")
      },
      Fn("drop", "fun(server: HttpServer, number: integer)", "Forgets a request that nobody waits for.") { call in
        let server = try call.object(1, as: LuaServer.self)
        if server.taken.removeValue(forKey: try call.integer(2)) != nil { server.service.queue.finished() }
        return 0
      },
      Fn(
        "answer", "fun(server: HttpServer, number: integer, status: integer, body?: any, headers?: table)",
        "Answers: a table as JSON, a string as text. Raises when the answer cannot be sent; the request then still waits."
      ) { call in
        let server = try call.object(1, as: LuaServer.self)
        let number = try call.integer(2)
        guard let request = server.taken[number] else { return 0 }
        let answer = try LuaServer.answer(call)
        server.taken[number] = nil
        request.finish(.answered(answer))
        server.service.queue.finished()
        return 0
      },
      Fn(
        "fail", "fun(server: HttpServer, number: integer, status?: integer, code?: string, message?: any)",
        "Answers with an error in the contract's shape; without code INTERNAL_ERROR and no reason."
      ) { call in
        let server = try call.object(1, as: LuaServer.self)
        let number = try call.integer(2)
        guard let request = server.taken.removeValue(forKey: number) else { return 0 }
        if call.isInteger(3), call.isString(4) {  // from a script: may be no valid UTF-8, which `describe` mends
          let message = call.describe(call.isString(5) ? 5 : 4)
          request.finish(.answered(.error(try call.integer(3), call.describe(4), message)))
        } else {
          request.finish(.answered(.internalError(request.requestID)))
        }
        server.service.queue.finished()
        return 0
      },
    ])

  private static func push(_ call: borrowing Call, _ request: PendingRequest) {
    call.pushTable(fields: 7) { table in
      table.set("method", request.method)
      table.set("path", request.path)
      table.set("id", request.requestID)
      table.set("params") { $0.pushPairs(request.parameters) }
      table.set("query") { $0.pushPairs(request.query) }
      table.set("headers") { $0.pushPairs(request.headers) }
      switch request.body {
      case .none: break
      case .bytes(let bytes): table.set("body") { $0.push(bytes: bytes) }
      case .checked(let value): table.set("body") { $0.push(body: value) }
      }
    }
  }

  /// Arguments 3 (status), 4 (body) and 5 (headers).
  private static func answer(_ call: borrowing Call) throws -> Answer {
    let status = try call.integer(3)
    guard (200...599).contains(status) else { throw Failure(.plain, "the status of an answer is 200 to 599, got \(status)") }
    var headers: [(name: String, value: String)] = []
    if !call.isNil(5) {
      try call.forEachPair(5) {
        guard call.isString(-2), call.isString(-1) || call.isNumber(-1) else {
          throw Failure(
            .plain,
            "the headers of an answer are a table of names and strings; '\(call.describe(-2))' is a \(call.typeName(-1))")
        }
        let (name, value) = (try call.string(-2), call.describe(-1))
        guard isToken(name), !reserved.contains(name.lowercased()) else {
          throw Failure(.plain, "header '\(Answer.shown(name))' cannot be set by an answer")
        }
        guard value.utf8.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }) else {
          throw Failure(.plain, "the value of header '\(name)' has control characters")
        }
        headers.append((name, value))
      }
      headers.sort { $0.name < $1.name }
    }
    let hasType = headers.contains { $0.name.lowercased() == "content-type" }
    if call.isNil(4) { return Answer(status: status, headers: headers) }
    if call.isString(4) {
      let bytes = try call.bytes(4)
      return Answer(
        status: status, headers: (hasType ? [] : [("Content-Type", "text/plain; charset=utf-8")]) + headers, body: bytes)
    }
    let json = try call.json(4, name: "answer").utf8()
    return Answer(status: status, headers: (hasType ? [] : [("Content-Type", "application/json")]) + headers, body: json)
  }

  private static let reserved: Set<String> = [
    "connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade", "x-request-id",
  ]

  private static func isToken(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        (48...57).contains(byte) || (97...122).contains(byte | 32) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
  }
}

extension Call {
  fileprivate func pushPairs(_ pairs: [(name: String, value: String)]) -> Int32 {
    pushTable(fields: pairs.count) { table in
      for (name, value) in pairs { table.set(name, value) }
    }
  }

  /// A checked body as Lua data; lists of numbers in one piece.
  fileprivate func push(body: BodyValue) -> Int32 {
    switch body {
    case .plain(let json): return push(json)
    case .numbers(let values): return values.isEmpty ? push(JSONValue.array([])) : push(values)
    case .list(let items):
      if items.isEmpty { return push(JSONValue.array([])) }
      return pushTable(array: items.count) { table in
        for (i, item) in items.enumerated() { table.set(i + 1) { $0.push(body: item) } }
      }
    case .object(let members):
      return pushTable(fields: members.count) { table in
        for member in members { table.set(member.name) { $0.push(body: member.value) } }
      }
    }
  }
}
