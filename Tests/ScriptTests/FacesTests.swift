import Core
import Foundation
import LuaHost
import LuaSystem
import Script
import Testing

/// What holds for every function that scripts may call, whichever room it came from.
@Suite struct FacesTests {
  /// Calls every function and method without arguments, with too many and with wrong ones. None may crash; errors are
  /// strings or platform errors that name what was called or what is missing.
  @Test func everyFunctionCalledWrongly() throws {
    let bench = try ScriptBench()
    try bench.write("main.lua", "return {}")
    let environment = try ScriptEnvironment(bench.job(), events: SilentEvents())
    defer { environment.state.close() }
    let probe = try environment.state.load(
      """
      local name, key, required = ...
      local f = require(name)[key]
      local wrong = { {}, "text", -1, 0/0, 1e308, true, print, coroutine.create(print), setmetatable({}, {__index = error}) }
      local report = {}
      local ok, err = pcall(f)
      if required and ok then report[#report + 1] = "accepts no arguments" end
      if not ok then report[#report + 1] = "E" .. tostring(err) end
      for _, value in ipairs(wrong) do
        pcall(f, value)
        pcall(f, value, value)
        pcall(f, value, value, value)
      end
      return report
      """, name: "probe", trusted: true)
    let skipped: Set<String> = ["time.sleep", "task.ready", "_testing.check_scratch"]
    var count = 0
    for module in Faces.modules.map({ $0.make() }) {
      for fn in module.functions where !skipped.contains("\(module.name).\(fn.name)") {
        let required = fn.signature.parameters.contains { !$0.isOptional }
        let name = module.name
        let key = fn.name
        let report = try environment.state.watched(timeLimitSeconds: 10) { () throws(Failure) in
          try environment.state.run(
            probe, results: 1,
            arguments: { call in
              call.push(name)
              call.push(key)
              return 2 + call.push(required)
            }, read: { try $0.strings(1) })
        }
        for text in report where text != "" {
          #expect(text.hasPrefix("E"), "\(name).\(key) \(text)")
          // LuaLib may stand between: then another function is named.
          if text.contains("bad argument") { #expect(text.contains(" to '"), "\(name).\(key): \(text)") }
        }
        count += 1
      }
    }
    #expect(count > 30)
  }

  /// Stubs are Lua, pages name every function.
  @Test func referencePages() throws {
    let bench = try ScriptBench()
    try bench.write("main.lua", "return {}")
    let environment = try ScriptEnvironment(bench.job(), events: SilentEvents())
    defer { environment.state.close() }
    for module in environment.modules {
      _ = try environment.state.load(Reference.stub(module), name: "meta/\(module.name).lua")
      let page = Reference.page(module)
      for fn in module.functions { #expect(page.contains("### `\(module.name).\(fn.name)(")) }
      for fn in module.functions + module.types.flatMap({ $0.methods + $0.metamethods }) {
        #expect(!fn.doc.isEmpty, "\(module.name).\(fn.name) has no doc line")
      }
    }
  }

  @Test func everyModuleOpens() throws {
    for entry in Faces.modules where !entry.name.hasPrefix("_") {
      #expect(
        try ScriptBench().run("local m = require '\(entry.name)' function run() return {kind = type(m)} end") == [
          "kind": "table"
        ])
    }
    for name in ["nn", "optim", "inspect", "test"] {
      #expect(
        try ScriptBench().run("local m = require '\(name)' function run() return {kind = type(m)} end") == ["kind": "table"])
    }
  }
}
