import Core
package import LuaHost

/// Routes and limits of a service, as a script builds them: `http.app{...}`.
package final class LuaApp: LuaObject {
  struct Handler {
    var route: Route
    var function: LuaFunction
  }
  let options: HTTPService.Options
  private(set) var handlers: [Handler] = []
  private(set) var files: [StaticFiles] = []

  init(options: HTTPService.Options) { self.options = options }

  static let open = Fn(
    "app",
    "fun(opts?: {title?: string, body_limit?: string|integer, timeout?: number, max_in_flight?: integer, max_connections?: integer, head_timeout?: number, body_timeout?: number, idle_timeout?: number, write_timeout?: number, hosts?: string[], cors?: string[]}): HttpApp",
    """
    A service without routes. timeout: seconds from a request to its answer (default 30). body_limit: "64KiB" or bytes
    (default 1 MiB). max_in_flight: requests that may wait or run (default 256). hosts: names it answers to besides localhost
    and addresses. cors: origins of pages elsewhere that may call it, or "*" (default none).
    """
  ) { call in
    let given = try call.options(1)
    var options = HTTPService.Options()
    options.title = try given.string("title") ?? options.title
    options.bodyLimitBytes = try bytes(given, "body_limit") ?? options.bodyLimitBytes
    options.timeoutSeconds = try seconds(given, "timeout") ?? options.timeoutSeconds
    options.maxInFlight = try given.integer("max_in_flight", in: 1...100_000) ?? options.maxInFlight
    options.maxConnections = try given.integer("max_connections", in: 1...100_000) ?? options.maxConnections
    options.headSeconds = try seconds(given, "head_timeout") ?? options.headSeconds
    options.bodySeconds = try seconds(given, "body_timeout") ?? options.bodySeconds
    options.idleSeconds = try seconds(given, "idle_timeout") ?? options.idleSeconds
    options.writeSeconds = try seconds(given, "write_timeout") ?? options.writeSeconds
    options.hosts = (try given.strings("hosts") ?? []).map { $0.lowercased() }
    options.corsOrigins = try given.strings("cors") ?? []
    return try call.push(object: LuaApp(options: options))
  }

  private static func seconds(_ given: borrowing Options, _ name: String) throws -> Double? {
    guard let value = try given.number(name) else { return nil }
    guard value > 0, value <= 86400 else {
      throw given.bad(name, "must be more than 0 and at most 86400 seconds, got \(value)")
    }
    return value
  }

  private static func bytes(_ given: borrowing Options, _ name: String) throws -> Int? {
    guard given.has(name) else { return nil }
    guard let json = try given.json(name) else { return nil }
    let value = json.intValue.map { Int($0) } ?? json.stringValue.flatMap { Quantity.bytes($0) }
    guard let value, value >= 0, value <= 1 << 30 else {
      throw given.bad(name, "must be bytes up to 1 GiB, such as 65536 or \"64KiB\", got \(json.text())")
    }
    return value
  }

  package static let luaType = ObjectType(
    "HttpApp", "Routes and limits of an HTTP service.",
    [
      method("get", "GET", "Answers GET (and HEAD)."), method("post", "POST", "Answers POST."),
      method("put", "PUT", "Answers PUT."),
      method("patch", "PATCH", "Answers PATCH."), method("delete", "DELETE", "Answers DELETE."),
      Fn(
        "static", "fun(self: HttpApp, path: string, source: string): HttpApp",
        "Serves a file, or a folder's files, below a path: index.html for the folder itself, no listings, no dot files, no links."
      ) { call in
        let app = try call.object(1, as: LuaApp.self)
        let source = try call.string(3)
        let entry = try call.service(ConfinedPaths.self).entry(source)
        app.files.append(try StaticFiles(path: try call.string(2), root: entry.path))
        return call.pushArgument(1)
      },
      Fn(
        "listen", "fun(self: HttpApp, opts?: {host?: string, port?: integer}): HttpServer",
        "Listens; port 0 takes a free one. Requests wait until server:wait() answers them. Raises PORT_IN_USE."
      ) { call in
        let app = try call.object(1, as: LuaApp.self)
        let given = try call.options(2)
        let host = try given.string("host") ?? "127.0.0.1"
        let port = try given.integer("port", in: 0...65535) ?? 8080
        guard !host.isEmpty else { throw given.bad("host", "is empty; 127.0.0.1 is this machine, 0.0.0.0 all its addresses") }
        let service = try HTTPService(
          options: app.options, routes: app.handlers.map(\.route), files: app.files, host: host, port: port)
        return try call.push(object: LuaServer(service: service, handlers: app.handlers.map(\.function)))
      },
    ],
    metamethods: [
      Fn("__tostring", "fun(self: HttpApp): string", "Title and routes.") { call in
        let app = try call.object(1, as: LuaApp.self)
        let routes = app.handlers.map { "\($0.route.method) \($0.route.pattern.text)" }
        return call.push("HttpApp \"\(app.options.title)\" (\(routes.joined(separator: ", ")))")
      }
    ])

  private static func method(_ name: String, _ verb: String, _ doc: String) -> Fn {
    Fn(
      name, "fun(self: HttpApp, path: string, options: table|function, handler?: function): HttpApp",
      doc + " options: body = declared shape of the JSON body, returns = shape of the answer, summary = one line."
    ) { call in
      let app = try call.object(1, as: LuaApp.self)
      let path = try call.string(2)
      let pattern: RoutePattern
      do throws(Failure) { pattern = try RoutePattern(path) } catch { throw Failure(.plain, error.message) }
      var route = Route(method: verb, pattern: pattern)
      let function: LuaFunction
      if call.isFunction(3) {
        guard call.isNil(4) else { throw call.bad(3, "a table of options expected before the handler, got function") }
        function = try call.function(3)
      } else {
        function = try call.function(4)
        let options = try call.options(3, known: ["body", "returns", "summary"])
        route.summary = try options.string("summary")
        if options.has("body") {
          guard verb != "GET", verb != "DELETE" else { throw options.bad("body", "is not for \(verb), which has no body") }
          route.body = try shape(call, options, "body")
        }
        if options.has("returns") { route.returns = try shape(call, options, "returns") }
      }
      for other in app.handlers where other.route.method == verb && other.route.pattern.form == pattern.form {
        throw Failure(.plain, "route \(verb) \(path) would hide \(verb) \(other.route.pattern.text), which is there already")
      }
      app.handlers.append(Handler(route: route, function: function))
      return call.pushArgument(1)
    }
  }

  private static func shape(_ call: borrowing Call, _ options: borrowing Options, _ name: String) throws -> BodyShape {
    _ = options.push(name)
    defer { call.pop() }
    return try LuaShape.read(call, -1, at: name)
  }
}
