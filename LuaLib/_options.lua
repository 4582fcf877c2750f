-- Tables of options, checked. For LuaLib only.
local M = {}

--- `given`, or an empty table for nil. What is not a table, and a name that `known` does not have, is an error that says `where`.
function M.check(where, given, known)
  if given == nil then return {} end
  if type(given) ~= "table" then fail(where .. ": options must be a table, got " .. type(given)) end
  for key in pairs(given) do
    if known[key] == nil then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      fail(where .. ": unknown option '" .. tostring(key) .. "'; options are: " .. table.concat(names, ", "))
    end
  end
  return given
end

--- A new table: `given` over `defaults`, whose types the values must have.
function M.over(where, given, defaults)
  local out = {}
  for key, value in pairs(defaults) do out[key] = value end
  for key, value in pairs(M.check(where, given, defaults)) do
    if type(value) ~= type(defaults[key]) then
      fail(("%s: option '%s' must be a %s, got %s"):format(where, key, type(defaults[key]), type(value)))
    end
    out[key] = value
  end
  return out
end

return M
