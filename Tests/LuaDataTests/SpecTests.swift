import Core
import Foundation
import Lake
import LuaData
import LuaHost
import Testing

/// Runs specs of Tests/lua in a state that has only frames and the lake, so that this room is tested without the others.
@Suite struct SpecTests {
  /// The part of LuaLib/test.lua that the spec uses.
  static let kit = """
    local M = { failures = {}, passed = 0 }
    local function text(v)
      if type(v) ~= "table" then return tostring(v) end
      local keys, out = {}, {}
      for k in pairs(v) do keys[#keys + 1] = k end
      table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
      for _, k in ipairs(keys) do out[#out + 1] = tostring(k) .. "=" .. text(v[k]) end
      return "{" .. table.concat(out, ", ") .. "}"
    end
    local function same(a, b)
      if rawequal(a, b) then return true end
      if type(a) ~= "table" or type(b) ~= "table" then return a == b end
      for k, v in pairs(a) do if not same(v, b[k]) then return false end end
      for k in pairs(b) do if a[k] == nil then return false end end
      return true
    end
    function M.case(name, body)
      local ok, err = pcall(body)
      if ok then M.passed = M.passed + 1 else M.failures[#M.failures + 1] = name .. ": " .. tostring(err) end
    end
    function M.equal(a, b) if not same(a, b) then error("got " .. text(a) .. ", expected " .. text(b), 2) end end
    function M.truthy(v) if not v then error("not true", 2) end end
    function M.raises(part, f)
      local ok, err = pcall(f)
      if ok then error("no error, expected: " .. part, 2) end
      if not tostring(err):find(part, 1, true) then error("error is: " .. tostring(err) .. "; expected: " .. part, 2) end
    end
    return M
    """

  @Test(arguments: ["df_test", "table_test", "search_test"]) func theSpecPasses(_ name: String) throws {
    let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent("luadata-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: scratch) }
    for folder in ["lib", "scripts", "lake"] {
      try FileManager.default.createDirectory(at: scratch.appendingPathComponent(folder), withIntermediateDirectories: true)
    }
    for name in ["df", "lake", "_inputs"] {
      try FileManager.default.copyItem(
        at: repository.appendingPathComponent("LuaLib/\(name).lua"), to: scratch.appendingPathComponent("lib/\(name).lua"))
    }
    try SpecTests.kit.write(to: scratch.appendingPathComponent("scripts/test.lua"), atomically: true, encoding: .utf8)
    var configuration = State.Configuration()
    configuration.modules = LuaLake.entries
    configuration.libraryRoot = scratch.appendingPathComponent("lib").path
    configuration.scriptRoot = scratch.appendingPathComponent("scripts").path
    let state = try State(configuration)
    defer { state.close() }
    state.provide(try DataLake(root: scratch.appendingPathComponent("lake").path, shownAs: "lance_storage"))
    state.provide(ConfinedPaths(roots: [scratch.path], base: scratch.path))
    let spec = try String(contentsOf: repository.appendingPathComponent("Tests/lua/\(name).lua"), encoding: .utf8)
    let chunk = try state.load(spec + "\nlocal kit = require 'test'\nreturn kit.passed, kit.failures", name: "\(name).lua")
    let (passed, failures) = try state.run(chunk, results: 2, read: { call in (try call.integer(1), try call.strings(2)) })
    #expect(failures == [])
    #expect(passed >= 4)
  }
}
