-- Globals, require, errors with place.
local test = require "test"

test.case("globals are declared while the main part runs", function()
  test.equal(load("declared = 5 return declared")(), 5)
end)

test.case("reading an undeclared global is an error with a hint", function()
  test.raises("global is not declared: 'tostrng'; did you mean 'tostring'?", load "return tostrng(1)")
  test.raises("global is not declared: 'nothing_like_it'", load "return nothing_like_it")
end)

test.case("require names what there is", function()
  test.raises("module 'jsn'; did you mean 'json'?", require, "jsn")
  test.raises("is no module name; write folders with dots", require, "model/layers")
  test.raises("is no module name", require, "..secret")
  test.raises("table expected", setmetatable, 1)
  test.truthy(require "json" == require "json")
end)

test.case("errors are at the script's line", function()
  local _, err = pcall(function() require "json".decode(12) end)
  test.truthy(err:find "^[^:]*language_test.lua:%d+: bad argument #1 'text' to 'decode' %(string expected, got number%)$", err)
  local _, failure = pcall(function() require "fs".read "/nowhere" end)
  test.equal(failure.code, "FILE_NOT_FOUND")
  test.truthy(failure.where:find "^[^:]*language_test.lua:%d+$", failure.where)
  local _, wrapped = pcall(function() require "log".info("%d", "x") end)
  test.truthy(wrapped:find "^[^:]*language_test.lua:%d+: log.info: bad argument", wrapped)
end)

test.case("platform errors are tables that read as text", function()
  local _, err = pcall(require "json".decode, "{")
  test.equal(type(err), "table")
  test.truthy(#err.code > 0 and #err.message > 0)
  test.equal("E: " .. err, "E: " .. tostring(err))
  test.equal(getmetatable(err), false)
end)
