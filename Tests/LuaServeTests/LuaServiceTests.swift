import Core
import Foundation
import LuaServe
import Testing

/// Services written in Lua, asked over real sockets.
@Suite(.serialized, .timeLimit(.minutes(1))) struct LuaServiceTests {
  /// `routes` between an app and its loop; `/stop` ends it.
  static func script(_ routes: String, options: String = "") -> String {
    """
    local http, rig = require "http", require "rig"
    local server
    local app = http.app { \(options) }
    \(routes)
    app:post("/stop", function() server:close() return { stopping = true } end)
    server = app:listen { port = 0 }
    rig.ready(server.port)
    server:wait()
    return { requests = server.requests, errors = server.errors, url = server.url, in_flight = server.in_flight }
    """
  }

  static func end(_ rig: LuaRig) throws -> JSONValue {
    #expect(try ask(rig.port, "POST", "/stop").json == ["stopping": true])
    return try rig.result()
  }

  @Test func answersOfAllKinds() async throws {
    try await blocking {
      let rig = try LuaRig(
        LuaServiceTests.script(
          """
          app:get("/echo/:a/:b", function(req)
            return { method = req.method, path = req.path, a = req.params.a, b = req.params.b, q = req.query.q or "none",
                     agent = req.headers["user-agent"] or "none", host = req.headers.host, no_body = req.body == nil, id = req.id }
          end)
          app:post("/raw", function(req) return http.response(201, req.body:upper(), { ["Content-Type"] = "text/x", ["X-Own"] = "1" }) end)
          app:put("/json", { body = { list = http.list("number"), deep = { name = "string", on = http.optional("boolean", true) } } },
            function(req) return { sum = #req.body.list, first = req.body.list[1], name = req.body.deep.name, on = req.body.deep.on } end)
          app:delete("/nothing", function() end)
          app:get("/text", function() return "plain" end)
          app:get("/number", function() return 42 end)
          app:get("/teapot", function() return http.response(418, { short = true, stout = true }) end)
          """))
      let client = try Client(port: rig.port)
      let echo = try client.ask("GET", "/echo/x%2Fy/2?q=%C3%A9", headers: ["User-Agent: test", "X-Request-Id: r1"])
      #expect(
        echo.json?.text()
          == #"{"a":"x/y","agent":"test","b":"2","host":"localhost","id":"r1","method":"GET","no_body":true,"path":"/echo/x%2Fy/2","q":"é"}"#
      )
      let raw = try client.ask("POST", "/raw", body: "abc", headers: ["Content-Type: text/plain"])
      #expect(raw.status == 201)
      #expect(raw.text == "ABC")
      #expect(raw.headers["content-type"] == "text/x")
      #expect(raw.headers["x-own"] == "1")
      let json = try client.ask("PUT", "/json", body: #"{"list":[1.5,2],"deep":{"name":"n"}}"#)
      #expect(json.json?.text() == #"{"first":1.5,"name":"n","on":true,"sum":2}"#)
      let wrong = try client.ask("PUT", "/json", body: #"{"list":[],"deep":{"name":1}}"#)
      #expect(wrong.status == 400)
      #expect(wrong.message == "deep.name: expected a string, got 1")
      #expect(try client.ask("DELETE", "/nothing").status == 204)
      let text = try client.ask("GET", "/text")
      #expect(text.text == "plain")
      #expect(text.headers["content-type"] == "text/plain; charset=utf-8")
      #expect(try client.ask("GET", "/number").text == "42")
      #expect(try client.ask("GET", "/teapot").status == 418)
      #expect(try client.ask("HEAD", "/text").headers["content-length"] == "5")
      let result = try LuaServiceTests.end(rig)
      #expect(result["requests"] == 10)
      #expect(result["errors"] == 0)
      #expect(result["url"] == .string("http://127.0.0.1:\(rig.port)"))
    }
  }

  @Test func errorsOfHandlers() async throws {
    try await blocking {
      let rig = try LuaRig(
        LuaServiceTests.script(
          """
          app:get("/error", function() error "secret reason" end)
          app:get("/own", function() error { code = "NOT_A_DIGIT", status = 422, message = "this is no digit" } end)
          app:get("/nan", function() return { x = 0/0 } end)
          app:get("/function", function() return { x = print } end)
          app:get("/status", function() return http.response(200, "x", { ["Content-Length"] = "9" }) end)
          app:get("/header", function() return http.response(200, "x", { ["X-A"] = "a\\r\\nb: c" }) end)
          app:get("/yield", function() coroutine.yield(1) return { ok = true } end)
          app:get("/nil", function() error(nil) end)
          app:get("/nasty", function() error(setmetatable({}, { __tostring = function() error "again" end, __index = function() error "no" end })) end)
          app:get("/bytes", function() error { code = "C\\xff", status = 400, message = "\\xfe" } end)
          app:get("/fine", function() return { fine = true } end)
          """))
      let client = try Client(port: rig.port)
      for path in ["/error", "/nan", "/function", "/status", "/header", "/yield", "/nil", "/nasty"] {
        let reply = try client.ask("GET", path, headers: ["X-Request-Id: id-\(path.dropFirst())"])
        #expect(reply.status == 500, "\(path)")
        #expect(reply.code == "INTERNAL_ERROR")
        #expect(reply.message == "the handler failed; the log has the reason under request id-\(path.dropFirst())")
      }
      #expect(try client.ask("GET", "/bytes").message == "\u{FFFD}")
      let own = try client.ask("GET", "/own")
      #expect(own.status == 422)
      #expect(own.text == #"{"error":{"code":"NOT_A_DIGIT","message":"this is no digit"}}"#)
      #expect(try client.ask("GET", "/fine").json == ["fine": true])
      #expect(try LuaServiceTests.end(rig)["errors"] == 8)
      let log = rig.log
      for text in [
        "http: GET /error (request id-error) failed: serve.lua:4: secret reason",
        "GET /nan (request id-nan) failed: ", "answer.x is NaN, which JSON cannot hold",
        "answer.x is a function, which JSON cannot hold",
        "header 'Content-Length' cannot be set by an answer", "the value of header 'X-A' has control characters",
        "a handler must not yield; only batch:call may wait",
      ] {
        #expect(log.contains(text), "\(text) in \(log)")
      }
    }
  }

  static let batching = """
    local sizes, alone = {}, 0
    local batch = http.batcher({ max = 8, wait_ms = 20 }, function(items)
      for _, item in ipairs(items) do
        if item == 13 then
          if #items == 1 then alone = alone + 1 end
          error "13 is bad"
        end
      end
      sizes[#sizes + 1] = #items
      rig.sleep(0.01)
      local out = {}
      for i, item in ipairs(items) do out[i] = { double = item * 2 } end
      return out
    end)
    app:post("/double", { body = { n = "integer" } }, function(req)
      local answer = batch:call(req.body.n)
      return { n = req.body.n, double = answer.double }
    end)
    app:get("/sizes", function() return { sizes = sizes, alone = alone } end)
    app:get("/direct", function() return coroutine.wrap(function() return batch:call(4) end)() end)
    """

  @Test func batches() async throws {
    try await blocking {
      let rig = try LuaRig(LuaServiceTests.script("\(LuaServiceTests.batching) assert(batch:call(3).double == 6)"))
      // One at a time: answered at once, in batches of one.
      let single = try Client(port: rig.port)
      let began = monotonicSeconds()
      for n in 0..<3 { #expect(try single.ask("POST", "/double", body: "{\"n\":\(n)}").json?["double"] == .int(Int64(n * 2))) }
      #expect(monotonicSeconds() - began < 1)
      // Inside a coroutine of the handler's own, the batch function is called directly.
      #expect(try single.ask("GET", "/direct").json == ["double": 8])
      // Many at a time share batches, and each gets its own answer.
      let clients = try (0..<16).map { _ in try Client(port: rig.port) }
      for round in 0..<10 {
        for (i, client) in clients.enumerated() {
          let body = "{\"n\":\(1000 + round * 100 + i)}"
          try client.send(
            "POST /double HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
          )
        }
        for (i, client) in clients.enumerated() {
          #expect(try client.reply()?.json?["double"] == .int(Int64(2 * (1000 + round * 100 + i))))
        }
      }
      let sizes = try #require(try single.ask("GET", "/sizes").json?["sizes"]?.arrayValue).compactMap { $0.intValue }
      #expect(sizes.reduce(0, +) == 165)
      #expect(sizes.max() ?? 0 > 1)
      #expect(sizes.max() ?? 0 <= 8)
      #expect(sizes.count < 100)
      _ = try LuaServiceTests.end(rig)
    }
  }

  @Test func oneBadItemFailsAlone() async throws {
    try await blocking {
      let rig = try LuaRig(LuaServiceTests.script(LuaServiceTests.batching))
      let clients = try (0..<8).map { _ in try Client(port: rig.port) }
      for (i, client) in clients.enumerated() {
        let n = i == 5 ? 13 : i
        try client.send(
          "POST /double HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \("{\"n\":\(n)}".utf8.count)\r\n\r\n{\"n\":\(n)}"
        )
      }
      for (i, client) in clients.enumerated() {
        let reply = try #require(try client.reply())
        if i == 5 {
          #expect(reply.code == "INTERNAL_ERROR")
        } else {
          #expect(reply.json?["double"] == .int(Int64(2 * i)))
        }
      }
      #expect(try ask(rig.port, "GET", "/sizes").json?["alone"] == 1)
      #expect(try LuaServiceTests.end(rig)["errors"] == 1)
      #expect(rig.log.contains("serve.lua:9: 13 is bad"))
    }
  }

  @Test func batchFunctionsThatReturnNonsense() async throws {
    try await blocking {
      let rig = try LuaRig(
        LuaServiceTests.script(
          """
          local short = http.batcher({}, function(items) return {} end)
          local none = http.batcher(function(items) end)
          app:get("/short", function() return short:call(1) end)
          app:get("/none", function() return none:call(1) end)
          """))
      #expect(try ask(rig.port, "GET", "/short").status == 500)
      #expect(try ask(rig.port, "GET", "/none").status == 500)
      _ = try LuaServiceTests.end(rig)
      #expect(rig.log.contains("the batch function returned 0 answers for 1 items"))
      #expect(rig.log.contains("the batch function returned a nil for 1 items"))
    }
  }

  @Test func clientsLeaveInMidBatch() async throws {
    try await blocking {
      let rig = try LuaRig(
        LuaServiceTests.script(
          """
          local seen = 0
          local batch = http.batcher({ max = 4, wait_ms = 1 }, function(items)
            seen = seen + #items
            rig.sleep(0.05)
            return items
          end)
          app:get("/item", function() return batch:call({ ok = true }) end)
          app:get("/seen", function() return { seen = seen, in_flight = server.in_flight } end)
          """))
      for _ in 0..<10 {
        let clients = try (0..<20).map { _ in try Client(port: rig.port) }
        for client in clients { try client.send("GET /item HTTP/1.1\r\nHost: localhost\r\n\r\n") }
      }
      let state = try #require(try ask(rig.port, "GET", "/seen").json)
      #expect(state["in_flight"] == 1)  // this one
      #expect(state["seen"]?.intValue ?? 1000 < 150)  // work for clients that have left is not done
      #expect(try ask(rig.port, "GET", "/item").json == ["ok": true])
      #expect(try LuaServiceTests.end(rig)["in_flight"] == 0)
    }
  }

  @Test func staticFilesOfAScript() async throws {
    try await blocking {
      let folder = NSTemporaryDirectory() + "serve-lua-" + randomUUID()
      try FileManager.default.createDirectory(atPath: folder + "/web", withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try "<p>page</p>".write(toFile: folder + "/web/index.html", atomically: false, encoding: .utf8)
      let rig = try LuaRig(LuaServiceTests.script(#"app:static("/", "web")"#), root: folder)
      #expect(try ask(rig.port, "GET", "/").text == "<p>page</p>")
      _ = try LuaServiceTests.end(rig)
      let outside = #expect(throws: Failure.self) {
        try LuaRig(LuaServiceTests.script(#"app:static("/", "/etc")"#), root: folder)
      }
      #expect(outside?.message == "'/etc' is outside the allowed folders")
    }
  }

  @Test(arguments: [
    (#"http.app { titel = "x" }"#, "'app' has no option 'titel'; did you mean 'title'?"),
    (
      #"http.app { body_limit = "lots" }"#,
      #"option 'body_limit' of 'app' must be bytes up to 1 GiB, such as 65536 or "64KiB", got "lots""#
    ),
    (#"http.app { timeout = 0 }"#, "option 'timeout' of 'app' must be more than 0 and at most 86400 seconds, got 0"),
    (#"app:get("x", print)"#, "route 'x': a path starts with '/'"),
    (#"app:get("/x", print) app:get("/x", print)"#, "route GET /x would hide GET /x, which is there already"),
    (#"app:get("/x")"#, "bad argument #2 'options' to 'get'"),
    (#"app:get("/x", {})"#, "bad argument #3 'handler' to 'get' (function expected, got no value)"),
    (#"app:get("/x", { body = {} }, print)"#, "option 'body' of 'get' is not for GET, which has no body"),
    (#"app:post("/x", { boddy = {} }, print)"#, "'post' has no option 'boddy'; did you mean 'body'?"),
    (#"app:post("/x", { body = "numbr" }, print)"#, "body: there is no shape 'numbr'; did you mean 'number'?"),
    (
      #"app:post("/x", { body = { a = 1 } }, print)"#,
      #"body.a: a shape is a name such as "number", http.list(...), or a table of fields; got number"#
    ),
    (
      #"app:post("/x", { body = { "number" } }, print)"#,
      #"body: the fields of an object have names; for a list write http.list("number")"#
    ),
    (#"app:post("/x", { body = http.optional("number") }, print)"#, "body: http.optional is for the fields of an object"),
    (#"http.list("number", { min = 2, max = 1 })"#, "option 'min' of 'list' is above max"),
    (#"http.list("string", { min = 2 })"#, #"option 'min' of 'list' is for lists of "number" or "integer""#),
    (#"http.list("number", { len = 2, min_len = 1 })"#, "option 'len' of 'list' excludes min_len and max_len"),
    (#"http.optional("number", "x")"#, #"http.optional: the default: expected a number, got "x""#),
    (#"http.batcher({ size = 3 }, print)"#, "http.batcher has no option 'size'; options are: max, wait_ms"),
    (#"http.batcher({ max = 0 }, print)"#, "http.batcher: max is an integer of at least 1, got 0"),
    (#"http.batcher({})"#, "http.batcher: the last argument is a function over a list, got nil"),
    (#"http.response("x")"#, "http.response: the status is an integer from 200 to 599, got x"),
    (#"app:static("/", "/no/such")"#, "'/no/such' does not exist"),
    (#"app:listen { prt = 1 }"#, "'listen' has no option 'prt'; did you mean 'port'?"),
    (#"app:listen { port = 70000 }"#, "option 'port' of 'listen' must be 0 to 65535, got 70000"),
    (#"local s = app:listen { port = 0 } print(s.prt)"#, "HttpServer has no method or field 'prt'; did you mean 'port'?"),
    (
      #"local s = app:listen { port = 0 } app:listen { port = s.port }"#,
      "is in use by another program; choose another port, or 0 for a free one"
    ),
  ])
  func messagesOfTheModule(_ code: String, _ message: String) async throws {
    try await blocking {
      let error = #expect(throws: Failure.self) {
        try LuaRig("local http = require 'http'\nlocal app = http.app {}\n\(code)\nreturn {}").result()
      }
      #expect(error?.message.contains(message) == true, "\(error?.message ?? "no error")")
      #expect(error?.place == "serve.lua:3")
    }
  }
}

/// The process-wide stop, and with it the end of a service by cancel; in processes of their own, because the flag stops all.
@Suite(.timeLimit(.minutes(1))) struct CancelTests {
  @Test func cancelDrainsAndReturns() async throws {
    await #expect(processExitsWith: .success) {
      try await blocking {
        let rig = try LuaRig(
          LuaServiceTests.script(
            #"app:get("/slow", function() rig.sleep(0.2) return { done = true } end)"#, options: "timeout = 5"))
        let idle = try Client(port: rig.port)
        #expect(try idle.ask("GET", "/healthz").status == 200)
        let clients = try (0..<3).map { _ in try Client(port: rig.port) }
        for client in clients { try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        usleep(100_000)
        Cancellation.request()
        #expect(!Cancellation.isRequested)  // held back: handlers and kernels go on
        for client in clients { #expect(try client.reply()?.json == ["done": true]) }
        let result = try rig.result(within: 3)
        #expect(result["requests"] == 4)
        #expect(result["in_flight"] == 0)
        #expect(idle.isClosed())
        #expect(throws: Client.Broken.self) { try Client(port: rig.port) }
        #expect(eventually { Cancellation.isRequested })
      }
    }
  }

  @Test func aHandlerThatNeverEndsIsNotWaitedForLong() async throws {
    await #expect(processExitsWith: .success) {
      try await blocking {
        let rig = try LuaRig(
          LuaServiceTests.script(#"app:get("/loop", function() while true do end end)"#, options: "timeout = 0.5"),
          watched: true)
        let client = try Client(port: rig.port)
        let reply = try client.ask("GET", "/loop")
        #expect(reply.code == "TIMEOUT")
        Cancellation.request()
        let error = #expect(throws: Failure.self) { try rig.result(within: 5) }
        #expect(error?.code == .cancelled)
      }
    }
  }
}
