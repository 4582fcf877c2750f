-- tensor.detect_anomaly and nn.find_nan: which op was the first with NaN or an infinity.
local test = require "test"
local tensor, nn = require "tensor", require "nn"

local T = tensor.from_table
local function leaf(values) return T(values):requires_grad_() end

test.case("a result that is not finite names its op", function()
  test.raises("'log' gave NaN (1 of 3, first at (2)) in f32 (3); its inputs are finite", function()
    tensor.detect_anomaly(function() return (leaf { 1, -1, 2 } * 2):log():sum() end)
  end)
  test.raises("'div' gave infinity (1 of 4, first at (2, 1)) in f32 (2, 2); its inputs are finite", function()
    tensor.detect_anomaly(function() return leaf { { 1, 2 }, { 3, 4 } } / T { { 1, 2 }, { 0, 4 } } end)
  end)
  local bad_input = "input 2 of it, f32 (1), holds NaN (1 of 1, first at (1)) already"
  local text = "'mul' gave NaN (2 of 2, first at (1)) in f32 (2); " .. bad_input
  test.raises(text, function()
    local bad = T { 0 / 0 }
    tensor.detect_anomaly(function() return leaf { 1, 2 } * bad end)
  end)
end)

test.case("a gradient that is not finite names its op", function()
  local x = leaf { 0, 4 }
  local place = "(1 of 2, first at (1)) in the gradient of its input 1, f32 (2); "
  test.raises("backward of 'sqrt' gave infinity " .. place .. "that of its result is finite", function()
    tensor.detect_anomaly(function() x:sqrt():sum():backward() end)
  end)
  test.raises("backward of 'mul' gave NaN " .. place .. "the gradient of its result holds NaN", function()
    tensor.detect_anomaly(function() (leaf { 1, 2 } * 2):backward(T { 0 / 0, 1 }) end)
  end)
end)

test.case("infinities may be allowed, results come back, and it ends with the body", function()
  local masked = tensor.detect_anomaly(function() return leaf { 1, 0 } / T { 0, 1 } end, { infinities = false })
  test.equal(masked[1]:item(), math.huge)
  local a, b = tensor.detect_anomaly(function() return 1, "two" end)
  test.equal(a, 1)
  test.equal(b, "two")
  pcall(tensor.detect_anomaly, function() return T { -1 }:log() end)
  test.truthy(T { -1 }:log():item() ~= 0)         -- off again: no error
  test.raises("'log' gave NaN", function()
    tensor.detect_anomaly(function()
      tensor.detect_anomaly(function() return T { 1 }:log() end)
      return T { -1 }:log()
    end)
  end)
end)

local function net()
  tensor.manual_seed(3)
  local middle = nn.sequential { nn.relu(), nn.lambda(function(x) return x:sqrt() end) }
  return nn.sequential { nn.linear(3, 4), middle, nn.linear(4, 1) }
end

test.case("find_nan names the layer", function()
  local x = tensor.randn(2, 3)
  local fine = nn.sequential { nn.linear(3, 4), nn.tanh(), nn.linear(4, 1) }
  test.equal(nn.find_nan(fine, function() return fine(x):square():mean() end), nil)
  test.equal(fine.layers[1].weight.grad, nil)
  local bad = net()
  local text = nn.find_nan(bad, function() return bad(x):square():mean() end)
  test.truthy(text:find("in layer 2 (sequential): in layer 2 (lambda): backward of 'sqrt' gave infinity", 1, true), text)
  test.equal(rawget(bad.layers[1], "forward"), nil)
  local early = nn.sequential { nn.linear(3, 4), nn.lambda(function(y) return (y - 100):log() end) }
  text = nn.find_nan(early, function() return early(x):sum() end)
  test.truthy(text:find("in layer 2 (lambda): 'log' gave NaN (8 of 8, first at (1, 1)) in f32 (2, 4)", 1, true), text)
  tensor.no_grad(function() early.layers[1].bias:fill_(0 / 0) end)
  test.equal(nn.find_nan(early, function() return early(x):sum() end), "parameter 0.bias, f32 (4), holds NaN already")
  test.raises("my own", function() nn.find_nan(fine, function() error "my own" end) end)
  test.raises("find_nan: a network is needed, got nil", function() nn.find_nan(nil, function() end) end)
end)
