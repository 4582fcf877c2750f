import Core
import LuaHost
import LuaTensor
import Testing

extension SpecTests {
  /// Ten steps of every optimizer and 25 of every schedule against PyTorch 2.13, also with a save and a load in between.
  @Test func optimizersAndSchedulesAreThoseOfPyTorch() throws {
    let root = SpecTests.root + "/Tests/golden"
    let golden = try JSONValue(parsing: Array(try #require(text(root + "/optim_golden.json")).utf8))
    let state = try state()
    let check = try state.load(try #require(text(root + "/check_optim.lua")), name: "check_optim")
    let (worst, optimizers, schedules) = try state.run(
      check, results: 3, arguments: { $0.push(golden) },
      read: { (try $0.number(1), try $0.integer(2), try $0.integer(3)) })
    #expect(worst < 1e-12)
    #expect(optimizers >= 25 && schedules >= 20)
  }
}
