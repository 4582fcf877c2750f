-- The base of all layers: parameters, buffers, children, modes, state and graphs.
--
-- A layer type is made by `module.define(type, { build = function(self, config), forward = function(self, x) })`.
-- `config` is plain data; a layer can be built again from it, which is what `graph` and `nn.from_graph` do.
-- Names of parameters are those PyTorch gives the same network ("0.weight": children count from 0 there), so that weights
-- can be exchanged; positions in error messages count from 1.
local tensor = require "tensor"

local module = { types = {} }

local Module = {}
local method = {}
module.method = method   -- nn.graph adds to it

Module.__index = function(self, key)
  local found = method[key]
  if found ~= nil then return found end
  local class = rawget(self, "class")
  return class and class[key]
end
Module.__call = function(self, ...) return self:forward(...) end
Module.__tostring = function(self) return "nn." .. self.type .. "(" .. self:describe() .. ")" end
Module.__name = "nn.Module"

--- Checks a table of options against the names a layer knows.
module.options = require "_options".check

--- A positive whole number, or an error naming the argument.
function module.count(where, name, value, least)
  if math.type(value) ~= "integer" or value < (least or 1) then
    fail(("%s: %s must be a whole number of at least %d, got %s"):format(where, name, least or 1, tostring(value)))
  end
  return value
end

--- Channels of a convolution: both counts and the groups that they are split into.
function module.channels(where, c)
  module.count(where, "in_channels", c.in_channels)
  module.count(where, "out_channels", c.out_channels)
  module.count(where, "groups", c.groups)
  if c.in_channels % c.groups ~= 0 or c.out_channels % c.groups ~= 0 then
    fail(("%s: %d and %d channels cannot be split into %d groups"):format(where, c.in_channels, c.out_channels, c.groups))
  end
end

--- A whole number or {height, width}, as two numbers.
function module.pair(where, name, value, least)
  if type(value) == "table" then
    return { module.count(where, name, value[1], least), module.count(where, name, value[2], least) }
  end
  module.count(where, name, value, least)
  return { value, value }
end

--- Makes a layer type. `class.build(self, config)` adds parameters, `class.forward(self, x)` computes.
function module.define(name, class)
  module.types[name] = class
  class.new = function(config)
    local self = setmetatable({
      type = name, class = class, config = config or {}, training = true,
      own_parameters = {}, own_buffers = {}, children = {},
    }, Module)
    if class.build then class.build(self, self.config) end
    return self
  end
  return class
end

function module.is(value) return type(value) == "table" and getmetatable(value) == Module end

