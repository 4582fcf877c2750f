-- Layers without parameters that work element by element, softmax, and dropout.
local tensor = require "tensor"
local module = require "nn.module"

local activation = {}

--- Layers without settings that work element by element: max(x, 0); x times the normal distribution function; x times its sigmoid;
-- 1 / (1 + e^-x); hyperbolic tangent; log(1 + e^x).
---@name nn.relu()
---@name nn.gelu()
---@name nn.silu()
---@name nn.sigmoid()
---@name nn.tanh()
---@name nn.softplus()
for _, name in ipairs { "relu", "gelu", "silu", "sigmoid", "tanh", "softplus" } do
  local class = module.define(name, { forward = function(_, x) return x[name](x) end })
  activation[name] = function() return class.new {} end
end

--- Softmax over dim (-1), and its logarithm.
---@name nn.softmax(dim)
---@name nn.log_softmax(dim)
for _, name in ipairs { "softmax", "log_softmax" } do
  local class = module.define(name, { forward = function(self, x) return x[name](x, self.config.dim) end })
  activation[name] = function(dim) return class.new { dim = dim or -1 } end
end

local dropout = module.define("dropout", {
  forward = function(self, x) return tensor.dropout(x, self.config.p, self.training) end,
})

--- While training, sets values to 0 with probability p and divides the rest by 1 - p.
function activation.dropout(p)
  p = p or 0.5
  if type(p) ~= "number" or p < 0 or p >= 1 then
    fail("dropout: p must be at least 0 and below 1, got " .. tostring(p))
  end
  return dropout.new { p = p }
end

return activation
