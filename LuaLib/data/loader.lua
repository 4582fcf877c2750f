-- Mini-batches over tensors in memory.
--
--   local train = loader({ image = images, label = labels }, { batch_size = 64, shuffle = true, seed = 1 })
--   for epoch = train.epoch, 5 do
--     for batch in train:batches() do net(batch.image) ... #batch is the number of rows ... end
--   end
-- The order of an epoch depends on seed and epoch only. `state_dict` remembers the very next batch.
local tensor = require "tensor"

local Loader = {}
Loader.__index = Loader
Loader.__name = "Loader"
--- The number of batches of an epoch.
Loader.__len = function(self)
  local size = self.batch_size
  return self.drop_last and self.rows // size or (self.rows + size - 1) // size
end

local Batch = { __len = function(self) return rawget(self, "_rows") end, __name = "Batch" }

local known = { batch_size = true, shuffle = true, seed = true, drop_last = true, transform = true }

local function new(columns, opts)
  opts = opts or {}
  for key in pairs(opts) do
    if not known[key] then
      fail("loader: unknown option '" .. tostring(key) .. "'; options are: batch_size, drop_last, seed, shuffle, transform")
    end
  end
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
  return setmetatable({
    columns = columns, rows = rows, batch_size = size, shuffle = opts.shuffle or false, seed = seed,
    drop_last = opts.drop_last or false, transform = opts.transform, epoch = 1, position = 0,
  }, Loader)
end

-- The order of the rows in this epoch, nil for their own order.
local function order(self)
  if not self.shuffle then return nil end
  return tensor.randperm(self.rows, { seed = self.seed * 1000003 + self.epoch })
end

--- The batches of one epoch, from the next one that was not given yet. After the last one `epoch` is one more.
function Loader:batches()
  local rows = order(self)
  local count = #self
  return function()
    if self.position >= count then
      self.position, self.epoch = 0, self.epoch + 1
      return nil
    end
    local first = self.position * self.batch_size + 1
    local length = math.min(self.batch_size, self.rows - first + 1)
    local picked = rows and rows:narrow(1, first, length)
    local batch = { _rows = length }
    for name, column in pairs(self.columns) do
      batch[name] = picked and column:index_select(1, picked) or column:narrow(1, first, length)
    end
    setmetatable(batch, Batch)
    self.position = self.position + 1
    return self.transform and self.transform(batch) or batch
  end
end

--- Where the loader is.
function Loader:state_dict() return { epoch = self.epoch, position = self.position, seed = self.seed } end
--- Goes on where a state says.
function Loader:load_state_dict(state)
  self.epoch, self.position, self.seed = state.epoch, state.position, state.seed
  return self
end

return new
