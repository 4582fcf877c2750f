-- Transposed convolution: images or lines made larger. x (N, in, H, W) -> (N, out, H', W'),
-- H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1; weight (in, out / groups, kernel height,
-- kernel width),
-- bias (out). Numbers, or {h, w} for images.
local tensor = require "tensor"
local module = require "nn.module"
local init = require "nn.init_weights"

local conv_transpose = {}

local function layer(name, op, read)
  local class = module.define(name, {
    build = function(self, c)
      module.channels(name, c)
      local kernel = type(c.kernel) == "table" and c.kernel or { c.kernel }
      local shape, fan_in = { c.in_channels, c.out_channels // c.groups }, c.out_channels // c.groups
      for _, extent in ipairs(kernel) do
        shape[#shape + 1] = extent
        fan_in = fan_in * extent
      end
      self:add_parameter("weight", init.kaiming(shape, fan_in))
      if c.bias then self:add_parameter("bias", init.kaiming({ c.out_channels }, fan_in)) end
      self.opts = { stride = c.stride, padding = c.padding, output_padding = c.output_padding, dilation = c.dilation,
        groups = c.groups }
    end,
    forward = function(self, x) return op(x, self.weight, rawget(self, "bias"), self.opts) end,
  })
  return function(in_channels, out_channels, kernel, opts)
    local o = module.options(name, opts,
      { stride = true, padding = true, output_padding = true, dilation = true, groups = true, bias = true })
    return class.new {
      in_channels = in_channels, out_channels = out_channels, kernel = read(name, "kernel", kernel),
      stride = read(name, "stride", o.stride or 1), padding = read(name, "padding", o.padding or 0, 0),
      output_padding = read(name, "output_padding", o.output_padding or 0, 0),
      dilation = read(name, "dilation", o.dilation or 1), groups = o.groups or 1, bias = o.bias ~= false,
    }
  end
end

--- Transposed convolution over lines (N, C, L) and images (N, C, H, W). Options: stride (1), padding (0), output_padding (0,
-- less than the stride), dilation (1), groups (1), bias (true).
---@name nn.conv_transpose1d(in_channels, out_channels, kernel, opts)
---@name nn.conv_transpose2d(in_channels, out_channels, kernel, opts)
conv_transpose.conv_transpose1d = layer("conv_transpose1d", tensor.conv_transpose1d, module.count)
conv_transpose.conv_transpose2d = layer("conv_transpose2d", tensor.conv_transpose2d, module.pair)

return conv_transpose
