-- What Lua does better than Swift for `task`: formatted log lines.
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

return native
