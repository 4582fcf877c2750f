-- One change of a data set, named by params.op; used beside pylance on the same table (test_alternating.py).
local df   = require "df"
local lake = require "lake"
local col  = df.col

local changes = {}

function changes.append(name, p) return df.from_rows(p.rows, { schema = p.schema }):write(name, { mode = "append" }) end
function changes.delete(name, p) return lake.open(name):delete(col "grp":eq(p.grp)) end
function changes.update(name, p)
  return lake.open(name):update({ score = col "score" + p.by }, { where = col "grp":eq(p.grp) })
end
function changes.merge(name, p) return lake.open(name):merge(df.from_rows(p.rows, { schema = p.schema }), { key = { "id" } }) end
function changes.add_column(name, p) return lake.open(name):add_columns { [p.column] = col "id" * p.factor } end
function changes.drop_column(name, p) return lake.open(name):drop_columns { p.column } end
function changes.compact(name) return lake.open(name):compact() end
function changes.index(name) return lake.open(name):create_index("id", { type = "btree", replace = true }) end
function changes.restore(name, p) return lake.open(name):restore(p.version) end

-- All rows, and those of one id through whatever index there is.
function changes.read(name, p)
  local rows, one = {}, {}
  local frame = df.read_lance(name)
  for row in frame:sort { "id" }:rows() do rows[#rows + 1] = row end
  for row in frame:where(col "id":eq(p.id)):select { "id", "score" }:rows() do one[#one + 1] = row end
  return { rows = rows, one = one }
end

function run(input, _, p) return { answer = changes[p.op](input, p) } end
