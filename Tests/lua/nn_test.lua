local test = require "test"
local tensor = require "tensor"
local nn = require "nn"
local optim = require "optim"

local T = tensor.from_table
local function values(t) return t:totable() end

local function mlp()
  return nn.sequential { nn.linear(3, 8), nn.tanh(), nn.linear(8, 2) }
end

local function cnn()
  return nn.sequential {
    nn.unflatten(1, 8, 8),
    nn.conv2d(1, 4, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
    nn.conv2d(4, 6, 3, { padding = 1 }), nn.batchnorm2d(6), nn.relu(), nn.maxpool2d(2),
    nn.flatten(), nn.linear(24, 16), nn.relu(), nn.dropout(0.1), nn.linear(16, 3),
  }
end

test.case("forward shapes", function()
  local net = cnn()
  test.equal(net(tensor.randn(5, 64)):shape(), { 5, 3 })
  test.equal(nn.avgpool2d(2)(tensor.zeros(1, 1, 4, 4)):shape(), { 1, 1, 2, 2 })
  test.equal(nn.adaptive_avgpool2d(1)(tensor.zeros(1, 3, 4, 4)):shape(), { 1, 3, 1, 1 })
  test.equal(nn.embedding(10, 4)(T({ 0, 9 }, { dtype = "i64" })):shape(), { 2, 4 })
  test.equal(nn.layernorm(4)(tensor.randn(2, 4)):shape(), { 2, 4 })
  test.equal(nn.batchnorm1d(4)(tensor.randn(6, 4)):shape(), { 6, 4 })
  test.equal(nn.softmax(-1)(tensor.zeros(1, 4)):sum():item(), 1.0)
  for _, name in ipairs { "relu", "gelu", "silu", "sigmoid", "tanh", "softplus" } do
    test.equal(nn[name]()(tensor.zeros(2)):shape(), { 2 })
  end
end)

test.case("relu fused into conv2d and linear gives the same numbers and gradients", function()
  for _, pair in ipairs {
    { nn.conv2d(2, 3, 3), { 2, 2, 5, 5 } }, { nn.linear(4, 3), { 6, 4 } },
  } do
    local layer, shape = pair[1], pair[2]
    local x = tensor.randn(shape)
    local fused = nn.sequential { layer, nn.relu() }
    local apart = layer(x):relu()
    apart:sum():backward()
    local want = layer.weight.grad:clone()
    layer:zero_grad()
    local together = fused(x)
    test.truthy(together:allclose(apart, 1e-6))
    together:sum():backward()
    test.truthy(layer.weight.grad:allclose(want, 1e-5))
  end
end)

test.case("relu fused into a batch norm gives the same bits", function()
  for _, dtype in ipairs { "f32", "f64" } do
    for _, shape in ipairs { { 5, 3, 7, 6 }, { 9, 3 }, { 2, 3, 1 } } do
      local function run(fuses, trains, has_nan)
        tensor.manual_seed(4)
        local norm = #shape == 4 and nn.batchnorm2d(3) or nn.batchnorm1d(3)
        norm.weight, norm.bias = norm.weight:detach(), norm.bias:detach()
        for i = 1, 3 do norm.weight[i], norm.bias[i] = i - 1.5, 0.3 * i end
        local net = nn.sequential { norm, nn.relu() }:to(dtype)
        if not trains then net:eval() end
        local x = tensor.randn(shape, { dtype = dtype }):requires_grad_(true)
        local slopes = tensor.randn(shape, { dtype = dtype })
        if has_nan then tensor.no_grad(function() x:select(2, 2):fill_(0 / 0) end) end
        local y = fuses and net(x) or norm(x):relu();
        (y * slopes):sum():backward()
        local all = { y = y:detach(), dx = x.grad, dw = norm.weight.grad, db = norm.bias.grad, mean = norm.running_mean }
        test.truthy(has_nan or (y:min():item() == 0 and y:max():item() > 0))
        return tensor.to_safetensors(all)
      end
      for _, trains in ipairs { true, false } do
        for _, has_nan in ipairs { false, true } do
          test.truthy(run(true, trains, has_nan) == run(false, trains, has_nan), dtype .. " " .. #shape)
        end
      end
    end
  end
end)

test.case("first weights are those of PyTorch's defaults", function()
  tensor.manual_seed(1)
  local layer = nn.linear(400, 300)
  local bound = 1 / 20
  test.truthy(layer.weight:max():item() <= bound and layer.weight:min():item() >= -bound)
  test.close(layer.weight:detach():std():item(), bound / math.sqrt(3), 1e-3)
  local conv = nn.conv2d(16, 32, 3)
  test.close(conv.weight:detach():std():item(), 1 / math.sqrt(16 * 9) / math.sqrt(3), 2e-3)
end)

test.case("names of parameters are PyTorch's", function()
  local names = {}
  for _, pair in ipairs(cnn():named_parameters()) do names[#names + 1] = pair[1] end
  test.equal(table.concat(names, " "), "1.weight 1.bias 4.weight 4.bias 5.weight 5.bias 9.weight 9.bias 12.weight 12.bias")
  local state = cnn():state_dict()
  test.truthy(state["5.running_mean"])
  test.equal(state["5.num_batches_tracked"]:dtype(), "i64")
end)

test.case("errors name the layer", function()
  test.raises("in layer 3 (linear): linear: input (5, 8) does not fit weight (2, 9), which takes 9 features", function()
    nn.sequential { nn.linear(3, 8), nn.tanh(), nn.linear(9, 2) }(tensor.zeros(5, 3))
  end)
  test.raises("in layer 1 (residual): in layer 2 (linear): linear: input (5, 4) does not fit weight", function()
    nn.sequential { nn.residual { nn.relu(), nn.linear(3, 3) } }(tensor.zeros(5, 4))
  end)
  test.raises("element 2 must be a layer or a function, got number", function() nn.sequential { nn.relu(), 3 } end)
  test.raises("conv2d: unknown option 'pad'; options are: bias, dilation, groups, padding, padding_mode, stride", function()
    nn.conv2d(1, 2, 3, { pad = 1 })
  end)
  test.raises("linear: in_features must be a whole number of at least 1, got nil", function() nn.linear() end)
  test.raises("dropout: p must be at least 0 and below 1, got 1", function() nn.dropout(1) end)
  test.raises("cross_entropy: class id 3 in row 1 is not in 0..2", function()
    nn.cross_entropy(tensor.zeros(1, 3), T({ 3 }, { dtype = "i64" }))
  end)
end)

test.case("gradients of whole networks are right", function()
  local net = nn.sequential {
    nn.conv2d(1, 2, 3, { padding = 1 }), nn.tanh(), nn.avgpool2d(2), nn.flatten(), nn.linear(8, 3), nn.gelu(), nn.layernorm(3),
  }:to "f64"
  local x = tensor.randn(2, 1, 4, 4)
  local targets = T({ 0, 2 }, { dtype = "i64" })
  nn.gradcheck(function(input) return nn.cross_entropy(net(input), targets) end, { x })
  local w = net.layers[1].weight
  nn.gradcheck(function(weight)
    return tensor.conv2d(x:to "f64", weight, net.layers[1].bias, { padding = 1 }):square():sum()
  end, { w })
  test.raises("gradcheck: input 1, element 1", function()
    nn.gradcheck(function(input) return (input:detach() * 2 + input):sum() end, { T { 1 } })
  end)
end)

test.case("state is saved and loaded, and the error lists what differs", function()
  local a, b = cnn(), cnn()
  a(tensor.randn(4, 64))
  local bytes = tensor.to_safetensors(a:state_dict())
  b:load_state_dict(tensor.from_safetensors(bytes))
  local x = tensor.randn(3, 64)
  test.equal(values(a:eval()(x)), values(b:eval()(x)))
  local state = mlp():state_dict()
  state["0.weight"], state["9.bias"], state["2.bias"] = nil, tensor.zeros(1), tensor.zeros(5)
  local ok, err = pcall(function() mlp():load_state_dict(state) end)
  test.equal(ok, false)
  local text = tostring(err)
  test.truthy(text:find("missing: 0.weight f32 (8, 3)", 1, true))
  test.truthy(text:find("different: 2.bias is f32 (2), given f32 (5)", 1, true))
  test.truthy(text:find("not in the network: 9.bias f32 (1)", 1, true))
  mlp():load_state_dict(state, { strict = false })
end)

test.case("pooling after relu after a convolution is one step with the same results", function()
  for _, size in ipairs { 12, 9, 5, 4 } do
    local layers = { nn.conv2d(8, 12, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.flatten() }
    local net = nn.sequential(layers)
    local function gradients(forward)
      local x = tensor.manual_seed(3) or tensor.randn(2, 8, size, size):requires_grad_()
      net:zero_grad()
      local y = forward(x)
      y:square():sum():backward()
      return { values(y), values(x.grad), values(layers[1].weight.grad), values(layers[1].bias.grad) }
    end
    local function one_by_one(x)
      for _, layer in ipairs(layers) do x = layer(x) end
      return x
    end
    test.equal(gradients(net), gradients(one_by_one))
    local x = tensor.randn(1, 8, size, size)
    tensor.no_grad(function() test.equal(values(net(x)), values(one_by_one(x))) end)
  end
  -- Other windows, and pooling that overlaps, are steps of their own.
  local x = tensor.randn(1, 8, 9, 9)
  for _, pool in ipairs { nn.maxpool2d(3), nn.maxpool2d(2, { stride = 1 }), nn.maxpool2d(2, { padding = 1 }), nn.avgpool2d(2) } do
    local conv = nn.conv2d(8, 8, 3)
    test.equal(values(nn.sequential { conv, nn.relu(), pool }(x)), values(pool(conv(x):relu())))
  end
  test.raises("conv2d: pooling is done after the activation 'relu' only", function()
    tensor.conv2d(x, tensor.zeros(8, 8, 3, 3), nil, { max_pool = true })
  end)
end)

test.case("weights of whole numbers are converted", function()
  local x, ones = tensor.randn(1, 8, 12, 12), tensor.ones(8, 8, 3, 3)
  for _, dtype in ipairs { "u8", "i64", "bool" } do
    test.equal(values(tensor.conv2d(x, ones:to(dtype), tensor.ones(8):to(dtype))), values(tensor.conv2d(x, ones, tensor.ones(8))))
    local rows, weight = tensor.randn(2, 5), tensor.ones(3, 5)
    test.equal(values(tensor.linear(rows, weight:to(dtype), tensor.ones(3):to(dtype))), values(tensor.linear(rows, weight, tensor.ones(3))))
  end
  test.equal(tensor.conv2d(x:to "f64", ones:to "u8"):dtype(), "f64")
end)

test.case("images without pixels, and extents beyond reason, are errors", function()
  test.raises("max_pool2d: input (1, 1, 0, 0) has no pixels", function()
    tensor.max_pool2d(tensor.zeros(1, 1, 0, 0), { kernel = 2, padding = 1 })
  end)
  test.raises("padding", function() tensor.max_pool2d(tensor.zeros(1, 1, 4, 4), { kernel = 2, padding = 1 << 62 }) end)
  test.raises("too many elements", function() tensor.zeros(0, 1, math.maxinteger, 1) end)
  -- Without elements too: ops multiply some of the extents.
  test.raises("too many elements", function() tensor.zeros(0, 1 << 40, 1 << 40) end)
end)

test.case("a residual block may have a shortcut", function()
  local function block()
    return nn.sequential { nn.residual({ nn.conv2d(2, 3, 3, { padding = 1, stride = 2 }), nn.tanh() },
      { shortcut = { nn.conv2d(2, 3, 1, { stride = 2 }) } }), nn.relu() }
  end
  local net = block()
  local names = {}
  for _, pair in ipairs(net:named_parameters()) do names[#names + 1] = pair[1] end
  test.equal(table.concat(names, " "), "0.0.weight 0.0.bias 0.shortcut.0.weight 0.shortcut.0.bias")
  local x = tensor.randn(2, 2, 6, 6)
  local inner = net.layers[1]
  test.equal(values(net(x)), values((inner.layers[2](inner.layers[1](x)) + inner.shortcut(x)):relu()))
  local again = nn.from_graph(net:graph()):load_state_dict(net:state_dict())
  test.equal(values(net(x)), values(again(x)))
  test.truthy(tostring(net):find("shortcut: nn.sequential(\n", 1, true))
  test.equal(tostring(nn.sequential { nn.relu(), nn.tanh() }), "nn.sequential(\n  1: nn.relu()\n  2: nn.tanh()\n)")
  net:to "f64"
  test.truthy(nn.gradcheck(net, { tensor.randn(1, 2, 4, 4) }) < 1e-5)
  test.raises("residual: the layers give (1, 3, 3, 3), but x is (1, 2, 6, 6)", function()
    nn.residual { nn.conv2d(2, 3, 3, { padding = 1, stride = 2 }) }(tensor.zeros(1, 2, 6, 6))
  end)
  test.raises("residual: unknown option 'short'; options are: shortcut", function() nn.residual({}, { short = {} }) end)
end)

test.case("a graph builds the network again", function()
  local net = nn.sequential { cnn(), nn.residual { nn.linear(3, 3), nn.silu() }, nn.log_softmax(-1) }:eval()
  local graph = net:graph()
  local again = nn.from_graph(graph):load_state_dict(net:state_dict()):eval()
  local x = tensor.randn(2, 64)
  test.equal(values(net(x)), values(again(x)))
  test.equal(graph.layers[1].layers[2], {
    type = "conv2d", in_channels = 1, out_channels = 4, kernel = { 3, 3 }, stride = { 1, 1 }, padding = { 1, 1 }, dilation = { 1, 1 }, groups = 1, bias = true })
  test.raises("in layer 2 (lambda): a layer of type 'lambda' cannot be written as a graph", function()
    nn.sequential { nn.relu(), function(x2) return x2 end }:graph()
  end)
  test.raises("from_graph: unknown layer type 'conv9d'; types are: adaptive_avgpool1d, adaptive_avgpool2d", function()
    nn.from_graph { type = "conv9d" }
  end)
end)

test.case("modes change dropout and batch norm", function()
  tensor.manual_seed(2)
  local drop = nn.dropout(0.5)
  local x = tensor.ones(1000)
  test.truthy(drop(x):eq(0):sum():item() > 400)
  test.equal(drop:eval()(x):eq(0):sum():item(), 0)
  local norm = nn.batchnorm1d(2)
  local y = tensor.randn(64, 2) * 3 + 5
  norm(y)
  test.close(norm.running_mean[1]:item(), 0.5, 0.15)
  test.equal(norm.num_batches_tracked:item(), 1)
  norm:eval()(y)
  test.equal(norm.num_batches_tracked:item(), 1)
end)

test.case("summary counts", function()
  local text = cnn():summary(1, 64)
  test.truthy(text:find("total: 725 parameters", 1, true), text)
  test.truthy(text:find("(1, 4, 8, 8)", 1, true), text)
  test.truthy(tostring(nn.linear(2, 3)):find("in_features=2", 1, true))
end)

test.case("networks learn", function()
  tensor.manual_seed(5)
  for name, make in pairs {
    sgd = function(p) return optim.sgd(p, { lr = 0.1, momentum = 0.9, nesterov = true }) end,
    adam = function(p) return optim.adam(p, { lr = 0.02 }) end,
    adamw = function(p) return optim.adamw(p, { lr = 0.02 }) end,
  } do
    local x = tensor.randn(128, 3)
    local y = (x * x):sum(2):gt(2.4):to "i64"
    local net = mlp()
    local opt = make(net:parameters())
    local first, last
    for _ = 1, 150 do
      local loss = nn.cross_entropy(net(x), y)
      opt:zero_grad()
      loss:backward()
      opt:step()
      last = loss:item()
      first = first or last
    end
    test.truthy(last < 0.35 * first, name .. ": loss " .. first .. " -> " .. last)
    local accuracy = net(x):argclass():eq(y):to("f32"):mean():item()
    test.truthy(accuracy > 0.9, name .. ": accuracy " .. accuracy)
  end
end)

test.case("optimizers name what is wrong", function()
  test.raises("adam: unknown option 'rate'; options are: beta1, beta2, eps, lr, weight_decay", function()
    optim.adam(mlp():parameters(), { rate = 1 })
  end)
  test.raises("adam: a list of parameters is needed", function() optim.adam({}) end)
  test.raises("adam: option 'lr' must be a number, got string", function() optim.adam(mlp():parameters(), { lr = "1" }) end)
  test.raises("sgd: nesterov needs momentum", function() optim.sgd(mlp():parameters(), { nesterov = true }) end)
  test.raises("adam: parameter 1 does not require a gradient", function() optim.adam { tensor.zeros(1) } end)
end)

test.case("an optimizer goes on from its state", function()
  local function run(steps, net, opt)
    for _ = 1, steps do
      opt:zero_grad()
      net(tensor.ones(1, 3)):square():sum():backward()
      opt:step()
    end
  end
  local net = mlp()
  local copy = nn.from_graph(net:graph()):load_state_dict(net:state_dict())
  local opt = optim.adam(net:parameters())
  run(5, net, opt)
  local other = optim.adam(copy:parameters())
  run(2, copy, other)
  local moved = nn.from_graph(net:graph()):load_state_dict(copy:state_dict())
  local third = optim.adam(moved:parameters()):load_state_dict(other:state_dict())
  run(3, moved, third)
  test.equal(values(moved.layers[1].weight), values(net.layers[1].weight))
end)

test.case("gradients are clipped", function()
  local p = T({ 3, 4 }):requires_grad_();
  (p * p / 2):sum():backward()
  test.close(optim.clip_grad_norm({ p }, 1), 5, 1e-5)
  test.close(p.grad:norm():item(), 1, 1e-4)
  test.close(optim.clip_grad_norm({ p }, 10), 1, 1e-4)
end)

test.case("schedules follow PyTorch's formulas", function()
  local function rates(make, n)
    local opt = optim.sgd({ tensor.zeros(1):requires_grad_() }, { lr = 1.0 })
    local sched = make(opt)
    local out = {}
    for i = 1, n do
      out[i] = math.floor(opt.lr * 1e6 + 0.5) / 1e6
      sched:step()
    end
    return out
  end
  test.equal(rates(function(o) return optim.step(o, { every = 2, gamma = 0.5 }) end, 5), { 1.0, 1.0, 0.5, 0.5, 0.25 })
  test.equal(rates(function(o) return optim.cosine(o, { steps = 4 }) end, 6), { 1.0, 0.853553, 0.5, 0.146447, 0.0, 0.0 })
  test.equal(rates(function(o) return optim.warmup(o, { steps = 4, start = 0.2 }) end, 5), { 0.2, 0.4, 0.6, 0.8, 1.0 })
  -- torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10): 2.13
  test.equal(rates(function(o) return optim.one_cycle(o, { max_lr = 1.0, steps = 10 }) end, 10),
    { 0.04, 0.52, 1.0, 0.950485, 0.811746, 0.611262, 0.388742, 0.188258, 0.049519, 0.000004 })
  test.raises("cosine: the option 'steps' is needed", function() rates(function(o) return optim.cosine(o, {}) end, 1) end)
end)

test.case("a layer that is used twice has one set of weights", function()
  local function tied()
    local layer = nn.linear(1, 1, { bias = false })
    tensor.no_grad(function() layer.weight:fill_(1) end)
    return nn.sequential { layer, layer }
  end
  local net = tied()
  test.equal(#net:parameters(), 1)
  test.equal(net:count_parameters(), 1)
  -- y = w w x, dy/dw = 2 w x: one step of 0.1 from w = 1 leads to 0.8, as in PyTorch.
  local opt = optim.sgd(net:parameters(), { lr = 0.1 })
  net(tensor.from_table { { 1 } }):sum():backward()
  opt:step()
  test.close(net:parameters()[1]:item(), 0.8, 1e-6)
  local again = nn.from_graph(net:graph())
  test.equal(#again:parameters(), 1)
  again:load_state_dict(net:state_dict())
  test.equal(again(tensor.from_table { { 1 } }):item(), net(tensor.from_table { { 1 } }):item())
  test.equal(#tied():to "f64":parameters(), 1)
end)

test.case("learning rates are finite", function()
  local net = nn.linear(1, 1)
  test.raises("lr must be a finite number that is not negative", function() optim.sgd(net:parameters(), { lr = 0 / 0 }) end)
end)

test.case("layers of lines and transposed convolutions: shapes, names of weights", function()
  test.equal(nn.conv1d(3, 4, 3, { padding = "same" })(tensor.randn(2, 3, 9)):shape(), { 2, 4, 9 })
  test.equal(nn.conv1d(4, 4, 3, { stride = 2, groups = 2, bias = false }).weight:shape(), { 4, 2, 3 })
  test.equal(nn.conv_transpose1d(3, 5, 4, { stride = 2, padding = 1 })(tensor.randn(2, 3, 6)):shape(), { 2, 5, 12 })
  local up = nn.conv_transpose2d(4, 6, { 3, 2 }, { stride = 2, padding = { 1, 0 }, output_padding = 1, groups = 2 })
  test.equal(up.weight:shape(), { 4, 3, 3, 2 })
  test.equal(up.bias:shape(), { 6 })
  test.equal(up(tensor.randn(1, 4, 5, 5)):shape(), { 1, 6, 10, 11 })
  test.equal(nn.maxpool1d(2)(tensor.randn(1, 2, 7)):shape(), { 1, 2, 3 })
  test.equal(nn.avgpool1d(3, { stride = 1, padding = 1 })(tensor.randn(1, 2, 7)):shape(), { 1, 2, 7 })
  test.equal(nn.adaptive_avgpool1d(1)(tensor.randn(1, 2, 7)):shape(), { 1, 2, 1 })
  test.equal(nn.adaptive_maxpool1d(3)(tensor.randn(1, 2, 7)):shape(), { 1, 2, 3 })
  test.equal(nn.adaptive_maxpool2d(1)(tensor.randn(2, 3, 4, 5)):shape(), { 2, 3, 1, 1 })
  test.raises("padding 'same' needs stride 1", function() nn.conv1d(1, 1, 3, { padding = "same", stride = 2 }) end)
  test.raises("conv_transpose2d: output_padding must be a whole number", function()
    nn.conv_transpose2d(1, 1, 2, { output_padding = -1 })
  end)
  test.raises("conv_transpose2d: output_padding 1, 1 must be less than the stride 1, 1", function()
    nn.conv_transpose2d(1, 1, 2, { output_padding = 1 })(tensor.zeros(1, 1, 2, 2))
  end)
  test.raises("conv1d: input (2, 3) and weight (4, 3, 3) must have 3 dims", function()
    nn.conv1d(3, 4, 3)(tensor.zeros(2, 3))
  end)
end)

test.case("a transposed convolution is the gradient of a convolution", function()
  local x = tensor.randn(2, 3, 9, 9):requires_grad_()
  local w = tensor.randn(5, 3, 3, 3)
  local y = tensor.conv2d(x, w, nil, { stride = 2, padding = 1 })
  local g = tensor.randn(y:shape())
  y:backward(g)
  test.truthy(tensor.conv_transpose2d(g, w, nil, { stride = 2, padding = 1 }):allclose(x.grad, 1e-4))
end)

test.case("normalization of each sample", function()
  local x = tensor.randn(3, 6, 4, 4) * 3 + 1
  local y = nn.groupnorm(2, 6)(x):detach():reshape(3, 2, -1)
  test.truthy(y:mean(3):allclose(tensor.zeros(3, 2), 1e-5))
  test.truthy(y:std(3, { correction = 0 }):allclose(tensor.ones(3, 2), 1e-4))
  local one = nn.instancenorm2d(6)(x):reshape(3, 6, -1)
  test.truthy(one:mean(3):allclose(tensor.zeros(3, 6), 1e-5))
  test.equal(#nn.instancenorm2d(6):parameters(), 0)
  test.equal(#nn.instancenorm1d(6, { affine = true }):parameters(), 2)
  test.equal(nn.groupnorm(2, 6).weight:shape(), { 6 })
  test.raises("groupnorm: 6 channels cannot be split into 4 groups", function() nn.groupnorm(4, 6) end)
  test.raises("group_norm: 5 channels of input (2, 5) cannot be split into 2 groups", function()
    tensor.group_norm(tensor.zeros(2, 5), 2)
  end)
end)

test.case("upsampling and padding layers", function()
  local x = T { { { { 1, 2 }, { 3, 4 } } } }
  test.equal(values(nn.upsample(2)(x))[1][1][4], { 3.0, 3.0, 4.0, 4.0 })
  test.equal(values(nn.upsample(nil, { size = 3, mode = "bilinear", align_corners = true })(x))[1][1][2], { 2.0, 2.5, 3.0 })
  test.equal(nn.upsample({ 2, 3 })(x):shape(), { 1, 1, 4, 6 })
  test.equal(values(nn.reflection_pad(1)(x))[1][1][1], { 4.0, 3.0, 4.0, 3.0 })
  test.equal(values(nn.replication_pad { 1, 0, 0, 0 }(x))[1][1], { { 1.0, 1.0, 2.0 }, { 3.0, 3.0, 4.0 } })
  test.equal(values(nn.circular_pad { 0, 1, 0, 0 }(x))[1][1], { { 1.0, 2.0, 1.0 }, { 3.0, 4.0, 3.0 } })
  test.equal(values(nn.zero_pad(1)(x))[1][1][1], { 0.0, 0.0, 0.0, 0.0 })
  test.equal(nn.pad({ 1, 2 }, { value = 7 })(x):shape(), { 1, 1, 2, 5 })
  test.raises("upsample: either a scale or the option size is needed", function() nn.upsample() end)
  test.raises("pad: 2 and 2 do not fit dim 4 of (1, 1, 2, 2): mode 'reflect' adds 0 to 1", function()
    nn.reflection_pad(2)(x)
  end)
  local y = tensor.randn(2, 4, 3, 3)
  test.truthy(nn.pixel_unshuffle(2)(nn.pixel_shuffle(2)(y)):allclose(y, 0))
end)

test.case("padding_mode of convolutions", function()
  for _, mode in ipairs { "reflect", "replicate", "circular" } do
    local layer = nn.conv2d(2, 3, 3, { padding = { 1, 2 }, padding_mode = mode })
    local x = tensor.randn(2, 2, 5, 6)
    local padded = tensor.pad(x, { 2, 2, 1, 1 }, { mode = mode })
    local want = tensor.conv2d(padded, layer.weight, layer.bias)
    test.truthy(layer(x):allclose(want, 1e-6))
    test.truthy(nn.sequential { layer, nn.relu() }(x):allclose(want:relu(), 1e-6))
    test.equal(nn.conv1d(2, 3, 3, { padding = 1, padding_mode = mode })(tensor.randn(1, 2, 5)):shape(), { 1, 3, 5 })
  end
  test.equal(nn.conv2d(1, 1, 5, { padding = "same" })(tensor.zeros(1, 1, 6, 7)):shape(), { 1, 1, 6, 7 })
  test.raises("padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got 'mirror'", function()
    nn.conv2d(1, 1, 3, { padding_mode = "mirror" })
  end)
end)

test.case("activations with settings", function()
  local x = T { -2, 0, 3 }
  test.equal(values(nn.leaky_relu(0.5)(x)), { -1.0, 0.0, 3.0 })
  test.close(nn.elu()(x)[1]:item(), math.exp(-2) - 1, 1e-6)
  test.equal(values(nn.prelu()(x)), { -0.5, 0.0, 3.0 })
  test.equal(nn.prelu(4).weight:shape(), { 4 })
  test.equal(values(nn.hardtanh(-1.5)(x)), { -1.5, 0.0, 1.0 })
  test.equal(values(nn.glu()(T { { 2, 4, 0, 0 } })), { { 1.0, 2.0 } })
  test.raises("glu: dim -1 has 3 positions", function() nn.glu()(x) end)
  test.equal(nn.identity()(x), x)
  for _, name in ipairs { "selu", "mish", "hardswish", "hardsigmoid", "relu6", "softsign", "logsigmoid", "gelu_tanh" } do
    test.equal(nn[name]()(tensor.zeros(2)):shape(), { 2 })
  end
  local drop = nn.dropout2d(0.5)
  local y = drop(tensor.ones(8, 16, 3, 3)):reshape(8, 16, 9)
  test.truthy(y:amax(3):eq(y:amin(3)):all())
  test.equal(values(y:amax()), 2.0)
  drop:eval()
  test.equal(values(drop(tensor.ones(1, 2, 1))), { { { 1.0 }, { 1.0 } } })
end)

test.case("the new layers survive graph and state", function()
  local function net()
    return nn.sequential {
      nn.conv2d(1, 4, 3, { padding = 1, padding_mode = "reflect" }), nn.groupnorm(2, 4), nn.leaky_relu(0.2), nn.maxpool2d(2),
      nn.conv_transpose2d(4, 4, 2, { stride = 2 }), nn.instancenorm2d(4, { affine = true }), nn.prelu(4),
      nn.upsample(nil, { size = { 6, 6 }, mode = "bilinear" }), nn.reflection_pad(1), nn.identity(), nn.conv2d(4, 2, 1),
    }
  end
  local a = net()
  local b = nn.from_graph(a:graph())
  b:load_state_dict(a:state_dict())
  local x = tensor.randn(2, 1, 8, 8)
  test.truthy(a(x):allclose(b(x), 0))
  test.equal(a(x):shape(), { 2, 2, 8, 8 })
  local names = {}
  for _, pair in ipairs(a:named_parameters()) do names[#names + 1] = pair[1] end
  test.equal(table.concat(names, " "),
    "0.weight 0.bias 1.weight 1.bias 4.weight 4.bias 5.weight 5.bias 6.weight 10.weight 10.bias")
end)

test.case("learns to name pixels: cross entropy over images, ids that do not count", function()
  tensor.manual_seed(5)
  local net = nn.sequential {
    nn.conv2d(1, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.conv2d(8, 8, 3, { padding = 1 }), nn.relu(),
    nn.conv_transpose2d(8, 8, 2, { stride = 2 }), nn.groupnorm(2, 8), nn.relu(), nn.conv2d(8, 2, 1),
  }
  local x = tensor.randn(8, 1, 8, 8)
  local y = x:squeeze(2):gt(0):to "i64"
  local marked = y:clone()
  marked[1] = 255
  local opt = optim.adam(net:parameters(), { lr = 0.02 })
  local loss
  for _ = 1, 60 do
    loss = nn.cross_entropy(net(x), marked, { ignore_index = 255 })
    opt:zero_grad(); loss:backward(); opt:step()
  end
  test.truthy(loss:item() < 0.25, "loss is " .. loss:item())
  local seen = nn.cross_entropy(net(x):narrow(1, 2, 7), y:narrow(1, 2, 7))
  test.close(seen:item(), nn.cross_entropy(net(x), marked, { ignore_index = 255 }):item(), 1e-5)
  test.raises("class id 255", function() nn.cross_entropy(net(x), marked) end)
  test.raises("cross_entropy: logits (8, 2, 8, 8) and targets (8, 64) do not fit", function()
    nn.cross_entropy(net(x), y:reshape(8, 64))
  end)
end)

test.case("losses over probabilities", function()
  local p, y = T { 0.25, 0.5 }, T { 1, 0 }
  test.close(nn.bce(p, y):item(), (math.log(4) + math.log(2)) / 2, 1e-6)
  test.raises("bce: predictions must be probabilities in 0..1", function() nn.bce(T { 1.5 }, T { 1 }) end)
  test.close(nn.kl_div(T { { 0.5, 0.5 } }:log(), T { { 1, 0 } }, { reduction = "batchmean" }):item(), math.log(2), 1e-6)
  test.close(nn.smooth_l1(T { 0, 3 }, T { 0.5, 0 }):item(), (0.125 + 2.5) / 2, 1e-6)
  test.close(nn.bce_with_logits(T { 0, 0 }, y, { pos_weight = T { 3 } }):item(), 2 * math.log(2), 1e-6)
  local logits = tensor.randn(3, 4)
  local hard = T({ 0, 2, 3 }, { dtype = "i64" })
  test.close(nn.cross_entropy(logits, hard:one_hot(4):to "f32"):item(), nn.cross_entropy(logits, hard):item(), 1e-5)
end)

test.case("pooling may hang over the edge", function()
  local x = tensor.arange(1, 25):to "f32":reshape(1, 1, 5, 5)
  test.equal(nn.maxpool2d(2)(x):shape(), { 1, 1, 2, 2 })
  test.equal(values(nn.maxpool2d(2, { ceil_mode = true })(x))[1][1][3], { 22.0, 24.0, 25.0 })
  local net = nn.sequential { nn.conv2d(1, 2, 1), nn.relu(), nn.maxpool2d(2, { ceil_mode = true }) }
  test.equal(net(x):shape(), { 1, 2, 3, 3 })
  local ones = tensor.ones(1, 1, 2, 2)
  test.equal(values(nn.avgpool2d(2, { padding = 1, count_include_pad = false })(ones)), { { { { 1.0, 1.0 }, { 1.0, 1.0 } } } })
  test.raises("maxpool2d: unknown option 'count_include_pad'", function() nn.maxpool2d(2, { count_include_pad = true }) end)
end)
