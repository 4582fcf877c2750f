import Core
import HTTPTypes
import Hummingbird

/// A parameter in the query of a route.
struct QueryParameter: Sendable {
  enum Kind: Sendable, Equatable {
    case text
    case integer(ClosedRange<Int>)
    /// Seconds as `20`, `1.5` or `20s`.
    case seconds(max: Double)
    case flag
    case choices([String])
    /// Several of the choices, with commas between.
    case list([String])
  }
  var name: String
  var kind: Kind
  var about: String
}

/// What a route answers.
struct Answer: Sendable {
  var status: Int
  var about: String
  /// The name of a schema in `OpenAPIDocument.schemas`; "[Task]" is a list of them; nil for no body.
  var schema: String?
  var type = "application/json"
}

/// One route: enough to run it, to describe it, and to refuse what it does not take.
struct Route: Sendable {
  typealias Handler = @Sendable (Call) async throws(Failure) -> Response

  var method: HTTPRequest.Method
  /// `/api/v1/tasks/{id}`
  var path: String
  var tag: String
  var summary: String
  var about = ""
  var query: [QueryParameter] = []
  /// The name of the body's schema; nil when the route takes no JSON body.
  var body: String?
  var bodyIsOptional = false
  /// Types of a body that is rows.
  var rowsBody: [String] = []
  /// True when `If-Match: "v7"` is taken: only version 7 may be changed.
  var takesIfMatch = false
  var answers: [Answer]
  /// Codes beside those that every route may answer with.
  var errors: [Failure.Code] = []
  var handler: Handler
}

/// All routes, and the search among them.
struct RouteTable: Sendable {
  let routes: [Route]
  private struct Entry { var route: Int, segments: [Segment], method: HTTPRequest.Method }
  private enum Segment: Equatable { case literal(String), parameter(String) }
  /// By number of segments.
  private let entries: [[Entry]]

  init(_ routes: [Route]) {
    self.routes = routes
    var entries: [[Entry]] = []
    for (i, route) in routes.enumerated() {
      let segments = route.path.split(separator: "/").map { part -> Segment in
        part.hasPrefix("{") ? .parameter(String(part.dropFirst().dropLast())) : .literal(String(part))
      }
      while entries.count <= segments.count { entries.append([]) }
      entries[segments.count].append(Entry(route: i, segments: segments, method: route.method))
    }
    self.entries = entries
  }

  enum Match {
    case found(Int, parameters: [(name: String, value: String)])
    /// The path is there, with other methods.
    case otherMethods([HTTPRequest.Method])
    case nothing
  }

  /// The route for a path's decoded segments. Literal segments win over parameters, in the table's order.
  func match(_ method: HTTPRequest.Method, _ segments: [String]) -> Match {
    guard segments.count < entries.count else { return .nothing }
    let wanted: HTTPRequest.Method = method == .head ? .get : method
    var methods: [HTTPRequest.Method] = []
    for entry in entries[segments.count] {
      var fits = true
      for (segment, text) in zip(entry.segments, segments) {
        if case .literal(let name) = segment, name != text {
          fits = false
          break
        }
      }
      guard fits else { continue }
      if entry.method == wanted {
        var parameters: [(name: String, value: String)] = []
        for (segment, text) in zip(entry.segments, segments) {
          if case .parameter(let name) = segment { parameters.append((name, text)) }
        }
        return .found(entry.route, parameters: parameters)
      }
      methods.append(entry.method)
    }
    return methods.isEmpty ? .nothing : .otherMethods(methods)
  }
}
