import Core
import Foundation
import Glibc
import Server
import Tasks
import Testing

/// Live servers and clocks: one after the other.
@Suite(.serialized) enum Live {}

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct TaskRouteTests {
    @Test func theContractsTask() async throws {
      try await Site.with { site in
        let body: JSONValue = [
          "name": "mnist_ingestion", "input": .string(site.folder + "/data/raw/"), "script": "mnist/mnist_clean.lua",
          "output": "lance_storage/datasets/mnist_clean.lance", "params": ["normalize": true, "flatten": true],
        ]
        let created = try await site.submit(body)
        #expect(created.status == 201 && created.fields["location"] == "/api/v1/tasks/task-001")
        #expect(created.fields["content-type"] == "application/json")
        #expect(created.json.objectValue.map { Array($0.keys.prefix(4)) } == ["id", "name", "status", "created_at"])
        #expect(created.json["id"] == "task-001" && created.json["name"] == "mnist_ingestion")
        let time = try #require(created.json["created_at"]?.stringValue)
        #expect(time.utf8.count == 20 && Instant(time) != nil)

        let done = try await site.end("task-001")
        #expect(done["status"] == "completed" && done["result"]?["echo"] == ["normalize": true, "flatten": true])
        #expect(done["completed_at"]?.stringValue.flatMap { Instant($0) } != nil && done["error"] == nil)
        #expect(done["params"] == ["normalize": true, "flatten": true])

        let list = try await site.get("/api/v1/tasks")
        #expect(list.status == 200 && list.json.arrayValue?.count == 1)
        #expect(list.json.arrayValue?.first?["id"] == "task-001" && list.json.arrayValue?.first?["params"] == nil)

        let missing = try await site.get("/api/v1/tasks/task-099")
        #expect(
          missing.status == 404 && missing.code == "TASK_NOT_FOUND" && missing.message == "Task 'task-099' does not exist")
        #expect(
          missing.json.objectValue?.keys == ["error"]
            && missing.json["error"]?["request_id"]?.stringValue == missing.fields["x-request-id"])
      }
    }

    @Test func aFreeSlotShowsRunningWithin50Milliseconds() async throws {
      try await Site.with { site in
        let begin = monotonicSeconds()
        let first = try await site.submit(Site.request(name: "wait"))
        #expect(first.json["status"] == "running")
        let second = try await site.submit(Site.request(name: "wait"))
        #expect(second.json["status"] == "pending")
        #expect(monotonicSeconds() - begin < 1)  // a loaded machine: the median is measured by Tests/e2e
      }
    }

    @Test func cancelOfEachState() async throws {
      try await Site.with { site in
        _ = try await site.submit(Site.request(name: "wait"))
        _ = try await site.submit(Site.request(name: "wait"))
        let pending = try await site.call("POST", "/api/v1/tasks/task-002/cancel")
        #expect(pending.status == 200 && pending.json["status"] == "cancelled")
        let running = try await site.call("POST", "/api/v1/tasks/task-001/cancel/", body: "{}")
        #expect(running.status == 200 && running.json["status"] == "cancelled" && running.json["cancel_requested_at"] != nil)
        #expect(try await site.call("POST", "/api/v1/tasks/task-001/cancel").status == 200)
        _ = try await site.submit(Site.request(name: "fail"))
        #expect(try await site.end("task-003")["error"] == ["code": "SCRIPT_ERROR", "message": "went wrong"])
        let over = try await site.call("POST", "/api/v1/tasks/task-003/cancel")
        #expect(over.status == 409 && over.code == "TASK_NOT_CANCELLABLE")
        #expect(over.message == "Task 'task-003' has already failed; only a pending or running task can be cancelled")
        #expect(try await site.call("POST", "/api/v1/tasks/nothing/cancel").code == "TASK_NOT_FOUND")
      }
    }

    @Test func listsAreFilteredAndPaged() async throws {
      try await Site.with { site in
        for i in 1...7 { _ = try await site.submit(Site.request(name: i % 2 == 0 ? "even" : "fail odd"), query: "?wait=5") }
        var ids: [String] = []
        var next = "/api/v1/tasks?limit=3"
        for page in 1...3 {
          let reply = try await site.get(next)
          ids += (reply.json.arrayValue ?? []).compactMap { $0["id"]?.stringValue }
          guard page < 3 else {
            #expect(reply.fields["link"] == nil && reply.fields["x-next-cursor"] == nil)
            break
          }
          let link = try #require(reply.fields["link"])
          let cursor = try #require(reply.fields["x-next-cursor"])
          #expect(link.hasSuffix(">; rel=\"next\"") && link.contains("cursor=\(cursor)"))
          next = String(link.dropFirst().prefix { $0 != ">" })
        }
        #expect(ids == (1...7).reversed().map { "task-00\($0)" })
        #expect(try await site.get("/api/v1/tasks?status=failed&name=fail%20odd").json.arrayValue?.count == 4)
        #expect(try await site.get("/api/v1/tasks?status=running,pending").json == [])
        #expect(try await site.get("/api/v1/tasks?script=x.lua&limit=1000").json.arrayValue?.count == 7)
        #expect(try await site.get("/api/v1/tasks?name=x'+OR+1=1+--").json == [])
      }
    }

    @Test(arguments: [
      ("limit=0", "query parameter 'limit' must be a whole number from 1 to 1000, not '0'"),
      ("limit=-1", "must be a whole number"),
      ("limit=1e3", "must be a whole number"), ("limit=", "must be a whole number"),
      ("limit=99999999999999999999", "must be a whole"),
      ("status=done", "query parameter 'status' must be a list of pending, running, completed, failed, cancelled, not 'done'"),
      ("cursor=zzz", "'zzz' is no cursor"), ("cursor=t-5", "is no cursor"), ("cursor=t%00", "is no cursor"),
      ("sort=id", "unknown query parameter 'sort'"), ("limt=5", "unknown query parameter 'limt'; did you mean 'limit'?"),
      ("limit=5&limit=6", "query parameter 'limit' appears twice"), ("name=%ff", "valid UTF-8"), ("name=%4", "valid UTF-8"),
    ]) func wrongQueries(_ query: String, _ message: String) async throws {
      try await Site.with { site in
        let reply = try await site.get("/api/v1/tasks?" + query)
        #expect(reply.status == 400 && reply.message.contains(message), "\(reply.text)")
      }
    }

    static let full = Site.request()
    @Test func wrongBodies() async throws {
      try await Site.with { site in
        func expect(_ body: String, _ status: Int, _ code: String, _ message: String, line: UInt = #line) async throws {
          let reply = try await site.call("POST", "/api/v1/tasks", body: body)
          #expect(
            reply.status == status && reply.code == code && reply.message.contains(message), "line \(line): \(reply.text)")
        }
        func changed(_ key: String, _ value: JSONValue?) -> String {
          var object = Self.full.objectValue ?? JSONObject()
          object[key] = value
          return JSONValue.object(object).text()
        }
        let bad = "INVALID_REQUEST"
        for (body, message) in [
          ("", "invalid JSON at line 1, column 1: a value is missing"),
          ("null", "the body must be a JSON object with the fields name, input, script, output, params, not null"),
          ("[1]", "not an array"), ("\"x\"", "not a string"),
          ("{\"name\": \"a\",\n \"name\": \"b\"}", "line 2, column 2: key 'name' appears twice"),
          ("{\"name\": \"\\ud800\"}", "a lone surrogate"), ("{\"a\": 1e400}", "out of range"),
          ("\u{FEFF}{}", "unexpected character"),
          ("{} x", "text after the end"), (String(repeating: "[", count: 100_000), "nested deeper"),
          ("{\"name\": \"a\u{1}\"}", "control character"),
        ] {
          try await expect(body, 400, bad, message)
        }
        for key in ["name", "input", "script", "output"] {
          try await expect(changed(key, nil), 400, bad, "field '\(key)' is missing; it must be a string")
          try await expect(changed(key, 5), 400, bad, "field '\(key)' must be a string, not an integer")
          try await expect(changed(key, "a\nb"), 400, bad, "field '\(key)' must not hold control characters (U+A)")
          try await expect(changed(key, "a\u{202E}b"), 400, bad, "control characters (U+202E)")
        }
        try await expect(changed("params", nil), 400, bad, "field 'params' is missing; it must be an object")
        try await expect(changed("params", [1]), 400, bad, "field 'params' must be an object, not an array")
        try await expect(changed("name", ""), 400, bad, "field 'name' must not be empty")
        try await expect(
          changed("name", .string(String(repeating: "x", count: 1 << 20))), 400, bad,
          "field 'name' is 1048576 bytes long; at most 200")
        try await expect(changed("parms", [:]), 400, bad, "unknown field 'parms'; did you mean 'params'?")
        try await expect(changed("limits", 5), 400, bad, "field 'limits' must be an object")
        try await expect(changed("limits", ["wall": 5]), 400, bad, "unknown field 'limits.wall'")
        try await expect(changed("limits", ["cpu_s": 0]), 400, bad, "field 'limits.cpu_s' must be a number above 0")
        try await expect(
          changed("limits", ["wall_s": 101]), 400, bad, "field 'limits.wall_s' is 101; the configuration allows at most 100")
        let both = try await site.call("POST", "/api/v1/tasks", body: "{\"name\": 1, \"x\": 2}")
        #expect(
          both.json["error"]?["details"]?.arrayValue?.compactMap { $0["field"]?.stringValue } == [
            "x", "name", "input", "script", "output", "params",
          ])

        // Scripts.
        try await expect(
          changed("script", "mnist/mnist_clean.py"), 400, "INVALID_SCRIPT", "scripts are Lua: try mnist/mnist_clean.lua")
        try await expect(changed("script", "notes.txt"), 400, "INVALID_SCRIPT", "script 'notes.txt' must be a .lua file")
        try await expect(
          changed("script", "no.lua"), 400, "INVALID_SCRIPT", "script 'no.lua' does not exist below the script root")
        try await expect(changed("script", "folder.lua"), 400, "INVALID_SCRIPT", "script 'folder.lua' is not a file")
        try await expect(changed("script", ""), 400, bad, "field 'script' must not be empty")
        for path in [
          "../outside/secret.lua", "link.lua", "/etc/x.lua", "mnist/../../outside/secret.lua", "../../nowhere.lua",
          site.folder + "/outside/secret.lua",
        ] {
          try await expect(
            changed("script", .string(path)), 403, "PATH_NOT_ALLOWED", "script '\(path)' is not below the script root")
        }
        // Inputs and outputs.
        mkfifo(site.folder + "/data/fifo", 0o600)
        for path in [
          "/etc/passwd", "../outside", "//proc/self/root", "/proc/self/environ", "/dev/zero", site.folder + "/data/../outside",
          site.folder + "/data/out/secret.lua", "data/out", site.folder + "/data/fifo",
        ] {
          try await expect(changed("input", .string(path)), 403, "PATH_NOT_ALLOWED", "input '\(path)'")
        }
        for url in ["file:///etc/passwd", "http://169.254.169.254/", "s3://bucket/x"] {
          try await expect(changed("input", .string(url)), 400, bad, "is a URL")
          try await expect(changed("output", .string(url)), 400, bad, "is a URL")
        }
        for path in [
          "/etc/passwd", "../x", "lance_storage/../config.yaml", "lance_storage/datasets/a/_versions/1",
          "lance_storage/.moonlake/tasks.sqlite",
        ] {
          let reply = try await site.call("POST", "/api/v1/tasks", body: changed("output", .string(path)))
          #expect([400, 403].contains(reply.status), "\(path): \(reply.text)")
        }
        #expect(try await site.get("/api/v1/tasks").json == [])  // none of them was stored
        for (input, seen) in [
          ("data/raw/a.txt", site.folder + "/data/raw/a.txt"), ("mnist_clean", "mnist_clean"), ("", ""),
          ("lance_storage/datasets/mnist_clean.lance", "lance_storage/datasets/mnist_clean.lance"),
          (site.folder + "/data/not_yet", site.folder + "/data/not_yet"),
        ] {
          let reply = try await site.call("POST", "/api/v1/tasks?wait=5", body: changed("input", .string(input)))
          #expect(reply.status == 201 && reply.json["result"]?["input"] == .string(seen), "\(reply.text)")
        }
      }
    }

    @Test func typesAndSizesOfBodies() async throws {
      try await Site.with({ $0.bodyLimitBytes = 10_000 }) { site in
        let body = Self.full.text()
        for (type, message) in [
          ("text/plain", "not 'text/plain'"), ("application/x-www-form-urlencoded", "Content-Type: application/json"),
          ("application/json; charset=utf-16", "JSON is UTF-8, not 'utf-16'"),
        ] {
          let reply = try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Content-Type": type])
          #expect(
            reply.status == 415 && reply.code == "UNSUPPORTED_MEDIA_TYPE" && reply.message.contains(message), "\(reply.text)")
        }
        #expect(try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Content-Type": ""]).status == 415)
        #expect(try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Content-Encoding": "gzip"]).status == 415)
        #expect(
          try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Content-Type": "Application/JSON; Charset=UTF-8"])
            .status == 201)

        let large = try await site.call("POST", "/api/v1/tasks", body: String(repeating: " ", count: 10_001))
        #expect(
          large.status == 413 && large.code == "PAYLOAD_TOO_LARGE" && large.message == "the body is larger than 10000 bytes")
        // Announced, and never sent: the answer does not wait for it.
        let announced = try await site.raw(
          "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        )
        #expect(announced?.status == 413 && announced?.fields["connection"] == "close")
        // Chunked: refused once it is too large, not at its end.
        let chunk = "1000\r\n" + String(repeating: " ", count: 4096) + "\r\n"
        let chunked = try await site.raw(
          "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk + chunk + chunk)
        #expect(chunked?.status == 413)
        let padded = body + String(repeating: " ", count: 10_000 - body.utf8.count)
        #expect(try await site.call("POST", "/api/v1/tasks", body: padded).status == 201)
      }
    }

    @Test func logsInAllForms() async throws {
      try await Site.with { site in
        _ = try await site.submit(Site.request(name: "talk"), query: "?wait=5")
        let plain = try await site.get("/api/v1/tasks/task-001/logs")
        #expect(plain.status == 200 && plain.fields["content-type"] == "text/plain; charset=utf-8")
        let lines = plain.text.split(separator: "\n")
        #expect(
          lines.count == 6 && lines[0].hasSuffix("Z info    line 1 <b>\\x1b[31m") && lines[1].hasPrefix("    ")
            && lines[1].hasSuffix(" second"))
        #expect(try await site.get("/api/v1/tasks/task-001/logs?tail=1").text.contains("line 3"))
        #expect(!(try await site.get("/api/v1/tasks/task-001/logs?tail=1").text.contains("line 2")))
        #expect(try await site.get("/api/v1/tasks/task-001/logs?tail=0").text == "")
        let records = try await site.call("GET", "/api/v1/tasks/task-001/logs", fields: ["Accept": "application/x-ndjson"])
        #expect(records.fields["content-type"] == "application/x-ndjson" && records.text.split(separator: "\n").count == 3)
        let stream = try await site.get("/api/v1/tasks/task-001/logs?follow=1")
        #expect(stream.fields["content-type"] == "text/event-stream")
        let events = Event.parse(stream.text)
        try #require(events.map(\.name) == ["log", "log", "log", "end"] && events.map(\.id) == ["3.1", "3.2", "3.3", nil])
        #expect(events[1].data["message"] == "line 2 <b>\u{1B}[31m\nsecond" && events[1].data["level"] == "info")
        let rest = try await site.call("GET", "/api/v1/tasks/task-001/logs?follow=1", fields: ["Last-Event-ID": "3.2"])
        #expect(Event.parse(rest.text).map(\.id) == ["3.3", nil])
        #expect(try await site.get("/api/v1/tasks/task-009/logs?follow=1").code == "TASK_NOT_FOUND")
        #expect(try await site.get("/api/v1/tasks/task-001/logs?tail=x").code == "INVALID_REQUEST")
      }
    }

    @Test func eventsAndMetrics() async throws {
      try await Site.with { site in
        _ = try await site.submit(Site.request(name: "talk"), query: "?wait=5")
        let list = try await site.get("/api/v1/tasks/task-001/events")
        #expect(list.json.arrayValue?.compactMap { $0["status"]?.stringValue } == ["pending", "running", "completed"])
        #expect(list.json.arrayValue?.compactMap { $0["number"]?.intValue } == [1, 2, 3])
        let points = try await site.get("/api/v1/tasks/task-001/metrics")
        #expect(points.json.arrayValue?.compactMap { $0["value"]?.doubleValue } == [1, 0.5, 1.0 / 3])
        #expect(try await site.get("/api/v1/tasks/task-001/metrics?name=accuracy").json == [])
        for reply in [
          try await site.get("/api/v1/tasks/task-001/events?follow=1"),
          try await site.call("GET", "/api/v1/tasks/task-001/events", fields: ["Accept": "text/event-stream"]),
        ] {
          let events = Event.parse(reply.text)
          #expect(reply.text.hasPrefix("retry: 2000\n\n"))
          #expect(Set(events.map(\.name)) == ["status", "log", "metric", "progress", "usage", "end"])
          #expect(events.allSatisfy { $0.data["event"]?.stringValue == $0.name })
          #expect(
            events.filter { $0.name == "metric" }.count == 3 && events.last?.data == ["event": "end", "status": "completed"])
        }
        let some = Event.parse(try await site.get("/api/v1/tasks/task-001/events?follow=1&kinds=status,progress").text)
        #expect(some.map(\.name) == ["status", "status", "status", "progress", "end"])
        let resumed = try await site.call(
          "GET", "/api/v1/tasks/task-001/events?follow=1&kinds=status", fields: ["Last-Event-ID": "2.0"])
        #expect(Event.parse(resumed.text).map(\.id) == ["3.0", nil])
        let odd = try await site.call(
          "GET", "/api/v1/tasks/task-001/events?follow=1&kinds=status", fields: ["Last-Event-ID": "-9.x.99999999999999999999"])
        #expect(Event.parse(odd.text).count == 4)
        #expect(try await site.get("/api/v1/tasks/task-001/events?kinds=all").code == "INVALID_REQUEST")
      }
    }

    @Test func aStreamIsLiveAndShowsThatItLives() async throws {
      try await Site.with({ $0.heartbeatSeconds = 0.15 }) { site in
        _ = try await site.submit(Site.request(name: "serve"))
        let port = site.port
        let seen = try await blocking { () -> (String, String) in
          let wire = try Wire(port: port)
          wire.send("GET /api/v1/tasks/task-001/events?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
          var text = ""
          while !text.contains(":\n\n:") && !text.contains("\n:\n") { text += String(decoding: wire.receive(), as: UTF8.self) }
          let other = try Wire(port: port)
          other.send("POST /api/v1/tasks/task-001/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
          _ = other.reply()
          var rest = ""
          while !rest.contains("event: end") {
            let part = wire.receive()
            if part.isEmpty { break }
            rest += String(decoding: part, as: UTF8.self)
          }
          return (text, rest)
        }
        #expect(seen.0.contains("event: ready\ndata: {\"event\":\"ready\""))
        #expect(seen.1.contains("event: cancel_requested") && seen.1.contains("\"status\":\"cancelled\""))
      }
    }

    @Test func streamsThatClientsLeaveAreLetGo() async throws {
      try await Site.with({ $0.heartbeatSeconds = 0.1 }) { site in
        _ = try await site.submit(Site.request(name: "serve"))
        let port = site.port
        try await blocking {
          var wires: [Wire] = []
          for _ in 0..<50 {
            let wire = try Wire(port: port)
            wire.send("GET /api/v1/tasks/task-001/events?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = wire.receive()
            wires.append(wire)
          }
        }
        var text = ""
        for _ in 0..<100 {
          text = try await site.get("/metrics").text
          if text.contains("moonlake_http_streams 0\n") { break }
          try await Task.sleep(for: .milliseconds(50))
        }
        #expect(text.contains("moonlake_http_streams 0\n"))
        #expect(try await site.call("POST", "/api/v1/tasks/task-001/cancel").status == 200)
      }
    }
  }
}

/// A server-sent event.
struct Event {
  var id: String?
  var name = ""
  var data: JSONValue = .null

  static func parse(_ text: String) -> [Event] {
    text.components(separatedBy: "\n\n").compactMap { block in
      var event = Event()
      for line in block.split(separator: "\n") {
        if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
        if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
        if line.hasPrefix("data: ") { event.data = (try? JSONValue(parsing: String(line.dropFirst(6)))) ?? .null }
      }
      return event.name.isEmpty ? nil : event
    }
  }
}
