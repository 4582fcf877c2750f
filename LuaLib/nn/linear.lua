-- Fully connected: y = x W^T + b. x (..., in_features) -> (..., out_features); weight (out, in), bias (out).
local tensor = require "tensor"
local module = require "nn.module"
local init = require "nn.init_weights"

local with_relu = { activation = "relu" }
local linear = module.define("linear", {
  build = function(self, c)
    module.count("linear", "in_features", c.in_features)
    module.count("linear", "out_features", c.out_features)
    self:add_parameter("weight", init.kaiming({ c.out_features, c.in_features }, c.in_features))
    if c.bias then self:add_parameter("bias", init.kaiming({ c.out_features }, c.in_features)) end
  end,
  forward = function(self, x, fused) return tensor.linear(x, self.weight, rawget(self, "bias"), fused and with_relu) end,
  fuses = { relu = true },
})

--- x W^T + b for x (..., in_features) -> (..., out_features). Options: bias (true).
return function(in_features, out_features, opts)
  local o = module.options("linear", opts, { bias = true })
  return linear.new { in_features = in_features, out_features = out_features, bias = o.bias ~= false }
end
