-- Moving averages of parameters: they often score better than the parameters of the last step.
--
--   local ema = optim.ema(net, { decay = 0.999 })
--   ... opt:step(); ema:update() ...
--   ema:use(function() return evaluate(net) end)    -- the averages take the parameters' place while this runs
local internals = require "_tensor"
local tensor = require "tensor"
local options = require "_options"

local Ema = {}
Ema.__index = Ema
Ema.__name = "Ema"

local function names_and_values(net)
  if type(net) ~= "table" then fail("ema: a network or a list of parameters is needed, got " .. type(net)) end
  local names, values = {}, {}
  if type(net.named_parameters) == "function" then
    for i, pair in ipairs(net:named_parameters()) do names[i], values[i] = pair[1], pair[2] end
  else
    for i, p in ipairs(net) do names[i], values[i] = tostring(i), p end
  end
  if #values == 0 then fail "ema: there are no parameters" end
  for i, p in ipairs(values) do
    if not tensor.is_tensor(p) then fail(("ema: parameter %s must be a Tensor, got %s"):format(names[i], type(p))) end
  end
  return names, values
end

--- Makes the averages: average = decay average + (1 - decay) parameter at each update, the first update taking the parameters
-- as they are (Polyak and Juditsky 1992; as PyTorch's AveragedModel with get_ema_multi_avg_fn). Options: decay (0.999), and
-- warmup (false): a decay of at most (1 + n) / (10 + n) at update n, so that early parameters do not stay for long.
---@name optim.ema(net, opts)
local function new(net, opts)
  local o = options.over("ema", opts, { decay = 0.999, warmup = false })
  if not (o.decay >= 0 and o.decay <= 1) then fail(("ema: decay must be 0 to 1, got %s"):format(o.decay)) end
  local names, values = names_and_values(net)
  local averages = {}
  for i, p in ipairs(values) do averages[i] = p:detach():clone() end
  return setmetatable({
    decay = o.decay, warmup = o.warmup, updates = 0, names = names, parameters = values, averages = averages, swapped = false,
  }, Ema)
end

--- To be called after each step of the optimizer.
function Ema:update()
  if self.swapped then fail "ema: update while the averages stand in the network; swap them back first" end
  local decay = self.decay
  if self.updates == 0 then
    decay = 0
  elseif self.warmup then
    decay = math.min(decay, (1 + self.updates) / (10 + self.updates))
  end
  internals.approach(self.averages, self.parameters, 1 - decay)
  self.updates = self.updates + 1
end

--- Exchanges parameters and averages; a second call puts them back.
function Ema:swap()
  tensor.no_grad(function()
    for i, p in ipairs(self.parameters) do
      local kept = p:detach():clone()
      p:copy_(self.averages[i])
      self.averages[i]:copy_(kept)
    end
  end)
  self.swapped = not self.swapped
end

--- Runs body with the averages in the network and gives its results; they are put back even when it fails.
function Ema:use(body)
  if self.swapped then fail "ema: the averages stand in the network already" end
  self:swap()
  local results = table.pack(pcall(body))
  self:swap()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Everything needed to go on: plain data, and the averages by the names of their parameters.
function Ema:state_dict()
  if self.swapped then fail "ema: state_dict while the averages stand in the network; swap them back first" end
  local tensors = {}
  for i, name in ipairs(self.names) do tensors[name] = self.averages[i] end
  return { decay = self.decay, warmup = self.warmup, updates = self.updates, tensors = tensors }
end

--- Goes on from a state_dict of the same network.
function Ema:load_state_dict(state)
  if self.swapped then fail "ema: load_state_dict while the averages stand in the network; swap them back first" end
  for i, name in ipairs(self.names) do
    local given = state.tensors[name]
    if not given then fail("ema: the state has no average of " .. name, "STATE_MISMATCH") end
    local mine, theirs = table.concat(self.averages[i]:shape(), ", "), table.concat(given:shape(), ", ")
    if mine ~= theirs then fail(("ema: %s is (%s), the state has (%s)"):format(name, mine, theirs), "STATE_MISMATCH") end
  end
  for i, name in ipairs(self.names) do self.averages[i]:copy_(state.tensors[name]) end
  self.decay, self.warmup, self.updates = state.decay, state.warmup or false, state.updates
  return self
end

return new
