-- Checkpoints in the lake: what is saved comes back with all its bits.
local test = require "test"
local checkpoint = require "checkpoint"
local nn = require "nn"
local optim = require "optim"
local tensor = require "tensor"
local loader = require("data").loader

local NAME = "spec_checkpoint"

-- A training in small: all its parts, and a step that uses all of them.
local function training()
  tensor.manual_seed(5)
  local net = nn.sequential { nn.linear(3, 8), nn.batchnorm1d(8), nn.relu(), nn.dropout(0.3), nn.linear(8, 2) }
  local opt = optim.adam(net:parameters(), { lr = 0.01 })
  local rows = { x = tensor.randn(20, 3), y = tensor.randint(0, 1, 20) }
  return {
    net = net, optimizer = opt, schedule = optim.cosine(opt, { steps = 30 }),
    loader = loader(rows, { batch_size = 6, shuffle = true, seed = 3 }),
  }
end

-- Trains until `steps` steps are done in all; gives the number done.
local function train(t, done, steps)
  while done < steps do
    for batch in t.loader:batches() do
      local loss = nn.cross_entropy(t.net(batch.x), batch.y)
      t.optimizer:zero_grad(); loss:backward(); t.optimizer:step(); t.schedule:step()
      done = done + 1
      if done == steps then break end
    end
  end
  return done
end

local function bits(t) return tensor.to_safetensors(t.net:state_dict()) end

test.case("goes on with the same bits", function()
  checkpoint.delete(NAME)
  local whole = training()
  train(whole, 0, 30)
  for _, cut in ipairs { 1, 4, 8, 13 } do
    local first = training()
    train(first, 0, cut)
    checkpoint.save(NAME, first, { step = cut })
    local second = training()
    tensor.randn(7)                       -- the random numbers stand elsewhere
    local saved = checkpoint.load(NAME, second)
    test.equal(saved.step, cut)
    test.equal(second.optimizer.lr, first.optimizer.lr)
    train(second, saved.step, 30)
    test.truthy(bits(second) == bits(whole), "cut at step " .. cut)
  end
  checkpoint.delete(NAME)
end)

test.case("gives nil where there is none", function()
  test.equal(checkpoint.load("spec_no_such_checkpoint", training()), nil)
  test.equal(checkpoint.list "spec_no_such_checkpoint", {})
end)

test.case("plain values keep type and value", function()
  local extra = {
    whole = 3, float = 3.0, tiny = 5e-324, third = 1 / 3, large = math.maxinteger, small = math.mininteger, minus_zero = -0.0,
    huge = math.huge, text = "Zürich \0 \"x\"", bytes = "\255\0\1", yes = true, no = false, empty = {},
    list = { 1, 2.5, "three", { 4 } },
    holes = { [1] = "a", [3] = "c", [-7] = "d" }, mixed = { "first", name = "n", ["a.b"] = 1, a = { b = 2 } },
    tensors = { i = tensor.from_table({ 1, -2 }, { dtype = "i64" }), b = tensor.from_table { true, false },
      none = tensor.zeros(0, 3), view = tensor.arange(1, 6):reshape(2, 3):transpose(1, 2), ["view.x"] = tensor.ones(1) },
  }
  checkpoint.save(NAME, { extra = extra, best = 0.5 })
  local got = checkpoint.load(NAME, {})
  test.equal(got.best, 0.5)
  local back = got.extra
  for _, key in ipairs { "whole", "float", "tiny", "third", "large", "small", "huge", "text", "bytes", "yes", "no" } do
    test.equal(back[key], extra[key])
    test.equal(math.type(back[key]), math.type(extra[key]))
  end
  test.equal(1 / back.minus_zero, -math.huge)
  test.equal(back.list, extra.list)
  test.equal(math.type(back.list[1]), "integer")
  test.equal(back.holes, extra.holes)
  test.equal(back.mixed, extra.mixed)
  test.equal(back.empty, {})
  test.equal(back.tensors.i:totable(), { 1, -2 })
  test.equal(back.tensors.i:dtype(), "i64")
  test.equal(back.tensors.b:totable(), { true, false })
  test.equal(back.tensors.none:shape(), { 0, 3 })
  test.equal(back.tensors.view:totable(), { { 1, 4 }, { 2, 5 }, { 3, 6 } })
  test.equal(back.tensors["view.x"]:totable(), { 1.0 })
  checkpoint.save(NAME, { extra = { nan = 0 / 0 } })
  local nan = checkpoint.load(NAME, {}).extra.nan
  test.truthy(nan ~= nan)
  checkpoint.delete(NAME)
end)

