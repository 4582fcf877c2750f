import Core
import LuaHost
import LuaTensor
import ObjectStore
import TestSupport
import Testing

/// What checkpoints do when files are damaged and disks fail.
@Suite(.serialized) struct CheckpointTests {
  private func state(_ store: any ObjectStore) throws -> State {
    var configuration = State.Configuration()
    configuration.modules = TensorFaces.entries
    configuration.libraryRoot = SpecTests.root + "/LuaLib"
    configuration.scriptRoot = SpecTests.root + "/Tests/lua"
    let state = try State(configuration)
    state.provide(CheckpointPlace(store: store) { "checkpoints/\($0)" })
    return state
  }

  private func number(_ state: State, _ source: String) throws -> Int {
    try state.run(try state.load(source, name: "checkpoints"), results: 1, read: { try $0.integer(1) })
  }

  private static let save = """
    local checkpoint, tensor = require "checkpoint", require "tensor"
    for i = 1, 2 do
      checkpoint.save("t", { extra = { i = i, text = "abc", x = tensor.full({ 3 }, i), y = tensor.full({ 2, 2 }, i, { dtype = "i64" }) } })
    end
    return 0
    """

  /// Every single flipped bit, and every length: the newest checkpoint comes back as it was, or the one before is used.
  @Test func everyDamageIsFound() throws {
    let store = MemoryStore()
    let state = try state(store)
    _ = try number(state, CheckpointTests.save)
    let path = "checkpoints/t/0000000002.safetensors"
    let whole = try store.read(path).array()
    let load = """
      local found = require("checkpoint").load("t", {}, { random = false })
      local e = found.extra
      assert(e.text == "abc" and e.x:sum():item() == 3 * e.i and e.y:sum():item() == 4 * e.i and #found.damaged == 2 - e.i)
      return e.i
      """
    #expect(try number(state, load) == 2)
    var kept = 0
    for at in whole.indices {
      for bit in 0..<8 where bit == at % 8 || at < 8 {
        var file = whole
        file[at] ^= 1 << bit
        try store.put(path, file)
        if try number(state, load) == 2 { kept += 1 }
      }
    }
    // Blanks at the end of the header are all that may change unseen (to a tab or a line end).
    #expect(kept <= 2)
    for length in stride(from: 0, to: whole.count, by: 7) {
      try store.put(path, Array(whole[..<length]))
      #expect(try number(state, load) == 1)
    }
    try store.put(path, whole + [0])
    #expect(try number(state, load) == 1)
    try store.put("checkpoints/t/0000000001.safetensors", [1, 2, 3])
    let error = #expect(throws: Failure.self) { try number(state, load) }
    #expect(error?.code == .corruptData)
    #expect(error?.message.contains("none of the 2 checkpoints of 't' can be used: checkpoint '\(path)' is damaged") == true)
    // A new one goes behind both.
    #expect(try number(state, "return require('checkpoint').save('t', {})") == 3)
  }

  /// A disk that fails at any call: an error, and the checkpoint before is still there.
  @Test func aFailingDiskLeavesTheOneBefore() throws {
    let inner = MemoryStore()
    _ = try number(try state(inner), CheckpointTests.save)
    for call in 1...40 {
      let faults = FaultPlan(failing: call)
      let failing = try state(FaultyStore(inner, faults))
      let ended = try? number(failing, "return require('checkpoint').save('t', { extra = { i = 3 } }, { keep = 3 })")
      let found = try number(try state(inner), "return require('checkpoint').load('t', {}, { random = false }).extra.i")
      #expect(found == 2 || found == 3)
      if ended != nil {
        #expect(found == 3)
        return
      }
    }
    Issue.record("the store never stopped failing")
  }
}
