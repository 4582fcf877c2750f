import Core
import LuaHost
import Testing

/// Scripts that try not to be stopped. One C loop is out of reach by design (the worker is killed).
@Suite(.serialized) struct StopTests {
  static let stubborn = [
    "while true do end",
    "local function f() while true do end end while true do pcall(f) end",
    "while true do pcall(error, 'x') end",
    "while true do xpcall(error, function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do local co = coroutine.create(function() while true do pcall(function() while true do end end) end end) coroutine.resume(co) end",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    "while true do local c <close> = setmetatable({}, {__close = function() while true do end end}) end",
    "local co = coroutine.create(function() local c <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
    "table.sort({3, 2, 1}, function(a, b) while true do end end)",
    "(('x'):rep(100)):gsub('x', function() while true do end end)",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end",
    "goto a ::a:: goto a",
    "local b = require 'birds' while true do pcall(b.add, 1, 2) end",
    "local b = require 'birds' b.each({1}, function() while true do end end)",
    "local b = require 'birds' while true do pcall(b.each, {1}, function() error('x') end) end",
    "local s = ('x'):rep(1000) while true do load('return 1')() end",
    "print(setmetatable({}, {__tostring = function() while true do end end}))",
    "error(setmetatable({}, {__tostring = function() while true do end end}))",
  ]

  @Test(arguments: stubborn) func timeLimit(_ code: String) throws {
    let bench = try Bench(memory: 64 << 20)
    let chunk = try bench.state.load(code, name: "loop.lua")
    let start = monotonicSeconds()
    do throws(Failure) {
      try bench.state.watched(timeLimitSeconds: 0.1) { () throws(Failure) in try bench.state.run(chunk) { _ in } }
      Issue.record("came to an end")
    } catch {
      #expect(error.code == .timeout)
      #expect(error.message == "the time limit of 0.1 s was reached")
      #expect(error.place == "loop.lua:1")
    }
    #expect(monotonicSeconds() - start < 1)
    #expect(!Cancellation.isRequested)
    #expect(try bench.run("return 1 + 1") == 2)
  }

  /// In a process of its own: the flag is the whole process's, and other suites' kernels poll it.
  @Test func cancellation() async {
    await #expect(processExitsWith: .success) {
      let bench = try Bench()
      let chunk = try bench.state.load(
        "require('birds').add(1, 2)\nwhile true do pcall(function() while true do end end) end", name: "loop.lua")
      Cancellation.request()
      defer { Cancellation.reset() }
      do throws(Failure) {
        try bench.state.watched { () throws(Failure) in try bench.state.run(chunk) { _ in } }
        Issue.record("came to an end")
      } catch { #expect(error.code == .cancelled) }
    }
  }
}
