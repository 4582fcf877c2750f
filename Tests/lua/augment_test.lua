-- Pictures changed at random: against a naive reference in f64, and the same whatever threads, batches and resumes do.
local test = require "test"
local tensor = require "tensor"
local data = require "data"
local augment, loader = data.augment, data.loader

local function picture(n, c, h, w) return tensor.arange(1, n * c * h * w):to("f32"):reshape(n, c, h, w):mul(0.37):sin() end

-- One picture (lists [c][y][x], from 1) turned, zoomed and moved, with plain arithmetic.
local function naive(x, c, h, w, degrees, zoom, down, right, fill)
  local a = math.rad(degrees)
  local my, mx = (h - 1) / 2, (w - 1) / 2
  local function at(channel, y, col)
    if y < 0 or y >= h or col < 0 or col >= w then return fill end
    return x[channel][y + 1][col + 1]
  end
  local out = {}
  for channel = 1, c do
    out[channel] = {}
    for y = 0, h - 1 do
      out[channel][y + 1] = {}
      for col = 0, w - 1 do
        local dx, dy = col - mx - right, y - my - down
        local fx = (dx * math.cos(a) - dy * math.sin(a)) / zoom + mx
        local fy = (dx * math.sin(a) + dy * math.cos(a)) / zoom + my
        local x0, y0 = math.floor(fx), math.floor(fy)
        local u, v = fx - x0, fy - y0
        out[channel][y + 1][col + 1] = (at(channel, y0, x0) * (1 - u) + at(channel, y0, x0 + 1) * u) * (1 - v)
          + (at(channel, y0 + 1, x0) * (1 - u) + at(channel, y0 + 1, x0 + 1) * u) * v
      end
    end
  end
  return out
end

local function near(got, wanted, tolerance)
  local expected = tensor.from_table(wanted, { dtype = "f64" })
  local worst = (got:to "f64" - expected):abs():max():item()
  test.truthy(worst <= tolerance, "differs by " .. worst)
end

test.case("turns, zooms and moves as plain arithmetic does", function()
  for _, size in ipairs { { 1, 28, 28 }, { 3, 5, 9 }, { 2, 7, 4 }, { 1, 1, 1 } } do
    local c, h, w = size[1], size[2], size[3]
    local x = picture(2, c, h, w)
    for _, case in ipairs { { 0, 1, 0, 0, 0 }, { 15, 1, 0, 0, 0 }, { -33.3, 1.25, 0.5, 0.5, 0 }, { 90, 0.7, -1.25, -1.25, 0.5 },
      { 180, 1, 2, 2, -1 }, { 7, 3, 0.1, 0.1, 0 } } do
      local degrees, zoom, down, right, fill = table.unpack(case)
      local change = augment.affine {
        degrees = { degrees, degrees }, scale = { zoom, zoom }, shift = { down, down }, fill = fill,
      }
      local got = augment.compose { change }(x)
      test.equal(got:shape(), x:shape())
      local list = x:totable()
      for i = 1, 2 do list[i] = naive(list[i], c, h, w, degrees, zoom, down, right, fill) end
      near(got, list, 2e-5)
    end
  end
end)

test.case("turns against the clock, and not at all by 0", function()
  local x = tensor.from_table { { { { 1, 2 }, { 3, 4 } } } }
  near(augment.compose { augment.rotate { 90, 90 } }(x), { { { { 2, 4 }, { 1, 3 } } } }, 1e-6)
  test.equal(augment.compose { augment.rotate(0), augment.scale(1, 1), augment.shift(0) }(x):totable(), x:totable())
end)

test.case("mirrors", function()
  local x = tensor.from_table { { { 1, 2, 3 }, { 4, 5, 6 } } }      -- (rows, height, width)
  test.equal(augment.compose { augment.hflip(1) }(x):totable(), { { { 3, 2, 1 }, { 6, 5, 4 } } })
  test.equal(augment.compose { augment.vflip(1) }(x):totable(), { { { 4, 5, 6 }, { 1, 2, 3 } } })
  test.equal(augment.compose { augment.hflip(0), augment.vflip(0) }(x):totable(), x:totable())
  -- About half of 2000.
  local many = augment.compose { augment.hflip() }(tensor.from_table({ { { 0, 1 } } }):expand(2000, 1, 2))
  local mirrored = many:narrow(3, 1, 1):sum():item()
  test.truthy(mirrored > 900 and mirrored < 1100, mirrored)
end)

