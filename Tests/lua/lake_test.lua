local test = require "test"
local df = require "df"
local lake = require "lake"
local nn = require "nn"
local tensor = require "tensor"
local col = df.col

test.case("csv files become frames", function()
  local path = test.write(test.tmpdir() .. "/sales.csv", "id,shop,amount\n1,north,2.5\n2,\"a, b\",\n3,south,4\n")
  local f = df.read_csv(path)
  test.equal(f:schema(),
    { { name = "id", type = "Int64" }, { name = "shop", type = "String" }, { name = "amount", type = "Float64" } })
  test.equal(f:where(col "amount":is_null()):collect():column "shop", { "a, b" })
  test.equal(f:agg { total = col "amount":sum() }:item(), 6.5)
  test.raises("sales.csv line 2, column 'shop': 'north' cannot be read as Int64",
    function()
      df.read_csv(path, { schema = { shop = "i64" }, infer_rows = 1 }):where(col "id":eq(2)):select { "shop" }:collect()
    end)
  test.raises("'read_csv' has no option 'sep'", function() df.read_csv(path, { sep = ";" }) end)
end)

test.case("json lines become frames", function()
  local path = test.write(test.tmpdir() .. "/rows.jsonl", '{"a":1,"b":[1,2]}\n{"a":2.5}\n')
  local rows = df.read_jsonl(path):collect()
  test.equal(rows[1], { a = 1.0, b = { 1, 2 } })
  test.equal(rows[2], { a = 2.5 })
end)

test.case("files outside the roots are refused", function()
  test.raises("is outside the allowed folders", function() df.read_csv "/etc/passwd" end)
end)

test.case("columns become tensors over the same memory", function()
  local f = df.from_columns { x = { 1, 2, 3, 4, 5 }, y = { 0.5, 1.5, 2.5, 3.5, 4.5 } }
  local batch = f:with("y", col "y":cast "f32"):collect()
  test.equal(batch:tensor("y"):dtype(), "f32")
  test.equal(batch:tensor("x"):totable(), { 1, 2, 3, 4, 5 })
  local holes = df.from_rows { { x = 1 }, { y = 2 } }
  test.raises("column 'x' has 1 nulls", function() holes:collect():tensor "x" end)
  test.raises("column 's' is String", function() df.from_columns { s = { "a" } }:collect():tensor "s" end)
end)

test.case("tensors become columns", function()
  local frame = df.from_columns { a = tensor.ones(3), b = tensor.arange(1, 6):reshape(3, 2), c = tensor.from_table { true, false, true } }
  local types = {}
  for _, field in ipairs(frame:schema()) do types[field.name] = field.type end
  test.equal(types, { a = "Float32", b = "FixedSizeList[Int64, 2]", c = "Boolean" })
  test.equal(frame:collect()[2], { a = 1.0, b = { 3, 4 }, c = false })
  -- A view that is not row-major, and a tensor that changes afterwards.
  local t = tensor.from_table { { 1, 2 }, { 3, 4 } }
  local columns = df.from_columns { x = t:transpose(1, 2) }
  t:fill_(0)
  test.equal(columns:collect():column "x", { { 1.0, 3.0 }, { 2.0, 4.0 } })
  test.raises("column 'x' is one number", function() df.from_columns { x = tensor.from_table(1) } end)
end)

test.case("frames give mini-batches", function()
  local f = df.from_columns { x = { 1, 2, 3, 4, 5 } }:with("x", col "x":cast "f32")
  local loader = f:loader { batch_size = 2 }
  local seen = {}
  for batch in loader:batches() do
    for _, v in ipairs(batch.x:totable()) do seen[#seen + 1] = v end
  end
  test.equal(#loader, 3)
  test.equal(seen, { 1.0, 2.0, 3.0, 4.0, 5.0 })
end)

test.case("a model is saved whole and loaded without its script", function()
  tensor.manual_seed(3)
  local net = nn.sequential { nn.linear(4, 3), nn.relu(), nn.linear(3, 2) }
  local x = tensor.ones(1, 4)
  local version = lake.save_model("spec_model",
    { net = net, metrics = { accuracy = 0.5 }, params = { lr = 0.1 }, labels = { "cat", "dog" } })
  local model = lake.model "spec_model"
  test.equal(model.version, version)
  test.equal(model.metrics, { accuracy = 0.5 })
  test.equal(model.params, { lr = 0.1 })
  test.equal(model.lineage.engine, "moonlake")
  test.equal(model:load():eval()(x):totable(), net:eval()(x):totable())
  test.equal(model:newer(), nil)
  lake.save_model("spec_model", { net = net })
  test.equal(model:newer().version, version + 1)
  test.equal(lake.model("spec_model", { version = version }).metrics, { accuracy = 0.5 })
  test.equal(#lake.versions "spec_model", 2)
  test.raises("save_model: net is missing", function() lake.save_model("m", {}) end)
  test.raises("unknown option 'nett'", function() lake.save_model("m", { nett = net }) end)
  lake.delete("spec_model", { kind = "model" })
  test.raises("Model 'spec_model' does not exist", function() lake.model "spec_model" end)
end)

test.case("csv that is not UTF-8 is refused by line and field", function()
  local path = test.write(test.tmpdir() .. "/latin.csv", "a,b\n1,ok\n2,\xff\xfe\n")
  test.raises("csv latin.csv line 3: field 2 is not UTF-8 text", function() df.read_csv(path):collect() end)
  local old = test.write(test.tmpdir() .. "/old.csv", "a,b\r1,2\r")
  test.raises("lines must end in LF or CR LF", function() df.read_csv(old) end)
end)

test.case("an object in json lines may be kept as text", function()
  local path = test.write(test.tmpdir() .. "/geo.jsonl", '{"geo":{"lat":1.5},"l":[1]}\n')
  test.raises("an object has no column type", function() df.read_jsonl(path):collect() end)
  local rows = df.read_jsonl(path, { schema = { geo = "string" } }):collect()
  test.equal(rows[1], { geo = '{"lat":1.5}', l = { 1 } })
end)

test.case("names that not every system can keep are refused", function()
  for _, name in ipairs { "x.lance.lance", "-rf", "con", "aux.txt", "x." } do
    test.raises("cannot be the name of a data set", function() df.from_columns { a = { 1 } }:write(name) end)
  end
end)

test.case("a network of f64 comes back as one", function()
  local net = nn.sequential { nn.linear(2, 1) }:to "f64"
  tensor.no_grad(function() net.layers[1].weight:fill_(0.1) end)
  lake.save_model("spec_f64", { net = net })
  local loaded = lake.model("spec_f64"):load()
  test.equal(loaded.layers[1].weight:dtype(), "f64")
  test.equal(loaded.layers[1].weight:totable(), { { 0.1, 0.1 } })
  lake.delete("spec_f64", { kind = "model" })
end)
