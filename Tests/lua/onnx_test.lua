-- Networks as ONNX files and back.
local test = require "test"
local tensor, nn, optim = require "tensor", require "nn", require "optim"

local function close(a, b, tolerance)
  test.equal(a:shape(), b:shape())
  test.truthy(a:allclose(b, tolerance or 1e-5), "other values")
end

local function network()
  return nn.sequential {
    nn.conv2d(1, 4, 3, { padding = 1, bias = false }), nn.batchnorm2d(4), nn.relu(), nn.maxpool2d(2),
    nn.residual { nn.conv2d(4, 4, 3, { padding = 1 }), nn.gelu() },
    nn.flatten(), nn.dropout(0.5), nn.linear(64, 5), nn.log_softmax(-1),
  }
end

test.case("a network comes back as a layer with the same weights and results", function()
  tensor.manual_seed(4)
  local net = network()
  for _ = 1, 3 do net(tensor.randn(8, 1, 8, 8)) end   -- statistics
  local bytes = nn.export_onnx(net, { shape = { 1, 1, 8, 8 } })
  test.truthy(net.training, "export changed the mode")
  local again = nn.from_onnx(bytes)
  test.equal(table.concat(again.traced:ops(), " "),
    "conv2d batch_norm relu max_pool2d conv2d gelu add flatten linear log_softmax")
  net:eval()
  for _, batch in ipairs { 1, 6 } do
    local x = tensor.randn(batch, 1, 8, 8)
    close(again(x), net(x))
  end
  local mine = again:state_dict()
  for name, value in pairs(net:state_dict()) do
    if not name:find "num_batches" then close(mine[name], value, 1e-7) end
  end
  test.equal(#again:parameters(), #net:parameters())
  again:load_state_dict(net:state_dict(), { strict = false })
end)

test.case("an imported network can be trained further", function()
  tensor.manual_seed(5)
  local net = nn.from_onnx(nn.export_onnx(network(), { shape = { 1, 1, 8, 8 } }))
  local x, y = tensor.randn(16, 1, 8, 8), tensor.randint(0, 4, 16)
  local opt = optim.adam(net:parameters(), { lr = 0.01 })
  local first, last
  for _ = 1, 15 do
    local loss = nn.nll(net(x), y)
    first, last = first or loss:item(), loss:item()
    opt:zero_grad(); loss:backward(); opt:step()
  end
  test.truthy(last < first / 2, ("the loss went from %g to %g"):format(first, last))
  close(nn.from_onnx(nn.export_onnx(net, { shape = { 1, 1, 8, 8 } }))(x), net(x))
  close(net:compile { shape = { 1, 1, 8, 8 } }(x), net(x), 1e-4)
end)

test.case("an imported network is a layer among others", function()
  local front = nn.from_onnx(nn.export_onnx(nn.sequential { nn.linear(4, 6), nn.tanh() }, { shape = { 1, 4 } }))
  local net = nn.sequential { front, nn.linear(6, 2) }
  test.equal(net:state_dict()["0.0.weight"]:shape(), { 6, 4 })
  local x = tensor.randn(3, 4)
  close(nn.from_onnx(nn.export_onnx(net, { shape = { 1, 4 } }))(x), net(x))
  test.raises("in layer 1 (onnx): a network from an ONNX file is kept as one", function() net:graph() end)
end)

test.case("weights named like parts of a layer get other names", function()
  local net = nn.sequential { nn.linear(4, 4) }
  local inner = net.layers[1]
  local named = { forward = inner.weight, config = inner.bias }
  local traced = require "_tensor".trace(function(x) return inner(x) end, { 1, 4 }, named)
  local again = nn.from_onnx(traced:to_onnx())
  local x = tensor.randn(2, 4)
  close(again(x), net(x))
  test.equal(again:state_dict()["forward_"]:shape(), { 4, 4 })
end)

test.case("errors say what and where", function()
  test.raises("onnx: this is no ONNX file, or a damaged one", function() nn.from_onnx "not a file" end)
  test.raises("onnx: the file holds no graph", function() nn.from_onnx "" end)
  test.raises("export_onnx: the option 'shape' is needed", function() nn.export_onnx(network(), {}) end)
  test.raises("export_onnx: a network is needed, got table", function() nn.export_onnx {} end)
  local uneven = nn.sequential { nn.adaptive_avgpool2d(3) }
  test.raises("onnx: 1 of 1 ops cannot be written: op 1, adaptive_avg_pool2d: 7 x 7 pixels do not divide evenly",
    function() nn.export_onnx(uneven, { shape = { 1, 1, 7, 7 } }) end)
  local graph = tensor.from_onnx(nn.export_onnx(nn.sequential { nn.linear(4, 2) }, { shape = { 1, 4 } }))
  test.raises("'0.weight' must be (2, 4), not (3)", function()
    graph:run_with(tensor.zeros(1, 4), { ["0.weight"] = tensor.zeros(3) })
  end)
end)
