-- Layers made of layers: sequential, residual, and lambda for a plain function.
local module = require "nn.module"

local container = {}

-- Runs one layer; an error gets the layer's place put in front, and keeps its code.
local function run(layer, number, x, fused)
  local ok, y = pcall(layer.forward, layer, x, fused)
  if ok then return y end
  local place = ("in layer %d (%s): "):format(number, layer.type)
  if type(y) == "table" and y.message then fail(place .. tostring(y.message), y.code) end
  fail(place .. tostring(y))
end

local function adopt(self, layers)
  self.layers = {}
  for i, layer in ipairs(layers) do
    if type(layer) == "function" then layer = container.lambda(layer) end
    if not module.is(layer) then
      fail(("%s: element %d must be a layer or a function, got %s"):format(self.type, i, type(layer)))
    end
    self.layers[i] = layer
    self:add_child(tostring(i - 1), layer)
  end
end

local function forward(self, x)
  local layers = self.layers
  local i, n = 1, #layers
  while i <= n do
    local layer, after = layers[i], layers[i + 1]
    -- A relu right after conv2d, linear or a batch norm is done while the result is still in the cache, and so is pooling by 2 x 2
    -- after conv2d and relu.
    local fuses, fused, taken = layer.class.fuses, nil, 1
    if fuses and after and after.type == "relu" then
      fused, taken = "relu", 2
      local third = layers[i + 2]
      if fuses.maxpool2d and third and third.type == "maxpool2d" and third.is_two_by_two then fused, taken = "maxpool2d", 3 end
    end
    x = run(layer, i, x, fused)
    i = i + taken
  end
  return x
end

local function graph(self)
  local layers, first = {}, {}
  for i, layer in ipairs(self.layers) do
    -- A layer that stands here twice has one set of weights: the second place only refers to the first.
    local shared = first[layer]
    first[layer] = shared or i
    local ok, found = true, { type = "shared", layer = shared }
    if not shared then ok, found = pcall(layer.graph, layer) end
    if not ok then
      fail(("in layer %d (%s): %s"):format(i, layer.type, type(found) == "table" and found.message or tostring(found)),
        type(found) == "table" and found.code or nil)
    end
    layers[i] = found
  end
  return { type = self.type, layers = layers }
end

local function describe(self)
  local out = {}
  for i, layer in ipairs(self.layers) do out[i] = "  " .. i .. ": " .. tostring(layer):gsub("\n", "\n  ") end
  return "\n" .. table.concat(out, "\n") .. "\n"
end

local function layered(name, run_layers)
  local class
  class = module.define(name, {
    forward = run_layers, graph = graph, describe = describe,
    from_graph = function(layers)
      local self = class.new {}
      adopt(self, layers)
      return self
    end,
  })
  return function(layers)
    if type(layers) ~= "table" or module.is(layers) then fail("nn." .. name .. " takes a list of layers: { ... }") end
    return class.from_graph(layers)
  end
end

--- Layers one after the other.
---@name nn.sequential(layers)
container.sequential = layered("sequential", forward)

local function shape_text(t) return "(" .. table.concat(t:shape(), ", ") .. ")" end

-- A residual block: `shortcut` is a child of its own, or nil for x itself.
local residual
local function set_shortcut(self, layer)
  self.shortcut = layer
  self:add_child("shortcut", layer)
end
residual = module.define("residual", {
  forward = function(self, x)
    local y = forward(self, x)
    local shortcut = rawget(self, "shortcut")
    local short = shortcut and shortcut(x) or x
    if shape_text(y) ~= shape_text(short) then
      fail(("residual: the layers give %s, but %s %s"):format(shape_text(y), shortcut and "the shortcut gives" or "x is",
        shape_text(short)), "SHAPE_MISMATCH")
    end
    return y + short
  end,
  graph = function(self)
    local plain = graph(self)
    local shortcut = rawget(self, "shortcut")
    plain.shortcut = shortcut and shortcut:graph() or nil
    return plain
  end,
  describe = function(self)
    local shortcut = rawget(self, "shortcut")
    return describe(self) .. (shortcut and "  shortcut: " .. tostring(shortcut):gsub("\n", "\n  ") .. "\n" or "")
  end,
  from_graph = function(layers, plain)
    local self = residual.new {}
    adopt(self, layers)
    if plain.shortcut then set_shortcut(self, container.from_graph(plain.shortcut)) end
    return self
  end,
})

--- x + f(x), f being the layers one after the other; the shape must stay the same. Options: shortcut, layers that x goes through where f changes the shape.
---@name nn.residual(layers, opts)
container.residual = function(layers, opts)
  if type(layers) ~= "table" or module.is(layers) then fail "nn.residual takes a list of layers: { ... }" end
  local o = module.options("residual", opts, { shortcut = true })
  local self = residual.new {}
  adopt(self, layers)
  if o.shortcut then
    set_shortcut(self, module.is(o.shortcut) and o.shortcut or container.sequential(o.shortcut))
  end
  return self
end

local lambda = module.define("lambda", {
  is_private = true,
  forward = function(self, x) return self.config.body(x) end,
  describe = function() return "function" end,
})
--- A layer of a function. It has no parameters and cannot be saved as a graph.
function container.lambda(body)
  if type(body) ~= "function" then fail("nn.lambda takes a function, got " .. type(body)) end
  return lambda.new { body = body }
end

--- A network from the plain data of `net:graph()`.
function container.from_graph(graph_table)
  if type(graph_table) ~= "table" or type(graph_table.type) ~= "string" then
    fail "from_graph: a table with a type is needed"
  end
  local class = module.types[graph_table.type]
  if not class or class.is_private then
    local names = {}
    for name, found in pairs(module.types) do
      if not found.is_private then names[#names + 1] = name end
    end
    table.sort(names)
    fail(("from_graph: unknown layer type '%s'; types are: %s"):format(graph_table.type, table.concat(names, ", ")))
  end
  if class.from_graph then
    local layers = {}
    for i, layer in ipairs(graph_table.layers or {}) do
      if layer.type == "shared" then
        layers[i] = layers[layer.layer] or fail(("from_graph: layer %d shares a layer that is not before it"):format(i))
      else
        layers[i] = container.from_graph(layer)
      end
    end
    return class.from_graph(layers, graph_table)
  end
  local config = {}
  for key, value in pairs(graph_table) do
    if key ~= "type" then config[key] = value end
  end
  return class.new(config)
end

return container
