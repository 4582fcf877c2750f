import Core
import HTTPTypes
import Hummingbird
import Lake
import NIOCore
import Tasks

/// Health, figures, version, the API's description, and the platform's page.
struct SystemRoutes: Sendable {
  let scheduler: TaskScheduler
  let lake: DataLake
  let metrics: ServerMetrics
  let configuration: MoonlakeServer.Configuration
  /// The finished table, which holds these routes too.
  let table: @Sendable () -> [Route]

  var routes: [Route] {
    [
      Route(
        method: .get, path: "/healthz", tag: "system", summary: "The process lives",
        answers: [Answer(status: 200, about: "It does.", schema: "Health")]
      ) { _ throws(Failure) in json(["status": "ok"]) },
      Route(
        method: .get, path: "/readyz", tag: "system", summary: "Task store and lake can be used",
        answers: [Answer(status: 200, about: "They can.", schema: "Health")], errors: [.notReady], handler: ready),
      Route(
        method: .get, path: "/metrics", tag: "system", summary: "Figures in Prometheus' text format",
        answers: [Answer(status: 200, about: "The figures.", schema: nil, type: "text/plain; version=0.0.4")]
      ) { [self] _ throws(Failure) in
        text(
          metrics.text(routes: table(), counts: scheduler.counts, version: configuration.version),
          type: "text/plain; version=0.0.4; charset=utf-8")
      },
      Route(
        method: .get, path: "/version", tag: "system", summary: "The program's name and version",
        answers: [Answer(status: 200, about: "Name and version.", schema: "Version")]
      ) { [self] _ throws(Failure) in json(["name": "moonlake", "version": .string(configuration.version)]) },
      Route(
        method: .get, path: "/openapi.json", tag: "system", summary: "This API as an OpenAPI 3.1 document",
        answers: [Answer(status: 200, about: "The document.", schema: nil)]
      ) { [self] _ throws(Failure) in json(OpenAPIDocument.document(table(), version: configuration.version)) },
      Route(
        method: .get, path: "/docs", tag: "system", summary: "This API as a page",
        answers: [Answer(status: 200, about: "The page.", schema: nil, type: "text/html")]
      ) { [self] _ throws(Failure) in
        text(
          DocsPage.html(OpenAPIDocument.document(table(), version: configuration.version)), type: "text/html; charset=utf-8",
          headers: [.contentSecurityPolicy: DocsPage.policy, .referrerPolicy: "no-referrer"])
      },
      Route(
        method: .get, path: "/", tag: "page", summary: "The platform's page",
        answers: [Answer(status: 200, about: "The page.", schema: nil, type: "text/html")], errors: [.routeNotFound]
      ) { [self] _ throws(Failure) in try await file("index.html") },
      Route(
        method: .get, path: "/{file}", tag: "page", summary: "Files of the platform's page",
        answers: [Answer(status: 200, about: "The file.", schema: nil, type: "*/*")], errors: [.routeNotFound]
      ) { [self] call throws(Failure) in try await file(call.parameter("file")) },
    ]
  }

  @Sendable private func ready(_ call: Call) async throws(Failure) -> Response {
    if scheduler.isStopping { throw Failure(.notReady, "the server is about to end") }
    do throws(Failure) {
      try await offload { [self] () throws(Failure) in
        try scheduler.checkStore()
        _ = try lake.names(.dataset)
      }
    } catch {
      throw Failure(.notReady, "the task store or the lake cannot be read")
    }
    return json(["status": "ready"])
  }

  private static let types = [
    "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml", "png": "image/png", "ico": "image/x-icon", "json": "application/json", "woff2": "font/woff2",
    "webmanifest": "application/manifest+json", "txt": "text/plain; charset=utf-8",
  ]
  static let pagePolicy =
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

  /// A file right inside the web folder.
  private func file(_ name: String) async throws(Failure) -> Response {
    let missing = Failure(.routeNotFound, "there is no '/\(plainLine(String(name.prefix(200))))' here; /docs lists the routes")
    guard let type = name.split(separator: ".").last.flatMap({ SystemRoutes.types[String($0)] }), !name.hasPrefix("."),
      name.utf8.allSatisfy({ ($0 | 32) >= 97 && ($0 | 32) <= 122 || $0 >= 48 && $0 <= 57 || [45, 46, 95].contains($0) }),
      let folder = configuration.webDirectory
    else { throw missing }
    guard let bytes = try await offload({ () throws(Failure) in WebFile.read(folder, name) }) else {
      if name == "index.html" {
        throw Failure(
          .routeNotFound, "the platform's page is not in the configured web folder (server.web_path); the API is at /docs")
      }
      throw missing
    }
    return Response(
      status: .ok,
      headers: [
        .contentType: type, .cacheControl: "no-cache", .contentSecurityPolicy: SystemRoutes.pagePolicy,
        .referrerPolicy: "no-referrer",
      ], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
  }
}
