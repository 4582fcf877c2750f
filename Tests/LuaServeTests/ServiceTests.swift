import Core
import Foundation
import LuaServe
import Testing

/// What every service does by itself, over real sockets, with a Swift closure in place of Lua.
@Suite(.serialized, .timeLimit(.minutes(1))) struct ServiceTests {
  @Test func answersAndStatistics() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/predict", body: imageShape), try route("GET", "/items/:id")]) { request in
        .json([
          "path": .string(request.path), "id": .string(request.parameters.first?.value ?? ""),
          "query": .string(request.query.first?.value ?? ""),
        ])
      }
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      let got = try client.ask("GET", "/items/a%20b?q=1")
      #expect(got.status == 200)
      #expect(got.json?["id"] == "a b")
      #expect(got.json?["query"] == "1")
      #expect(got.headers["content-type"] == "application/json")
      #expect(got.headers["x-request-id"]?.count == 36)
      #expect(got.headers["date"]?.hasSuffix("GMT") == true)
      #expect(got.headers["access-control-allow-origin"] == nil)
      // Keep-alive: the same connection goes on. A harmless id of the client is kept, another one is not.
      #expect(try client.ask("GET", "/items/x/", headers: ["X-Request-Id: abc-1"]).headers["x-request-id"] == "abc-1")
      #expect(try client.ask("GET", "/items/x", headers: ["X-Request-Id: a b"]).headers["x-request-id"]?.count == 36)
      let head = try client.ask("HEAD", "/items/x")
      #expect(head.status == 200)
      #expect(Int(head.headers["content-length"] ?? "") ?? 0 > 10)
      #expect(try client.ask("POST", "/predict", body: #"{"image":[0,0,0,1]}"#).status == 200)
      #expect(rig.service.statistics.requests == 5)
      #expect(rig.service.statistics.errors == 0)
      #expect(rig.service.url == "http://127.0.0.1:\(rig.port)")
    }
  }

  @Test func notFoundMethodsAndOptions() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/predict", body: imageShape), try route("GET", "/a/:b")])
      defer { rig.stop() }
      let missing = try ask(rig.port, "GET", "/nothing")
      #expect(missing.status == 404)
      #expect(missing.code == "NOT_FOUND")
      #expect(missing.message == "no route or file for /nothing")
      let wrong = try ask(rig.port, "DELETE", "/a/1")
      #expect(wrong.status == 405)
      #expect(wrong.headers["allow"] == "GET, HEAD, OPTIONS")
      #expect(wrong.message == "DELETE is not allowed on /a/1; allowed: GET, HEAD, OPTIONS")
      #expect(try ask(rig.port, "GET", "/predict").headers["allow"] == "POST, OPTIONS")
      let options = try ask(rig.port, "OPTIONS", "/predict")
      #expect(options.status == 204)
      #expect(options.headers["allow"] == "POST, OPTIONS")
      #expect(try ask(rig.port, "PURGE", "/predict").status == 405)
      for path in ["/%2e%2e/x", "/..%2f..", "/%00", "/%c0%ae", "/%zz", "/predict%"] {
        let status = try ask(rig.port, "GET", path).status
        #expect(status == 404 || status == 400, "\(path): \(status)")
      }
    }
  }

  @Test func builtInRoutes() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/predict", body: imageShape), try route("GET", "/items/:id")])
      defer { rig.stop() }
      let health = try ask(rig.port, "GET", "/healthz")
      #expect(health.json == ["status": "ok"])
      #expect(try ask(rig.port, "POST", "/healthz").headers["allow"] == "GET, HEAD, OPTIONS")
      let document = try ask(rig.port, "GET", "/openapi.json").json
      #expect(document?["openapi"] == "3.1.0")
      let body = document?["paths"]?["/predict"]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"]
      #expect(body?.text() == imageShape.schema.text())
      #expect(document?["paths"]?["/items/{id}"]?["get"]?["parameters"]?.arrayValue?.first?["name"] == "id")
      #expect(document?["paths"]?["/healthz"] != nil)

      let own = try Rig([try route("GET", "/healthz")]) { _ in .json(["status": "own"]) }
      defer { own.stop() }
      #expect(try ask(own.port, "GET", "/healthz").json == ["status": "own"])
    }
  }

  @Test func bodiesAreChecked() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/predict", body: imageShape), try route("POST", "/raw")]) { request in
        if case .bytes(let bytes) = request.body { return .json(["bytes": .int(Int64(bytes.count))]) }
        return .json(["ok": true])
      }
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      let cases: [(String, String)] = [
        (#"{"image":[0,0,0,"x"]}"#, #"image[3]: expected a number from 0 to 1, got "x""#),
        (#"{"image":[0,0,0,1e400]}"#, "invalid JSON at line 1, column 17: the number is out of range"),
        (#"{"image":[0,0,0,NaN]}"#, "invalid JSON at line 1, column 17: unexpected character 'N'"),
        (#"{"image":[0,0,0,1]} x"#, "invalid JSON at line 1, column 21: text after the end of the value"),
        (#"{"image":[0,0,0,1],"image":[0,0,0,1]}"#, "invalid JSON at line 1, column 20: key 'image' appears twice"),
        (#"{"image":[0,0,0,1],"extra":1}"#, "unknown field 'extra'; fields are: image"),
        ("", "the body is missing; expected an object with the field image"),
        ("null", "body: expected an object with the field image, got null"),
        ("[]", "body: expected an object with the field image, got an empty list"),
        ("\u{FEFF}{}", "invalid JSON at line 1, column 1: unexpected character 0xef"),
        (String(repeating: "[", count: 100_000), "invalid JSON at line 1, column 65: nested deeper than 64"),
      ]
      for (body, message) in cases {
        let reply = try client.ask("POST", "/predict", body: body)
        #expect(reply.status == 400, "\(body.prefix(50))")
        #expect(reply.code == "INVALID_REQUEST")
        #expect(reply.message == message)
      }
      #expect(try client.ask("POST", "/raw", body: "anything", headers: ["Content-Type: text/plain"]).json == ["bytes": 8])
      #expect(try client.ask("POST", "/predict", body: #"{"image":[0,0,0,1]}"#).status == 200)
    }
  }

  @Test func contentTypes() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/predict", body: imageShape)])
      defer { rig.stop() }
      let body = #"{"image":[0,0,0,1]}"#
      for (type, status) in [
        ("application/json", 200), ("application/json; charset=utf-8", 200), ("Application/JSON;charset=\"UTF-8\"", 200),
        ("application/problem+json", 200), ("text/plain", 415), ("application/json; charset=utf-16", 415),
        ("application/x-www-form-urlencoded", 415),
      ] {
        #expect(
          try ask(rig.port, "POST", "/predict", body: body, headers: ["Content-Type: \(type)"]).status == status, "\(type)")
      }
      let client = try Client(port: rig.port)
      try client.send("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
      let missing = try #require(try client.reply())
      #expect(missing.status == 415)
      #expect(missing.message == "the Content-Type is missing; send JSON with Content-Type: application/json")
      let packed = try ask(rig.port, "POST", "/predict", body: body, headers: ["Content-Encoding: gzip"])
      #expect(packed.status == 415)
      #expect(packed.code == "UNSUPPORTED_MEDIA_TYPE")
    }
  }

  @Test func largeBodies() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.bodyLimitBytes = 1000
      let rig = try Rig([try route("POST", "/raw")], options: options) { request in
        if case .bytes(let bytes) = request.body { return .json(["bytes": .int(Int64(bytes.count))]) }
        return .json(["bytes": 0])
      }
      defer { rig.stop() }
      #expect(try ask(rig.port, "POST", "/raw", body: String(repeating: "x", count: 1000)).json == ["bytes": 1000])
      // One byte over: refused by the head alone, before the body is sent.
      let client = try Client(port: rig.port)
      try client.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n")
      let reply = try #require(try client.reply())
      #expect(reply.status == 413)
      #expect(reply.code == "BODY_TOO_LARGE")
      #expect(reply.headers["connection"] == "close")
      #expect(client.isClosed())
      // The answer survives a client that goes on sending.
      let pusher = try Client(port: rig.port)
      try pusher.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
      try? pusher.send([UInt8](repeating: 120, count: 100_000))
      #expect(try pusher.reply()?.status == 413)
      // Chunked: counted as it comes.
      let chunked = try Client(port: rig.port)
      try chunked.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
      for _ in 0..<3 { try? chunked.send("190\r\n" + String(repeating: "y", count: 400) + "\r\n") }
      #expect(try chunked.reply()?.status == 413)
      let small = try Client(port: rig.port)
      try small.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
      #expect(try small.reply()?.json == ["bytes": 5])
      // Expect: 100-continue is answered for a body that will be taken.
      let polite = try Client(port: rig.port)
      try polite.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
      #expect(try polite.reply()?.status == 100)
      try polite.send("abc")
      #expect(try polite.reply()?.json == ["bytes": 3])
    }
  }

  @Test(arguments: [
    "GARBAGE\r\n\r\n", "GET /\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "\0\0\0\0\r\n\r\n",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    "POST /raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", "GET /healthz HTTP/1.1\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
    "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
  ])
  func malformedRequests(_ text: String) async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/raw")])
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      try client.send(text)
      let reply = try #require(try client.reply())
      #expect(reply.status == 400, "\(reply.status) \(reply.text)")
      #expect(reply.code == "INVALID_REQUEST")
      #expect(try ask(rig.port, "GET", "/healthz").status == 200)
      #expect(rig.service.queue.inFlight == 0)
    }
  }

  @Test func tooManyAndTooLargeHeaders() async throws {
    try await blocking {
      let rig = try Rig()
      defer { rig.stop() }
      for text in [
        "GET /\(String(repeating: "a", count: 1 << 20)) HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "a", count: 1 << 20))\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n" + (0..<10000).map { "X\($0): 1\r\n" }.joined() + "\r\n",
      ] {
        let client = try Client(port: rig.port)
        try? client.send(text)
        let reply = try #require(try client.reply())
        #expect(reply.status == 431)
        #expect(reply.code == "HEADERS_TOO_LARGE")
      }
      #expect(try ask(rig.port, "GET", "/healthz").status == 200)
    }
  }

  @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
    try await blocking {
      let rig = try Rig([try route("GET", "/n/:n")]) { .json(.string($0.parameters[0].value)) }
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      try client.send((0..<1000).map { "GET /n/\($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined())
      for n in 0..<1000 {
        let reply = try #require(try client.reply())
        #expect(reply.text == "\"\(n)\"")
      }
      // A malformed request behind good ones is answered after them.
      try client.send("GET /n/1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: localhost\r\n\r\n???\r\n\r\n")
      #expect(try client.reply()?.text == "\"1\"")
      #expect(try client.reply()?.text == "\"2\"")
      #expect(try client.reply()?.status == 400)
      #expect(client.isClosed())
    }
  }

  @Test func connectionsCloseWhenAsked() async throws {
    try await blocking {
      let rig = try Rig()
      defer { rig.stop() }
      let closing = try Client(port: rig.port)
      let reply = try closing.ask("GET", "/healthz", headers: ["Connection: close"])
      #expect(reply.status == 200)
      #expect(reply.headers["connection"] == "close")
      #expect(closing.isClosed())
      let old = try Client(port: rig.port)
      try old.send("GET /healthz HTTP/1.0\r\n\r\n")
      #expect(try old.reply()?.status == 200)
      #expect(old.isClosed())
      #expect(eventually { rig.service.connectionCount == 0 })
    }
  }

  @Test func slowClientsAreCutOff() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.headSeconds = 0.5
      options.bodySeconds = 0.5
      options.idleSeconds = 0.5
      let rig = try Rig([try route("POST", "/raw")], options: options)
      defer { rig.stop() }
      // A byte of the head now and then does not extend its deadline.
      let head = try Client(port: rig.port)
      let began = monotonicSeconds()
      for byte in "GET /healthz HT" {
        do { try head.send(String(byte)) } catch { break }
        usleep(60_000)
      }
      #expect(head.isClosed())
      #expect(monotonicSeconds() - began < 2.5)
      // Nor a byte of the body.
      let body = try Client(port: rig.port)
      try body.send("POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
      for _ in 0..<9 {
        try? body.send("x")
        usleep(60_000)
      }
      let reply = try #require(try body.reply())
      #expect(reply.status == 408)
      #expect(reply.code == "REQUEST_TIMEOUT")
      #expect(reply.message == "the body did not arrive within 0.5 s")
      // An idle connection ends.
      let idle = try Client(port: rig.port)
      #expect(try idle.ask("GET", "/healthz").status == 200)
      #expect(idle.isClosed())
      #expect(eventually { rig.service.connectionCount == 0 })
    }
  }

  @Test func oneHundredSlowClientsDoNotBlockOthers() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.headSeconds = 1
      let rig = try Rig(options: options)
      defer { rig.stop() }
      let slow = try (0..<100).map { _ in try Client(port: rig.port) }
      for client in slow { try client.send("GET / HT") }
      let began = monotonicSeconds()
      #expect(try ask(rig.port, "GET", "/healthz").status == 200)
      #expect(monotonicSeconds() - began < 0.5)
      #expect(eventually { rig.service.connectionCount == 0 })
    }
  }

  @Test func readersThatNeverRead() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.writeSeconds = 0.4
      let rig = try Rig([try route("GET", "/big")], options: options) { _ in
        Answer(status: 200, body: [UInt8](repeating: 1, count: 32 << 20))
      }
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      try client.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
      #expect(eventually { rig.service.connectionCount == 1 })
      #expect(eventually { rig.service.connectionCount == 0 })
    }
  }

  @Test func connectionCap() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.maxConnections = 3
      let rig = try Rig(options: options)
      defer { rig.stop() }
      let first = try (0..<3).map { _ in try Client(port: rig.port) }
      for client in first { #expect(try client.ask("GET", "/healthz").status == 200) }
      let waiting = try Client(port: rig.port, seconds: 0.3)
      #expect(throws: Client.Broken.self) { try waiting.ask("GET", "/healthz") }
      #expect(rig.service.connectionCount == 3)
      first[0].leave()
      #expect(try waiting.reply()?.status == 200)
    }
  }

  @Test func overloadAndTimeout() async throws {
    try await blocking {
      var options = HTTPService.Options()
      options.maxInFlight = 2
      options.timeoutSeconds = 0.6
      let gate = DispatchSemaphore(value: 0)
      let rig = try Rig([try route("GET", "/slow")], options: options) { _ in
        gate.wait()
        return .json(["late": true])
      }
      defer { rig.stop() }
      let clients = try (0..<3).map { _ in try Client(port: rig.port) }
      for client in clients { try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n") }
      var statuses: [Int] = []
      for client in clients {
        let reply = try #require(try client.reply())
        statuses.append(reply.status)
        if reply.status == 503 {
          #expect(reply.code == "OVERLOADED")
          #expect(reply.headers["retry-after"] == "1")
        } else {
          #expect(reply.code == "TIMEOUT")
          #expect(reply.message == "no answer within 0.6 s")
        }
      }
      #expect(statuses.sorted() == [503, 504, 504])
      #expect(rig.service.statistics.errors == 3)
      gate.signal()  // the first one ran; the second was taken out of the queue when its time was over
      #expect(eventually { rig.service.queue.inFlight == 0 })
      gate.signal()
      #expect(try clients[0].ask("GET", "/slow").json == ["late": true])
    }
  }

  @Test func clientsThatLeave() async throws {
    try await blocking {
      let ran = Counter()
      let gate = DispatchSemaphore(value: 0)
      let rig = try Rig([try route("GET", "/slow")]) { _ in
        ran.add()
        gate.wait()
        return .json(["ok": true])
      }
      defer { rig.stop() }
      let first = try Client(port: rig.port)
      try first.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
      #expect(eventually { ran.value == 1 })
      for n in 0..<20 {
        let client = try Client(port: rig.port)
        try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if n % 2 == 0 { #expect(eventually { rig.service.queue.inFlight > 1 }) }  // some leave from the queue, some before
      }
      first.leave()
      // The first is being handled, all others have left the queue with their clients.
      #expect(eventually { ran.value == 1 && rig.service.queue.inFlight == 1 && rig.service.connectionCount == 0 })
      gate.signal()
      #expect(eventually { rig.service.queue.inFlight == 0 })
      #expect(ran.value == 1)
      // In the middle of a body, too.
      let client = try Client(port: rig.port)
      try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
      client.leave()
      #expect(eventually { rig.service.connectionCount == 0 })
      #expect(ran.value == 1)
    }
  }

  @Test func stoppingDrains() async throws {
    try await blocking {
      let entered = DispatchSemaphore(value: 0)
      let gate = DispatchSemaphore(value: 0)
      let rig = try Rig([try route("GET", "/slow")]) { _ in
        entered.signal()
        gate.wait()
        return .json(["ok": true])
      }
      let idle = try Client(port: rig.port)
      #expect(try idle.ask("GET", "/healthz").status == 200)
      let busy = try (0..<3).map { _ in try Client(port: rig.port) }
      for client in busy { try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n") }
      entered.wait()
      #expect(eventually { rig.service.queue.inFlight == 3 })
      rig.service.stopAccepting()
      #expect(idle.isClosed())
      #expect(eventually { (try? Client(port: rig.port)) == nil })
      for _ in 0..<3 { gate.signal() }
      for client in busy {
        let reply = try #require(try client.reply())
        #expect(reply.json == ["ok": true])
        #expect(reply.headers["connection"] == "close")
      }
      rig.stop()
      #expect(rig.service.connectionCount == 0)
      // The port is free at once.
      let again = try Rig(port: rig.port)
      #expect(again.port == rig.port)
      again.stop()
    }
  }

  @Test func ports() async throws {
    try await blocking {
      let rig = try Rig()
      defer { rig.stop() }
      let taken = #expect(throws: Failure.self) { try HTTPService(routes: [], port: rig.port) }
      #expect(taken?.code.rawValue == "PORT_IN_USE")
      #expect(
        taken?.message == "port \(rig.port) on 127.0.0.1 is in use by another program; choose another port, or 0 for a free one"
      )
      let other = #expect(throws: Failure.self) { try HTTPService(routes: [], host: "192.0.2.1", port: 0) }
      #expect(other?.message == "host '192.0.2.1' is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are")
      let unknown = #expect(throws: Failure.self) { try HTTPService(routes: [], host: "no.such.host.invalid", port: 0) }
      #expect(unknown?.message == "host 'no.such.host.invalid' is not known; give an address such as 127.0.0.1 or 0.0.0.0")
      let large = #expect(throws: Failure.self) { try HTTPService(routes: [], port: 70000) }
      #expect(large?.message == "port 70000 is not possible; 0 to 65535 are, and 0 picks a free one")
    }
  }

  @Test func hostsAndOrigins() async throws {
    try await blocking {
      let rig = try Rig([try route("POST", "/raw")])
      defer { rig.stop() }
      for (host, status) in [("localhost", 200), ("127.0.0.1:\(rig.port)", 200), ("[::1]:1", 200), ("evil.example", 421)] {
        #expect(try ask(rig.port, "GET", "/healthz", headers: ["Host: \(host)"]).status == status, "\(host)")
      }
      let own = ["Host: localhost:\(rig.port)", "Origin: http://localhost:\(rig.port)"]
      #expect(try ask(rig.port, "POST", "/raw", body: "x", headers: own).status == 200)
      let other = try ask(rig.port, "POST", "/raw", body: "x", headers: ["Origin: http://evil.example"])
      #expect(other.status == 403)
      #expect(other.code == "ORIGIN_NOT_ALLOWED")
      #expect(try ask(rig.port, "POST", "/raw", body: "x", headers: ["Origin: null"]).status == 403)

      var options = HTTPService.Options()
      options.corsOrigins = ["http://app.example"]
      options.hosts = ["api.example"]
      let open = try Rig([try route("POST", "/raw")], options: options)
      defer { open.stop() }
      let allowed = try ask(open.port, "POST", "/raw", body: "x", headers: ["Origin: http://app.example", "Host: api.example"])
      #expect(allowed.status == 200)
      #expect(allowed.headers["access-control-allow-origin"] == "http://app.example")
      #expect(allowed.headers["vary"] == "Origin")
      let preflight = try ask(open.port, "OPTIONS", "/raw", headers: ["Origin: http://app.example"])
      #expect(preflight.status == 204)
      #expect(preflight.headers["access-control-allow-methods"] == "POST, OPTIONS")
    }
  }
}

final class Counter: @unchecked Sendable {  // Sendable: the lock.
  private let lock = NSLock()
  private var count = 0
  func add() { lock.withLock { count += 1 } }
  var value: Int { lock.withLock { count } }
}
