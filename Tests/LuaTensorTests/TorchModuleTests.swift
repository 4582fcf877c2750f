import Glibc
import LuaHost
import LuaTensor
import Testing

extension SpecTests {
  /// Weights and optimizer of a PyTorch training, as a script gets them.
  @Test func aScriptReadsWhatTorchSaved() throws {
    let state = try state()
    let source = """
      local bytes, evil = ...
      local tensor, nn = require "tensor", require "nn"
      local all = tensor.from_torch(bytes)
      local net = nn.sequential {
        nn.conv2d(1, 2, 3), nn.batchnorm2d(2), nn.relu(), nn.flatten(), nn.linear(8, 3) }
      net:load_state_dict(all.model)                       -- PyTorch's names are ours
      assert(net.layers[5].bias:totable()[1] == all.model["4.bias"]:totable()[1])
      assert(all.epoch == 3 and math.type(all.epoch) == "integer" and all.best == 0.25 and all.done == true)
      assert(all.name == "größer" and all.note == nil)
      assert(#all.history == 3 and all.history[1] == 1.5 and all.history[2] ~= nil and all.history[3] == -2)
      assert(all.big == 1 << 62 and all.small == -(1 << 40) and #all.deep.a.b == 2)
      local adam = all.optimizer
      assert(adam.param_groups[1].lr == 0.01 and adam.param_groups[1].betas[2] == 0.999)
      assert(adam.state[0].step:item() == 2 and adam.state[5].exp_avg:shape()[1] == 3)
      local ok, err = pcall(tensor.from_torch, evil)
      assert(not ok and err.code == "UNSUPPORTED", tostring(err))
      assert(err.message:find("posix.system", 1, true), err.message)
      assert(not pcall(tensor.from_torch, 7))
      return net:count_parameters()
      """
    func bytes(_ name: String) throws -> [UInt8] {
      let file = try #require(fopen(SpecTests.root + "/Tests/golden/torch/" + name, "r"))
      defer { fclose(file) }
      var part = [UInt8](repeating: 0, count: 65536)
      return Array(part[..<fread(&part, 1, part.count, file)])
    }
    let (good, evil) = (try bytes("checkpoint.pt"), try bytes("refused_system.pt"))
    let count = try state.run(
      try state.load(source, name: "torch"), results: 1,
      arguments: { call in
        call.push(bytes: good)
        call.push(bytes: evil)
        return 2
      }, read: { try $0.integer(1) })
    #expect(count == 51)
  }
}
