-- inspect: values as readable text. inspect.pretty(value, { depth = 4, width = 100 })
local M = {}

local reserved = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while")
  :gmatch "%a+" do reserved[word] = true end

-- Name of a value's type: "Tensor", "Frame" for objects, else as type() says; "null" for json.null.
function M.type_name(value)
  local kind = type(value)
  if kind ~= "userdata" then return kind end
  return native_type(value)
end

local function key_text(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" and not reserved[key] then return key end
  return "[" .. M.pretty(key) .. "]"
end

local rank = { number = 1, string = 2, boolean = 3 }
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return (rank[ta] or 4) < (rank[tb] or 4) end
  if ta == "number" or ta == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local function number_text(n)
  if math.type(n) == "integer" then return tostring(n) end
  if n ~= n then return "nan" end
  if n == math.huge then return "inf" elseif n == -math.huge then return "-inf" end
  local short = ("%.14g"):format(n)
  if tonumber(short) ~= n then short = ("%.17g"):format(n) end
  return short:find "[%.einf]" and short or short .. ".0"
end

local function string_text(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c)
    if c == "\n" then return "\\n" elseif c == "\t" then return "\\t" elseif c == '"' then return '\\"' elseif c == "\\" then return "\\\\" end
    return ("\\%03d"):format(c:byte())
  end) .. '"'
end

local function write(value, level, seen, options)
  local kind = type(value)
  if kind == "string" then return string_text(value) end
  if kind == "number" then return number_text(value) end
  if kind ~= "table" then
    local ok, text = pcall(tostring, value)
    return ok and text or "<" .. M.type_name(value) .. ">"
  end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, value)
    if ok then return text end
  end
  if seen[value] then return "<cycle>" end
  if level > options.depth then return "{...}" end
  seen[value] = true
  local parts, n, shown = {}, rawlen(value), 0
  for i = 1, n do
    if shown == options.items then break end
    parts[#parts + 1] = write(rawget(value, i), level + 1, seen, options)
    shown = shown + 1
  end
  local keys = {}
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for _, key in ipairs(keys) do
    if shown == options.items then break end
    parts[#parts + 1] = key_text(key) .. " = " .. write(rawget(value, key), level + 1, seen, options)
    shown = shown + 1
  end
  if n + #keys > shown then parts[#parts + 1] = ("... %d more"):format(n + #keys - shown) end
  seen[value] = nil
  if #parts == 0 then return "{}" end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #line + 2 * level <= options.width and not line:find("\n", 1, true) then return line end
  local pad = ("  "):rep(level)
  return "{\n" .. pad .. "  " .. table.concat(parts, ",\n" .. pad .. "  ") .. "\n" .. pad .. "}"
end

-- Text of any value: tables by content (keys sorted), objects by their tostring. Never raises.
function M.pretty(value, options)
  options = options or {}
  return write(value, 0, {}, { depth = options.depth or 6, width = options.width or 100, items = options.items or 100 })
end

return M
