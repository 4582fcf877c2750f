import Core
import Foundation
import Script
import Testing

/// `task.resumable`: what a run that was stopped leaves for the next one.
@Suite struct ResumableTests {
  /// Counts to `params.upto`, drawing a random number at each step, and fails at step `params.fails`.
  static let script = """
    local optim, task, tensor = require "optim", require "task", require "tensor"
    function run(_, output, p)
      tensor.manual_seed(p.seed or 3)
      local weight = tensor.ones(4):requires_grad_(true)
      local opt = optim.adam({ weight }, { lr = 0.1 })
      local state = task.resumable { opt = opt, step = 0, draws = {}, weight = weight:totable() }
      local from = state.step
      while state.step < p.upto do
        state.step = state.step + 1
        state.draws[#state.draws + 1] = tensor.rand(1):item()
        state:save { keep = 2 }
        if state.step == p.fails then error "the power is gone" end
      end
      return { from = from, resumed = state.resumed, draws = state.draws, step = state.step }
    end
    """

  func checkpoints(_ bench: ScriptBench) -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: bench.root + "/lake/checkpoints/out"))?.count ?? 0
  }

  @Test func goesOnAfterAFailureAndEndsWithoutCheckpoints() throws {
    let bench = try ScriptBench()
    let whole = try bench.run(ResumableTests.script, params: ["upto": 6])
    #expect(whole["from"] == 0 && whole["resumed"] == false && checkpoints(bench) == 0)
    let broken = ResumableTests.script.replacingOccurrences(of: "p.fails", with: "4")
    #expect(try bench.failure(broken, params: ["upto": 6]).message.contains("the power is gone"))
    #expect(checkpoints(bench) == 2)
    let rest = try bench.run(ResumableTests.script, params: ["upto": 6])
    #expect(rest["from"] == 4 && rest["resumed"] == true && rest["draws"] == whole["draws"] && rest["step"] == 6)
    #expect(checkpoints(bench) == 0)
    #expect(try bench.run(ResumableTests.script, params: ["upto": 6])["from"] == 0)
  }

  @Test func anotherRunBeginsAnew() throws {
    let bench = try ScriptBench()
    #expect(try bench.failure(ResumableTests.script, params: ["upto": 6, "fails": 2]).message.contains("the power is gone"))
    let other = try bench.run(ResumableTests.script, params: ["upto": 3])
    #expect(other["from"] == 0 && other["resumed"] == false && other["step"] == 3)
  }

  /// A result that cannot be answered is a failure of the run: what it trained stays.
  @Test func aResultThatIsNoneKeepsThem() throws {
    let bench = try ScriptBench()
    let broken = ResumableTests.script.replacingOccurrences(of: "return {", with: "if p.upto == 2 then return 7 end return {")
    #expect(try bench.failure(broken, params: ["upto": 2]).code == .invalidResult)
    #expect(checkpoints(bench) == 2)
    #expect(try bench.run(ResumableTests.script, params: ["upto": 2])["from"] == 2)
  }

  @Test(arguments: [
    ("task.resumable()", "a table of parts is needed"), ("task.resumable { save = 1 }", "'save' is a field of its own"),
    ("task.resumable { 1 }", "parts need names"),
  ])
  func misuse(_ call: String, _ message: String) throws {
    let failure = try ScriptBench().failure("local task = require 'task' function run() \(call) return {} end")
    #expect(failure.message.contains(message), "\(failure.message)")
  }
}
