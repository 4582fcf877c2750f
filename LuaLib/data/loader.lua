-- Mini-batches over tensors in memory.
--
--   local train = loader({ image = images, label = labels }, { batch_size = 64, shuffle = true, seed = 1 })
--   for epoch = train.epoch, 5 do
--     for batch in train:batches() do net(batch.image) ... #batch is the number of rows ... end
--   end
-- The order of an epoch depends on seed and epoch only. `state_dict` remembers the very next batch, one that was not given yet.
-- With `prefetch = n` the next n batches are gathered (and augmented) on a thread beside the script while it computes; batches
-- and states are the same.
local tensor = require "tensor"
local augment = require "data.augment"
local batches = require "_batch"
local options = require "_options".check

local Loader = {}
Loader.__index = Loader
Loader.__name = "Loader"
--- The number of batches of an epoch.
Loader.__len = function(self)
  local size = self.batch_size
  return self.drop_last and self.rows // size or (self.rows + size - 1) // size
end

local Batch = { __len = function(self) return rawget(self, "_rows") end, __name = "Batch" }

local known = { batch_size = true, shuffle = true, seed = true, drop_last = true, transform = true, prefetch = true }

-- How many batches are made ahead: false, true (1) or a number.
local function depth(prefetch)
  if not prefetch then return 0 end
  if prefetch == true then return 1 end
  if math.type(prefetch) ~= "integer" or prefetch < 0 or prefetch > 64 then
    fail("loader: prefetch must be true, false or a whole number of 0 to 64, got " .. tostring(prefetch))
  end
  return prefetch
end

local function callable(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function new(columns, opts)
  opts = options("loader", opts, known)
  local rows, first
  local names = {}
  for name in pairs(columns) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local column = columns[name]
    if not tensor.is_tensor(column) then fail(("loader: column '%s' must be a Tensor, got %s"):format(name, type(column))) end
    if rows and #column ~= rows then
      fail(("loader: column '%s' has %d rows, column '%s' has %d"):format(name, #column, first, rows))
    end
    if not rows then rows, first = #column, name end
  end
  if not rows then fail "loader: at least one column is needed" end
  local size = opts.batch_size or 32
  if math.type(size) ~= "integer" or size < 1 then
    fail("loader: batch_size must be a whole number of at least 1, got " .. tostring(size))
  end
  local seed = opts.seed or 0
  if math.type(seed) ~= "integer" then fail("loader: seed must be a whole number, got " .. tostring(seed)) end
  local transform = opts.transform
  if transform ~= nil and not callable(transform) then
    fail("loader: transform must be a function or augment.compose { ... }, got " .. type(transform))
  end
  local self = setmetatable({
    columns = columns, rows = rows, batch_size = size, shuffle = opts.shuffle or false, seed = seed,
    drop_last = opts.drop_last or false, transform = transform, prefetch = depth(opts.prefetch), epoch = 1, position = 0,
  }, Loader)
  local native = augment.is(transform)
  local has_gradients = false
  for _, name in ipairs(names) do has_gradients = has_gradients or columns[name].requires_grad end
  -- Rows in their own order are views: nothing is to be made ahead.
  if native or (self.prefetch > 0 and self.shuffle and not has_gradients) then
    self.recipe = batches.recipe(columns, native and transform:pictures() or nil)
    self.pictures_seed = native and transform.seed
    if native then self.transform = nil end
  end
  return self
end

-- The order of the rows in this epoch, nil for their own order.
local function order(self)
  if not self.shuffle then return nil end
  return tensor.randperm(self.rows, { seed = self.seed * 1000003 + self.epoch })
end

-- What the native code needs to make batch `position` (from 0) of the epoch.
local function plan(self, rows, position)
  local before = position * self.batch_size
  return self.recipe, rows, before + 1, math.min(self.batch_size, self.rows - before), self.pictures_seed or self.seed,
    (self.epoch - 1) * self.rows + before
end

-- The columns of batch `position`, made ahead or now.
local function take(self, rows, position, jobs)
  if not self.recipe then
    local first = position * self.batch_size + 1
    local length = math.min(self.batch_size, self.rows - first + 1)
    local picked = rows and rows:narrow(1, first, length)
    local batch = {}
    for name, column in pairs(self.columns) do
      batch[name] = picked and column:index_select(1, picked) or column:narrow(1, first, length)
    end
    return batch
  end
  local job = jobs[position]
  jobs[position] = nil
  for next = position + 1, math.min(position + self.prefetch, #self - 1) do
    if not jobs[next] then
      -- No memory for one more batch: then it is made when it is wanted.
      local ok, begun = pcall(batches.begin, plan(self, rows, next))
      if not ok then break end
      jobs[next] = begun
    end
  end
  if job then return batches.finish(job) end
  return batches.make(plan(self, rows, position))
end

--- The batches of one epoch, from the next one that was not given yet. After the last one `epoch` is one more.
function Loader:batches()
  local rows = order(self)
  local count = #self
  local jobs = {}                         -- batches that are being made, by position
  local at, epoch, seed = self.position, self.epoch, self.seed
  return function()
    if self.position ~= at or self.epoch ~= epoch or self.seed ~= seed then   -- another state was loaded
      for _, job in pairs(jobs) do batches.give_up(job) end
      jobs, rows = {}, order(self)
      epoch, seed = self.epoch, self.seed
    end
    if self.position >= count then
      self.position, self.epoch = 0, self.epoch + 1
      return nil
    end
    local position = self.position
    local batch = take(self, rows, position, jobs)
    rawset(batch, "_rows", math.min(self.batch_size, self.rows - position * self.batch_size))
    setmetatable(batch, Batch)
    at = position + 1
    self.position = at
    return self.transform and self.transform(batch) or batch
  end
end

--- Where the loader is.
function Loader:state_dict()
  return { epoch = self.epoch, position = self.position, seed = self.seed, rows = self.rows, batch_size = self.batch_size }
end
--- Goes on where a state says. Rows and batches must be as many as they were: with others the next batch is another one.
function Loader:load_state_dict(state)
  for _, name in ipairs { "rows", "batch_size" } do
    if state[name] and state[name] ~= self[name] then
      fail(("loader: the state is of a loader with %s = %d, this one has %d"):format(name, state[name], self[name]), "STATE_MISMATCH")
    end
  end
  self.epoch, self.position, self.seed = state.epoch, state.position, state.seed
  return self
end

return new
