local test = require "test"
local tensor = require "tensor"
local loader = require("data").loader

local function columns(n)
  return { image = tensor.arange(1, n):to("f32"):unsqueeze(2):expand(n, 3), label = tensor.arange(0, n - 1) }
end

local function labels(l)
  local out = {}
  for batch in l:batches() do
    for _, id in ipairs(batch.label:totable()) do out[#out + 1] = id end
  end
  return out
end

test.case("gives every row once, in order", function()
  local l = loader(columns(10), { batch_size = 4 })
  test.equal(#l, 3)
  test.equal(l.epoch, 1)
  local sizes = {}
  for batch in l:batches() do
    sizes[#sizes + 1] = #batch
    test.equal(batch.image:shape(), { #batch, 3 })
    test.equal(batch.image[1][1]:item(), batch.label[1]:item() + 1.0)
  end
  test.equal(sizes, { 4, 4, 2 })
  test.equal(l.epoch, 2)
  test.equal(#loader(columns(10), { batch_size = 4, drop_last = true }), 2)
end)

test.case("shuffles by seed and epoch", function()
  local a = loader(columns(50), { batch_size = 8, shuffle = true, seed = 3 })
  local b = loader(columns(50), { batch_size = 8, shuffle = true, seed = 3 })
  local first, second = labels(a), labels(a)
  test.equal(first, labels(b))
  test.equal(second, labels(b))
  test.truthy(table.concat(first, ",") ~= table.concat(second, ","))
  table.sort(first)
  for i = 1, 50 do test.equal(first[i], i - 1) end
end)

test.case("goes on at the very next batch", function()
  local a = loader(columns(20), { batch_size = 3, shuffle = true, seed = 1 })
  local all = labels(a)
  local b = loader(columns(20), { batch_size = 3, shuffle = true, seed = 1 })
  local seen = {}
  for batch in b:batches() do
    for _, id in ipairs(batch.label:totable()) do seen[#seen + 1] = id end
    if #seen == 6 then break end
  end
  local c = loader(columns(20), { batch_size = 3, shuffle = true, seed = 1 }):load_state_dict(b:state_dict())
  for _, id in ipairs(labels(c)) do seen[#seen + 1] = id end
  test.equal(seen, all)
  test.equal(c.epoch, 2)
end)

test.case("keeps types and transforms", function()
  local l = loader({ x = tensor.arange(1, 6):to "u8", y = tensor.rand(6) }, {
    shuffle = true, batch_size = 6, transform = function(batch)
      batch.x = batch.x:to "f32" / 255
      return batch
    end,
  })
  for batch in l:batches() do
    test.equal(batch.x:dtype(), "f32")
    test.equal(batch.y:dtype(), "f32")
  end
end)

test.case("names what is wrong", function()
  test.raises("loader: unknown option 'size'", function() loader(columns(3), { size = 2 }) end)
  test.raises("loader: column 'b' has 4 rows, column 'a' has 3", function()
    loader { a = tensor.zeros(3), b = tensor.zeros(4) }
  end)
  test.raises("loader: column 'a' must be a Tensor, got table", function() loader { a = {} } end)
  test.raises("loader: at least one column is needed", function() loader {} end)
  test.raises("loader: batch_size must be a whole number of at least 1, got 0", function()
    loader(columns(3), { batch_size = 0 })
  end)
end)
