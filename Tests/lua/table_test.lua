-- Data sets of the lake as tables: versions, changes, names, upkeep. Uses df and lake only (LuaDataTests runs it too).
local test = require "test"
local df = require "df"
local lake = require "lake"
local col = df.col

local made = 0
-- A new data set of four rows; gives its name.
local function dataset()
  made = made + 1
  local name = "table_spec_" .. made
  df.from_columns({ id = { 1, 2, 3, 4 }, name = { "ann", "bob", "cy", "dee" }, score = { 1.5, 2.5, 3.5, 4.5 } },
    { order = { "id", "name", "score" } }):write(name)
  return name
end
local function ids(frame) return frame:sort "id":collect():column "id" end

test.case("a table is a frame over its rows", function()
  local t = lake.open(dataset())
  test.equal(tostring(t), "Table(" .. t:name() .. ", version 1, 4 rows)")
  test.equal(t:version(), 1)
  test.equal(t:columns(), { "id", "name", "score" })
  test.equal(t:where(col "id":gt(2)):count(), 2)
  test.equal(t:count_by "name", { ann = 1, bob = 1, cy = 1, dee = 1 })
  test.equal(t:agg { m = col "score":mean() }:item(), 3.0)
  test.equal(df.concat { t, t }:count(), 8)
  test.equal(t:join(t, { on = "id" }):count(), 4)
  test.raises("Table has no method or field 'verson'; did you mean 'version'?", function() t:verson() end)
  test.raises("no option 'versoin'; did you mean 'version'?", function() lake.open(t:name(), { versoin = 1 }) end)
end)

