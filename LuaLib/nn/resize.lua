-- Layers that change the size of images and lines: upsampling, pixel shuffle, pooling of lines, adaptive maxima.
local tensor = require "tensor"
local module = require "nn.module"

local resize = {}

local upsample = module.define("upsample", {
  forward = function(self, x) return tensor.upsample(x, self.config) end,
})

--- Images (N, C, H, W) or lines (N, C, L) `scale` times as large (number or {h, w}), or of the option `size`: nn.upsample(2),
-- nn.upsample(nil, { size = {64, 64} }). Options: mode ("nearest", or "bilinear", "linear"), align_corners (false), size.
function resize.upsample(scale, opts)
  local o = module.options("upsample", opts, { mode = true, align_corners = true, size = true })
  if (scale == nil) == (o.size == nil) then fail "upsample: either a scale or the option size is needed" end
  return upsample.new { scale = scale, size = o.size, mode = o.mode or "nearest", align_corners = o.align_corners }
end

--- Channels become pixels, (N, C r^2, H, W) to (N, C, H r, W r), and back.
---@name nn.pixel_shuffle(factor)
---@name nn.pixel_unshuffle(factor)
for _, name in ipairs { "pixel_shuffle", "pixel_unshuffle" } do
  local class = module.define(name, { forward = function(self, x) return tensor[name](x, self.config.factor) end })
  resize[name] = function(factor) return class.new { factor = module.count(name, "factor", factor) } end
end

local function windowed(name, op)
  local class = module.define(name, { forward = function(self, x) return op(x, self.config) end })
  return function(kernel, opts)
    local o = module.options(name, opts, { stride = true, padding = true })
    return class.new {
      kernel = module.count(name, "kernel", kernel), stride = module.count(name, "stride", o.stride or kernel),
      padding = module.count(name, "padding", o.padding or 0, 0),
    }
  end
end

--- The largest value, and the mean, of windows of lines (N, C, L). Options: stride (kernel), padding (0).
---@name nn.maxpool1d(kernel, opts)
---@name nn.avgpool1d(kernel, opts)
resize.maxpool1d = windowed("maxpool1d", tensor.max_pool1d)
resize.avgpool1d = windowed("avgpool1d", tensor.avg_pool1d)

local function adaptive(name, op, read)
  local class = module.define(name, { forward = function(self, x) return op(x, self.config) end })
  return function(size) return class.new { size = read(name, "size", size) } end
end

--- Means or maxima over windows so that every line or image becomes `size`; size 1 pools everything.
---@name nn.adaptive_avgpool1d(size)
---@name nn.adaptive_maxpool1d(size)
---@name nn.adaptive_maxpool2d(size)
resize.adaptive_avgpool1d = adaptive("adaptive_avgpool1d", tensor.adaptive_avg_pool1d, module.count)
resize.adaptive_maxpool1d = adaptive("adaptive_maxpool1d", tensor.adaptive_max_pool1d, module.count)
resize.adaptive_maxpool2d = adaptive("adaptive_maxpool2d", tensor.adaptive_max_pool2d, module.pair)

return resize
