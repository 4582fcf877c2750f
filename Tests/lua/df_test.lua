local test = require "test"
local df = require "df"
local lake = require "lake"
local col, lit = df.col, df.lit

local function sample()
  return df.from_columns({ id = { 1, 2, 3, 4 }, name = { "ann", "bob", "cy", "dee" }, score = { 1.5, 2.5, 3.5, 4.5 } },
    { order = { "id", "name", "score" } })
end
local function rows(frame)
  local out = {}
  for row in frame:rows() do out[#out + 1] = row end
  return out
end

test.case("frames are made from columns and rows", function()
  test.equal(sample():columns(), { "id", "name", "score" })
  test.equal(sample():schema()[3], { name = "score", type = "Float64" })
  test.equal(sample():count(), 4)
  local typed = df.from_columns({ x = { 1, 2 } }, { schema = { x = "u8" } })
  test.equal(typed:schema()[1].type, "UInt8")
  local mixed = df.from_rows { { a = 1, b = "x" }, { a = 2 }, { b = "z", a = 3.5 } }
  test.equal(rows(mixed), { { a = 1.0, b = "x" }, { a = 2.0 }, { a = 3.5, b = "z" } })
  test.raises("column 'b' has 1 rows, 'a' has 2", function() df.from_columns { a = { 1, 2 }, b = { 1 } } end)
  test.raises("column 'x', row 2: \"y\" is String, where the values before are Int64",
    function() df.from_columns { x = { 1, "y" } } end)
  test.raises("300 does not fit UInt8", function() df.from_columns({ x = { 300 } }, { schema = { x = "u8" } }) end)
  test.raises("order names a column 'c'", function() df.from_columns({ a = { 1 } }, { order = { "c" } }) end)
end)

test.case("numbers have the type that Lua gives them", function()
  test.equal(df.from_columns({ a = { 1.0, 2.0 } }):schema()[1].type, "Float64")
  test.equal(df.from_columns({ a = { 1, 2.0 } }):schema()[1].type, "Float64")
  test.equal(df.from_columns({ a = { 1, 2 } }):schema()[1].type, "Int64")
  test.equal(df.from_rows({ { a = 1.0 } }):schema()[1].type, "Float64")
  test.equal(df.from_columns({ a = { 1.0, 2.0 } }, { schema = { a = "i64" } }):schema()[1].type, "Int64")
  test.equal(df.from_columns({ a = { 9007199254740993 } }):collect():column "a", { 9007199254740993 })
  local one = df.from_columns { n = { 1 } }
  test.equal(one:select { x = col "n" // 0.0 }:collect():column "x", { math.huge })
  test.equal(one:select { x = col "n" * 2.0 }:schema()[1].type, "Float64")
  test.equal(one:where(col "n":eq(1.0)):count(), 1)
end)

test.case("expressions compute", function()
  local f = sample():with { double = col "score" * 2, tag = col "name" .. "!", half = col "id" / 2,
    rest = col "id" % 3, whole = col "id" // 2 }
  test.equal(rows(f:where(col "id":eq(3)))[1],
    { id = 3, name = "cy", score = 3.5, double = 7.0, tag = "cy!", half = 1.5, rest = 0, whole = 1 })
  test.equal(rows(sample():select { "id", x = -col "id" + 10 }:limit(2)), { { id = 1, x = 9 }, { id = 2, x = 8 } })
  test.equal(sample():where(col "id":between(2, 3) & ~col "name":eq "cy"):collect():column "name", { "bob" })
  test.equal(sample():where(col "name":is_in { "ann", "dee" } | col "id":eq(2)):count(), 3)
  local kind = df.when(col "score":gt(3), "high"):when(col "id":eq(1), "first"):otherwise "low"
  test.equal(sample():select { kind = kind }:collect():column "kind", { "first", "low", "high", "high" })
  test.equal(sample():select { n = col "name":upper():slice(1, 2), l = col "name":length() }:collect()[-1], { n = "DE", l = 3 })
  test.equal(sample():select { x = col "id":cast "f32" }:schema()[1].type, "Float32")
  test.equal(tostring((col "a" + 1) * 2), "(a + 1) * 2")
end)

test.case("comparison operators are pitfalls that speak", function()
  test.raises("expressions cannot be compared with '<'; write a:lt(b)", function() return col "a" < 3 end)
  test.raises("write a:eq(b)", function() return col "a" == col "b" end)
  test.raises("write :eq(value)", function() sample():where(col "id" == 3) end)
end)

test.case("mistakes name the column and the place", function()
  test.raises("column 'nam'; did you mean 'name'? columns are: id, name, score", function() sample():select "nam" end)
  test.raises("id + name: Int64 + String is not possible", function() sample():select { x = col "id" + col "name" } end)
  test.raises("unknown type 'f23'; did you mean 'f32'?", function() col "x":cast "f23" end)
  test.raises("name.cast(Int64): 'ann' cannot be read as Int64", function() sample():cast { name = "i64" }:collect() end)
  test.raises("200 + 100 does not fit UInt8",
    function() df.from_columns({ x = { 1, 200 } }, { schema = { x = "u8" } }):select { y = col "x" + 100 }:collect() end)
  test.raises("'join' has no option 'how_'", function() sample():join(sample(), { on = "id", how_ = "left" }) end)
  test.raises("Frame has no method or field 'selct'; did you mean 'select'?", function() sample():selct "id" end)
end)

test.case("sorting, limits, distinct", function()
  test.equal(sample():sort("-id"):head(2):collect():column "id", { 4, 3 })
  test.equal(sample():sort({ "name" }, { descending = true }):collect():column "name", { "dee", "cy", "bob", "ann" })
  test.equal(sample():offset(1):limit(2):collect():column "id", { 2, 3 })
  local f = df.from_columns { k = { 1, 1, 2 }, v = { 5, 6, 7 } }
  test.equal(rows(f:distinct "k"), { { k = 1, v = 5 }, { k = 2, v = 7 } })
  test.equal(f:with_row_index("row"):collect():column "row", { 1, 2, 3 })
  test.equal(f:with_row_index("row", 0):columns(), { "row", "k", "v" })
  test.equal(f:rename { k = "key" }:drop("v"):columns(), { "key" })
end)

test.case("groups and joins", function()
  local f = df.from_columns { g = { "a", "b", "a", "b", "a" }, x = { 1, 2, 3, 4, 5 } }
  test.equal(rows(f:group_by("g"):agg { n = df.count(), total = col "x":sum(), mid = col "x":median() }),
    { { g = "a", n = 3, total = 9, mid = 3.0 }, { g = "b", n = 2, total = 6, mid = 3.0 } })
  test.equal(f:agg { share = col "x":max() / col "x":sum() }:item(), 5 / 15)
  test.equal(f:count_by "g", { a = 3, b = 2 })
  local other = df.from_columns { g = { "a", "c" }, y = { 10, 20 } }
  test.equal(f:join(other, { on = "g" }):collect():column "y", { 10, 10, 10 })
  test.equal(#f:join(other, { on = "g", how = "left" }):collect(), 5)
  test.equal(df.concat { f, f }:count(), 10)
end)

test.case("plans explain themselves", function()
  local f = sample():with("d", col "score" * 2):where(col "id":gt(1) & lit(true)):select { "d" }
  test.equal(f:explain(), "project d = score * 2\n  filter id > 1\n    scan memory: id, score")
end)

test.case("rows in memory", function()
  local b = sample():collect()
  test.equal(#b, 4)
  test.equal(b[1], { id = 1, name = "ann", score = 1.5 })
  test.equal(b[5], nil)
  test.equal(b:to_columns().id, { 1, 2, 3, 4 })
  test.raises("Batch has no method or field 'colum'; did you mean 'column'?", function() return b:colum "id" end)
  local n = 0
  for batch in sample():batches() do n = n + #batch end
  test.equal(n, 4)
end)

test.case("data sets are written and read", function()
  local seen
  local w = sample():check("small", col "id":lt(4), "drop")
    :write("df_spec", { mode = "overwrite", progress = function(done, total) seen = { done, total } end })
  test.equal(w.rows, 3)
  test.equal(w.checks.small, { action = "drop", checked = 4, violations = 1, dropped = 1 })
  test.equal(seen, { 3, 4 })
  local f = lake.open "df_spec"
  test.equal(f:version(), w.version)
  test.equal(rows(f:where(col "score":gt(2)):select { "name" }), { { name = "bob" }, { name = "cy" } })
  test.raises("exists already", function() sample():write "df_spec" end)
  sample():write("df_spec", { mode = "append" })
  test.equal(lake.open "df_spec":count(), 7)
  test.equal(df.read_lance("df_spec", { version = w.version }):count(), 3)
  test.raises("check 'small' failed: id < 4 is not true for {\"id\":4}",
    function() sample():check("small", col "id":lt(4)):write("df_spec", { mode = "overwrite" }) end)
  test.equal(lake.open "df_spec":count(), 7)
  test.truthy(lake.exists "df_spec")
  lake.delete "df_spec"
  test.truthy(not lake.exists "df_spec")
  test.raises("Dataset 'df_spec' does not exist", function() lake.open "df_spec" end)
end)

test.case("splits by hash are stable", function()
  local ids = {}
  for i = 1, 1000 do ids[i] = i end
  local f = df.from_columns { id = ids }:with("test", (col "id":hash(42) % 10000):lt(1400))
  local n = f:where(col "test"):count()
  test.truthy(n > 100 and n < 180)
  test.equal(f:where(col "test"):limit(3):collect():column "id", f:where(col "test"):head(3):collect():column "id")
end)
