-- A small U-Net: two steps down, two up, what was there on the way down joined on the way up.
-- Source: Ronneberger, Fischer, Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015.
-- x (N, channels, H, W) -> (N, classes, H, W), H and W multiples of 4.
--
--   local net = require "unet" { width = 16, channels = 1, classes = 2 }
local tensor, nn = require "tensor", require "nn"
local module = require "nn.module"

local function convolutions(from, to)
  return nn.sequential {
    nn.conv2d(from, to, 3, { padding = 1 }), nn.batchnorm2d(to), nn.relu(),
    nn.conv2d(to, to, 3, { padding = 1 }), nn.batchnorm2d(to), nn.relu(),
  }
end

-- Each pixel becomes 2 x 2.
local function twice(x)
  local n, c, h, w = table.unpack(x:shape())
  return x:unsqueeze(4):unsqueeze(6):expand(-1, -1, -1, 2, -1, 2):reshape(n, c, 2 * h, 2 * w)
end

local parts = { "down1", "down2", "middle", "up2", "up1", "last" }
local unet = module.define("test_unet", {
  is_private = true,
  build = function(self, c)
    local w = c.width
    self.down1, self.down2, self.middle = convolutions(c.channels, w), convolutions(w, 2 * w), convolutions(2 * w, 4 * w)
    self.up2, self.up1, self.last = convolutions(6 * w, 2 * w), convolutions(3 * w, w), nn.conv2d(w, c.classes, 1)
    for _, name in ipairs(parts) do self:add_child(name, self[name]) end
  end,
  forward = function(self, x)
    local half = { kernel = 2 }
    local a = self.down1(x)
    local b = self.down2(tensor.max_pool2d(a, half))
    local y = self.middle(tensor.max_pool2d(b, half))
    y = self.up2(tensor.cat({ twice(y), b }, 2))
    y = self.up1(tensor.cat({ twice(y), a }, 2))
    return self.last(y)
  end,
})

return function(opts)
  return unet.new { width = opts.width or 16, channels = opts.channels or 1, classes = opts.classes or 2 }
end
