-- Convolution over images. x (N, in, H, W) -> (N, out, H', W'), H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1;
-- weight (out, in / groups, kernel height, kernel width), bias (out). Kernel, stride, padding, dilation: number or {h, w}.
local tensor = require "tensor"
local module = require "nn.module"
local init = require "nn.init_weights"
local padding = require "nn.padding"

local conv2d = module.define("conv2d", {
  build = function(self, c)
    module.channels("conv2d", c)
    local fan_in = c.in_channels // c.groups * c.kernel[1] * c.kernel[2]
    self:add_parameter("weight",
      init.kaiming({ c.out_channels, c.in_channels // c.groups, c.kernel[1], c.kernel[2] }, fan_in))
    if c.bias then self:add_parameter("bias", init.kaiming({ c.out_channels }, fan_in)) end
    local inside
    self.before, inside = padding.split(c.padding, c.padding_mode)
    self.opts = { stride = c.stride, padding = inside, dilation = c.dilation, groups = c.groups }
    self.fused_opts = {}
    for fused, pooled in pairs { relu = false, maxpool2d = true } do
      self.fused_opts[fused] = { stride = c.stride, padding = inside, dilation = c.dilation, groups = c.groups,
        activation = "relu", max_pool = pooled }
    end
  end,
  forward = function(self, x, fused)
    local before = rawget(self, "before")
    if before then x = tensor.pad(x, before, { mode = self.config.padding_mode }) end
    return tensor.conv2d(x, self.weight, rawget(self, "bias"), fused and self.fused_opts[fused] or self.opts)
  end,
  fuses = { relu = true, maxpool2d = true },
})

--- Convolution over images (N, C, H, W). kernel: a number or {h, w}. Options: stride (1), padding (0, or "same"), dilation
-- (1), groups (1), bias (true), padding_mode ("zeros", or "reflect", "replicate", "circular").
return function(in_channels, out_channels, kernel, opts)
  local o = module.options("conv2d", opts,
    { stride = true, padding = true, dilation = true, groups = true, bias = true, padding_mode = true })
  local size, stride = module.pair("conv2d", "kernel", kernel), module.pair("conv2d", "stride", o.stride or 1)
  local dilation = module.pair("conv2d", "dilation", o.dilation or 1)
  return conv2d.new {
    in_channels = in_channels, out_channels = out_channels, kernel = size, stride = stride, dilation = dilation,
    padding = padding.amounts("conv2d", o.padding, size, stride, dilation), groups = o.groups or 1, bias = o.bias ~= false,
    padding_mode = padding.mode("conv2d", o.padding_mode),
  }
end
