-- Looks for the layer and op where NaN, or an infinity, comes from.
local internals = require "_tensor"
local tensor = require "tensor"
local module = require "nn.module"

local function is_finite(t)
  local sum = (t:detach() * 0):sum():item()     -- 0 times NaN and 0 times infinity are NaN
  return sum == sum
end

local function float(t) return t:dtype() == "f32" or t:dtype() == "f64" end

-- What a network brings with it: "parameter 0.weight, f32 (4), holds NaN already", or nil.
local function in_state(net)
  local names, state, is_parameter = {}, net:state_dict(), {}
  for _, pair in ipairs(net:named_parameters()) do is_parameter[pair[1]] = true end
  for name in pairs(state) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local t = state[name]
    if float(t) and not is_finite(t) then
      local has_nan = t:ne(t):sum():item() > 0
      return ("%s %s, %s (%s), holds %s already"):format(is_parameter[name] and "parameter" or "buffer", name, t:dtype(),
        table.concat(t:shape(), ", "), has_nan and "NaN" or "infinity")
    end
  end
end

-- Calls visit(layer, place) for all layers below, place being what errors put in front: "in layer 2 (linear): ".
local function walk(net, place, visit)
  for i, child in ipairs(net.children) do
    local name = tonumber(child.name) and tostring(i) or "'" .. child.name .. "'"
    local below = ("%sin layer %s (%s): "):format(place, name, child.module.type)
    visit(child.module, below)
    walk(child.module, below, visit)
  end
end

--- Runs `body`, and backward from the loss it returns (if any), and gives a text that names the first op whose result or
-- gradient holds NaN or an infinity, and its layer in `net`; nil when all is finite. `net`'s gradients are forgotten before and
-- after. Options: infinities (true), whether an infinity counts. For looking: slow, as every result is read once more.
return function(net, body, opts)
  if not module.is(net) then fail("find_nan: a network is needed, got " .. type(net)) end
  local o = module.options("find_nan", opts, { infinities = true })
  local found = in_state(net)
  if found then return found end
  net:zero_grad()
  -- While it runs, each layer says that it runs: a `forward` of its own comes before that of its class.
  local watched = {}
  walk(net, "", function(layer, place)
    if rawget(layer, "forward") then return end   -- stands in two places; the first counts
    local forward = layer.class.forward
    watched[#watched + 1] = layer
    rawset(layer, "forward", function(self, ...)
      local before = internals.enter_layer(place)
      local results = table.pack(forward(self, ...))
      internals.enter_layer(before)
      return table.unpack(results, 1, results.n)
    end)
  end)
  local ok, problem = pcall(tensor.detect_anomaly, function()
    local loss = body()
    if tensor.is_tensor(loss) and loss.requires_grad then (loss:numel() == 1 and loss or loss:sum()):backward() end
  end, { infinities = o.infinities ~= false })
  for _, layer in ipairs(watched) do rawset(layer, "forward", nil) end
  net:zero_grad()
  if ok then return nil end
  if type(problem) == "table" and problem.code == "NOT_FINITE" then return problem.message end
  error(problem, 0)
end
