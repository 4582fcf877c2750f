-- Figures over a data set that pylance wrote, through several fragments and a column with nulls.
local df = require "df"
local col = df.col

function run(input)
  local frame = df.read_lance(input)
  local sums = frame:agg { rows = df.count(), ids = col "id":sum(), small = col "small":sum(), share = col "share":sum() }
  local result
  for row in sums:rows() do result = { rows = row.rows, ids = row.ids, small = row.small, share = row.share } end
  result.without_name = frame:where(col "name":is_null()):count()
  result.even = frame:where(col "even"):count()
  for row in frame:where(col "id":eq(999)):select { "name" }:rows() do result.last = row.name end
  return result
end
