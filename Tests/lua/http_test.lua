-- What can be said about `http` without a client; Tests/LuaServeTests asks running services.
local test = require "test"
local http = require "http"

local function app() return http.app { title = "spec" } end

test.case("shapes in words", function()
  test.equal(tostring(http.list("number", { len = 784, min = 0, max = 1 })), "a list of 784 numbers from 0 to 1")
  test.equal(tostring(http.list { x = "integer" }), "a list of objects")
  test.equal(tostring(http.optional("string")), "a string (optional)")
  test.equal(tostring(http.string { enum = { "a", "b" } }), 'one of "a", "b"')
  test.equal(tostring(http.integer { min = 1 }), "an integer of at least 1")
  test.equal(tostring(http.string { min_len = 1, max_len = 9 }), "a string of 1 to 9 characters")
end)

test.case("a server has an address; a taken port is named", function()
  local server = app():listen { port = 0 }
  test.truthy(server.port > 0)
  test.equal(server.url, "http://127.0.0.1:" .. server.port)
  test.equal({ server.requests, server.errors, server.in_flight, server.connections }, { 0, 0, 0, 0 })
  local ok, reason = pcall(function() return app():listen { port = server.port } end)
  test.falsy(ok)
  test.equal(reason.code, "PORT_IN_USE")
  test.raises("port " .. server.port .. " on 127.0.0.1 is in use by another program", function()
    app():listen { port = server.port }
  end)
  server:close()
  server:close()
  local again = app():listen { port = server.port }     -- free at once
  again:close()
  test.raises("'192.0.2.1' is not an address of this machine", function() app():listen { host = "192.0.2.1", port = 0 } end)
end)

test.case("routes are checked when they are made", function()
  test.equal(tostring(app():get("/a/:b", print):post("/a", print)), 'HttpApp "spec" (GET /a/:b, POST /a)')
  test.raises("would hide GET /a/:b", function() app():get("/a/:b", print):get("/a/:c", print) end)
  test.raises("a path starts with '/'", function() app():get("a", print) end)
  test.raises("there is no shape 'numbre'; did you mean 'number'?", function() app():post("/", { body = "numbre" }, print) end)
  test.raises("'post' has no option 'retruns'; did you mean 'returns'?", function()
    app():post("/", { retruns = {} }, print)
  end)
  test.raises("outside the allowed folders", function() app():static("/", "/etc") end)
  test.raises("does not exist", function() app():static("/", test.tmpdir() .. "/none") end)
end)

test.case("outside of a handler a batcher calls its function directly", function()
  local sizes = {}
  local batch = http.batcher({ max = 4 }, function(items)
    sizes[#sizes + 1] = #items
    return { items[1] * 2 }
  end)
  test.equal({ batch:call(2), batch:call(5) }, { 4, 10 })
  test.equal(sizes, { 1, 1 })
  test.raises("the batch function returned 0 answers for 1 item", function()
    http.batcher(function() return {} end):call(1)
  end)
  test.raises("http.batcher has no option 'wait'", function() http.batcher({ wait = 1 }, print) end)
end)

test.case("responses", function()
  test.equal(http.response(201, "x", { ["X-A"] = "1" }).status, 201)
  test.raises("the status is an integer from 200 to 599, got 99", function() http.response(99) end)
  test.raises("headers are a table of names and strings, got string", function() http.response(200, "x", "y") end)
end)

test.case("the inside of the loop is out of a script's reach", function()
  test.raises("module '_http'", function() require "_http" end)
end)
