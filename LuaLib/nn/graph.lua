-- Networks as graphs of ops: compiling and explaining.
local module = require "nn.module"
local internals = require "_tensor"

local graph = {}

-- The shape of an input, batch first, and its type.
local function input(where, opts)
  local o = module.options(where, opts, { shape = true, dtype = true })
  if type(o.shape) ~= "table" or #o.shape == 0 then
    fail(where .. ": the option 'shape' is needed: the shape of an input, batch first, such as { 1, 1, 28, 28 }")
  end
  for i, extent in ipairs(o.shape) do module.count(where, ("extent %d of shape"):format(i), extent) end
  return o.shape, { dtype = o.dtype or "f32" }
end

--- The ops that the network runs at rest (no dropout, learned statistics), for inputs of any batch. Options: shape (of an input, batch first), dtype ("f32").
---@name Module:trace(opts)
function module.method:trace(opts, where)
  local shape, kind = input(where or "trace", opts)
  local named = {}
  for _, pair in ipairs(self:named_parameters()) do named[pair[1]] = pair[2] end
  for _, pair in ipairs(self:named_buffers()) do named[pair[1]] = pair[2] end
  return module.at_rest(self, function()
    return internals.trace(function(x) return self(x) end, shape, named, kind)
  end)
end

--- The network made ready to predict: batch norm becomes part of the weights, weights are copied in the order of their kernels, memory is laid out. The result is called like the network, with any batch, gives no gradients and does not see later changes. Options: shape (of an input, batch first), dtype ("f32").
---@name Module:compile(opts)
function module.method:compile(opts) return self:trace(opts, "compile"):compile() end

local function amount(n)
  if n >= 1e9 then return ("%.2f G"):format(n / 1e9) end
  if n >= 1e6 then return ("%.2f M"):format(n / 1e6) end
  if n >= 1e3 then return ("%.1f k"):format(n / 1e3) end
  return ("%d "):format(n)
end

--- How a network is computed: for each step of the compiled network its kernel, output, FLOP (by the plain formula: Winograd does fewer), bytes, time (median on this machine) and GFLOP/s. `shape`: of an input, batch first.
---@name nn.explain(net, shape)
function graph.explain(net, shape)
  if not module.is(net) then fail("explain: a network is needed, got " .. type(net)) end
  local compiled = net:compile { shape = shape }
  local lines = { ("%-28s %-9s %-20s %10s %10s %10s %9s"):format("step", "kernel", "output", "FLOP", "bytes", "time", "GFLOP/s") }
  local flop, seconds = 0, 0
  for _, step in ipairs(compiled:profile()) do
    lines[#lines + 1] = ("%-28s %-9s %-20s %10s %10s %7.1f us %9.1f"):format(step.layer, step.kernel,
      "(" .. table.concat(step.shape, ", ") .. ")", amount(step.flop), amount(step.bytes) .. "B", step.seconds * 1e6,
      step.flop / math.max(step.seconds, 1e-9) / 1e9)
    flop, seconds = flop + step.flop, seconds + step.seconds
  end
  lines[#lines + 1] = ("total: %sFLOP in %.1f us, %.1f GFLOP/s; works in %sB"):format(amount(flop), seconds * 1e6,
    flop / math.max(seconds, 1e-9) / 1e9, amount(compiled:work_bytes()))
  return table.concat(lines, "\n")
end

return graph
