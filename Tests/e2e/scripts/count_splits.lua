-- Rows of each split, and the rows that another program appended.
local df = require "df"

function run(input)
  local frame = df.read_lance(input)
  local counts, labels, pixel = {}, {}, nil
  for row in frame:group_by { "split" }:agg { n = df.count() }:rows() do counts[row.split] = row.n end
  for row in frame:where(df.col "split":eq "new"):select { "label", "image" }:rows() do
    labels[#labels + 1] = row.label
    pixel = row.image[784]
  end
  return { counts = counts, labels_of_new = labels, pixel = pixel }
end
