-- Activations with kinks or settings, prelu, dropout of whole channels, and the layer that does nothing.
local tensor = require "tensor"
local module = require "nn.module"

local rectifier = {}

--- Layers without settings: see the methods of the same names of tensors.
---@name nn.selu()
---@name nn.mish()
---@name nn.hardswish()
---@name nn.hardsigmoid()
---@name nn.relu6()
---@name nn.softsign()
---@name nn.logsigmoid()
---@name nn.gelu_tanh()
for _, name in ipairs { "selu", "mish", "hardswish", "hardsigmoid", "relu6", "softsign", "logsigmoid", "gelu_tanh" } do
  local class = module.define(name, { forward = function(_, x) return x[name](x) end })
  rectifier[name] = function() return class.new {} end
end

local function number(name, what, value)
  if type(value) ~= "number" then fail(("%s: %s must be a number, got %s"):format(name, what, tostring(value))) end
  return value
end

local leaky_relu = module.define("leaky_relu", { forward = function(self, x) return x:leaky_relu(self.config.slope) end })
--- x above 0, else slope (0.01) x.
function rectifier.leaky_relu(slope) return leaky_relu.new { slope = number("leaky_relu", "slope", slope or 0.01) } end

local elu = module.define("elu", { forward = function(self, x) return x:elu(self.config.alpha) end })
--- x above 0, else alpha (1) (e^x - 1).
function rectifier.elu(alpha) return elu.new { alpha = number("elu", "alpha", alpha or 1.0) } end

local hardtanh = module.define("hardtanh", {
  forward = function(self, x) return x:clamp(self.config.low, self.config.high) end,
})
--- x held between low (-1) and high (1).
function rectifier.hardtanh(low, high)
  return hardtanh.new { low = number("hardtanh", "low", low or -1.0), high = number("hardtanh", "high", high or 1.0) }
end

local glu = module.define("glu", {
  forward = function(self, x)
    local dim = self.config.dim
    local size = x:size(dim)
    if size % 2 ~= 0 then fail(("glu: dim %d has %d positions, which have no half"):format(dim, size), "SHAPE_MISMATCH") end
    return x:narrow(dim, 1, size // 2) * x:narrow(dim, size // 2 + 1, size // 2):sigmoid()
  end,
})
--- The first half of a dim (-1) times the sigmoid of its second half.
function rectifier.glu(dim)
  dim = dim or -1
  if math.type(dim) ~= "integer" then fail("glu: dim must be a whole number, got " .. tostring(dim)) end
  return glu.new { dim = dim }
end

local prelu = module.define("prelu", {
  build = function(self, c) self:add_parameter("weight", tensor.full({ c.features }, c.value)) end,
  forward = function(self, x) return tensor.prelu(x, self.weight) end,
})
--- x above 0, else weight x with a trained weight: one, or one for each of `features` channels. Options: value (0.25), the
-- first one.
function rectifier.prelu(features, opts)
  local o = module.options("prelu", opts, { value = true })
  return prelu.new {
    features = module.count("prelu", "features", features or 1), value = number("prelu", "value", o.value or 0.25),
  }
end

local identity = module.define("identity", { forward = function(_, x) return x end })
--- x as it is.
function rectifier.identity() return identity.new {} end

local dropout2d = module.define("dropout2d", {
  forward = function(self, x)
    if not self.training or self.config.p == 0 then return x end
    local shape = x:shape()
    for d = 3, #shape do shape[d] = 1 end
    return x * tensor.dropout(tensor.ones(shape, { dtype = x:dtype() }), self.config.p, true)
  end,
})
--- While training, sets whole channels of (N, C, ...) to 0 with probability p (0.5) and divides the rest by 1 - p.
function rectifier.dropout2d(p)
  p = p or 0.5
  if type(p) ~= "number" or p < 0 or p >= 1 then fail("dropout2d: p must be at least 0 and below 1, got " .. tostring(p)) end
  return dropout2d.new { p = p }
end

return rectifier
