-- Raw MNIST (four IDX files, plain or .gz) -> a clean Lance data set: image, label, split.
local df   = require "df"      -- lazy columnar frames
local idx  = require "idx"     -- reader of IDX files
local lake = require "lake"    -- data sets and models by name
local task = require "task"    -- this run: progress, log, metrics

local col, lit = df.col, df.lit

local M = {}

-- Declared once: checked before the script runs, shown in the page, known to the editor.
M.params = {
  normalize  = { type = "boolean", default = true, help = "scale pixels to 0..1" },
  flatten    = { type = "boolean", default = true, help = "vectors of 784 instead of 28x28" },
  split      = { type = "string",  default = "official", enum = { "official", "random" } },
  test_ratio = { type = "number",  default = 0.14, min = 0, max = 0.9, help = "share of test rows when split = 'random'" },
  seed       = { type = "integer", default = 42 },
}

-- One of the two official parts as a frame of image (28x28 bytes), label (byte), split.
local function part(folder, prefix, split)
  local images = idx.open(folder, prefix .. "-images-idx3-ubyte")
  local labels = idx.open(folder, prefix .. "-labels-idx1-ubyte")
  if #images ~= #labels then
    error(("%s: %d images but %d labels"):format(prefix, #images, #labels))
  end
  return df.from_columns { image = images, label = labels }:with("split", lit(split))
end

function M.run(input, output, p)
  local raw = df.concat { part(input, "train", "train"), part(input, "t10k", "test") }

  local pixels = col "image"
  if p.normalize then pixels = pixels:cast "f32" / 255 end
  if p.flatten   then pixels = pixels:flatten() end

  local clean = raw
    :with { image = pixels, label = col "label":cast "i64" }
    :check("label_range", col "label":between(0, 9), "drop")     -- counted, reported, dropped

  if p.split == "random" then
    local is_test = (col "image":hash(p.seed) % 10000):lt(p.test_ratio * 10000)
    clean = clean:with("split", df.when(is_test, "test"):otherwise "train")
  end

  local written = clean:select { "image", "label", "split" }:write(output, { mode = "overwrite", progress = task.progress })
  local parts = lake.open(output):count_by "split"
  local dropped = written.checks.label_range.dropped
  if dropped > 0 then task.warn("%d rows with a label outside 0..9 were left out", dropped) end
  return { total_records = written.rows, train = parts.train, test = parts.test, dropped = dropped, version = written.version }
end

return M
