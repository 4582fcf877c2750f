import Core
import Foundation
import LuaServe
import Testing

@Suite(.serialized, .timeLimit(.minutes(1))) struct StaticFileTests {
  final class Folder {
    let path: String
    init() throws {
      path = NSTemporaryDirectory() + "serve-" + randomUUID()
      try FileManager.default.createDirectory(atPath: path + "/web/sub/deep", withIntermediateDirectories: true)
      for (name, text) in [
        ("web/index.html", "<html>top</html>"), ("web/app.js", "let x = 1"), ("web/.secret", "no"),
        ("web/sub/index.html", "sub"),
        ("web/sub/data.bin", "bytes"), ("secret.txt", "no"), ("web/a b.txt", "space"), ("web/empty.css", ""),
      ] {
        try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
      }
      try FileManager.default.createSymbolicLink(atPath: path + "/web/link.txt", withDestinationPath: "../secret.txt")
      try FileManager.default.createSymbolicLink(atPath: path + "/web/out", withDestinationPath: "..")
      mkfifo(path + "/web/pipe", 0o644)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  @Test func filesAndFolders() async throws {
    try await blocking {
      let folder = try Folder()
      let rig = try Rig([try route("POST", "/api")], files: [try StaticFiles(path: "/", root: folder.path + "/web")])
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      let top = try client.ask("GET", "/")
      #expect(top.status == 200)
      #expect(top.text == "<html>top</html>")
      #expect(top.headers["content-type"] == "text/html; charset=utf-8")
      #expect(top.headers["x-content-type-options"] == "nosniff")
      #expect(try client.ask("GET", "/app.js").headers["content-type"] == "text/javascript; charset=utf-8")
      #expect(try client.ask("GET", "/a%20b.txt").text == "space")
      #expect(try client.ask("GET", "/empty.css").headers["content-length"] == "0")
      #expect(try client.ask("GET", "/sub/").text == "sub")
      let moved = try client.ask("GET", "/sub")
      #expect(moved.status == 308)
      #expect(moved.headers["location"] == "/sub/")
      #expect(try client.ask("GET", "/sub/data.bin").headers["content-type"] == "application/octet-stream")
      let head = try client.ask("HEAD", "/sub/data.bin")
      #expect(head.headers["content-length"] == "5")
      for path in [
        "/.secret", "/link.txt", "/out/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/sub/..%2f..%2fsecret.txt",
        "/pipe",
        "/sub/deep/", "/sub/deep", "/nothing", "/app.js/", "/app.js/x", "//app.js", "/sub//data.bin",
      ] {
        #expect(try client.ask("GET", path).status == 404, "\(path)")
      }
      let post = try client.ask("POST", "/app.js", body: "x")
      #expect(post.status == 405)
      #expect(post.headers["allow"] == "GET, HEAD, OPTIONS")
      #expect(try client.ask("GET", "/api").headers["allow"] == "POST, OPTIONS")
      #expect(try client.ask("GET", "/healthz").status == 200)
    }
  }

  @Test func tagsAndChanges() async throws {
    try await blocking {
      let folder = try Folder()
      let rig = try Rig(files: [try StaticFiles(path: "/ui", root: folder.path + "/web")])
      defer { rig.stop() }
      let client = try Client(port: rig.port)
      let first = try client.ask("GET", "/ui/app.js")
      let tag = try #require(first.headers["etag"])
      for given in [tag, "W/\(tag)", "\"x\", \(tag)", "*"] {
        let same = try client.ask("GET", "/ui/app.js", headers: ["If-None-Match: \(given)"])
        #expect(same.status == 304)
        #expect(same.body.isEmpty)
      }
      #expect(try client.ask("GET", "/ui/app.js", headers: ["If-None-Match: \"other\", junk,,"]).status == 200)
      #expect(
        try client.ask(
          "GET", "/ui/app.js", headers: ["Range: bytes=" + (0..<1500).map { "\($0)-\($0)" }.joined(separator: ",")]
        ).status == 200)
      try "let x = 2".write(toFile: folder.path + "/web/app.js", atomically: false, encoding: .utf8)
      let changed = try client.ask("GET", "/ui/app.js", headers: ["If-None-Match: \(tag)"])
      #expect(changed.status == 200)
      #expect(changed.text == "let x = 2")
      #expect(try client.ask("GET", "/ui").status == 308)
      #expect(try client.ask("GET", "/app.js").status == 404)
    }
  }

  @Test func oneFileAndLargeFiles() async throws {
    try await blocking {
      let folder = try Folder()
      let rig = try Rig(files: [try StaticFiles(path: "/", root: folder.path + "/web/index.html")])
      defer { rig.stop() }
      #expect(try ask(rig.port, "GET", "/").text == "<html>top</html>")
      #expect(try ask(rig.port, "GET", "/index.html").status == 404)
      #expect(try ask(rig.port, "GET", "/app.js").status == 404)

      var bytes = [UInt8](repeating: 0, count: 3_000_001)
      for i in bytes.indices { bytes[i] = UInt8(truncatingIfNeeded: i &* 31) }
      try Data(bytes).write(to: URL(fileURLWithPath: folder.path + "/web/large.bin"))
      let large = try Rig(files: [try StaticFiles(path: "/", root: folder.path + "/web")])
      defer { large.stop() }
      #expect(try ask(large.port, "GET", "/large.bin").body == bytes)
    }
  }

  @Test func badFolders() {
    let missing = #expect(throws: Failure.self) { try StaticFiles(path: "/", root: "/no/such/folder") }
    #expect(missing?.message == "static files for '/': there is no file or folder '/no/such/folder'")
    let parameter = #expect(throws: Failure.self) { try StaticFiles(path: "/:x", root: "/tmp") }
    #expect(parameter?.message == "static path '/:x': parameters are for routes only")
    let device = #expect(throws: Failure.self) { try StaticFiles(path: "/", root: "/dev/null") }
    #expect(device?.message == "static files for '/': '/dev/null' is neither a file nor a folder")
  }
}
