-- Indices and the nearest rows; LanceDB's words for them.
local test = require "test"
local df = require "df"
local lake = require "lake"
local col = df.col

-- 400 rows of vectors of 8 numbers, of two kinds; the same on every machine.
local function vector(i)
  local v = {}
  for d = 1, 8 do v[d] = ((i * 37 + d * 101 + i * d * 7) % 199) / 100 - 1 end
  return v
end
local function items(name)
  local ids, kinds, vectors = {}, {}, {}
  for i = 1, 400 do ids[i], kinds[i], vectors[i] = i, i % 4 == 0 and "rare" or "common", vector(i) end
  df.from_columns { id = ids, kind = kinds, v = vectors }:with("v", col "v":cast "f32[8]"):write(name)
  return lake.open(name)
end
local function distance(a, b)
  local sum = 0
  for d = 1, #a do sum = sum + (a[d] - b[d]) ^ 2 end
  return sum
end
-- Ids of the k nearest rows that meet `fits`, by looking at all of them.
local function nearest(query, k, fits)
  local all = {}
  for i = 1, 400 do
    if not fits or fits(i) then all[#all + 1] = { id = i, d = distance(query, vector(i)) } end
  end
  table.sort(all, function(a, b) if a.d ~= b.d then return a.d < b.d end return a.id < b.id end)
  local out = {}
  for i = 1, k do out[i] = all[i].id end
  return out
end
local query = vector(1000)
local function is_rare(i) return i % 4 == 0 end

test.case("the nearest rows without an index", function()
  local t = items "search_spec_1"
  local found = t:nearest(query, { k = 5 }):collect()
  test.equal(found:column "id", nearest(query, 5))
  test.equal(found:names(), { "id", "kind", "_distance" })
  test.truthy(math.abs(found[1]._distance - distance(query, vector(found[1].id))) < 1e-4)
  test.equal(t:nearest(query, { k = 3, where = "kind = 'rare'", select = { "id" } }):collect():column "id", nearest(query, 3, is_rare))
  test.equal(t:nearest(query, { k = 3, where = col "id":le(2) }):count(), 2)
  test.raises("'nearest' has no option 'limit'", function() t:nearest(query, { limit = 3 }) end)
  test.raises("the query has 2", function() t:nearest({ 1, 2 }) end)
  test.raises("a list of numbers, a list of lists or a tensor expected", function() t:nearest "x" end)
  test.raises("column 'kid'; did you mean 'id'?", function() lake.open("search_spec_1"):nearest(query, { column = "kid" }) end)
end)

test.case("LanceDB's words", function()
  items "search_spec_2"
  local db = lake.connect()
  test.truthy(#db:table_names() > 0)
  local t = db:open_table "search_spec_2"
  test.equal(t:search(query):limit(4):collect():column "id", nearest(query, 4))
  local rows = t:search(query):where "kind = 'rare'":where(col "id":gt(8)):limit(3):select("id"):collect()
  test.equal(rows:column "id", nearest(query, 3, function(i) return is_rare(i) and i > 8 end))
  test.equal(rows:names(), { "id", "_distance" })
  test.equal(t:search(query, { k = 2 }):exact():count(), 2)
  test.equal(t:count_rows "kind = 'rare'", 100)
  local made = db:create_table("search_spec_3", { { id = 1, vector = { 1, 0 } }, { id = 2, vector = { 0, 1 } } })
  made:add { { id = 3, vector = { 1, 1 } } }
  test.equal(made:search({ 1, 0.2 }):limit(2):collect():column "id", { 1, 3 })
  test.equal(made:count_rows(), 3)
  db:drop_table "search_spec_3"
  test.raises("Dataset 'search_spec_3' does not exist", function() db:open_table "search_spec_3" end)
end)

test.case("several queries at once", function()
  local t = items "search_spec_4"
  local found = t:nearest({ query, vector(2000) }, { k = 2, select = { "id" } }):collect()
  test.equal(found:column "_query", { 1, 1, 2, 2 })
  test.equal(found:column "_rank", { 1, 2, 1, 2 })
  local a, b = nearest(query, 2), nearest(vector(2000), 2)
  test.equal(found:column "id", { a[1], a[2], b[1], b[2] })
  local queries = df.from_columns { q = { query, vector(2000) } }:with("q", col "q":cast "f32[8]")
  test.equal(queries:search(t, { vector = "q", k = 2, select = { "id" } }):collect():column "id", found:column "id")
  test.raises("give the column of the query vectors", function() queries:search(t, { k = 2 }) end)
  test.raises("needs the table to search in", function() queries:search(query) end)
end)

test.case("indices are built, used, brought up to date and dropped", function()
  local t = items "search_spec_5"
  local index = t:create_index("v", { type = "ivf_flat", partitions = 4 })
  test.equal({ index.name, index.kind, index.indexed_rows, index.unindexed_rows }, { "v_idx", "IVF_FLAT", 400, 0 })
  test.equal(t:create_index("kind", { type = "bitmap" }).kind, "BITMAP")
  test.equal(t:create_index("id").kind, "BTREE")
  test.equal(#t:indices(), 3)
  test.equal(t:nearest(query, { k = 5, probes = 4 }):collect():column "id", nearest(query, 5))
  test.equal(t:nearest(query, { k = 5, probes = 4, where = "kind = 'rare'" }):collect():column "id", nearest(query, 5, is_rare))
  test.equal(t:where "id BETWEEN 5 AND 7 AND kind = 'common'":sort "id":collect():column "id", { 5, 6, 7 })
  -- A row that no index knows yet is found too.
  local far = { 9, 9, 9, 9, 9, 9, 9, 9 }
  t:append(df.from_columns { id = { 401 }, kind = { "rare" }, v = { far } }:with("v", col "v":cast "f32[8]"))
  test.equal(t:nearest(far, { k = 1 }):collect():column "id", { 401 })
  test.equal(t:where "id = 401":count(), 1)
  test.equal(t:indices()[1].unindexed_rows, 1)
  test.equal(t:optimize_indices(), 3)
  test.equal(t:indices()[1].unindexed_rows, 0)
  test.equal(t:ensure_index("v", { type = "ivf_flat" }).name, "v_idx")
  local recall, report = t:recall("v", { k = 5, sample = 20, probes = 4 })
  test.equal({ recall, report.k }, { 1.0, 5 })
  test.raises("has an index 'v_idx' already", function() t:create_index("v", { type = "ivf_flat" }) end)
  test.raises("cannot be 'fts'", function() t:create_index("kind", { type = "fts" }) end)
  t:drop_index "v_idx"
  test.equal(#t:indices(), 2)
  test.raises("v_id", function() t:drop_index "v_id" end)
end)