test.case("keeps the last ones and the best", function()
  for i, loss in ipairs { 0.9, 0.2, 0.5, 0.4, 0.3 } do
    test.equal(checkpoint.save(NAME, { extra = { i = i } }, { step = 10 * i, keep = 2, metric = loss, best = "min" }), i)
  end
  local numbers = {}
  for i, entry in ipairs(checkpoint.list(NAME)) do numbers[i] = { entry.number, entry.step, entry.metric } end
  test.equal(numbers, { { 2, 20, 0.2 }, { 4, 40, 0.4 }, { 5, 50, 0.3 } })
  test.equal(checkpoint.load(NAME, {}).extra.i, 5)
  test.equal(checkpoint.load(NAME, {}, { which = "best" }).extra.i, 2)
  test.equal(checkpoint.load(NAME, {}, { which = 4 }).step, 40)
  checkpoint.save(NAME, {}, { keep = 1 })
  test.equal(#checkpoint.list(NAME), 1)
  test.raises("no checkpoint of 'spec_checkpoint' has a metric", function()
    checkpoint.load(NAME, {}, { which = "best" })
  end)
  checkpoint.delete(NAME)
  test.equal(checkpoint.list(NAME), {})
end)

test.case("names what is wrong", function()
  test.raises("checkpoint.save: unknown option 'steps'", function() checkpoint.save(NAME, {}, { steps = 1 }) end)
  test.raises("checkpoint.save: the option 'best' needs the option 'metric'", function()
    checkpoint.save(NAME, {}, { best = "min" })
  end)
  test.raises("option 'keep' of 'write' must be 1 to 1000000, got 0", function() checkpoint.save(NAME, {}, { keep = 0 }) end)
  test.raises("a table of parts is needed as second argument", function() checkpoint.save(NAME) end)
  test.raises("parts need names, such as net or optimizer; got 1", function() checkpoint.save(NAME, { {} }) end)
  test.raises("checkpoint: extra.list.2 is a function", function() checkpoint.save(NAME, { extra = { list = { 1, print } } }) end)
  test.raises("checkpoint: extra has the key true (boolean)", function() checkpoint.save(NAME, { extra = { [true] = 1 } }) end)
  local loop = {}
  loop.loop = loop
  test.raises("nested deeper than 50 tables; does it hold itself?", function() checkpoint.save(NAME, { extra = loop }) end)
  test.equal(checkpoint.list(NAME), {})
  checkpoint.save(NAME, { net = training().net })
  test.raises("0000000001.safetensors holds no part 'optimizer'; it holds: net", function()
    checkpoint.load(NAME, { optimizer = training().optimizer })
  end)
  test.raises("the state does not fit the network", function()
    checkpoint.load(NAME, { net = nn.sequential { nn.linear(3, 9) } })
  end)
  test.raises("'which' must be \"last\", \"best\" or a number", function() checkpoint.load(NAME, {}, { which = "first" }) end)
  test.raises("there is no number 7", function() checkpoint.load(NAME, {}, { which = 7 }) end)
  checkpoint.delete(NAME)
end)

test.case("tables without end, reserved names and a best of nothing are errors", function()
  local t = {}
  for _ = 1, 45 do t = { t, t } end
  test.raises("more than 1000000 values", function() checkpoint.save(NAME, { a = t }) end)
  test.raises("'step' names a field", function() checkpoint.save(NAME, { step = 3 }) end)
  checkpoint.save(NAME, {}, { metric = 0.5 })
  test.raises("do not say which metric is best", function() checkpoint.load(NAME, {}, { which = "best" }) end)
  checkpoint.delete(NAME)
end)
