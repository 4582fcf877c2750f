import Core
import Glibc
import LuaHost
import LuaTensor
import ObjectStore
import Tensors
import TestSupport
import Testing

/// Runs the Lua specs of tensors, networks and loaders without the `moonlake` executable, and the binding's own checks.
@Suite(.serialized) struct SpecTests {
  static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  func text(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while case let n = fread(&part, 1, part.count, file), n > 0 { bytes += part[..<n] }
    return String(decoding: bytes, as: UTF8.self)
  }

  func state() throws -> State {
    var configuration = State.Configuration()
    configuration.modules = TensorFaces.entries
    configuration.libraryRoot = SpecTests.root + "/LuaLib"
    configuration.scriptRoot = SpecTests.root + "/Tests/lua"
    let state = try State(configuration)
    state.provide(CheckpointPlace(store: MemoryStore()) { "checkpoints/\($0)" })
    return state
  }

  @Test(
    arguments: [
      "tensor_test", "nn_test", "graph_test", "onnx_test", "loader_test", "optim_test", "anomaly_test", "checkpoint_test",
      "augment_test",
    ])
  func spec(_ name: String) throws {
    let state = try state()
    let source = try #require(text("\(SpecTests.root)/Tests/lua/\(name).lua"))
    // A small stand-in for LuaLib's test kit: the first failing case raises with its name.
    let kit = """
      local test = {}
      local function equal(a, b)
        if type(a) ~= "table" or type(b) ~= "table" then return a == b end
        for k, v in pairs(a) do if not equal(v, b[k]) then return false end end
        for k in pairs(b) do if a[k] == nil then return false end end
        return true
      end
      local function show(v)
        if type(v) ~= "table" then return tostring(v) end
        local out = {}
        for k, x in pairs(v) do out[#out + 1] = tostring(k) .. "=" .. show(x) end
        return "{" .. table.concat(out, ", ") .. "}"
      end
      local function fault(m) error({ message = m }, 0) end
      function test.case(name, body)
        local ok, err = pcall(body)
        if not ok then error(name .. ": " .. (type(err) == "table" and err.message or tostring(err)), 0) end
      end
      function test.equal(a, b) if not equal(a, b) then fault(show(a) .. " is not " .. show(b)) end end
      function test.close(a, b, tol) if math.abs(a - b) > tol then fault(a .. " is not near " .. b) end end
      function test.truthy(v, m) if not v then fault(m or "not true") end end
      function test.raises(text, body)
        local ok, err = pcall(body)
        if ok then fault("no error; expected: " .. text) end
        err = type(err) == "table" and err.message or tostring(err)
        if not tostring(err):find(text, 1, true) then fault("error '" .. tostring(err) .. "' does not hold '" .. text .. "'") end
      end
      local require = function(name) if name == "test" then return test end return require(name) end

      """
    try RandomNumbers.alone { try state.run(try state.load(kit + source, name: name), read: { _ in () }) }
  }

  @Test func theSnippetsOfTheTrainingPageRun() throws {
    let page = try #require(text("\(SpecTests.root)/docs/training.md"))
    let snippets = page.split(separator: "```lua\n").dropFirst().compactMap { $0.split(separator: "\n```").first }
    #expect(snippets.count >= 3)
    let state = try state()
    for (i, snippet) in snippets.enumerated() {
      let function = try state.load(String(snippet), name: "docs/training.md, snippet \(i + 1)")
      try RandomNumbers.alone { try state.run(function, read: { _ in () }) }
    }
  }

  @Test func everyFunctionCalledWronglyIsAnErrorAndNoCrash() throws {
    let state = try state()
    let source = """
      local tensor = require "tensor"
      local bad = { nil, true, "x", 1.5, 0, -1, 1 << 62, {}, { 1, "x" }, tensor.zeros(0, 3), tensor.zeros(2, 2), function() end }
      local t = tensor.ones(2, 3)
      local calls = 0
      local function try(f, ...) calls = calls + 1; pcall(f, ...) end
      local names = { METHODS }
      for i = 1, 12 do
        for name, f in pairs(tensor) do
          if type(f) == "function" and name ~= "manual_seed" then
            try(f, bad[i]); try(f, t, bad[i]); try(f, bad[i], bad[i], bad[i])
            for j = 1, 12 do try(f, t, bad[i], bad[j]) end
          end
        end
        for _, name in ipairs(names) do
          try(function() return t[name](bad[i]) end)
          for j = 1, 12 do try(function() return t[name](t, bad[i], bad[j]) end) end
        end
      end
      return calls
      """
    let names = Tensor.luaType.methods.map { "\"\($0.name)\"" }.joined(separator: ", ")
    let function = try state.load(source.replacing("METHODS", with: names), name: "wrong")
    let calls = try RandomNumbers.alone { try state.run(function, results: 1, read: { try $0.integer(1) }) }
    #expect(calls > 10_000)
    #expect(GradMode.isEnabled)
  }

  @Test func networksOf784InputsAgreeWithPyTorchsNames() throws {
    let state = try state()
    let source = """
      local nn = require "nn"
      local net = nn.sequential { nn.unflatten(1, 28, 28), nn.conv2d(1, 16, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2) }
      return net:state_dict()["1.weight"]:shape()[1]
      """
    #expect(try state.run(try state.load(source, name: "names"), results: 1, read: { try $0.integer(1) }) == 16)
  }
}
