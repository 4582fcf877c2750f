import Core
import LuaHost
import Testing

/// Every allocation may fail: the same script under every limit from too small to enough. No jump may cross a Swift frame
/// (a canary would leak), no finalizer may be lost, and the state must work again once there is room.
@Suite(.serialized) struct SweepTests {
  private static let program = """
    local b = require "birds"
    local t = {}
    for i = 1, 40 do t[i] = b.canary(i); t[#t + 1] = ("x"):rep(i * 10) end
    pcall(b.fail, "x")
    b.add(1, 2)
    b.each({1, 2, 3}, function(x) local u = {} for i = 1, 50 do u[i] = {i} end return u[1] end)
    pcall(b.each, {1}, function() error { code = "MINE", message = "mine" } end)
    pcall(b.add, "x", {})
    local s = b.big(20000)
    local e = b.echo { a = {1, 2, {b = "text"}}, c = "d" }
    local co = coroutine.wrap(function() local c <close> = b.canary(1); coroutine.yield(c); return b.canary(2) end)
    local x, y = co(), co()
    local sum = b.canary(1) + 2
    return #s + e.a[1] + #sum
    """

  @Test func allocationSweep() throws {
    var failed = 0
    var passed = 0
    for extra in stride(from: 0, through: 110_000, by: 89) {
      let bench = try Bench()
      try bench.run("require 'birds'")
      bench.state.collect()
      bench.state.setMemoryLimit(bytes: bench.state.usedBytes + extra)
      do throws(Failure) {
        #expect(try bench.run(Self.program) == 20004)
        passed += 1
      } catch {
        #expect(error.code == .memoryLimit, "\(error)")
        failed += 1
      }
      bench.state.setMemoryLimit(bytes: 0)
      #expect(try bench.run("return require('birds').add(1, 2)") == 3.0)
      bench.state.collect()
      bench.state.collect()
      #expect(bench.state.objectCount == 0, "with \(extra) bytes")
      bench.state.close()
      #expect(bench.aviary.count == 0, "with \(extra) bytes")
    }
    #expect(failed > 200)
    #expect(passed > 20)
  }

  @Test func closingFreesWhatScriptsHold() throws {
    let bench = try Bench()
    try bench.run("b = require 'birds'; keep = {} for i = 1, 100 do keep[i] = b.canary(i) end")
    #expect(bench.state.objectCount == 100)
    bench.state.close()
    #expect(bench.aviary.count == 0)
  }

  @Test func releaseAndCloseScopes() throws {
    let bench = try Bench()
    try bench.run("local b = require 'birds'; do local c <close> = b.canary(1) end; b.canary(2):release()")
    #expect(bench.aviary.count == 0)
  }

  /// 400 objects of 4 MiB, dropped at once: the soft limit of 64 MiB forces collections.
  @Test func externalBytesForceCollection() throws {
    let bench = try Bench()
    try bench.run("local b = require 'birds'; for i = 1, 400 do b.canary(i, 4 << 20) end")
    #expect(bench.state.objectCount < 40)
    #expect(bench.state.externalBytes < 160 << 20)
  }

  @Test func externalHardLimit() throws {
    let bench = try Bench(external: 32 << 20)
    let failure = bench.failure("local b = require 'birds'; local t = {} for i = 1, 400 do t[i] = b.canary(i, 1 << 20) end")
    #expect(failure.code == .memoryLimit)
    #expect(try bench.run("return 1") == 1)
  }

  @Test(arguments: [
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "local s = 'x' while true do s = s .. s end",
    "return ('x'):rep(1 << 40)",
    "return require('birds').big(64 << 20)",
    "local t = {} for i = 1, 1e9 do t['k' .. i] = function() return i end end",
  ])
  func memoryBombs(_ code: String) throws {
    let bench = try Bench(memory: 8 << 20)
    let failure = bench.failure(code)
    #expect(failure.code == .memoryLimit || failure.message == "resulting string too large", "\(failure)")
    #expect(failure.place == "script.lua:1" || failure.code == .memoryLimit)
    #expect(try bench.run("return 1 + 1") == 2)
    #expect(try bench.run("local ok, e = pcall(string.rep, 'x', 1 << 30); return e.code") == "MEMORY_LIMIT")
  }
}
