-- What scripts cannot do (features.md 5.3, items 27-40).
local test = require "test"

local function absent(name)
  test.raises("'" .. name .. "'", load("return " .. name))
end

test.case("27: no bytecode", function()
  test.equal(string.dump, nil)
  local chunk, why = load("\27Lua\x54\0\x19\x93\r\n\x1a\n\4\8\8xV\0\0\0")
  test.equal(chunk, nil)
  test.truthy(why:find "attempt to load a binary chunk", why)
  for _, mode in ipairs { "b", "bt", "anything" } do test.equal(load("\27Lua", "x", mode), nil) end
  local parts = { "\27", "Lua" }
  test.equal(load(function() return table.remove(parts, 1) end), nil)
  test.equal(load("return 1 + 1", "x", "b")(), 2)
end)

test.case("28: nothing of the machine is in reach", function()
  for _, name in ipairs { "io", "debug", "package", "dofile", "loadfile", "loadstring", "unpack", "setfenv", "getfenv", "module", "newproxy" } do
    absent(name)
  end
  for _, name in ipairs { "execute", "exit", "remove", "rename", "tmpname", "getenv", "setlocale" } do test.equal(os[name], nil) end
  for _, name in ipairs { "io", "debug", "package", "ffi", "os.execute", "lake.internal", "_testing", "meta.json", "../secret", "a/b", "", "a..b",
    "/etc/passwd", "task\0x" } do
    test.raises("", function() require(name) end)
  end
  test.equal(require "string", string)
end)

test.case("28: a removed name says what to use", function()
  test.raises([['io' is not available to scripts: use require "fs"]], load "io.open 'x'")
  test.raises("'json'; write local json = require \"json\"", load "return json.encode(1)")
  test.raises("global is not declared: 'prnt'; did you mean 'print'?", load "prnt 'x'")
end)

test.case("29: shared tables are read-only", function()
  test.raises("library 'string' is read-only: field 'rep' cannot be set", function() string.rep = print end)
  test.raises("module 'json' is read-only", function() require "json".encode = print end)
  test.raises("rawset: the table is read-only", rawset, string, "rep", print)
  test.raises("cannot change a protected metatable", setmetatable, string, {})
  test.raises("read-only", table.insert, math, 1)
  test.equal(getmetatable "", false)
  test.equal(getmetatable(string), false)
  test.raises("table expected, got string", setmetatable, "", {})
  test.raises("nil or table expected", setmetatable, {}, "")
  for _, library in ipairs { string, table, math, os, utf8, coroutine, require "json" } do
    local step, state = pairs(library)
    test.equal(rawequal(state, library), true)
    test.raises("", function() rawset(state, "x", 1) end)
    test.truthy(step(state))
  end
  test.equal(("x"):rep(3), "xxx")
  test.equal(next(string), nil)
end)

test.case("29: _G and _ENV give nothing more", function()
  test.equal(getmetatable(_G), false)
  test.raises("protected metatable", setmetatable, _G, nil)
  test.raises("read-only", rawset, _G, "x", 1)
  local function swapped() local _ENV = { print = 1 } return print end
  test.equal(swapped(), 1)
  test.equal(load("return print", "x", "t", {})(), nil)
end)

test.case("31: no finalizers, no forged metatables", function()
  local called = false
  test.raises("'__gc' is not available to scripts", setmetatable, {}, { __gc = function() called = true end })
  local meta = {}
  setmetatable({}, meta)
  meta.__gc = function() called = true end
  collectgarbage()
  collectgarbage()
  test.equal(called, false)
  local shielded = setmetatable({}, { __metatable = "no" })
  test.raises("cannot change a protected metatable", setmetatable, shielded, {})
  test.raises("table expected", setmetatable, coroutine.create(print), {})
end)

