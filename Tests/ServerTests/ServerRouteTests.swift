import Core
import Foundation
import Logging
import Server
import Tasks
import Testing

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct ServerRouteTests {
    @Test func tableDocumentAndDocsPageAreOne() async throws {
      try await Site.with { site in
        let names = Set(site.server.routeNames)
        #expect(names.count == site.server.routeNames.count)
        for seed in [
          "GET /api/v1/datasets", "GET /api/v1/datasets/{id}", "DELETE /api/v1/datasets/{id}", "GET /api/v1/models",
          "GET /api/v1/models/{id}", "DELETE /api/v1/models/{id}", "POST /api/v1/tasks", "GET /api/v1/tasks",
          "GET /api/v1/tasks/{id}",
          "POST /api/v1/tasks/{id}/cancel",
        ] { #expect(names.contains(seed)) }

        let document = try await site.get("/openapi.json").json
        #expect(document["openapi"] == "3.1.0" && document["info"]?["version"] == "9.9-test")
        var documented: Set<String> = []
        var operations: [String] = []
        let schemas = try #require(document["components"]?["schemas"]?.objectValue)
        for (path, item) in try #require(document["paths"]?.objectValue) {
          for (method, operation) in item.objectValue ?? JSONObject() {
            documented.insert("\(method.uppercased()) \(path)")
            operations.append(try #require(operation["operationId"]?.stringValue))
            let parameters = (operation["parameters"]?.arrayValue ?? []).filter { $0["in"] == "path" }.compactMap {
              $0["name"]?.stringValue
            }
            #expect(
              parameters == path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) })
          }
        }
        #expect(documented == names && Set(operations).count == operations.count)
        for reference in document.text().matches(of: /#\/components\/schemas\/([A-Za-z]+)/) {
          #expect(schemas[String(reference.1)] != nil, "\(reference.1)")
        }

        let page = try await site.get("/docs")
        #expect(
          page.fields["content-type"] == "text/html; charset=utf-8"
            && page.fields["content-security-policy"]?.contains("default-src 'none'") == true)
        let shown = Set(
          page.text.matches(of: /class="method [a-z]+">([A-Z]+)<\/span> <code>([^<]+)<\/code>/).map { "\($0.1) \($0.2)" })
        #expect(shown == names)
        #expect(!page.text.contains("<script") && !page.text.contains("http://") && !page.text.contains("https://"))
        for name in schemas.keys { #expect(page.text.contains("id=\"schema-\(name)\"")) }

        // Every route answers, as itself: none is shadowed by another, and none fails inside.
        for name in names {
          let parts = name.split(separator: " ")
          let path = String(parts[1]).replacing("{id}", with: "nothing").replacing("{file}", with: "nothing.js")
            .replacing(/\{[a-z]+\}/, with: "nothing")
          // The example of the body's schema is one that the route takes.
          let operation = document["paths"]?[String(parts[1])]?[parts[0].lowercased()]
          let schema = operation?["requestBody"]?["content"]?["application/json"]?["schema"]?["$ref"]?.stringValue
          let example = schema.flatMap { schemas[String($0.split(separator: "/").last ?? "")]?["examples"]?.arrayValue?.first }
          let body = path.contains("/datasets/") ? example?.text() : nil
          #expect(schema == nil || example != nil, "\(name)")
          let reply = try await site.call(String(parts[0]), path, body: body)
          #expect(reply.status < 500 && reply.status != 405, "\(name): \(reply.text)")
          if !path.contains("nothing") {
            #expect(reply.status == (name == "POST /api/v1/tasks" ? 415 : 200), "\(name): \(reply.text)")
          }
          if path.contains("/datasets/nothing"), name != "PUT /api/v1/datasets/{id}" {
            #expect(reply.code == "DATASET_NOT_FOUND" && reply.message == "Dataset 'nothing' does not exist")
          }
          if path.contains("/models/nothing") {
            #expect(reply.code == "MODEL_NOT_FOUND" && reply.message == "Model 'nothing' does not exist")
          }
          if path.contains("/tasks/nothing") { #expect(reply.code == "TASK_NOT_FOUND") }
        }
      }
    }

    @Test func everyRouteRefusesOtherMethods() async throws {
      try await Site.with { site in
        let paths = Dictionary(
          grouping: site.server.routeNames.map { $0.split(separator: " ").map(String.init) }, by: { $0[1] })
        for (path, routes) in paths {
          let real = path.replacing("{id}", with: "task-001").replacing("{file}", with: "app.js")
          let methods = Set(routes.map { $0[0] })
          for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] where !methods.contains(method) {
            let reply = try await site.call(method, real)
            #expect(reply.status == 405 && reply.code == "METHOD_NOT_ALLOWED", "\(method) \(real): \(reply.status)")
            let allow = Set((reply.fields["allow"] ?? "").components(separatedBy: ", "))
            #expect(allow == methods.union(methods.contains("GET") ? ["HEAD", "OPTIONS"] : ["OPTIONS"]))
          }
          let options = try await site.call("OPTIONS", real)
          #expect(options.status == 204 && options.fields["allow"] != nil)
        }
        #expect(try await site.call("OPTIONS", "*").status == 204)
      }
    }

    @Test func headIsGetWithoutABody() async throws {
      try await Site.with { site in
        _ = try await site.submit(Site.request(), query: "?wait=5")
        for path in [
          "/api/v1/tasks/task-001", "/api/v1/tasks", "/openapi.json", "/", "/api/v1/tasks/none", "/api/v1/tasks/task-001/logs",
        ] {
          let get = try await site.get(path)
          let head = try await site.call("HEAD", path)
          #expect(head.status == get.status && head.body.isEmpty, "\(path)")
          #expect(head.fields["content-type"] == get.fields["content-type"], "\(path)")
          if get.status == 200 { #expect(head.fields["content-length"] == get.fields["content-length"], "\(path)") }
        }
        #expect(try await site.call("HEAD", "/api/v1/tasks/task-001/events?follow=1").status == 200)
      }
    }

    @Test func slashesAndEscapes() async throws {
      try await Site.with { site in
        _ = try await site.submit(Site.request(), query: "?wait=5")
        for path in [
          "/api/v1/tasks/", "/api/v1/tasks/task-001/", "/healthz/", "/api/v1/tasks/task%2D001", "http://localhost/healthz",
        ] {
          #expect(try await site.get(path).status == 200, "\(path)")
        }
        for path in [
          "/api/v1/tasks//task-001", "//api/v1/tasks", "/api/v1/tasks/%2e%2e", "/api/v1/tasks/..%2f..%2fetc",
          "/api/v1/tasks/task-001%00", "/api/v2/tasks", "/api", "/api/v1/tasks/task-001/nope", "/.env", "/%2e%2e", "/app.js%00",
          "/index.html.lua", "/..%2fscripts%2fx.lua",
        ] {
          let reply = try await site.get(path)
          #expect(reply.status == 404 && !reply.code.isEmpty, "\(path): \(reply.status) \(reply.text)")
        }
        for path in ["/api/v1/tasks/%", "/api/v1/tasks/%zz", "/api/v1/tasks/%c0%af", "/api/v1/tasks/%ff", "/a#b"] {
          #expect(try await site.get(path).status == 400, "\(path)")
        }
      }
    }

    @Test func thePlatformsPage() async throws {
      try await Site.with { site in
        let page = try await site.get("/")
        #expect(
          page.status == 200 && page.text.contains("<title>Page") && page.fields["content-type"] == "text/html; charset=utf-8")
        #expect(
          page.fields["content-security-policy"]?.hasPrefix("default-src 'self';") == true
            && page.fields["x-content-type-options"] == "nosniff")
        let script = try await site.get("/app.js")
        #expect(script.text == "let a = 1" && script.fields["content-type"] == "text/javascript; charset=utf-8")
        try FileManager.default.createSymbolicLink(
          atPath: site.folder + "/web/out.txt", withDestinationPath: site.folder + "/data/raw/a.txt")
        #expect(try await site.get("/out.txt").status == 404)
        #expect(try await site.get("/missing.js").code == "ROUTE_NOT_FOUND")
      }
      try await Site.with({ $0.webDirectory = nil }) { site in
        let none = try await site.get("/")
        #expect(none.status == 404)
      }
    }

    @Test func healthVersionAndFigures() async throws {
      try await Site.with { site in
        #expect(try await site.get("/healthz").json == ["status": "ok"])
        #expect(try await site.get("/readyz").json == ["status": "ready"])
        #expect(try await site.get("/version").json == ["name": "moonlake", "version": "9.9-test"])
        _ = try await site.submit(Site.request(name: "fail"), query: "?wait=5")
        _ = try await site.get("/api/v1/tasks/nope")
        _ = try await site.get("/api/nowhere")
        let text = try await site.get("/metrics").text
        for line in [
          "moonlake_info{version=\"9.9-test\"} 1",
          "moonlake_http_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"201\"} 1",
          "moonlake_http_requests_total{method=\"GET\",route=\"/api/v1/tasks/{id}\",status=\"404\"} 1",
          "moonlake_http_requests_total{method=\"\",route=\"\",status=\"404\"} 1",
          "moonlake_http_request_duration_seconds_count{method=\"POST\",route=\"/api/v1/tasks\"} 1",
          "moonlake_tasks{status=\"failed\"} 1",
          "moonlake_tasks{status=\"running\"} 0",
        ] { #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)") }
        #expect(text.contains("process_resident_memory_bytes ") && !text.contains("process_resident_memory_bytes 0\n"))
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
          #expect(line.wholeMatch(of: /[a-z_]+(\{.*\})? [0-9.e+-]+/) != nil, "\(line)")
        }
        let sums = text.matches(of: /_bucket\{method="POST",route="\/api\/v1\/tasks",le="([^"]+)"\} ([0-9]+)/).map {
          Int($0.2) ?? -1
        }
        #expect(sums.count == 8 && sums == sums.sorted() && sums.last == 1)
        #expect(text.hasSuffix("\n"))
      }
    }

    @Test func hostsAndOrigins() async throws {
      try await Site.with { site in
        for host in ["localhost", "127.0.0.1:\(site.port)", "LOCALHOST:1", "[::1]:8000", "moon.localhost"] {
          #expect(try await site.call("GET", "/healthz", fields: ["Host": host]).status == 200, "\(host)")
        }
        for host in [
          "evil.com", "localhost.evil.com", "10.0.0.1", "127.evil.com:80", "127.0.0.1.evil.com", "127.0.0.999", "[::2]",
        ] {
          let reply = try await site.call("GET", "/healthz", fields: ["Host": host])
          #expect(reply.status == 421 && reply.code == "HOST_NOT_ALLOWED", "\(host)")
        }
        #expect(try await site.raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")?.status == 400)

        let body = Site.request().text()
        for origin in ["http://evil.com", "null", "https://localhost:\(site.port)", "http://localhost:1"] {
          for (method, path) in [
            ("POST", "/api/v1/tasks"), ("DELETE", "/api/v1/datasets/x"), ("DELETE", "/api/v1/models/x"),
            ("POST", "/api/v1/tasks/task-001/cancel"),
          ] {
            let reply = try await site.call(method, path, body: body, fields: ["Origin": origin])
            #expect(reply.status == 403 && reply.code == "ORIGIN_NOT_ALLOWED", "\(origin) \(method)")
          }
        }
        #expect(
          try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Sec-Fetch-Site": "cross-site"]).status == 403)
        #expect(
          try await site.call("POST", "/api/v1/tasks", body: body, fields: ["Origin": "http://localhost:\(site.port)"]).status
            == 201)
        #expect(
          try await site.call("GET", "/api/v1/tasks", fields: ["Origin": "http://evil.com"]).fields[
            "access-control-allow-origin"] == nil)
      }
    }

    @Test func requestIDsAreKeptOrMade() async throws {
      try await Site.with { site in
        #expect(
          try await site.call("GET", "/healthz", fields: ["X-Request-Id": "abc-1.2_Z"]).fields["x-request-id"] == "abc-1.2_Z")
        let made = try await site.call("GET", "/healthz", fields: ["X-Request-Id": "a b<script>"])
        let id = try #require(made.fields["x-request-id"])
        #expect(id != "a b<script>" && id.utf8.count > 8)
        #expect(try await site.get("/healthz").fields["x-request-id"] != id)
        #expect(made.fields["server-timing"]?.hasPrefix("total;dur=") == true)
      }
    }

    @Test func aPortThatIsTakenIsNamed() async throws {
      try await Site.with { site in
        var configuration = MoonlakeServer.Configuration(scriptRoot: site.folder, baseDirectory: site.folder)
        configuration.port = site.port
        // What waits in its store does not run before the port is there.
        let scheduler = TaskScheduler(
          store: MemoryTaskStore(), executor: ClosureExecutor { _ in .null }, logger: Logger(label: "x"))
        let waiting = try scheduler.submit(TaskRequest(name: "a", script: "x.lua"))
        let second = MoonlakeServer(configuration, scheduler: scheduler, lake: site.lake, logger: Logger(label: "x"))
        let failure = await #expect(throws: Failure.self) { try await second.run(handlesSignals: false) }
        #expect(
          failure?.code.rawValue == "PORT_IN_USE"
            && failure?.message.contains("port \(site.port) of 127.0.0.1 is in use") == true)
        #expect(try scheduler.record(id: waiting.id).status == .pending)
      }
    }
  }
}
