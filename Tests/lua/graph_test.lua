-- Networks as graphs: tracing, compiling, explaining.
local test = require "test"
local tensor, nn = require "tensor", require "nn"

local function close(a, b, tolerance)
  test.equal(a:shape(), b:shape())
  test.truthy(a:allclose(b, tolerance or 1e-5), "other values")
end
local function without_gradients(net, x)
  net:eval()
  return tensor.no_grad(function() return net(x) end)
end
-- Batch norms that do something.
local function stir(net)
  for _, pair in ipairs(net:named_buffers()) do
    local name, t = pair[1], pair[2]
    if name:find "running_mean" then t:copy_(tensor.randn(t:shape()) * 0.3) end
    if name:find "running_var" then t:copy_(tensor.rand(t:shape()) + 0.5) end
  end
  tensor.no_grad(function()
    for _, pair in ipairs(net:named_parameters()) do
      if #pair[2]:shape() == 1 then pair[2]:copy_(tensor.randn(pair[2]:shape()) * 0.2 + 0.5) end
    end
  end)
  return net
end

test.case("a compiled network gives what the network gives, for any batch", function()
  tensor.manual_seed(3)
  local net = stir(nn.sequential {
    nn.unflatten(1, 28, 28), nn.conv2d(1, 16, 3), nn.relu(), nn.conv2d(16, 24, 3, { padding = 1, bias = false }), nn.batchnorm2d(24), nn.relu(),
    nn.maxpool2d(2), nn.conv2d(24, 8, 3, { stride = 2 }), nn.gelu(), nn.avgpool2d(2), nn.flatten(), nn.dropout(0.5),
    nn.linear(8 * 3 * 3, 32), nn.batchnorm1d(32), nn.relu(), nn.linear(32, 10), nn.log_softmax(-1),
  })
  local compiled = net:compile { shape = { 4, 784 } }
  test.truthy(net.training, "compile changed the mode")
  for _, batch in ipairs { 1, 2, 4, 7, 64 } do
    local x = tensor.randn(batch, 784)
    close(compiled(x), without_gradients(net, x), 1e-4)
    net:train()
  end
  test.equal(tostring(compiled), "CompiledNetwork((4, 784) -> (4, 10))")
end)

test.case("residual blocks, branches and numbers of the script's own are traced", function()
  local net = stir(nn.sequential {
    nn.conv2d(3, 8, 3, { padding = 1 }), nn.batchnorm2d(8), nn.relu(),
    nn.residual({ nn.conv2d(8, 12, 3, { padding = 1, stride = 2 }), nn.batchnorm2d(12), nn.relu(), nn.conv2d(12, 12, 3, { padding = 1 }), nn.batchnorm2d(12) },
      { shortcut = nn.sequential { nn.conv2d(8, 12, 1, { stride = 2 }), nn.batchnorm2d(12) } }),
    nn.relu(),
    function(x)
      local half = x:slice(2, 1, 6)
      return tensor.cat({ half * 2, (x:slice(2, 7, 12) + 1):clamp(0, 3), half:tanh() }, 2)
    end,
    nn.adaptive_avgpool2d(1), nn.flatten(), nn.linear(18, 5), nn.softmax(-1),
  })
  local compiled = net:compile { shape = { 1, 3, 16, 16 } }
  for _, batch in ipairs { 1, 3 } do
    local x = tensor.randn(batch, 3, 16, 16)
    close(compiled(x), without_gradients(net, x), 1e-4)
  end
end)

test.case("a compiled network keeps the weights it was made with", function()
  local net = nn.sequential { nn.linear(4, 3) }
  local compiled = net:compile { shape = { 1, 4 } }
  local x = tensor.randn(2, 4)
  local before = compiled(x)
  tensor.no_grad(function() net.layers[1].weight:zero_() end)
  close(compiled(x), before)
end)

test.case("what is the input itself or a view of it comes as a copy", function()
  local compiled = nn.sequential { nn.flatten() }:compile { shape = { 2, 3, 4 } }
  local x = tensor.randn(5, 3, 4)
  local y = compiled(x)
  close(y, x:flatten(2))
  x:zero_()
  test.truthy(y:abs():sum():item() > 0, "the result shares the input's memory")
end)

test.case("graphs run with gradients", function()
  local net = nn.sequential { nn.linear(4, 8), nn.tanh(), nn.linear(8, 2) }
  local traced = net:trace { shape = { 1, 4 } }
  test.equal(traced:ops(), { "linear", "tanh", "linear" })
  local x = tensor.randn(3, 4)
  close(traced:run(x), net(x))
end)

