-- Data sets that this script has read, for the lineage of what it saves. For LuaLib only.
local versions = {}

local M = {}

--- Notes that version `version` of data set `name` is an input of this run.
function M.add(name, version) versions[name] = version end

--- A list of { id, version }, by name.
function M.list()
  local out = {}
  for name, version in pairs(versions) do out[#out + 1] = { id = name, version = version } end
  table.sort(out, function(a, b) return a.id < b.id end)
  return out
end

return M
