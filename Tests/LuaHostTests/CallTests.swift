import Core
import LuaHost
import Testing

@Suite struct CallTests {
  @Test func callsAndObjects() throws {
    let bench = try Bench()
    #expect(try bench.run("local b = require 'birds'; return b.add(1, 2.5)") == 3.5)
    #expect(try bench.run("local b = require 'birds'; local c = b.canary(3); c:add(4); return #c + c[2]") == 21)
    #expect(try bench.run("local b = require 'birds'; return tostring(b.canary(3) + 4)") == "Canary(7)")
    #expect(try bench.run("return require('birds').answer") == 42)
    #expect(try bench.run("return require('birds').sum {1, 2, 3.5}") == 6.5)
    #expect(try bench.run("return require('birds').each({1, 2}, function(x) return x * 10 end)") == [10, 20])
    #expect(try bench.run("return type(require('birds').echo { a = {1, 'x', true}, b = { } })") == "table")
  }

  @Test(arguments: [
    ("b.add('x', 1)", "bad argument #1 'x' to 'add' (number expected, got string)"),
    ("b.add(1)", "bad argument #2 'y' to 'add' (number expected, got no value)"),
    ("b.add(1, nil)", "bad argument #2 'y' to 'add' (number expected, got nil)"),
    ("b.add(1, 2, 3)", "too many arguments to 'add' (at most 2, got 3)"),
    ("b.canary(1.5)", "bad argument #1 'value' to 'canary' (integer expected, got 1.5)"),
    ("b.canary():add('x')", "bad argument #1 'n' to 'add' (integer expected, got string)"),
    ("b.canary():add(1, 2)", "too many arguments to 'add' (at most 1, got 2)"),
    ("b.canary().add(1)", "bad self to 'add' (Canary expected, got number); call it as object:add(...)"),
    ("b.canary().add(b.sparrow(), 1)", "bad self to 'add' (Canary expected, got Sparrow); call it as object:add(...)"),
    ("return b.canary() + 'x'", "bad operand #2 of '+' (Canary|number expected, got string)"),
    ("b.sparrow():sign()", "Sparrow has no method or field 'sign'; did you mean 'sing'? methods are: release, sing"),
    ("return b.canary().colour", "Canary has no field 'colour'"),
    ("b.sum { 1, 'x' }", "bad argument #1 'list' to 'sum' (element 2 must be a number, got string)"),
    (
      "b.open('p', { mood = 'append' })",
      "'open' has no option 'mood'; did you mean 'mode'? options are: mode, size, loud, tags"
    ),
    (
      "b.open('p', { mode = 'apend' })",
      "option 'mode' of 'open' cannot be 'apend'; did you mean 'append'? choices are: append, overwrite"
    ),
    ("b.open('p', { size = 11 })", "option 'size' of 'open' must be 0 to 10, got 11"),
    ("b.open('p', { size = 'x' })", "option 'size' of 'open' must be an integer, got x"),
    ("b.open('p', { tags = {1} })", "option 'tags' of 'open' must be a list of strings, but element 1 is none"),
    ("b.open('p', { 'append' })", "the options of 'open' are a table with names, but it has the key 1"),
    ("b.open('\\xff')", "bad argument #1 'path' to 'open' (the string is not valid UTF-8)"),
    ("local c = b.canary() c:release() c:add(1)", "bad self to 'add' (the Canary was released); call it as object:add(...)"),
  ])
  func argumentErrors(_ code: String, _ expected: String) throws {
    let failure = try Bench().failure("local b = require 'birds'\n\(code)")
    #expect(failure.message == expected)
    #expect(failure.place == "script.lua:2")
    #expect(failure.code == .scriptError)
  }

  @Test func platformErrorsAreTables() throws {
    let bench = try Bench()
    let text = """
      local b = require "birds"
      local ok, err = pcall(b.fail, "x")
      return { ok = ok, code = err.code, message = err.message, where = err.where, text = tostring(err), joined = "! " .. err, n = err.details.n }
      """
    #expect(
      try bench.run(text) == [
        "ok": false, "code": "BAD_BIRD", "message": "no bird", "where": "script.lua:2", "text": "script.lua:2: no bird",
        "joined": "! script.lua:2: no bird", "n": 3,
      ])
    let failure = bench.failure("local b = require 'birds'\n\nlocal function f() b.fail('x') end\nf()\n")
    #expect(failure.code.rawValue == "BAD_BIRD")
    #expect(failure.message == "no bird")
    #expect(failure.place == "script.lua:3")
    #expect(failure.details["line"] == 3)
    #expect(
      failure.details["excerpt"]?.stringValue == """
          1 | local b = require 'birds'
          2 | 
        > 3 | local function f() b.fail('x') end
          4 | f()
          5 | 
        """)
    #expect(
      failure.details["traceback"]?.stringValue?.contains("in local 'f'") == true
        || failure.details["traceback"]?.stringValue?.contains("in upvalue 'f'") == true)
  }

  @Test func callbacksCarryErrors() throws {
    let bench = try Bench()
    let failure = bench.failure(
      "local b = require 'birds'\nb.each({1}, function(x)\n  error { code = 'MINE', message = 'mine' }\nend)")
    #expect(failure.code.rawValue == "MINE")
    #expect(failure.message == "mine")
    let other = bench.failure("local b = require 'birds'\nb.each({1}, function(x)\n  local n = nil\n  return n.x\nend)")
    #expect(other.message == "attempt to index a nil value (local 'n')")
    #expect(other.place == "script.lua:4")
  }
}
