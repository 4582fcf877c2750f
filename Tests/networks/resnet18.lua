-- ResNet-18 for images of 32 x 32, with the stem for small images.
-- Source: He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, 2015.
--
--   local net = require "resnet18" { width = 64, channels = 3, classes = 10 }
local nn = require "nn"

-- Two convolutions around which x goes as it is, or through one of 1 x 1 where the shape changes.
local function block(from, to, stride)
  return nn.residual({
    nn.conv2d(from, to, 3, { stride = stride, padding = 1, bias = false }), nn.batchnorm2d(to), nn.relu(),
    nn.conv2d(to, to, 3, { padding = 1, bias = false }), nn.batchnorm2d(to),
  }, (stride ~= 1 or from ~= to) and {
    shortcut = { nn.conv2d(from, to, 1, { stride = stride, bias = false }), nn.batchnorm2d(to) },
  } or nil)
end

return function(opts)
  local width, channels, classes = opts.width or 64, opts.channels or 3, opts.classes or 10
  local layers = { nn.conv2d(channels, width, 3, { padding = 1, bias = false }), nn.batchnorm2d(width), nn.relu() }
  local from = width
  for stage = 1, 4 do
    local to = width << (stage - 1)
    for i = 1, 2 do
      layers[#layers + 1] = block(from, to, i == 1 and stage > 1 and 2 or 1)
      layers[#layers + 1] = nn.relu()
      from = to
    end
  end
  for _, layer in ipairs { nn.adaptive_avgpool2d(1), nn.flatten(), nn.linear(from, classes) } do layers[#layers + 1] = layer end
  return nn.sequential(layers)
end
