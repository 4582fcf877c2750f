-- What convolutions with a `padding_mode`, and padding layers, have in common.
local tensor = require "tensor"
local module = require "nn.module"

local padding = {}

local modes = { zeros = true, reflect = true, replicate = true, circular = true }

-- A checked `padding_mode`; nil for zeros, which are a convolution's own.
function padding.mode(where, mode)
  if mode == nil or mode == "zeros" then return nil end
  if not modes[mode] then
    fail(("%s: padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got '%s'"):format(where, tostring(mode)))
  end
  return mode
end

-- Padding per dim from a number, a list or "same" (the result is as large as x, for stride 1).
function padding.amounts(where, given, kernel, stride, dilation)
  local out = {}
  for d = 1, #kernel do
    if given == "same" then
      local total = dilation[d] * (kernel[d] - 1)
      if stride[d] ~= 1 then fail(where .. ": padding 'same' needs stride 1") end
      if total % 2 ~= 0 then
        fail(where .. ": padding 'same' needs an odd kernel, or an even dilation; pad with nn.pad before")
      end
      out[d] = total // 2
    else
      local amount = given or 0
      if type(given) == "table" then amount = given[d] end
      out[d] = module.count(where, "padding", amount, 0)
    end
  end
  return out
end

-- For a mode: amounts for `tensor.pad` before the convolution, and the convolution's own padding.
function padding.split(amounts, mode)
  if mode == nil then return nil, amounts end
  local before, inside = {}, {}
  for d = #amounts, 1, -1 do
    before[#before + 1], before[#before + 2] = amounts[d], amounts[d]
  end
  for d = 1, #amounts do inside[d] = 0 end
  return before, inside
end

local function list(where, given)
  if type(given) ~= "table" then
    if math.type(given) ~= "integer" then
      fail(where .. ": padding must be a whole number or a list, got " .. tostring(given))
    end
    return given
  end
  if #given == 0 or #given % 2 ~= 0 then fail(where .. ": padding is a list of pairs: { left, right, top, bottom }") end
  for _, n in ipairs(given) do
    if math.type(n) ~= "integer" then fail(where .. ": padding must be whole numbers, got " .. tostring(n)) end
  end
  return given
end

local pad = module.define("pad", {
  forward = function(self, x)
    local amounts = self.config.padding
    if type(amounts) ~= "table" then
      -- One number: all dims after (batch, channels).
      local n = amounts
      amounts = {}
      for _ = 1, 2 * (x:dim() - 2) do amounts[#amounts + 1] = n end
    end
    return tensor.pad(x, amounts, { mode = self.config.mode, value = self.config.value })
  end,
})

local layers = {}

--- Positions added around: a number for all dims after (batch, channels), or { left, right, top, bottom } from the last dim
-- on. Options: mode ("constant", or "reflect", "replicate", "circular"), value (0).
---@name nn.pad(padding, opts)
function layers.pad(amounts, opts)
  local o = module.options("pad", opts, { mode = true, value = true })
  local mode = o.mode or "constant"
  if mode ~= "constant" and (mode == "zeros" or not modes[mode]) then
    fail("pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got '" .. tostring(mode) .. "'")
  end
  return pad.new { padding = list("pad", amounts), mode = mode, value = o.value or 0 }
end

--- Padding by zeros, by what lies inside of the edge, by the edge, by the other end.
---@name nn.zero_pad(padding)
---@name nn.reflection_pad(padding)
---@name nn.replication_pad(padding)
---@name nn.circular_pad(padding)
for name, mode in pairs {
  zero_pad = "constant", reflection_pad = "reflect", replication_pad = "replicate", circular_pad = "circular",
} do
  layers[name] = function(amounts) return pad.new { padding = list(name, amounts), mode = mode, value = 0 } end
end

padding.layers = layers
return padding
