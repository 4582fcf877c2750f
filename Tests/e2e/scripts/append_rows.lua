-- Appends `commits` times `rows` rows with ids of its own: `first`, `first` + 1, ... A conflict is tried again, as it says that nothing
-- was committed.
local df = require "df"

function run(_, output, p)
  local conflicts = 0
  for commit = 0, p.commits - 1 do
    local ids, writers = {}, {}
    for row = 1, p.rows do
      ids[row] = p.first + commit * p.rows + row - 1
      writers[row] = p.writer
    end
    local frame = df.from_columns { id = ids, writer = writers }
    while true do
      local ok, problem = pcall(frame.write, frame, output, { mode = "append" })
      if ok then break end
      if problem.code ~= "VERSION_CONFLICT" then error(problem) end
      conflicts = conflicts + 1
    end
  end
  return { commits = p.commits, conflicts = conflicts }
end
