import ArgumentParser
import Core
import Foundation
import LuaHost
import Script

struct Doc: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write editor stubs and the Lua reference from the registration tables and LuaLib's comments.",
    discussion: "Example:\n  moonlake doc --stubs LuaLib/meta --pages docs/lua")
  @Option(help: "Folder of the library in Lua.") var library = "LuaLib"
  @Option(help: "Folder for LuaCATS stubs.") var stubs = "LuaLib/meta"
  @Option(help: "Folder for Markdown pages.") var pages = "docs/lua"
  @Flag(help: "Write nothing; exit 1 when a file would change.") var check = false

  func run() throws {
    let modules = Faces.modules.map { $0.make() }.filter { !$0.name.hasPrefix("_") }
    let inLua = try luaLibrary()
    var files: [(path: String, text: String)] = []
    for module in modules {
      let more = CommentReference.section(inLua.first { $0.module == module.name }?.entries ?? [], title: "Written in Lua")
      files.append(("\(stubs)/\(module.name).lua", Reference.stub(module)))
      files.append(("\(pages)/\(module.name).md", Reference.page(module) + more))
    }
    for found in inLua where !found.entries.isEmpty && !modules.contains(where: { $0.name == found.module }) {
      files.append(
        ("\(pages)/\(found.module).md", CommentReference.page(found.entries, module: found.module, about: found.about)))
    }
    var stale: [String] = []
    for (path, text) in files where (try? String(contentsOfFile: path, encoding: .utf8)) != text {
      stale.append(path)
      guard !check else { continue }
      try FileManager.default.createDirectory(
        atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
      try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
    for path in stale { print((check ? "stale: " : "wrote ") + path) }
    if check, !stale.isEmpty { throw ExitCode(1) }
  }

  /// What the comments of the library say, by module: `NAME.lua`, or all files of folder `NAME`, `init.lua` first.
  private func luaLibrary() throws -> [(module: String, about: String, entries: [CommentReference.Entry])] {
    var found: [(module: String, about: String, entries: [CommentReference.Entry])] = []
    let files = FileManager.default
    for name in try files.contentsOfDirectory(atPath: library).sorted() where !name.hasPrefix("_") && name != "meta" {
      let module = name.hasSuffix(".lua") ? String(name.dropLast(4)) : name
      var parts: [String] = [name]
      if name == module {
        parts = try files.contentsOfDirectory(atPath: "\(library)/\(name)").filter { $0.hasSuffix(".lua") }
          .sorted { ($0 == "init.lua" ? "" : $0) < ($1 == "init.lua" ? "" : $1) }.map { "\(name)/\($0)" }
      }
      var (about, entries) = ("", [CommentReference.Entry]())
      for part in parts {
        let source = try String(contentsOfFile: "\(library)/\(part)", encoding: .utf8)
        if about.isEmpty { about = CommentReference.about(source) }
        let file = part.split(separator: "/").last.map { String($0.dropLast(4)) } ?? module
        entries += CommentReference.entries(source, module: module, file: file)
      }
      found.append((module, about, entries))
    }
    return found
  }
}
