-- Layers that change shapes, and embedding. Dim 1 is the batch.
local tensor = require "tensor"
local module = require "nn.module"

local shape = {}

local flatten = module.define("flatten", {
  forward = function(self, x) return x:flatten(self.config.from, self.config.to) end,
})
--- Joins dims from..to (2..-1: all but the batch) into one.
function shape.flatten(from, to) return flatten.new { from = from or 2, to = to or -1 } end

local unflatten = module.define("unflatten", {
  forward = function(self, x)
    local wanted = { x:shape()[1] }
    for _, extent in ipairs(self.config.shape) do wanted[#wanted + 1] = extent end
    return x:reshape(wanted)
  end,
})
--- Gives every row the shape: unflatten(1, 28, 28) turns (N, 784) into (N, 1, 28, 28).
function shape.unflatten(...)
  local wanted = type((...)) == "table" and (...) or { ... }
  if #wanted == 0 then fail "unflatten: the shape of a row is needed" end
  return unflatten.new { shape = wanted }
end

local embedding = module.define("embedding", {
  build = function(self, c)
    module.count("embedding", "rows", c.rows)
    module.count("embedding", "width", c.width)
    self:add_parameter("weight", tensor.randn(c.rows, c.width))
  end,
  forward = function(self, ids) return tensor.embedding(self.weight, ids) end,
})
--- A table of `rows` vectors; ids count from 0.
function shape.embedding(rows, width) return embedding.new { rows = rows, width = width } end

return shape