test.case("moves by whole pixels, each way equally often", function()
  local x = tensor.zeros(1, 1, 5, 5)
  x[1][1][3][3] = 1
  local many = augment.compose { augment.shift(1, { fill = 0 }), seed = 4 }(x:expand(9000, 1, 5, 5))
  local counts = many:sum(1):reshape(5, 5):totable()
  for y = 1, 5 do
    for col = 1, 5 do
      local inside = y >= 2 and y <= 4 and col >= 2 and col <= 4
      local count = counts[y][col]
      test.truthy(inside and count > 850 and count < 1150 or not inside and count == 0, count)
    end
  end
  local filled = augment.compose { augment.shift({ 0, 4 }, { fill = 7 }), seed = 2 }(tensor.zeros(50, 1, 2, 4))
  test.truthy(filled:max():item() == 7.0)
end)

test.case("cuts", function()
  local x = tensor.arange(1, 16):to("u8"):reshape(1, 4, 4)
  test.equal(augment.compose { augment.crop(4) }(x):totable(), x:to("f32"):totable())
  local seen = {}
  local many = augment.compose { augment.crop { 2, 3 } }(x:expand(300, 4, 4))
  test.equal(many:shape(), { 300, 2, 3 })
  for i = 1, 300 do
    local cut = many[i]:totable()
    seen[cut[1][1]] = true
    test.equal(cut[2][3], cut[1][1] + 6)
  end
  test.equal(seen, { [1] = true, [2] = true, [5] = true, [6] = true, [9] = true, [10] = true })
  local padded = augment.compose { augment.crop(4, { padding = 2, fill = -1 }) }(x:expand(100, 4, 4))
  test.equal(padded:shape(), { 100, 4, 4 })
  test.equal(padded:min():item(), -1.0)
end)

test.case("erases a part", function()
  local x = tensor.ones(200, 2, 10, 10)
  local out = augment.compose { augment.erase { p = 1, area = { 0.2, 0.3 }, ratio = { 1, 1 } } }(x)
  for i = 1, 200 do
    local left = out[i]:sum():item()
    test.truthy(left == 2 * (100 - 16) or left == 2 * (100 - 25), left)     -- squares of 4 and 5
  end
  test.equal(augment.compose { augment.erase { p = 0 } }(x):sum():item(), 40000.0)
end)

test.case("normalizes each channel", function()
  local x = tensor.from_table { { { { 1 } }, { { 10 } } } }
  test.equal(augment.compose { augment.normalize({ 1, 2 }, { 2, 4 }) }(x):totable(), { { { { 0 } }, { { 2 } } } })
  local white = tensor.full({ 1, 1, 1 }, 255, { dtype = "u8" })
  test.equal(augment.compose { augment.normalize(127.5, 127.5) }(white):totable(), { { { 1.0 } } })
end)

local function steps()
  return {
    augment.affine { degrees = 20, scale = { 0.8, 1.2 }, shift = 2 }, augment.shift(1), augment.hflip(),
    augment.crop(8, { padding = 1 }), augment.erase { p = 0.5 }, augment.normalize(0.5, 0.25),
  }
end

test.case("gives each picture its own numbers, whatever the batches", function()
  local x = picture(40, 1, 9, 9)
  local whole = augment.compose(steps())(x)
  local parts = augment.compose(steps())
  local pieces = { parts(x:narrow(1, 1, 3)), parts(x:narrow(1, 4, 30)), parts(x:narrow(1, 34, 7)) }
  test.truthy(tensor.cat(pieces):eq(whole):all())
  local twice = augment.compose(steps())(x[1]:expand(2, 1, 9, 9))
  test.truthy(not twice[1]:eq(twice[2]):all())
  -- The state of calls.
  local first = augment.compose(steps())
  first(x:narrow(1, 1, 3))
  local second = augment.compose(steps()):load_state_dict(first:state_dict())
  test.truthy(second(x:narrow(1, 4, 30)):eq(pieces[2]):all())
  local other = augment.compose(steps())
  other.seed = 1
  test.truthy(not other(x):eq(whole):all())
end)