test.case("a network that decides by its values is refused", function()
  local net = nn.sequential { nn.linear(4, 4), function(x) return x * x:sum():item() end }
  test.raises("the network gives other results than its ops one after the other", function() net:compile { shape = { 1, 4 } } end)
  local rows = nn.sequential { nn.linear(4, 4), function(x) return #x > 2 and x or x * 2 end }
  test.raises("the network does other things for a batch of 2 than for one of 3", function() rows:compile { shape = { 1, 4 } } end)
  local sorted = nn.sequential { nn.linear(4, 4), function(x) return (x:sort()) end }
  test.raises("gather", function() sorted:compile { shape = { 1, 4 } } end)
end)

test.case("shapes that do not fit are errors", function()
  local net = nn.sequential { nn.linear(4, 4) }
  local compiled = net:compile { shape = { 1, 4 } }
  test.raises("input (1, 5) does not fit (1, 4)", function() compiled(tensor.zeros(1, 5)) end)
  test.raises("input (4) does not fit", function() compiled(tensor.zeros(4)) end)
  test.raises("compile: the option 'shape' is needed", function() net:compile {} end)
  test.raises("extent 1 of shape must be a whole number of at least 1", function() net:compile { shape = { 0, 4 } } end)
  test.raises("linear: input (2, 5) does not fit weight (4, 4)", function() net:compile { shape = { 1, 5 } } end)
  test.equal(compiled(tensor.zeros(0, 4)):shape(), { 0, 4 })
end)

test.case("explain shows each step", function()
  local text = nn.explain(nn.sequential { nn.conv2d(16, 16, 3), nn.relu(), nn.maxpool2d(2), nn.flatten(), nn.linear(16 * 7 * 7, 10) }, { 2, 16, 16, 16 })
  for _, word in ipairs { "conv2d %+ relu %+ max_pool2d", "winograd", "linear", "GFLOP/s", "total" } do
    test.truthy(text:find(word), "no " .. word .. " in\n" .. text)
  end
end)

test.case("a U-Net, 1-d layers and the other layers are traced", function()
  tensor.manual_seed(9)
  local down = nn.sequential { nn.conv2d(1, 8, 3, { padding = 1, padding_mode = "reflect" }), nn.groupnorm(2, 8), nn.leaky_relu(0.1) }
  local bottom = nn.sequential { nn.maxpool2d(2), nn.conv2d(8, 12, 3, { padding = 1 }), nn.silu(), nn.conv_transpose2d(12, 8, 2, { stride = 2 }) }
  local wide = nn.sequential { nn.maxpool2d(2), nn.upsample(2, { mode = "bilinear" }), nn.elu() }
  local last = nn.conv2d(24, 3, 1)
  local net = nn.sequential { down, function(x) return tensor.cat({ x, bottom(x), wide(x) }, 2) end, last }
  local compiled = net:compile { shape = { 1, 1, 16, 16 } }
  local x = tensor.randn(3, 1, 16, 16)
  close(compiled(x), without_gradients(net, x), 1e-4)

  local line = nn.sequential { nn.conv1d(2, 4, 3), nn.relu(), nn.maxpool1d(2), nn.flatten(), nn.linear(4 * 7, 2) }
  local row = tensor.randn(5, 2, 16)
  close(line:compile { shape = { 1, 2, 16 } }(row), without_gradients(line, row))
end)

test.case("batch norm is not folded where its channels are no outputs of the layer", function()
  tensor.manual_seed(2)
  for _, width in ipairs { 8, 5 } do
    local net = stir(nn.sequential { nn.linear(4, width), nn.batchnorm1d(8) })
    local x = tensor.randn(3, 8, 4)
    close(net:compile { shape = { 1, 8, 4 } }(x), without_gradients(net, x), 1e-4)
  end
end)

test.case("a network that changes its input is refused", function()
  local net = nn.sequential { function(x) return x:add_(1) end, nn.linear(4, 2) }
  test.raises("changes its input in place", function() net:compile { shape = { 1, 4 } } end)
end)

test.case("ids that decide are found out", function()
  local table_of = nn.embedding(5, 6)
  local net = nn.sequential { function(ids) return table_of(ids):narrow(3, 1, ids:max():item() + 1) end }
  test.raises("other results", function() net:compile { shape = { 1, 3 }, dtype = "i64" } end)
  local plain = nn.sequential { nn.embedding(5, 6), nn.flatten(), nn.linear(18, 2) }
  local ids = tensor.randint(0, 4, { 7, 3 })
  close(plain:compile { shape = { 1, 3 }, dtype = "i64" }(ids), without_gradients(plain, ids))
end)
