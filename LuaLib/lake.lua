-- Models as objects on top of the lake's primitives: lake.save_model, lake.model(name):load().
local _, native = ...
local records = require "_lake"
local df = require "df"

native.open = df.read_lance

local saved = { net = true, metrics = true, params = true, signature = true, labels = true, lineage = true }

local function lineage(extra)
  local task = require "task"
  local out = {}
  for key, value in pairs(task.info()) do out[key] = value end
  out.inputs = df.inputs()
  out.engine = "moonlake"
  for key, value in pairs(extra or {}) do out[key] = value end
  return out
end

--- Saves a network with all that serving needs: graph, weights, metrics, params, signature, labels, lineage and metric curves.
-- A model that exists gets a new version. Gives the version.
function native.save_model(output, parts)
  if type(parts) ~= "table" then fail "save_model: a table with net = ... is needed as second argument" end
  for key in pairs(parts) do
    if not saved[key] then
      local known = "labels, lineage, metrics, net, params, signature"
      fail(("save_model: unknown option '%s'; options are: %s"):format(tostring(key), known))
    end
  end
  local net = parts.net
  if net == nil then fail "save_model: net is missing" end
  local tensor, task = require "tensor", require "task"
  return records.save(output, {
    graph = net:graph(),
    weights = tensor.to_safetensors(net:state_dict()),
    metrics = parts.metrics or {},
    hyperparameters = parts.params or {},
    signature = parts.signature,
    labels = parts.labels,
    lineage = lineage(parts.lineage),
    curves = task.points(),
  })
end

local Model = {}
Model.__index = Model
Model.__name = "Model"
Model.__tostring = function(self) return ("Model(%s, version %d)"):format(self.name, self.version) end

--- The network, built from the saved graph, with the saved weights. No training script is needed.
function Model:load()
  local nn, tensor = require "nn", require "tensor"
  local net, state = nn.from_graph(self.graph), tensor.from_safetensors(self.weights)
  for _, weight in pairs(state) do
    if weight:dtype() == "f64" then net:to "f64" break end
  end
  net:load_state_dict(state)
  return net
end

--- The newest version of this model as another Model; nil when this is the newest.
function Model:newer()
  local version = records.version_of(self.path)
  if version and version > self.version then return native.model(self.name) end
  return nil
end

--- A saved model by name (also name@tag, name#version or its path), newest version unless said.
function native.model(name, opts)
  return setmetatable(records.load(name, opts), Model)
end

return native
