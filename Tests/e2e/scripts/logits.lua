-- The logits of a saved model for the first test pictures, to compare with another program's.
local df = require "df"
local lake = require "lake"
local tensor = require "tensor"

local M = { params = { model = { type = "string" }, count = { type = "integer" } } }

function M.run(input, _, p)
  local net = lake.model(p.model):load():eval()
  local test = df.read_lance(input):where(df.col "split":eq "test"):limit(p.count):select { "image", "label" }
  local logits = {}
  for batch in test:loader { batch_size = 64 }:batches() do
    for _, row in ipairs(tensor.no_grad(function() return net(batch.image) end):totable()) do logits[#logits + 1] = row end
  end
  return { logits = logits }
end

return M
