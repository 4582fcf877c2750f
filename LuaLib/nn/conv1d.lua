-- Convolution over lines. x (N, in, L) -> (N, out, L'), L' = (L + 2 padding - dilation (kernel - 1) - 1) / stride + 1;
-- weight (out, in / groups, kernel), bias (out).
local tensor = require "tensor"
local module = require "nn.module"
local init = require "nn.init_weights"
local padding = require "nn.padding"

local conv1d = module.define("conv1d", {
  build = function(self, c)
    module.channels("conv1d", c)
    local fan_in = c.in_channels // c.groups * c.kernel
    self:add_parameter("weight", init.kaiming({ c.out_channels, c.in_channels // c.groups, c.kernel }, fan_in))
    if c.bias then self:add_parameter("bias", init.kaiming({ c.out_channels }, fan_in)) end
    local inside
    self.before, inside = padding.split({ c.padding }, c.padding_mode)
    self.opts = { stride = c.stride, padding = inside[1], dilation = c.dilation, groups = c.groups }
  end,
  forward = function(self, x)
    local before = rawget(self, "before")
    if before then x = tensor.pad(x, before, { mode = self.config.padding_mode }) end
    return tensor.conv1d(x, self.weight, rawget(self, "bias"), self.opts)
  end,
})

--- Convolution over lines (N, C, L). Options: stride (1), padding (0, or "same"), dilation (1), groups (1), bias (true),
-- padding_mode ("zeros", or "reflect", "replicate", "circular").
return function(in_channels, out_channels, kernel, opts)
  local o = module.options("conv1d", opts,
    { stride = true, padding = true, dilation = true, groups = true, bias = true, padding_mode = true })
  module.count("conv1d", "kernel", kernel)
  local stride, dilation = module.count("conv1d", "stride", o.stride or 1), module.count("conv1d", "dilation", o.dilation or 1)
  return conv1d.new {
    in_channels = in_channels, out_channels = out_channels, kernel = kernel, stride = stride, dilation = dilation,
    padding = padding.amounts("conv1d", o.padding, { kernel }, { stride }, { dilation })[1], groups = o.groups or 1,
    bias = o.bias ~= false, padding_mode = padding.mode("conv1d", o.padding_mode),
  }
end
