-- test: the kit for specs. A file is a list of cases; `moonlake test` prints how many passed.
--   test.case("adds", function() test.equal(1 + 1, 2) end)
local testing = require "_testing"
local inspect = require "inspect"
local json = require "json"

local M = {}
local results = { passed = 0, skipped = 0, failures = {} }
local scratch, folders = nil, 0

-- For the runner: where tmpdir() makes folders.
function M.begin(folder) scratch = testing.check_scratch(folder) end

-- For the runner: { passed = n, skipped = n, failures = { "name: message", ... } }
function M.report() return { passed = results.passed, skipped = results.skipped, failures = json.array(results.failures) } end

-- Error values of this kit carry their place, so that a failed check names the line of the spec.
local function check_failed(message) fail(message, "CHECK_FAILED") end

-- Runs one case at once. A failure is noted, the next case runs.
function M.case(name, body)
  if type(name) ~= "string" or type(body) ~= "function" then fail "test.case: a name and a function expected" end
  local ok, err = xpcall(body, function(e)
    if type(e) == "table" and e.code == "CASE_SKIPPED" then return e end
    return { text = tostring(e), code = type(e) == "table" and e.code or nil }
  end)
  if ok then
    results.passed = results.passed + 1
  elseif err.code == "CASE_SKIPPED" then
    results.skipped = results.skipped + 1
  else
    results.failures[#results.failures + 1] = name .. ": " .. err.text
  end
end

-- Leaves the case without a verdict.
function M.skip(reason) fail(reason or "skipped", "CASE_SKIPPED") end

local function same(a, b, path, seen)
  if rawequal(a, b) then return true end
  if type(a) ~= type(b) then
    return false, ("%s: %s is not %s"):format(path, inspect.pretty(a), inspect.pretty(b))
  end
  if type(a) ~= "table" then
    if a == b or (a ~= a and b ~= b) then return true end
    return false, ("%s: %s is not %s"):format(path, inspect.pretty(a), inspect.pretty(b))
  end
  if seen[a] == b then return true end
  seen[a] = b
  for key, value in pairs(a) do
    local ok, why = same(value, b[key], ("%s[%s]"):format(path, inspect.pretty(key)), seen)
    if not ok then return false, why end
  end
  for key in pairs(b) do
    if a[key] == nil then return false, ("%s[%s] is missing"):format(path, inspect.pretty(key)) end
  end
  return true
end

-- Deep equality of tables; NaN equals NaN.
function M.equal(actual, expected)
  local ok, why = same(actual, expected, "value", {})
  if not ok then check_failed("expected " .. inspect.pretty(expected) .. ", got " .. inspect.pretty(actual) .. " (" .. why .. ")") end
end

local function close(a, b, tolerance, path)
  if type(a) == "table" and type(b) == "table" then
    if #a ~= #b then return false, ("%s has %d elements, expected %d"):format(path, #a, #b) end
    for key, value in pairs(b) do
      local ok, why = close(a[key], value, tolerance, ("%s[%s]"):format(path, inspect.pretty(key)))
      if not ok then return false, why end
    end
    return true
  end
  if type(a) ~= "number" or type(b) ~= "number" then
    return false, ("%s: %s and %s are not both numbers"):format(path, inspect.pretty(a), inspect.pretty(b))
  end
  if a == b or (a ~= a and b ~= b) or math.abs(a - b) <= tolerance then return true end
  return false, ("%s: %s is not within %g of %s"):format(path, inspect.pretty(a), tolerance, inspect.pretty(b))
end

-- Numbers, or lists of numbers, that differ by at most `tolerance` (default 1e-6).
function M.close(actual, expected, tolerance)
  local ok, why = close(actual, expected, tolerance or 1e-6, "value")
  if not ok then check_failed(why) end
end

-- `body` must raise an error whose text contains `text` (no pattern); returns the error value.
function M.raises(text, body, ...)
  if type(text) ~= "string" or type(body) ~= "function" then fail "test.raises: a text and a function expected" end
  local ok, err = pcall(body, ...)
  if ok then check_failed(("no error; expected one with '%s'"):format(text)) end
  local shown = tostring(err)
  if type(err) == "table" and type(err.code) == "string" then shown = shown .. " [" .. err.code .. "]" end
  if not shown:find(text, 1, true) then check_failed(("expected an error with '%s', got: %s"):format(text, shown)) end
  return err
end

function M.truthy(value, what)
  if not value then check_failed((what or "the value") .. " is " .. inspect.pretty(value)) end
  return value
end

function M.falsy(value, what)
  if value then check_failed((what or "the value") .. " is " .. inspect.pretty(value)) end
end

local function in_scratch()
  if not scratch then fail "test: there is no scratch folder; run the spec by `moonlake test`" end
  return scratch
end

-- A new empty folder, removed after the spec.
function M.tmpdir()
  folders = folders + 1
  return testing.folder(in_scratch(), "tmp" .. folders)
end

-- Writes a file below a tmpdir(); returns its path.
function M.write(path, data)
  testing.write(in_scratch(), path, data)
  return path
end

-- Makes a symlink below a tmpdir(); returns its path.
function M.symlink(path, target)
  testing.symlink(in_scratch(), path, target)
  return path
end

return M
