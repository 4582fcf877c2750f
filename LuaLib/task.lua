-- What Lua does better than Swift for `task`: formatted log lines, and trainings that go on after a kill.
local _, native = ...

local function line(level)
  return function(format, ...)
    if type(format) ~= "string" then format = tostring(format) end
    if select("#", ...) > 0 then
      local ok, text = pcall(string.format, format, ...)
      if not ok then fail("task.log: " .. text) end
      format = text
    end
    native.write_log(level, format)
  end
end

--- Writes a log line, formatted like string.format.
native.log = line "info"
native.debug = line "debug"
native.warn = line "warn"
native.error = line "error"

-- Under these names a checkpoint holds the plain values of a resumable, what run it is of, and the tables that were open.
local VALUES, RUN, INPUTS = "task.values", "task.run", "task.inputs"

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not same(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

-- The parts with a state, and the plain values.
local function sort_parts(parts)
  if type(parts) ~= "table" then fail "task.resumable: a table of parts is needed, as in { net = net, opt = opt, step = 0 }" end
  local objects, values = {}, {}
  for name, part in pairs(parts) do
    if type(name) ~= "string" then fail("task.resumable: parts need names, such as net or step; got " .. tostring(name)) end
    if name == "save" or name == "resumed" then fail(("task.resumable: '%s' is a field of its own; take another name"):format(name)) end
    local has_state = type(part) == "table" and type(part.state_dict) == "function"
    if has_state then objects[name] = part else values[name] = part end
  end
  return objects, values
end

-- Puts the newest checkpoint into the parts if it is of `run`; an error of a part says how to get out of it. Gives what was loaded (nil:
-- nothing), and whether there is one of another run.
local function load(output, objects, run)
  local checkpoint, json = require "checkpoint", require "json"
  local number, is_foreign = nil, false
  local ok, saved = pcall(checkpoint.load, output, objects, { accepts = function(found)
    is_foreign = not (found[RUN] and same(json.decode(found[RUN]), json.decode(run)))
    number = found.number
    return not is_foreign
  end })
  if ok then return saved, is_foreign end
  if not number or type(saved) ~= "table" or not saved.message then error(saved, 0) end
  local advice = "%s (checkpoint %d of an earlier run of '%s'; checkpoint.delete(\"%s\") begins anew)"
  fail("task.resumable: " .. advice:format(saved.message, number, output, output), saved.code)
end

--- A training that goes on where an earlier run was stopped by a kill, a crash, a time limit or a cancel; to be called in `run`.
-- `local state = task.resumable { net = net, opt = opt, sched = sched, loader = train, step = 0 }`: parts with a `state_dict` take what
-- they had at the last `state:save()` of this output, and the random numbers go on too; other values, which must be plain, are fields of
-- `state`, as saved. Fields that are set later are saved as well. `state.resumed` tells whether there was something to go on from.
-- `state:save { metric, best, keep }` writes a checkpoint, whole or not at all (options as of `checkpoint.save`).
-- When `run` has returned its table, the checkpoints of the output are removed. A run with another input or other params begins anew; its
-- first save removes what it found. Tables that have another version than then are named in a warning. Points of curves are not saved.
function native.resumable(parts)
  local objects, values = sort_parts(parts)
  local checkpoint, files, json = require "checkpoint", require "_checkpoint", require "json"
  local info = native.info()
  local output = info.output
  if not output or output == "" then fail "task.resumable: this run has no output, which its checkpoints are named after" end
  if not info.params then fail "task.resumable: it must be called in run, where the params are known" end
  local run, inputs = json.encode { input = info.input, params = info.params }, require("df").inputs()

  files.delete_at_end(output)
  local found, is_foreign = load(output, objects, run)
  if found then
    for name, value in pairs(found[VALUES]) do values[name] = value end
    native.log("goes on from checkpoint %d of %s", found.number, output)
    local began = {}
    for _, one in ipairs(found[INPUTS]) do began[one.id] = one.version end
    for _, one in ipairs(inputs) do
      if began[one.id] and began[one.id] ~= one.version then
        native.warn("'%s' is at version %d; the training that goes on began on version %d", one.id, one.version, began[one.id])
      end
    end
  elseif is_foreign then
    native.warn("the checkpoints of %s are of a run with another input or other params; this one begins anew", output)
  end

  local state = { resumed = found ~= nil }
  for name, part in pairs(objects) do state[name] = part end
  for name, value in pairs(values) do state[name] = value end

  local function save(_, opts)
    local saved, o = { [VALUES] = {}, [RUN] = run, [INPUTS] = inputs }, {}
    for name, value in pairs(state) do
      if objects[name] then
        saved[name] = value
      elseif name ~= "resumed" then
        saved[VALUES][name] = value
      end
    end
    for name, value in pairs(opts or {}) do o[name] = value end
    if o.step == nil and math.type(state.step) == "integer" then o.step = state.step end
    local number = checkpoint.save(output, saved, o)
    if is_foreign then files.delete(output, number) end
    is_foreign = false
    return number
  end
  return setmetatable(state, { __index = { save = save }, __name = "Resumable" })
end

return native
