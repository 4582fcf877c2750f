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

-- Everything a loader gives in two epochs, as bytes.
local function all(l, epochs)
  local out = {}
  for _ = 1, epochs or 2 do
    for batch in l:batches() do out[#out + 1] = tensor.to_safetensors { image = batch.image, label = batch.label } end
  end
  return out
end

test.case("prefetch changes nothing but the time", function()
  local rows = { image = tensor.rand(37, 5, 4), label = tensor.arange(0, 36) }
  local plain = all(loader(rows, { batch_size = 4, shuffle = true, seed = 2 }))
  test.equal(#plain, 20)
  for _, ahead in ipairs { true, 3, 64 } do
    test.equal(all(loader(rows, { batch_size = 4, shuffle = true, seed = 2, prefetch = ahead })), plain)
  end
  test.equal(#all(loader(rows, { batch_size = 4, shuffle = true, prefetch = 2, drop_last = true }), 1), 9)
  test.equal(all(loader(rows, { batch_size = 4, prefetch = 2 })), all(loader(rows, { batch_size = 4 })))
  -- A Lua transform gets the batch when it is given out.
  local seen = {}
  local l = loader(rows, { batch_size = 10, shuffle = true, prefetch = 2, transform = function(batch)
    seen[#seen + 1] = #batch
    batch.image = batch.image * 2
    return batch
  end })
  for batch in l:batches() do test.equal(#seen, l.position); test.equal(#batch, seen[#seen]) end
  test.equal(seen, { 10, 10, 10, 7 })
end)

test.case("prefetch goes on at the very next batch", function()
  local rows = { image = tensor.rand(50, 3), label = tensor.arange(0, 49) }
  local function new(prefetch) return loader(rows, { batch_size = 7, shuffle = true, seed = 9, prefetch = prefetch }) end
  local whole = all(new())
  for cut = 1, #whole - 1 do
    local first, got = new(3), {}
    for _ = 1, 2 do
      for batch in first:batches() do
        got[#got + 1] = tensor.to_safetensors { image = batch.image, label = batch.label }
        if #got == cut then break end
      end
      if #got == cut then break end
    end
    local second = new(2):load_state_dict(first:state_dict())
    while second.epoch <= 2 do
      for batch in second:batches() do got[#got + 1] = tensor.to_safetensors { image = batch.image, label = batch.label } end
    end
    test.equal(got, whole)
  end
end)

test.case("prefetch and a state that is loaded between two batches", function()
  local rows = { image = tensor.rand(20, 3), label = tensor.arange(0, 19) }
  local function new(prefetch) return loader(rows, { batch_size = 4, shuffle = true, seed = 1, prefetch = prefetch }) end
  local first, second = {}, {}
  for i, l in ipairs { new(), new(2) } do
    local start, out = l:state_dict(), i == 1 and first or second
    for batch in l:batches() do
      out[#out + 1] = batch.label:totable()
      if #out == 3 then l:load_state_dict(start) end
    end
  end
  test.equal(#first, 8)
  test.equal(second, first)
end)

test.case("prefetch sees what is written to a column", function()
  local rows = { x = tensor.zeros(1000, 100) }
  local l = loader(rows, { batch_size = 100, shuffle = true, prefetch = 4 })
  local step = 0
  for batch in l:batches() do
    test.equal(batch.x:sum():item(), step * 100 * 100.0)
    step = step + 1
    rows.x:add_(1)
  end
  test.equal(step, 10)
end)

test.case("names what is wrong", function()
  test.raises("loader: prefetch must be true, false or a whole number of 0 to 64, got 65", function()
    loader(columns(3), { prefetch = 65 })
  end)
  test.raises("loader: transform must be a function or augment.compose { ... }, got table", function()
    loader(columns(3), { transform = {} })
  end)
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
