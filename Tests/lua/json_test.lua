local test = require "test"
local json = require "json"

test.case("round trips", function()
  for _, text in ipairs { "1", "1.5", "true", '"a"', "null", "[]", "[1,[2,[]],{}]", "{}", '{"a":[1,2,{"b":null}],"c":"\\u00e9"}' } do
    local value = json.decode(text)
    test.equal(json.decode(json.encode(value)), value)
  end
  test.equal(json.encode(json.decode "[]"), "[]")
  test.equal(json.encode(json.decode "[{}]"), "[{}]")
  test.equal(json.decode "9007199254740993", 9007199254740993)
  test.equal(math.type(json.decode "1"), "integer")
  test.equal(math.type(json.decode "1.0"), "float")
end)

test.case("empty tables, lists, null", function()
  test.equal(json.encode {}, "{}")
  test.equal(json.encode(json.array {}), "[]")
  test.equal(json.encode(json.array()), "[]")
  test.equal(json.encode { a = json.null }, '{"a":null}')
  test.equal(json.encode { 1, json.null, 3 }, "[1,null,3]")
  test.equal(tostring(json.null), "null")
  test.truthy(json.decode "null" == json.null)
end)

test.case("keys are sorted, pretty text is indented", function()
  test.equal(json.encode { b = 1, a = 2, c = { 3 } }, '{"a":2,"b":1,"c":[3]}')
  test.equal(json.encode({ a = { 1, 2 } }, { pretty = true }), '{\n  "a": [1, 2]\n}')
end)

test.case("what JSON cannot hold is named by its place", function()
  test.raises("value.a[2] is NaN, which JSON cannot hold", function() json.encode { a = { 1, 0 / 0 } } end)
  test.raises("value is infinity", function() json.encode(math.huge) end)
  test.raises("value.f is a function", function() json.encode { f = print } end)
  test.raises("value.c is a thread", function() json.encode { c = coroutine.create(print) } end)
  test.raises("value is a list with a hole: position 2 of 3 is nil", function()
    local t = { 1, 2, 3 }
    t[2] = nil
    json.encode(t)
  end)
  test.raises("it is neither a list nor an object", function() json.encode { 1, 2, x = 3 } end)
  test.raises("is a list with holes or not from 1 (it has the position 5 but not 1)", function() json.encode { [5] = 1 } end)
  test.raises("has a key of type boolean", function() json.encode { [true] = 1 } end)
  test.raises("value.s is a string that is not valid UTF-8", function() json.encode { s = "\xff" } end)
  test.raises('value["a b"].x contains itself', function()
    local t = {}
    t.x = t
    json.encode { ["a b"] = t }
  end)
  test.raises("is nested deeper than 64", function()
    local t = {}
    for _ = 1, 100 do t = { t } end
    json.encode(t)
  end)
  local shared = { 1 }
  test.equal(json.encode { shared, shared }, "[[1],[1]]")
end)

test.case("a marked list must stay one", function()
  local list = json.array { 1 }
  list.x = 2
  test.raises("neither a list nor an object", function() json.encode(list) end)
end)

test.case("bad text gives line and column", function()
  test.raises("line 2", function() json.decode '{"a": 1,\n  b}' end)
  for _, text in ipairs { "", "{", "[1,]", "nul", '"\\ud800"', "01", "1 2", '{"a":1,"a":2}', "\xff", ("["):rep(100000) } do
    test.raises("", function() json.decode(text) end)
  end
end)

test.case("metamethods do not run", function()
  local t = setmetatable({ a = 1 }, { __index = function() error "called" end, __pairs = function() error "called" end, __len = function() error "called" end })
  test.equal(json.encode(t), '{"a":1}')
end)