test.case("a loader's batches depend on seed, epoch and picture only", function()
  local rows = { image = picture(30, 1, 10, 10), label = tensor.arange(0, 29) }
  local function run(opts, from)
    opts.shuffle, opts.seed, opts.transform = true, 5, augment.compose(steps())
    local l, out = loader(rows, opts), {}
    if from then l:load_state_dict(from) end
    while l.epoch <= 2 do
      for batch in l:batches() do
        for i = 1, #batch do out[#out + 1] = batch.label[i]:item() .. " " .. tensor.to_safetensors { x = batch.image[i] } end
      end
    end
    return out
  end
  local plain = run { batch_size = 7 }
  test.equal(#plain, 60)
  test.equal(run { batch_size = 7, prefetch = 3 }, plain)
  test.equal(run { batch_size = 30 }, plain)
  test.equal(run({ batch_size = 7, prefetch = 2 }, { epoch = 1, position = 3, seed = 5 }), table.move(plain, 22, 60, 1, {}))
  local l = loader(rows, { batch_size = 10, transform = augment.compose { augment.rotate(30) } })   -- in order
  for batch in l:batches() do test.equal(batch.image:shape(), { 10, 1, 10, 10 }) end
end)

test.case("takes flat rows with a size", function()
  local x = picture(4, 1, 6, 6):reshape(4, 36)
  local flat = augment.compose { augment.rotate(30), size = { 6, 6 } }(x)
  local square = augment.compose { augment.rotate(30) }(x:reshape(4, 1, 6, 6))
  test.equal(flat:totable(), square:reshape(4, 36):totable())
  test.equal(augment.compose { augment.crop(3), size = { 1, 6, 6 } }(x):shape(), { 4, 9 })
end)

test.case("names what is wrong", function()
  local x = picture(2, 1, 6, 6)
  local function raises(text, make, given) test.raises(text, function() make()(given or x) end) end
  test.raises("augment.compose: step 2 must be a step such as augment.rotate(10), got number", function()
    augment.compose { augment.rotate(1), 5 }
  end)
  test.raises("augment.compose: at least one step is needed", function() augment.compose {} end)
  test.raises("augment.compose: unknown option 'colum'", function() augment.compose { augment.hflip(), colum = "x" } end)
  test.raises("augment.rotate: degrees must be a number from 0 or {low, high}, got -3", function() augment.rotate(-3) end)
  test.raises("augment.rotate: unknown option 'file'; options are: fill", function() augment.rotate(3, { file = 0 }) end)
  test.raises("augment.hflip: p must be a number of 0 to 1, got 2", function() augment.hflip(2) end)
  test.raises("augment.crop: size must be a whole number of at least 1, got 0", function() augment.crop(0) end)
  raises("augment.warp: 'zoom' must be {low, high} within 0.001 to 1000.0", function()
    return augment.compose { augment.scale(0, 1) }
  end)
  raises("augment.crop: 9 x 9 cannot be cut from 6 x 6 pixels with a padding of 1", function()
    return augment.compose { augment.crop(9, { padding = 1 }) }
  end)
  raises("augment.normalize: mean has 3 values, pictures have 1 channels", function()
    return augment.compose { augment.normalize({ 1, 2, 3 }, 1) }
  end)
  raises("augment.normalize: 'std' must be above 0", function() return augment.compose { augment.normalize(0, 0) } end)
  local function mirror() return augment.compose { augment.hflip() } end
  raises("augment: column 'image' must be u8 or f32, not i64", mirror, x:to "i64")
  raises("for flat rows give size = {height, width}", mirror, x:reshape(2, 36))
  raises("which is no picture of (5, 5)", function() return augment.compose { augment.hflip(), size = { 5, 5 } } end)
  raises("a tensor or a batch with the column 'image' is needed, got table", mirror, {})
  test.raises("augment: 'image'; columns are: label, x", function()
    loader({ x = x, label = tensor.zeros(2) }, { transform = augment.compose { augment.hflip() } })
  end)
end)
