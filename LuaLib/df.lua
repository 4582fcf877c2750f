-- What Lua does better than Swift for `df`: printing, loaders for training, and the list of inputs.
local _, native = ...

local inputs = require "_inputs"

local read_lance = native.read_lance
--- A data set of the lake as a lazy frame; remembered as an input of this run.
native.read_lance = function(name, opts)
  local frame = read_lance(name, opts)
  inputs.add(name, frame:version())
  return frame
end

--- The data sets read so far: a list of { id, version }, by name.
native.inputs = inputs.list

local function column_tensors(batch)
  local columns = {}
  for _, name in ipairs(batch:names()) do columns[name] = batch:tensor(name) end
  return columns
end

extend("Batch", {
  --- A column of numbers, or of equally long lists of numbers, as a Tensor over the same memory.
  tensor = function(self, name)
    local bridge = require "_bridge"
    return bridge.tensor(self:array(name))
  end,
  --- All columns as tensors by name.
  tensors = column_tensors,
})

extend("Frame", {
  --- Prints the first rows (10) as a table.
  show = function(self, rows)
    print(self:text(rows))
    return self
  end,
  --- Mini-batches of all rows for training: `for batch in loader:batches() do net(batch.image) ... end`.
  -- Options: batch_size, shuffle, seed, drop_last, transform, prefetch. Columns must be numbers or equally long lists of numbers.
  loader = function(self, opts)
    local loader = require "data.loader"
    return loader(column_tensors(self:collect()), opts)
  end,
})

return native
