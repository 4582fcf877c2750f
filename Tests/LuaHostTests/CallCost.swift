import Core
import Foundation
import LuaHost
import Testing

/// Not a test of speed limits: prints what a call costs. `MOONLAKE_MEASURE=1 swift test -c release --filter CallCost`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["MOONLAKE_MEASURE"] != nil)) struct CallCost {
  @Test func costs() throws {
    let bench = try Bench()
    func nanoseconds(_ setup: String, _ body: String, _ count: Int) throws -> Double {
      let text = "local b = require 'birds' \(setup) for i = 1, \(count) do \(body) end"
      try bench.run(text)
      var best = Double.infinity
      for _ in 0..<5 {
        let start = monotonicSeconds()
        try bench.run(text)
        best = min(best, monotonicSeconds() - start)
      }
      return best / Double(count) * 1e9
    }
    let empty = try nanoseconds("", "", 10_000_000)
    for (name, setup, body, count) in [
      ("math.abs(i), plain C", "local f = math.abs", "f(i)", 5_000_000),
      ("add(i, 1.5), Swift", "local f = b.add", "f(i, 1.5)", 5_000_000),
      ("canary:add(i), Swift method", "local c = b.canary()", "c:add(1)", 5_000_000),
      ("canary(), new object", "", "b.canary()", 1_000_000),
      ("pcall(error)", "", "pcall(error, 'x')", 1_000_000),
      ("pcall(Swift that throws)", "", "pcall(b.fail, 'x')", 200_000),
      ("pcall(bad argument)", "", "pcall(b.add, 'x', 1)", 200_000),
      ("callback from Swift", "local t = {1} local f = function(x) return x end", "b.each(t, f)", 200_000),
      ("string.format through the frozen view", "", "string.format('%d', i)", 1_000_000),
    ] {
      print("\(name): \(((try nanoseconds(setup, body, count) - empty) * 10).rounded() / 10) ns")
    }
    let start = monotonicSeconds()
    for _ in 0..<200 { _ = try Bench() }
    print("opening a state: \(((monotonicSeconds() - start) / 200 * 1e7).rounded() / 10) us")
  }
}
