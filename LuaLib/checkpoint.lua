-- Checkpoints: all that a training needs to go on with the same bits, in one file of the lake.
--
--   local parts = { net = net, optimizer = opt, schedule = sched, loader = train }
--   local saved = checkpoint.load(output, parts)            -- nil at the first start
--   local step = saved and saved.step or 0
--   for epoch = train.epoch, p.epochs do
--     for batch in train:batches() do
--       ... step = step + 1
--       if step % 100 == 0 then checkpoint.save(output, parts, { step = step, keep = 3 }) end
--     end
--   end
--   lake.save_model(output, { net = net })
--   checkpoint.delete(output)
-- Whatever has `state_dict` and `load_state_dict` can be a part; other parts are plain values and come back from `load`.
-- The state of the random numbers (`tensor.manual_seed`, dropout) is always in it. Lua's own math.random is not.
local files = require "_checkpoint"
local internals = require "_tensor"
local options = require "_options".check

local checkpoint = {}

-- What `load` itself says of a checkpoint.
local reserved = { number = true, path = true, step = true, metric = true, damaged = true }

-- The names of the parts, sorted, and which of them are objects with a state.
local function look(where, parts)
  if type(parts) ~= "table" then
    fail(where .. ": a table of parts is needed as second argument, as in { net = net, optimizer = opt }")
  end
  local names, is_object = {}, {}
  for name, part in pairs(parts) do
    if type(name) ~= "string" or name == "" or name:sub(1, 1) == "@" then
      fail(("%s: parts need names, such as net or optimizer; got %s"):format(where, tostring(name)))
    end
    if reserved[name] then fail(("%s: '%s' names a field of what load gives; take another name for the part"):format(where, name)) end
    names[#names + 1] = name
    if type(part) == "table" and type(part.state_dict) == "function" then
      if type(part.load_state_dict) ~= "function" then
        fail(("%s: part '%s' has state_dict but no load_state_dict"):format(where, name))
      end
      is_object[name] = true
    end
  end
  table.sort(names)
  return names, is_object
end

--- Writes a checkpoint of an output. It is there whole and on the disk when this returns, or not at all.
-- Options: step; keep (3), how many of the last ones stay; metric and best ("min" or "max"), to keep the best one too.
-- Gives its number.
function checkpoint.save(name, parts, opts)
  local o = options("checkpoint.save", opts, { step = true, keep = true, metric = true, best = true })
  if o.best and not o.metric then fail "checkpoint.save: the option 'best' needs the option 'metric'" end
  local names, is_object = look("checkpoint.save", parts)
  local seed, position = internals.random_state()
  local state = { ["@random"] = { seed = seed, position = position }, ["@objects"] = {} }
  for _, part in ipairs(names) do
    state["@objects"][part] = is_object[part]
    if is_object[part] then state[part] = parts[part]:state_dict() else state[part] = parts[part] end
  end
  return files.write(name, state, { step = o.step, metric = o.metric, best = o.best, keep = o.keep or 3 })
end

local function warn(text)
  local ok, task = pcall(require, "task")
  if ok then task.warn("%s", text) else print(text) end
end

-- The numbers to try, best choice first.
local function candidates(name, which)
  local all = files.list(name)
  local out = {}
  if math.type(which) == "integer" then return { which } end
  if which == "best" then
    local smallest
    for _, entry in ipairs(all) do
      if entry.metric and entry.metric == entry.metric then out[#out + 1] = entry end
      if entry.best then smallest = entry.best == "min" end
    end
    if #all > 0 and #out == 0 then fail(("checkpoint.load: no checkpoint of '%s' has a metric"):format(name)) end
    if #out > 0 and smallest == nil then
      fail(("checkpoint.load: the checkpoints of '%s' do not say which metric is best; save them with best = \"min\" or \"max\""):format(name))
    end
    table.sort(out, function(a, b)
      if a.metric == b.metric then return a.number > b.number end
      if smallest then return a.metric < b.metric end
      return a.metric > b.metric
    end)
  elseif which == nil or which == "last" then
    for i = #all, 1, -1 do out[#out + 1] = all[i] end
  else
    fail(("checkpoint.load: the option 'which' must be \"last\", \"best\" or a number, got %s"):format(tostring(which)))
  end
  for i, entry in ipairs(out) do out[i] = entry.number end
  return out
end

-- The first of the candidates that is whole; those that are damaged are passed by, aloud.
local function read(name, which)
  local numbers, damaged = candidates(name, which), {}
  for _, number in ipairs(numbers) do
    local ok, found = pcall(files.read, name, number)
    if ok then return found, damaged end
    local code = type(found) == "table" and found.code
    if math.type(which) == "integer" or (code ~= "CORRUPT_DATA" and code ~= "FILE_NOT_FOUND") then error(found, 0) end
    damaged[#damaged + 1] = found.message
    warn(found.message .. (#damaged < #numbers and "; the one before is used" or ""))
  end
  if #numbers > 0 then
    local text = "checkpoint.load: none of the %d checkpoints of '%s' can be used: %s"
    fail(text:format(#numbers, name, damaged[1]), "CORRUPT_DATA")
  end
  return nil
end

--- Puts the newest checkpoint of an output into the parts and goes on with its random numbers; nil when there is none.
-- Gives a table: number, path, step and metric as saved, and the parts that are plain values (`saved.extra`).
-- A damaged file is passed by with a warning (they are listed in `damaged`) and the one before is taken.
-- Options: which ("last", "best" or a number), random (true): whether the random numbers go on too, accepts: a function of that table;
-- unless it gives true, nothing takes a state and load gives nil. When one part refuses its state, those before it (by name) have taken theirs.
function checkpoint.load(name, parts, opts)
  local o = options("checkpoint.load", opts, { which = true, random = true, accepts = true })
  local names, is_object = look("checkpoint.load", parts)
  local found, damaged = read(name, o.which)
  if not found then return nil end
  local state = found.state
  local objects = state["@objects"]
  local out = { number = found.number, path = found.path, step = found.step, metric = found.metric, damaged = damaged }
  for part, value in pairs(state) do
    if part:sub(1, 1) ~= "@" and not objects[part] then out[part] = value end
  end
  if o.accepts and not o.accepts(out) then return nil end
  for _, part in ipairs(names) do
    if is_object[part] and not objects[part] then
      local there = {}
      for object in pairs(objects) do there[#there + 1] = object end
      table.sort(there)
      fail(("checkpoint.load: %s holds no part '%s'; it holds: %s"):format(found.path, part, table.concat(there, ", ")),
        "STATE_MISMATCH")
    end
  end
  for _, part in ipairs(names) do
    if is_object[part] then parts[part]:load_state_dict(state[part]) end
  end
  if o.random ~= false then internals.set_random_state(state["@random"].seed, state["@random"].position) end
  return out
end

--- The checkpoints of an output, oldest first: number, path, bytes, modified, and step, metric, best where they were given.
function checkpoint.list(name) return files.list(name) end

--- Removes all checkpoints of an output, as after its end.
function checkpoint.delete(name) files.delete(name) end

return checkpoint
