package import Core

/// Finds the route for a method and a path.
package struct RouteTable: Sendable {
  package let routes: [Route]
  /// Positions in `routes`, most specific first.
  private let order: [Int]
  private let readers: [NumberBody?]

  /// - Throws: `INVALID_ARGUMENT` when two routes answer the same method and paths.
  package init(_ routes: [Route]) throws(Failure) {
    for (i, route) in routes.enumerated() {
      for other in routes[..<i] where other.method == route.method && other.pattern.form == route.pattern.form {
        throw Failure(
          .invalidArgument, "route \(route.method) \(route.pattern.text) would hide \(other.method) \(other.pattern.text)")
      }
    }
    self.routes = routes
    self.order = routes.indices.sorted { a, b in
      if routes[a].pattern.isMoreSpecific(than: routes[b].pattern) { return true }
      if routes[b].pattern.isMoreSpecific(than: routes[a].pattern) { return false }
      return a < b
    }
    self.readers = routes.map { $0.body.flatMap { NumberBody($0) } }
  }

  package struct Match: Sendable {
    package var route: Int
    package var parameters: [(name: String, value: String)]
  }

  /// The route for `method` (`HEAD` is answered by `GET`), or the methods that the path has.
  package func find(_ method: String, _ segments: [String]) -> (match: Match?, allowed: [String]) {
    var allowed: [String] = []
    for i in order {
      guard let parameters = routes[i].pattern.match(segments) else { continue }
      if routes[i].method == method || method == "HEAD" && routes[i].method == "GET" {
        return (Match(route: i, parameters: parameters), [])
      }
      allowed.append(routes[i].method)
    }
    return (nil, allowed)
  }

  /// The body of a request to `route`, checked where the route declares one.
  package func readBody(_ bytes: UnsafeRawBufferPointer, route: Int) throws(Failure) -> RequestBodyContent {
    guard let shape = routes[route].body else { return bytes.isEmpty ? .none : .bytes(Array(bytes)) }
    if let fast = readers[route]?.read(bytes) { return .checked(fast) }
    if bytes.isEmpty { throw Failure(.invalidRequest, "the body is missing; expected \(shape.words)") }
    return .checked(try shape.check(try JSONValue(parsing: bytes)))
  }
}