--- Adds a parameter (trained) under `name`; it is also `self[name]`.
function method:add_parameter(name, value)
  self.own_parameters[#self.own_parameters + 1] = name
  self[name] = value:requires_grad_()
end

--- Adds a buffer (saved, not trained) under `name`.
function method:add_buffer(name, value)
  self.own_buffers[#self.own_buffers + 1] = name
  self[name] = value
end

--- Adds a child layer; `name` is its part of parameter names.
function method:add_child(name, child)
  self.children[#self.children + 1] = { name = name, module = child }
end

-- Calls visit(prefix, layer) for this layer and all below, parents first.
local function walk(self, prefix, visit)
  visit(prefix, self)
  for _, child in ipairs(self.children) do walk(child.module, prefix .. child.name .. ".", visit) end
end

--- A list of {name, tensor} of all parameters, in order. One that several layers share is listed once, by its first name.
function method:named_parameters()
  local out, seen = {}, {}
  walk(self, "", function(prefix, layer)
    for _, name in ipairs(layer.own_parameters) do
      local parameter = layer[name]
      if not seen[parameter] then
        seen[parameter] = true
        out[#out + 1] = { prefix .. name, parameter }
      end
    end
  end)
  return out
end

--- A list of {name, tensor} of all buffers, in order.
function method:named_buffers()
  local out = {}
  walk(self, "", function(prefix, layer)
    for _, name in ipairs(layer.own_buffers) do out[#out + 1] = { prefix .. name, layer[name] } end
  end)
  return out
end

--- A list of all parameters, in order.
function method:parameters()
  local out = {}
  for i, pair in ipairs(self:named_parameters()) do out[i] = pair[2] end
  return out
end

--- The number of trained values.
function method:count_parameters()
  local total = 0
  for _, p in ipairs(self:parameters()) do total = total + p:numel() end
  return total
end

local function set_mode(self, training)
  walk(self, "", function(_, layer) layer.training = training end)
  return self
end
-- Runs body with all layers at rest, and gives each its own mode back, also after an error.
function module.at_rest(self, body)
  local modes = {}
  walk(self, "", function(_, layer)
    modes[layer] = layer.training
    layer.training = false
  end)
  local result = table.pack(pcall(body))
  for layer, training in pairs(modes) do layer.training = training end
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end
--- Dropout drops and batch norm learns its statistics (the mode after making).
function method:train() return set_mode(self, true) end
--- Dropout rests and batch norm uses its statistics.
function method:eval() return set_mode(self, false) end

--- Forgets all gradients.
function method:zero_grad()
  for _, p in ipairs(self:parameters()) do p:zero_grad() end
  return self
end

--- Converts all parameters and buffers that are floats to "f32" or "f64".
function method:to(dtype)
  local converted = {}   -- a shared parameter stays shared
  walk(self, "", function(_, layer)
    for _, name in ipairs(layer.own_parameters) do
      local old = layer[name]
      converted[old] = converted[old] or old:detach():to(dtype):clone():requires_grad_()
      layer[name] = converted[old]
    end
    for _, name in ipairs(layer.own_buffers) do
      local kind = layer[name]:dtype()
      if kind == "f32" or kind == "f64" then layer[name] = layer[name]:to(dtype) end
    end
  end)
  return self
end

--- All parameters and buffers by name; they share memory with the network.
function method:state_dict()
  local out = {}
  walk(self, "", function(prefix, layer)
    for _, name in ipairs(layer.own_parameters) do out[prefix .. name] = layer[name]:detach() end
    for _, name in ipairs(layer.own_buffers) do out[prefix .. name] = layer[name]:detach() end
  end)
  return out
end

local function shape_text(t) return t:dtype() .. " (" .. table.concat(t:shape(), ", ") .. ")" end

--- Copies values in. With `strict` (true) names and shapes must be the same; the error lists all that differs.
function method:load_state_dict(state, opts)
  local strict = module.options("load_state_dict", opts, { strict = true }).strict
  local own, problems, names = self:state_dict(), {}, {}
  for name in pairs(own) do names[#names + 1] = name end
  for name in pairs(state) do
    if own[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local mine, given = own[name], state[name]
    if given == nil then
      problems[#problems + 1] = "missing: " .. name .. " " .. shape_text(mine)
    elseif mine == nil then
      problems[#problems + 1] = "not in the network: " .. name .. " " .. shape_text(given)
    elseif table.concat(mine:shape(), ",") ~= table.concat(given:shape(), ",") then
      problems[#problems + 1] = "different: " .. name .. " is " .. shape_text(mine) .. ", given " .. shape_text(given)
    end
  end
  if strict ~= false and #problems > 0 then
    fail("load_state_dict: the state does not fit the network:\n  " .. table.concat(problems, "\n  "), "STATE_MISMATCH")
  end
  tensor.no_grad(function()
    for name, mine in pairs(own) do
      local given = state[name]
      if given and table.concat(mine:shape(), ",") == table.concat(given:shape(), ",") then mine:copy_(given) end
    end
  end)
  return self
end

--- The layers and their settings as plain data, for `nn.from_graph`.
function method:graph()
  if self.class.graph then return self.class.graph(self) end
  if not module.types[self.type] or self.class.is_private then
    fail(("a layer of type '%s' cannot be written as a graph: it holds a Lua function"):format(self.type), "NOT_A_GRAPH")
  end
  local out = { type = self.type }
  for key, value in pairs(self.config) do out[key] = value end
  return out
end

--- The settings as text.
function method:describe()
  if self.class.describe then return self.class.describe(self) end
  local keys, out = {}, {}
  for key in pairs(self.config) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do
    local value = self.config[key]
    out[i] = key .. "=" .. (type(value) == "table" and "{" .. table.concat(value, ", ") .. "}" or tostring(value))
  end
  return table.concat(out, ", ")
end

--- A table of layers with the shapes they give (when the shape of an input is passed) and their parameters.
function method:summary(...)
  local shape = type((...)) == "table" and (...) or { ... }
  local lines = { ("%-4s %-20s %-22s %12s"):format("#", "layer", "output", "parameters") }
  local function line(number, layer, output)
    lines[#lines + 1] = ("%-4s %-20s %-22s %12d"):format(number, layer.type, output, layer:count_parameters())
  end
  local layers = self.type == "sequential" and self.layers or { self }
  if #shape > 0 then
    module.at_rest(self, function()
      tensor.no_grad(function()
        local x = tensor.zeros(shape)
        for i, layer in ipairs(layers) do
          x = layer(x)
          line(i, layer, "(" .. table.concat(x:shape(), ", ") .. ")")
        end
      end)
    end)
  else
    for i, layer in ipairs(layers) do line(i, layer, "") end
  end
  lines[#lines + 1] = ("total: %d parameters"):format(self:count_parameters())
  return table.concat(lines, "\n")
end

return module
