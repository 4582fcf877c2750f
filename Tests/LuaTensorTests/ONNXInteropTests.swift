import Core
import Foundation
import LuaHost
import LuaTensor
import TestSupport
import Testing

/// Networks written in Lua, trained a few steps, exported: onnx's checker accepts the files, onnxruntime gives the same.
@Suite("Networks beside onnxruntime", .serialized, .enabled(if: PythonScript.interpreter != nil, "MOONLAKE_PYTHON is not set"))
struct ONNXInteropTests {
  struct Network: CustomStringConvertible, Sendable {
    let description: String
    /// Lua that gives a network, the shape of an input, and a function of the output that is a loss.
    let source: String
  }

  private static func resnet18(_ description: String, width: Int, channels: Int) -> Network {
    Network(
      description: description,
      source: """
        local net = require "resnet18" { width = \(width), channels = \(channels) }
        local y = tensor.randint(0, 9, 16)
        return net, { 1, \(channels), 32, 32 }, function(out) return nn.cross_entropy(out, y) end
        """)
  }

  static let networks: [Network] = [
    resnet18("ResNet-18", width: 8, channels: 1), resnet18("ResNet-18 in full width", width: 64, channels: 3),
    Network(
      description: "U-Net",
      source: """
        local net = require "unet" { width = 6, channels = 1, classes = 2 }
        return net, { 1, 1, 28, 28 }, function(out) return (out * out):mean() end
        """),
    Network(
      description: "MNIST network",
      source: """
        local net = nn.sequential { nn.unflatten(1, 28, 28), nn.conv2d(1, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.conv2d(8, 16, 3),
          nn.batchnorm2d(16), nn.silu(), nn.avgpool2d(3, { stride = 2, padding = 1 }), nn.flatten(), nn.dropout(0.3), nn.linear(16 * 36, 32), nn.gelu(),
          nn.layernorm(32), nn.linear(32, 10), nn.log_softmax(-1) }
        local y = tensor.randint(0, 9, 16)
        return net, { 1, 784 }, function(out) return nn.nll(out, y) end
        """),
    Network(
      description: "layers of images and signals",
      source: """
        local net = nn.sequential { nn.unflatten(1, 14, 14), nn.conv2d(1, 6, 3), nn.groupnorm(3, 6), nn.leaky_relu(0.1), nn.upsample(2),
          nn.reflection_pad(1), nn.conv2d(6, 4, 3, { stride = 2 }), nn.instancenorm2d(4), nn.elu(), nn.conv_transpose2d(4, 3, 3, { stride = 2, padding = 1 }),
          nn.hardswish(), nn.upsample(2, { mode = "bilinear" }), nn.pixel_unshuffle(2), nn.mish(), nn.gelu_tanh(), nn.flatten(3), nn.conv1d(12, 2, 5, { padding = 2 }),
          nn.softsign(), nn.maxpool1d(3), nn.flatten(), nn.logsigmoid() }
        return net, { 1, 196 }, function(out) return (out * out):mean() end
        """),
    Network(
      description: "many ops",
      source: """
        local d = nn.linear(6, 6)
        local net = nn.sequential { d, function(x)
          local a = x:softplus() + x:sin() * x:cos() - x:abs():add(1):log()
          local b = (x ^ 2 + 1):sqrt() / (x:exp() + 2) + x:sigmoid():floor() + (x * 3):round() * 0.25 + x:sign()
          local c = x:clamp(-0.5, 0.75) + x:neg():relu() + x:abs():add(0.5):reciprocal() + x:abs():add(0.5):rsqrt() + x:abs():log1p()
          local m = (x % 2) + (x // 0.5) + tensor.matmul(x:reshape(-1, 2, 3):permute(1, 3, 2), x:reshape(-1, 2, 3)):flatten(2):slice(2, 1, 6)
          return tensor.cat({ a, b, c, m, x:mean(2, { keepdim = true }):expand(-1, 2), x:select(2, 3):unsqueeze(2), x:maximum(a):minimum(1), x:var(2):unsqueeze(2) }, 2)
        end }
        return net, { 1, 6 }, function(out) return (out * out):mean() end
        """),
  ]

  @Test(arguments: networks) func agrees(_ network: Network) throws {
    var configuration = State.Configuration()
    configuration.modules = TensorFaces.entries
    configuration.libraryRoot = SpecTests.root + "/LuaLib"
    configuration.scriptRoot = SpecTests.root + "/Tests/networks"
    let state = try State(configuration)
    let script = """
      local tensor, nn, optim = require "tensor", require "nn", require "optim"
      tensor.manual_seed(11)
      local function make() \(network.source) end
      local net, shape, loss_of = make()
      local function input(rows)
        local own = { table.unpack(shape) }
        own[1] = rows
        return tensor.randn(own)
      end
      local opt = optim.adam(net:parameters(), { lr = 0.002 })
      local x = input(16)
      for _ = 1, 4 do
        local loss = loss_of(net(x))
        opt:zero_grad(); loss:backward(); opt:step()
      end
      local bytes = nn.export_onnx(net, { shape = shape })
      net:eval()
      local again, values = nn.from_onnx(bytes), {}
      for i, rows in ipairs { 1, 5 } do
        local a = input(rows)
        values["x" .. i], values["y" .. i] = a, net(a):detach()
        if not again(a):allclose(values["y" .. i], 1e-4) then error "our own import gives other values" end
      end
      return bytes, tensor.to_safetensors(values)
      """
    let (model, values) = try state.run(
      try state.load(script, name: "network"), results: 2, read: { (try $0.bytes(1), try $0.bytes(2)) })
    let folder = temporaryFolder()
    try Data(model).write(to: URL(fileURLWithPath: folder + "/net.onnx"))
    try Data(values).write(to: URL(fileURLWithPath: folder + "/values.safetensors"))
    let result = try PythonScript("onnx_files").run("check", folder + "/net.onnx", folder + "/values.safetensors")
    let (difference, scale) = (try #require(result["difference"]?.doubleValue), try #require(result["scale"]?.doubleValue))
    print(
      "\(network): \(result["nodes"]?.intValue ?? 0) nodes, \(model.count) bytes, largest difference \(difference) of values up to \(scale)"
    )
    #expect(difference <= 1e-4 * max(1, scale))
    #expect(result["opset"]?.intValue == 17)
    #expect(result["producer"]?.stringValue == "moonlake")
    #expect(result["batch"]?.stringValue == "batch" && result["out_batch"]?.stringValue == "batch")
  }
}
