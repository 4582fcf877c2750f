-- Pooling over images, x (N, C, H, W): the largest or the mean of each window.
local tensor = require "tensor"
local module = require "nn.module"

local pool = {}

local function windowed(name, op, known)
  local class = module.define(name, {
    build = function(self, c)
      self.is_two_by_two = c.kernel[1] == 2 and c.kernel[2] == 2 and c.stride[1] == 2 and c.stride[2] == 2
        and c.padding[1] == 0 and c.padding[2] == 0 and not c.ceil_mode
    end,
    forward = function(self, x) return op(x, self.config) end,
  })
  return function(kernel, opts)
    local o = module.options(name, opts, known)
    local size = module.pair(name, "kernel", kernel)
    return class.new {
      kernel = size, stride = o.stride and module.pair(name, "stride", o.stride) or size,
      padding = module.pair(name, "padding", o.padding or 0, 0),
      ceil_mode = o.ceil_mode, count_include_pad = o.count_include_pad,
    }
  end
end

--- The largest value, and the mean, of windows of `kernel` (number or {h, w}). Options: stride (kernel), padding (0),
-- ceil_mode (false: no window hangs over the edge), and for the mean count_include_pad (true).
---@name nn.maxpool2d(kernel, opts)
---@name nn.avgpool2d(kernel, opts)
pool.maxpool2d = windowed("maxpool2d", tensor.max_pool2d, { stride = true, padding = true, ceil_mode = true })
pool.avgpool2d = windowed("avgpool2d", tensor.avg_pool2d,
  { stride = true, padding = true, ceil_mode = true, count_include_pad = true })

local adaptive = module.define("adaptive_avgpool2d", {
  forward = function(self, x) return tensor.adaptive_avg_pool2d(x, self.config) end,
})

--- Means over windows so that every image becomes `size` (number or {h, w}).
function pool.adaptive_avgpool2d(size)
  return adaptive.new { size = module.pair("adaptive_avgpool2d", "size", size) }
end

return pool
