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

-- Under this name a checkpoint holds the plain values of a resumable, and what run it is of.
local VALUES, RUN = "task.values", "task.run"

-- True for values that stand in the JSON or Lua text of two runs alike.
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not same(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

--- A training that goes on where an earlier run was stopped by a kill, a crash, a time limit or a cancel.
-- `local state = task.resumable { net = net, opt = opt, sched = sched, loader = train, step = 0 }`: parts with a `state_dict` take what
-- they had at the last `state:save()` of this output, and the random numbers go on too; other values, which must be plain, are fields of
-- `state`, as saved. Fields that are set later are saved as well. `state.resumed` tells whether there was something to go on from.
-- `state:save { metric, best, keep }` writes a checkpoint, whole or not at all (options as of `checkpoint.save`).
-- When `run` has returned its table the checkpoints are removed. A run with another input or other params begins anew.
function native.resumable(parts)
  local checkpoint, files = require "checkpoint", require "_checkpoint"
  if type(parts) ~= "table" then fail "task.resumable: a table of parts is needed, as in { net = net, opt = opt, step = 0 }" end
  local info = native.info()
  local output = info.output
  if not output or output == "" then fail "task.resumable: this run has no output, which its checkpoints are named after" end
  local run = { input = info.input, params = info.params }

  local state, saved_parts = { resumed = false }, { [VALUES] = {}, [RUN] = run }
  for name, part in pairs(parts) do
    if type(name) ~= "string" then fail("task.resumable: parts need names, such as net or step; got " .. tostring(name)) end
    if name == "save" or name == "resumed" then fail(("task.resumable: '%s' is a field of its own; take another name"):format(name)) end
    state[name] = part
    if type(part) == "table" and type(part.state_dict) == "function" then saved_parts[name] = part end
  end

  files.delete_at_end(output)
  local found = checkpoint.load(output, {}, { random = false })          -- plain values only: whose it is
  if found then
    if same(found[RUN], run) then
      local saved = checkpoint.load(output, saved_parts, { which = found.number })
      for name, value in pairs(saved[VALUES]) do state[name] = value end
      state.resumed = true
      native.log("goes on from checkpoint %d of %s", saved.number, output)
    else
      native.warn("the checkpoints of %s are of a run with another input or other params; this one begins anew", output)
    end
  end

  local function save(_, opts)
    local values, o = {}, {}
    for name, value in pairs(state) do
      if not saved_parts[name] and name ~= "resumed" then values[name] = value end
    end
    saved_parts[VALUES] = values
    for name, value in pairs(opts or {}) do o[name] = value end
    if o.step == nil and math.type(state.step) == "integer" then o.step = state.step end
    return checkpoint.save(output, saved_parts, o)
  end
  return setmetatable(state, { __index = { save = save }, __name = "Resumable" })
end

return native
