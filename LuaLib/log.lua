-- log: lines with a level. log.info("epoch %d: %.3f", 1, 0.5)
local _, native = ...

local function writer(level)
  return function(format, ...)
    if select("#", ...) == 0 then return native.write(level, tostring(format)) end
    local ok, text = pcall(string.format, format, ...)
    if not ok then fail("log." .. level .. ": " .. tostring(text)) end
    native.write(level, text)
  end
end

native.debug = writer "debug"
native.info = writer "info"
native.warn = writer "warn"
native.warning = native.warn
native.error = writer "error"
return native
