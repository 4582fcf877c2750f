import Core
import Foundation
import Script
import TestSupport
import Testing

/// `task.resumable`: what a run that was stopped leaves for the next one.
@Suite struct ResumableTests {
  /// Trains to step `params.upto` and fails after step `params.fails`. `weights` is all that it came to.
  static let script = """
    local nn, optim, task, tensor = require "nn", require "optim", require "task", require "tensor"
    local loader = require("data").loader
    function run(_, output, p)
      tensor.manual_seed(3)
      local net = nn.sequential { nn.linear(4, 6), nn.relu(), nn.dropout(0.4), nn.linear(6, 3) }
      local opt = optim.adam(net:parameters(), { lr = 0.05 })
      local sched = optim.cosine(opt, { steps = 10 })
      local train = loader({ x = tensor.randn(p.rows or 20, 4), y = tensor.randint(0, 2, p.rows or 20) }, { batch_size = 6, shuffle = true })
      local state = task.resumable { net = net, opt = opt, sched = sched, loader = train, step = 0, losses = {} }
      local from = state.step
      while state.step < p.upto do
        for batch in train:batches() do
          local loss = nn.cross_entropy(net(batch.x), batch.y)
          opt:zero_grad(); loss:backward(); opt:step(); sched:step()
          state.step = state.step + 1
          state.losses[#state.losses + 1] = loss:item()
          state:save { keep = 2 }
          if state.step == p.fails then error "the power is gone" end
          if state.step == p.upto then break end
        end
      end
      return { from = from, resumed = state.resumed, losses = state.losses, step = state.step,
        weights = require("base64").encode(tensor.to_safetensors(net:state_dict())) }
    end
    """

  /// Each run sets the process's random numbers at its start, as other suites do.
  private func run(_ bench: ScriptBench, _ text: String, params: JSONObject) throws -> JSONValue {
    try RandomNumbers.alone { try bench.run(text, params: params) }
  }
  private func failure(_ bench: ScriptBench, _ text: String, params: JSONObject) throws -> Failure {
    try RandomNumbers.alone { try bench.failure(text, params: params) }
  }

  private func checkpoints(_ bench: ScriptBench) -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: bench.root + "/lake/checkpoints/out"))?.count ?? 0
  }

  @Test func goesOnAfterAFailureAndEndsWithoutCheckpoints() throws {
    let bench = try ScriptBench()
    let whole = try run(bench, ResumableTests.script, params: ["upto": 6])
    #expect(whole["from"] == 0 && whole["resumed"] == false && checkpoints(bench) == 0)
    // In the middle of the second epoch.
    let broken = ResumableTests.script.replacingOccurrences(of: "p.fails", with: "4")
    #expect(try failure(bench, broken, params: ["upto": 6]).message.contains("the power is gone"))
    #expect(checkpoints(bench) == 2)
    let rest = try run(bench, ResumableTests.script, params: ["upto": 6])
    #expect(rest["from"] == 4 && rest["resumed"] == true && rest["step"] == 6)
    #expect(rest["losses"] == whole["losses"] && rest["weights"] == whole["weights"])
    #expect(checkpoints(bench) == 0)
    #expect(try run(bench, ResumableTests.script, params: ["upto": 6])["from"] == 0)
  }

  @Test func anotherRunBeginsAnew() throws {
    let bench = try ScriptBench()
    #expect(try failure(bench, ResumableTests.script, params: ["upto": 6, "fails": 2]).message.contains("the power is gone"))
    let other = try run(bench, ResumableTests.script, params: ["upto": 3])
    #expect(other["from"] == 0 && other["resumed"] == false && other["step"] == 3)
  }

  /// What the other run left is gone with the first save: its best is not this one's.
  @Test func theFirstSaveRemovesWhatIsOfAnotherRun() throws {
    let bench = try ScriptBench()
    #expect(try failure(bench, ResumableTests.script, params: ["upto": 9, "fails": 2]).message.contains("the power is gone"))
    #expect(checkpoints(bench) == 2)
    #expect(try failure(bench, ResumableTests.script, params: ["upto": 9, "fails": 1]).message.contains("the power is gone"))
    #expect(checkpoints(bench) == 1)
  }

  @Test func nullsInParamsAreParams() throws {
    let bench = try ScriptBench()
    let params: JSONObject = ["upto": 2, "fails": 1, "note": .object(["a": .null, "b": .array([.null, 1])])]
    #expect(try failure(bench, ResumableTests.script, params: params).message.contains("the power is gone"))
    let broken = ResumableTests.script.replacingOccurrences(of: "p.fails", with: "7")
    #expect(try run(bench, broken, params: params)["from"] == 1)
  }

  @Test func otherPartsAreAnErrorThatNamesTheWayOut() throws {
    let bench = try ScriptBench()
    #expect(try failure(bench, ResumableTests.script, params: ["upto": 6, "fails": 2]).message.contains("the power is gone"))
    for (from, to) in [("nn.linear(6, 3)", "nn.linear(6, 4)"), ("p.rows or 20", "p.rows or 30")] {
      let edited = ResumableTests.script.replacingOccurrences(of: from, with: to)
      let refusal = try failure(bench, edited, params: ["upto": 6, "fails": 2])
      #expect(refusal.code == Failure.Code("STATE_MISMATCH"), "\(refusal)")
      #expect(refusal.message.contains("checkpoint.delete(\"out\") begins anew"), "\(refusal.message)")
    }
    #expect(checkpoints(bench) == 2)
  }

  /// A result that cannot be answered is a failure of the run: what it trained stays.
  @Test func aResultThatIsNoneKeepsThem() throws {
    let bench = try ScriptBench()
    let broken = ResumableTests.script.replacingOccurrences(of: "return {", with: "if p.upto == 2 then return 7 end return {")
    #expect(try failure(bench, broken, params: ["upto": 2]).code == .invalidResult)
    #expect(checkpoints(bench) == 2)
    #expect(try run(bench, ResumableTests.script, params: ["upto": 2])["from"] == 2)
  }

  @Test(arguments: [
    ("task.resumable()", "a table of parts is needed"), ("task.resumable { save = 1 }", "'save' is a field of its own"),
    ("task.resumable { 1 }", "parts need names"),
    ("return {} end task.resumable {} do", "it must be called in run"),
  ])
  func misuse(_ call: String, _ message: String) throws {
    let refusal = try ScriptBench().failure("local task = require 'task' function run() \(call) return {} end")
    #expect(refusal.message.contains(message), "\(refusal.message)")
  }
}