test.case("32: metamethods that fail or yield inside library calls", function()
  local evil = setmetatable({}, {
    __index = function() error "index" end, __len = function() error "len" end, __lt = function() error "lt" end,
    __tostring = function() error "tostring" end, __pairs = function() error "pairs" end, __concat = function() error "concat" end,
    __call = function() error "call" end,
  })
  test.raises("lt", table.sort, { evil, evil, evil })
  test.raises("len", table.concat, evil)
  test.raises("tostring", string.format, "%s", evil)
  test.raises("tostring", print, evil)
  test.raises("call", string.gsub, "x", "x", function() return evil() end)
  test.raises("index", string.gsub, "x", "x", evil)
  test.raises("pairs", pairs, evil)
  local yielding = coroutine.wrap(function()
    return table.sort({ 3, 2, 1 }, function() coroutine.yield() end)
  end)
  test.raises("attempt to yield across a C-call boundary", yielding)
  test.raises("'__tostring' must return a string", tostring, setmetatable({}, { __tostring = function() return {} end }))
end)

test.case("35: coroutines", function()
  local co = coroutine.create(function() end)
  coroutine.resume(co)
  test.equal({ coroutine.resume(co) }, { false, "cannot resume dead coroutine" })
  local me
  me = coroutine.create(function() return coroutine.resume(me) end)
  test.equal({ coroutine.resume(me) }, { true, false, "cannot resume non-suspended coroutine" })
  test.raises("coroutine expected", coroutine.resume, 1)
  test.raises("coroutine expected", coroutine.close, {})
  test.raises("outside a coroutine", coroutine.yield)
  test.raises("cannot close a running coroutine", function() coroutine.close((coroutine.running())) end)
  local function deep() return coroutine.wrap(deep)() end
  test.raises("C stack overflow", deep)
  local closed = {}
  co = coroutine.create(function()
    local c <close> = setmetatable({}, { __close = function() closed[#closed + 1] = "c" end })
    coroutine.yield(1)
  end)
  coroutine.resume(co)
  test.equal(coroutine.close(co), true)
  test.equal(closed, { "c" })
  test.equal(coroutine.status(co), "dead")
  co = coroutine.create(function()
    local c <close> = setmetatable({}, { __close = function() error "in close" end })
    coroutine.yield(1)
  end)
  coroutine.resume(co)
  local ok, why = coroutine.close(co)
  test.equal(ok, false)
  test.truthy(why:find "in close", why)
  local wrapped = coroutine.wrap(function()
    local c <close> = setmetatable({}, { __close = function() closed[#closed + 1] = "w" end })
    error { code = "INSIDE" }
  end)
  test.equal(select(2, pcall(wrapped)).code, "INSIDE")
  test.equal(closed, { "c", "w" })
  local list = {}
  for i = 1, 10000 do list[i] = coroutine.wrap(function() coroutine.yield(i) end) end
  test.equal(list[10000](), 10000)
end)

test.case("35: pcall and xpcall as in Lua", function()
  test.equal({ pcall(function(...) return select("#", ...), ... end, 1, nil, 3) }, { true, 3, 1, nil, 3 })
  test.equal({ xpcall(function(a, b) return a + b end, print, 1, 2) }, { true, 3 })
  test.equal({ xpcall(error, function(e) return e .. "!" end, "x") }, { false, "x!" })
  local co = coroutine.wrap(function() return pcall(function() return coroutine.yield(1) + 1 end) end)
  test.equal(co(), 1)
  test.equal({ co(41) }, { true, 42 })
  co = coroutine.wrap(function() return xpcall(function() coroutine.yield(1) error "late" end, function(e) return "handled " .. e:match "%a+$" end) end)
  co()
  test.equal({ co() }, { false, "handled late" })
  test.raises("bad argument #2", xpcall, print)
  test.raises("bad argument #1", pcall)
  test.equal(select("#", pcall(error)), 2)
end)

test.case("36: any error value", function()
  for _, value in ipairs { {}, { message = 1 }, print, coroutine.create(print), true, 12, ("x"):rep(1 << 20) } do
    test.equal(select(2, pcall(error, value)), value)
  end
  local t = {}
  t.t = t
  test.equal(select(2, pcall(error, t)), t)
  test.equal(select(2, xpcall(error, error, "x")) ~= nil, true)
end)

test.case("38: addresses are hidden", function()
  local t = {}
  test.equal(tostring(t), tostring(t))
  test.truthy(tostring(t) ~= tostring {})
  test.truthy(tostring(t):find "^table: %x%x%x%x%x%x%x%x$", tostring(t))
  test.truthy(tostring(print):find "^function: %x+$")
  test.equal(("%s"):format(t), tostring(t))
  test.equal(("%5.1f|%-4s|%%|%q"):format(1, "a", "b"), '  1.0|a   |%|"b"')
  test.raises("invalid conversion '%p' to 'format'", string.format, "%p", t)
  test.raises("invalid conversion '%p' to 'format'", string.format, "%d %20p", 1, t)
  test.raises("number expected, got table", string.format, "%d", t)
  test.raises("bad argument #3 to", string.format, "%s %s", 1)
  test.equal(tostring(setmetatable({}, { __name = "Mine" })):match "^Mine: ", "Mine: ")
  test.equal({ tostring(nil), tostring(1.0), tostring "x", tostring(true) }, { "nil", "1.0", "x", "true" })
end)

test.case("39: collectgarbage counts, collects, steps", function()
  test.truthy(collectgarbage "count" > 10)
  test.equal(collectgarbage(), 0)
  test.equal(type(collectgarbage "step"), "boolean")
  for _, option in ipairs { "stop", "restart", "incremental", "generational", "setpause" } do
    test.raises("invalid option '" .. option, collectgarbage, option)
  end
end)

test.case("40: the parser holds", function()
  test.truthy(load("return " .. ("{"):rep(150) .. ("}"):rep(150)))
  test.equal(load("return " .. ("{"):rep(1e5) .. ("}"):rep(1e5)), nil)
  test.equal(load("return " .. ("("):rep(1e5) .. "1" .. (")"):rep(1e5)), nil)
  local lines = {}
  for i = 1, 300 do lines[i] = "local a" .. i end
  test.truthy(select(2, load(table.concat(lines, "\n"))):find "too many local variables")
  test.truthy(load(("x = 1\n"):rep(1e5)))
  test.equal(load "local x <const> = 1; x = 2", nil)
  test.equal(load "goto nowhere", nil)
  test.equal(load("--[==[" .. ("]"):rep(1000)), nil)
end)

test.case("44, 45, 48: bombs of the string and table libraries", function()
  test.raises("MEMORY_LIMIT", string.rep, "x", 1 << 30)
  test.raises("resulting string too large", string.rep, "x", 1 << 40)
  test.raises("resulting string too large", string.rep, "x", math.maxinteger, "y")
  test.equal(string.rep("", math.maxinteger), "")
  test.equal(string.rep("x", -1), "")
  test.raises("table.move: more than 100000000 elements", table.move, {}, 1, 1 << 60, 2)
  test.raises("table.concat: more than", table.concat, setmetatable({}, { __index = function() return "" end }), "", 1, 1 << 60)
  test.raises("table.unpack: more than", table.unpack, {}, 1, 1 << 60)
  test.raises("table.unpack: more than", table.unpack, {}, math.mininteger, math.maxinteger)
  test.raises("too many results to unpack", table.unpack, {}, 1, 1e7)
  test.equal({ table.unpack({ 1, 2, 3 }, 2) }, { 2, 3 })
  test.equal(table.concat({ 1, 2, 3 }, ",", 2), "2,3")
  test.equal(table.move({ 1, 2, 3 }, 2, 3, 1), { 2, 3, 3 })
  local function deep(n) return 1 + deep(n + 1) end
  test.raises("stack overflow", deep, 1)
  local function nested() return pcall(nested) end
  test.truthy(nested() ~= nil)
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(self, k) return self[k + 1] end
  test.raises("C stack overflow", function() return t[1] end)
  test.raises("invalid", string.format, "%200d", 1)
end)

test.case("46: memory bombs end in MEMORY_LIMIT, and the script goes on", function()
  test.raises("MEMORY_LIMIT", function()
    local s = "xxxxxxxxxxxxxxxx"
    while true do s = s .. s end
  end)
  test.raises("MEMORY_LIMIT", coroutine.wrap(function()
    local t = { ("x"):rep(1 << 20) }
    while true do t[1] = t[1] .. t[1] end
  end))
  test.equal(1 + 1, 2)
end)
