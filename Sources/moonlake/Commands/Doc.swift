import ArgumentParser
import Core
import Foundation
import LuaHost
import Script

struct Doc: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write editor stubs and the Lua reference from the registration tables.",
    discussion: "Example:\n  moonlake doc --stubs LuaLib/meta --pages docs/lua")
  @Option(help: "Folder for LuaCATS stubs.") var stubs = "LuaLib/meta"
  @Option(help: "Folder for Markdown pages.") var pages = "docs/lua"
  @Flag(help: "Write nothing; exit 1 when a file would change.") var check = false

  func run() throws {
    var stale: [String] = []
    for module in Faces.modules.map({ $0.make() }) where !module.name.hasPrefix("_") {
      for (path, text) in [("\(stubs)/\(module.name).lua", Reference.stub(module)), ("\(pages)/\(module.name).md", Reference.page(module))] {
        guard (try? String(contentsOfFile: path, encoding: .utf8)) != text else { continue }
        stale.append(path)
        if !check {
          try FileManager.default.createDirectory(
            atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
          try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
      }
    }
    for path in stale { print((check ? "stale: " : "wrote ") + path) }
    if check, !stale.isEmpty { throw ExitCode(1) }
  }
}
