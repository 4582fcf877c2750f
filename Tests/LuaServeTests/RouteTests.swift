import Core
import LuaServe
import Testing

@Suite struct RouteTests {
  @Test func matching() throws {
    let table = try RouteTable([
      try route("GET", "/items/:id"), try route("GET", "/items/new"), try route("POST", "/items"), try route("GET", "/"),
      try route("DELETE", "/items/:id"),
    ])
    #expect(table.find("GET", ["items", "new"]).match?.route == 1)
    let found = table.find("GET", ["items", "a b"])
    #expect(found.match?.route == 0)
    #expect(found.match?.parameters.first?.value == "a b")
    #expect(table.find("HEAD", ["items", "x"]).match?.route == 0)
    #expect(table.find("GET", []).match?.route == 3)
    #expect(table.find("PUT", ["items", "x"]).allowed == ["GET", "DELETE"])
    #expect(table.find("GET", ["nothing"]).match == nil)
    #expect(table.find("GET", ["nothing"]).allowed == [])
  }

  @Test(arguments: [
    ("items", "route 'items': a path starts with '/'"), ("/a//b", "route '/a//b': a segment is empty"),
    ("/a/", "route '/a/': a segment is empty"),
    ("/:", "route '/:': ':' is no parameter; write ':name' with letters, digits and '_'"),
    ("/:a/:a", "route '/:a/:a': parameter ':a' appears twice"),
    ("/a?x", "route '/a?x': a path has no '?', '#', '%' or white space"),
  ])
  func badPatterns(_ text: String, _ message: String) {
    let error = #expect(throws: Failure.self) { try RoutePattern(text) }
    #expect(error?.message == message)
  }

  @Test func routesThatHideEachOther() {
    let error = #expect(throws: Failure.self) { try RouteTable([try route("GET", "/a/:x"), try route("GET", "/a/:y")]) }
    #expect(error?.message == "route GET /a/:y would hide GET /a/:x")
  }

  @Test func targets() throws {
    let target = try RequestTarget("/a%20b/%C3%A9/?q=1+2&empty&x=%26#part")
    #expect(target.segments == ["a b", "é"])
    #expect(target.isDirectory)
    #expect(target.query.map(\.name) == ["q", "empty", "x"])
    #expect(target.query.map(\.value) == ["1 2", "", "&"])
    #expect(try RequestTarget("http://other:1/x").segments == ["x"])
    #expect(try RequestTarget("/").segments == [])
    for bad in ["", "x", "*", "/%", "/%2", "/%zz", "/%00", "/%ff", "/%c0%ae", "/?a=%ff", "/?a=1&a=2"] {
      #expect(throws: Failure.self, "\(bad)") { try RequestTarget(bad) }
    }
  }
}