test.case("older versions are tables that can only be read", function()
  local name = dataset()
  df.from_columns { id = { 5 }, name = { "eve" }, score = { 5.5 } }:write(name, { mode = "append" })
  local t = lake.open(name)
  test.equal(t:count(), 5)
  local versions = t:versions()
  test.equal(#versions, 2)
  test.equal({ versions[1].operation, versions[2].operation }, { "create", "append" })
  test.equal({ versions[1].rows, versions[2].rows }, { 4, 5 })
  test.equal(t:at(1):count(), 4)
  test.equal(lake.open(name, { version = 1 }):count(), 4)
  test.equal(lake.open(name .. "#1"):version(), 1)
  test.equal(t:as_of("2999-01-01"):version(), 2)
  test.equal(lake.open(name, { as_of = "2999-01-01T00:00:00Z" }):version(), 2)
  test.raises("has no version as old as 2000-01-01T00:00:00Z", function() t:as_of "2000-01-01" end)
  test.raises("'yesterday' is no time", function() t:as_of "yesterday" end)
  test.raises("give one of version, tag and as_of", function() lake.open(name, { version = 1, tag = "x" }) end)
  test.raises("has no version 9; versions are 1 to 2", function() t:at(9) end)
end)

test.case("a table stays as it is until it is refreshed", function()
  local name = dataset()
  local t = lake.open(name)
  df.from_columns { id = { 5 }, name = { "eve" }, score = { 5.5 } }:write(name, { mode = "append" })
  test.equal(t:count(), 4)
  test.equal(t:refresh():count(), 5)
  test.equal(t:version(), 2)
  local old = t:at(1)
  test.equal(old:refresh():version(), 1)
end)

test.case("conditions can be written in SQL's words", function()
  local t = lake.open(dataset())
  test.equal(ids(t:where "id > 1 AND name LIKE '%e%'"), { 4 })
  test.equal(ids(t:filter "id IN (1, 3) OR score BETWEEN 4 AND 5"), { 1, 3, 4 })
  test.equal(t:select { x = df.sql_filter "id * 2 + length(name)" }:collect():column "x", { 5, 7, 8, 11 })
  test.equal(ids(t:where(col "name":like "_o%")), { 2 })
  test.raises("filter, position 6: expected a column or value, got the end", function() t:where "id > " end)
  test.raises("column 'nam'; did you mean 'name'?", function() t:where "nam = 'x'" end)
  test.raises("an expression expected, got false", function() t:where(col "id" == 3) end)
end)

test.case("statistics of columns", function()
  local name = dataset()
  df.from_columns { id = { 5 } }:with { name = df.null "string", score = df.null "f64" }:write(name, { mode = "append" })
  local stats = lake.open(name):stats()
  test.equal(stats.id, { name = "id", type = "Int64", count = 5, nulls = 0, min = 1, max = 5, mean = 3.0 })
  test.equal({ stats.name.min, stats.name.max, stats.name.count, stats.name.nulls }, { "ann", "dee", 4, 1 })
  test.equal({ stats.score.mean, stats.score.nulls }, { 3.0, 1 })
  local one = lake.open(name):stats { "score" }
  test.equal({ one.score.max, one.id }, { 4.5, nil })
  test.raises("column 'scor'; did you mean 'score'?", function() lake.open(name):stats { "scor" } end)
end)

test.case("rows are deleted and updated", function()
  local t = lake.open(dataset())
  test.equal(t:delete "id = 2", { version = 2, inserted = 0, updated = 0, deleted = 1, changed = true })
  test.equal({ t:version(), t:count() }, { 2, 3 })
  test.equal(t:delete(col "id":gt(99)), { version = 2, inserted = 0, updated = 0, deleted = 0, changed = false })
  local report = t:update({ score = col "score" * 10, name = "x" }, { where = "id >= 3" })
  test.equal({ report.updated, report.version }, { 2, 3 })
  local rows = t:sort "id":collect()
  test.equal(rows:column "score", { 1.5, 35, 45 })
  test.equal(rows:column "name", { "ann", "x", "x" })
  test.equal(t:update { score = 0.0 }.updated, 3)
  test.raises("column 'scor'", function() t:update { scor = 1 } end)
  test.raises("update needs at least one column", function() t:update {} end)
  test.raises("filter, position 1", function() t:delete "" end)
  test.raises("is open at version 1, to be read only", function() t:at(1):delete "id = 1" end)
end)

test.case("a frame is merged by key", function()
  local t = lake.open(dataset())
  local more = df.from_columns { id = { 4, 5 }, name = { "DEE", "eve" }, score = { 0.5, 5.5 } }
  local report = t:merge(more, { key = "id" })
  test.equal({ report.inserted, report.updated, report.deleted }, { 1, 1, 0 })
  test.equal(t:sort "id":collect():column "name", { "ann", "bob", "cy", "DEE", "eve" })
  report = t:merge(more:with("name", "zoe"), { key = { "id" }, when_matched = "keep", when_missing = "skip" })
  test.equal(report.changed, false)
  report = t:merge(more, { key = "id", not_in_source = "id = 1" })
  test.equal({ report.deleted, t:count() }, { 1, 4 })
  report = t:merge(more, { key = "id", not_in_source = "delete" })
  test.equal({ report.deleted, t:count() }, { 2, 2 })
  test.raises("option 'key' of 'merge' must name at least one column", function() t:merge(more, { key = {} }) end)
  test.raises("cannot be 'replace'", function() t:merge(more, { key = "id", when_matched = "replace" }) end)
  -- The same by write, which makes a data set that is not there.
  local name = dataset() .. "_new"
  test.equal(more:write(name, { mode = "merge", key = "id" }).inserted, 2)
  local written = more:with("score", 9.0):write(name, { mode = "merge", key = "id" })
  test.equal({ written.inserted, written.updated, written.version }, { 0, 2, 2 })
  test.equal(lake.open(name):collect():column "score", { 9, 9 })
  test.raises("option 'key' of 'write' must name the columns", function() more:write(name, { mode = "merge" }) end)
  test.raises("a key is only for mode 'merge', not for 'append'", function() more:write(name, { mode = "append", key = "id" }) end)
end)

test.case("a new data set may be compressed, in small files, and of an older format", function()
  local list = {}
  for i = 1, 3000 do list[i] = i % 7 + 0.25 end
  local frame, name = df.from_columns { x = list }, dataset() .. "_packed"
  local written = frame:write(name, { compression = "zstd:5", max_rows_per_file = 1000, data_storage_version = "2.1" })
  test.equal({ written.rows, written.fragments }, { 3000, 3 })
  test.equal(frame:write(name, { mode = "append" }).version, 2)
  test.equal(lake.open(name):agg { s = col "x":sum() }:item(), frame:agg { s = col "x":sum() }:item() * 2)
  test.raises("compression 'lz4' is for a new table or mode 'overwrite'", function()
    frame:write(name, { mode = "append", compression = "lz4" })
  end)
  test.raises("file version 2.2 is for a new table", function()
    frame:write(name, { mode = "append", data_storage_version = "2.2" })
  end)
  test.raises("compression is 'gzip'; it may be none, lz4, zstd or zstd:LEVEL", function()
    frame:write(name, { mode = "overwrite", compression = "gzip" })
  end)
  test.raises("max_rows_per_file", function() frame:write(name, { mode = "overwrite", max_rows_per_file = 0 }) end)
end)

test.case("columns are added, dropped, renamed and cast", function()
  local t = lake.open(dataset())
  test.equal(t:add_columns { double = col "score" * 2, half = col "id" / 2 }.version, 2)
  test.equal(t:sort "id":collect():column "double", { 3, 5, 7, 9 })
  t:add_columns { note = df.null "string" }
  test.equal(t:where "note IS NULL":count(), 4)
  t:add_columns(df.from_columns { id = { 1, 3 }, age = { 30, 40 } }, { key = "id" })
  test.equal(t:where "age IS NOT NULL":sort "id":collect():column "age", { 30, 40 })
  t:rename_column("note", "remark")
  t:cast_column("double", "f32")
  test.equal(t:select("double", "remark"):schema(), { { name = "double", type = "Float32" }, { name = "remark", type = "String" } })
  test.raises("'ann' cannot be read as Int64", function() t:cast_column("name", "i64") end)
  t:drop_columns("half", "remark")
  test.equal(t:columns(), { "id", "name", "score", "double", "age" })
  test.raises("column 'hal'", function() t:drop_columns "hal" end)
  test.equal(t:at(1):columns(), { "id", "name", "score" })
end)

test.case("older versions come back, and versions have names", function()
  local t = lake.open(dataset())
  test.equal(t:tag "start", 1)
  t:delete "id < 3"
  test.equal(t:tag("golden", 2), 2)
  test.equal(t:tags(), { start = 1, golden = 2 })
  test.equal(lake.open(t:name() .. "@start"):count(), 4)
  test.equal(t:at "start":count(), 4)
  test.equal(t:restore("start").version, 3)
  test.equal({ t:version(), t:count() }, { 3, 4 })
  t:untag "golden"
  test.equal(t:tags(), { start = 1 })
  test.raises("no tag 'golen'", function() t:at "golen" end)
  test.equal(t:at(2):restore().version, 4)
  test.equal(t:refresh():count(), 2)
end)

test.case("what differs between versions", function()
  local t = lake.open(dataset())
  t:append(df.from_columns { id = { 5 }, name = { "eve" }, score = { 5.5 } })
  t:update({ name = "x" }, { where = "id = 1" })
  t:add_columns { double = col "id" * 2 }
  local diff = t:diff(1)
  test.equal({ diff.from, diff.to, diff.rows_added, diff.rows_removed }, { 1, 4, 2, 1 })
  test.equal(diff.columns_added, { "double" })
  test.equal(ids(t:changes { since = 1 }), { 1, 5 })
  test.equal(ids(t:changes { since = 3 }), {})
  test.equal(t:changes { since = 0 }:count(), 5)
  test.equal(t:at(2):changes { since = 1 }:count(), 1)
  test.raises("option 'since' of 'changes' must be a version's number or tag", function() t:changes {} end)
end)

test.case("settings of a table", function()
  local t = lake.open(dataset())
  t:set_config { owner = "ann", ["lance.auto_cleanup.interval"] = "20" }
  test.equal(t:config().owner, "ann")
  t:set_config { owner = false }
  test.equal(t:config(), { ["lance.auto_cleanup.interval"] = "20" })
end)

test.case("branches are tables of their own", function()
  local t = lake.open(dataset())
  local b = t:create_branch "try"
  b:delete "id > 1"
  test.equal({ b:count(), t:refresh():count() }, { 1, 4 })
  test.equal(t:branch "try":count(), 1)
  test.equal(t:branches()[1].name, "try")
end)

test.case("a table is verified, compacted and cleaned up", function()
  local t = lake.open(dataset())
  for i = 5, 8 do t:append(df.from_columns { id = { i }, name = { "n" .. i }, score = { i / 2 } }) end
  local report = t:verify { all_versions = true }
  test.truthy(report.is_good)
  test.equal({ report.damaged, report.missing, report.without_checksum, #report.versions }, { 0, 0, 0, 5 })
  test.truthy(t:doctor().healthy)
  local before = ids(t)
  -- Two versions, as in Lance: one reserves the ids of the new fragments, one puts them in place.
  local compacted = t:compact()
  test.equal(compacted.version, 7)
  test.equal({ t:version(), t:versions()[7].fragments }, { 7, 1 })
  test.equal(ids(t), before)
  test.equal(t:compact().version, 7)
  local dry = t:cleanup { older_than_days = 0, dry_run = true }
  test.equal({ dry.dry_run, #t:versions() }, { true, 7 })
  t:tag("first", 1)
  t:cleanup { older_than_days = 0, keep_versions = 2 }
  -- A frame that still looks at an older version keeps it; nothing here looks at version 2.
  local left = {}
  for _, info in ipairs(t:versions()) do left[info.version] = true end
  test.truthy(left[1] and left[6] and left[7] and not left[2])
  test.equal(ids(t), before)
  test.raises("must be from 0 to 1", function() t:compact { deleted_share = 2 } end)
end)
