-- Models as objects on top of the lake's primitives: lake.save_model, lake.model(name):load().
local _, native = ...
local records = require "_lake"
local df = require "df"
local inputs = require "_inputs"

local open = native.open
--- A data set of the lake as a table; remembered as an input of this run.
native.open = function(name, opts)
  local table = open(name, opts)
  inputs.add(name, table:version())
  return table
end

local saved = { net = true, metrics = true, params = true, signature = true, labels = true, lineage = true }

local function lineage(extra)
  local task = require "task"
  local out = {}
  for key, value in pairs(task.info()) do out[key] = value end
  out.params, out.threads = nil, nil                   -- the model's hyperparameters say what was kept of them; bits are the same
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

--- A search in a table, gathered step by step; everything else that is called is a method of the frame of its rows.
local Query = {}
Query.__name = "Query"
Query.__index = function(query, name)
  if Query[name] then return Query[name] end
  return function(_, ...)
    local frame = query:frame()
    return frame[name](frame, ...)
  end
end
Query.__tostring = function(query) return ("Query(%d nearest in %s)"):format(query.opts.k or 10, tostring(query.table)) end

local function set(query, name, value)
  query.opts[name] = value
  query.found = nil
  return query
end
--- At most this many rows (10).
function Query:limit(rows) return set(self, "k", rows) end
--- The column of vectors, where there are several.
function Query:column(name) return set(self, "column", name) end
--- "l2", "cosine" or "dot".
function Query:metric(name) return set(self, "metric", name) end
--- The same as metric.
function Query:distance_type(name) return set(self, "metric", name) end
--- How many partitions of an index are looked into (20).
function Query:nprobes(count) return set(self, "probes", count) end
--- How many times the wanted rows are measured exactly behind an index (10).
function Query:refine_factor(factor) return set(self, "refine", factor) end
--- Looks at every row instead of using an index.
function Query:exact() return set(self, "exact", true) end
--- Only these columns, and the distance.
function Query:select(...)
  local columns = ...
  return set(self, "select", type(columns) == "table" and columns or { ... })
end
--- Only rows for which this is true, an expression or a text: applied before the search, so that no neighbour is lost.
function Query:where(condition)
  if type(condition) == "string" then condition = df.sql_filter(condition) end
  local before = self.opts.where
  return set(self, "where", before and before & condition or condition)
end
--- The nearest rows as a frame, with `_distance`.
function Query:frame()
  local found = rawget(self, "found") or self.table:nearest(self.vector, self.opts)
  self.found = found
  return found
end

extend("Frame", {
  --- Of a table: the rows nearest to a vector, t:search(v):where("price < 10"):limit(5):collect().
  -- Of a frame of queries: queries:search(t, { vector = "embedding", k = 5 }) finds the nearest rows of `t` for each of its
  -- rows; the columns `_query` (its position, from 1), `_distance` and `_rank` say which is which.
  search = function(self, what, opts)
    local given = {}
    for key, value in pairs(opts or {}) do given[key] = value end
    if native_type(what) ~= "Table" then
      if native_type(self) ~= "Table" then fail "search: a frame of queries needs the table to search in as first argument" end
      if type(given.where) == "string" then given.where = df.sql_filter(given.where) end
      return setmetatable({ table = self, vector = what, opts = given }, Query)
    end
    local vector = given.vector
    if vector == nil then fail "search: give the column of the query vectors, as in { vector = \"embedding\" }" end
    given.vector = nil
    if type(vector) == "string" then vector = df.col(vector) end
    return what:nearest(self:select { queries = vector }:collect():array "queries", given)
  end,
})

-- Rows as a frame. A column `vector` of equally long lists becomes a column of vectors, as in LanceDB.
local function rows(data, schema)
  if type(data) ~= "table" then return data end
  local frame = df.from_rows(data, { schema = schema })
  local first = data[1] and data[1].vector
  if type(first) == "table" and not (schema and schema.vector) then
    frame = frame:with("vector", df.col "vector":cast(("f32[%d]"):format(#first)))
  end
  return frame
end

extend("Table", {
  --- Adds rows: a frame, or a list of tables.
  add = function(self, data) return self:append(rows(data)) end,
  --- Rows, or those that meet a condition.
  count_rows = function(self, condition)
    if condition == nil then return self:count() end
    return self:where(condition):count()
  end,
})

local Database = {}
Database.__index = Database
Database.__name = "Database"

--- The lake with LanceDB's names: db:create_table, db:open_table, db:table_names, db:drop_table.
function native.connect() return setmetatable({}, Database) end

--- Names of all data sets.
function Database:table_names() return native.list() end
--- A data set as a table.
function Database:open_table(name, opts) return native.open(name, opts) end
--- A new data set of a frame or a list of rows; opts: mode = "create" or "overwrite", schema.
function Database:create_table(name, data, opts)
  opts = opts or {}
  rows(data, opts.schema):write(name, { mode = opts.mode })
  return native.open(name)
end
--- Deletes a data set.
function Database:drop_table(name) return native.delete(name) end

return native
