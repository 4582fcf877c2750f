-- The test kit and the pretty printer themselves.
local test = require "test"
local inspect = require "inspect"

test.case("equal is deep and knows NaN", function()
  test.equal({ 1, { a = "x" } }, { 1, { a = "x" } })
  test.equal(0 / 0, 0 / 0)
  test.raises('value[2]["a"]: "x" is not "y"', function() test.equal({ 1, { a = "x" } }, { 1, { a = "y" } }) end)
  test.raises('value["b"] is missing', function() test.equal({}, { b = 1 }) end)
  test.raises("expected 2, got 1", function() test.equal(1, 2) end)
end)

test.case("close takes a tolerance", function()
  test.close(1, 1 + 1e-9)
  test.close({ 1, { 2, 3 } }, { 1.0001, { 2, 3 } }, 1e-3)
  test.raises("value[2]: 2 is not within 0.1 of 3", function() test.close({ 1, 2 }, { 1, 3 }, 0.1) end)
  test.raises("has 1 elements, expected 2", function() test.close({ 1 }, { 1, 2 }) end)
end)

test.case("raises shows what came instead", function()
  test.raises("no error; expected one with 'x'", function() test.raises("x", function() end) end)
  test.raises("kit_test.lua:22: other", function() test.raises("x", function() error "other" end) end)
  local err = test.raises("MINE", function() error { code = "MINE", message = "m" } end)
  test.equal(err.message, "m")
end)

test.case("pretty sorts keys, quotes and stops at cycles", function()
  test.equal(inspect.pretty { 1, 2.5, "a\n\"", x = { y = true }, ["a b"] = false }, [[{ 1, 2.5, "a\n\"", ["a b"] = false, x = { y = true } }]])
  test.equal(inspect.pretty(1e15), "1e+15")
  test.equal(inspect.pretty(3.0), "3.0")
  test.equal(inspect.pretty(0.1), "0.1")
  test.equal(inspect.pretty(0 / 0), "nan")
  local t = {}
  t.self = t
  test.equal(inspect.pretty(t), "{ self = <cycle> }")
  test.equal(inspect.pretty(setmetatable({}, { __tostring = function() return "mine" end })), "mine")
  test.equal(inspect.pretty({ { { { 1 } } } }, { depth = 1 }), "{ { {...} } }")
  test.equal(inspect.type_name(require "json".null), "null")
end)

test.case("scratch folders", function()
  local folder = test.tmpdir()
  local path = test.write(folder .. "/a.txt", "hello\0")
  test.equal(require "fs".read(path), "hello\0")
  test.raises("PATH_NOT_ALLOWED", function() test.write("/tmp/evil", "x") end)
  test.raises("PATH_NOT_ALLOWED", function() test.write(folder .. "/../../../evil", "x") end)
  test.raises("is no scratch folder", function() test.begin "/tmp" end)
end)
