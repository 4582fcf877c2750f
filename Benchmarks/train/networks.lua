-- Training steps and predictions of small networks, for Benchmarks/train/run: images per second, microseconds.
--   moonlake run Benchmarks/train/networks.lua --input data/mnist --params '{"net": "classic", "what": "train"}'
local df, idx, nn, optim = require "df", require "idx", require "nn", require "optim"
local tensor, time = require "tensor", require "time"

local M = {}

M.params = {
  what    = { type = "string", default = "train", enum = { "train", "infer", "fit" } },
  net     = { type = "string", default = "classic", enum = { "classic", "lenet", "resnet18" } },
  batch   = { type = "integer", default = 64, min = 1 },
  seconds = { type = "number", default = 4, min = 0 },
  epochs  = { type = "integer", default = 5, min = 1, help = "of fit" },
}

-- Two convolutions beside a shortcut.
local function block(from, to, stride)
  local body = {
    nn.conv2d(from, to, 3, { padding = 1, stride = stride, bias = false }), nn.batchnorm2d(to), nn.relu(),
    nn.conv2d(to, to, 3, { padding = 1, bias = false }), nn.batchnorm2d(to),
  }
  local shortcut = from ~= to and { nn.conv2d(from, to, 1, { stride = stride, bias = false }), nn.batchnorm2d(to) } or nil
  return nn.sequential { nn.residual(body, { shortcut = shortcut }), nn.relu() }
end

local nets = {
  classic = function()
    return nn.sequential { nn.conv2d(1, 32, 3), nn.relu(), nn.conv2d(32, 64, 3), nn.relu(), nn.maxpool2d(2), nn.flatten(),
      nn.linear(9216, 128), nn.relu(), nn.linear(128, 10) }
  end,
  lenet = function()
    return nn.sequential { nn.conv2d(1, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
      nn.conv2d(8, 16, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.flatten(), nn.linear(784, 10) }
  end,
  -- For 32 x 32 images of three colours: no pooling at the beginning.
  resnet18 = function()
    local layers = { nn.conv2d(3, 64, 3, { padding = 1, bias = false }), nn.batchnorm2d(64), nn.relu() }
    local from = 64
    for i, to in ipairs { 64, 128, 256, 512 } do
      layers[#layers + 1] = block(from, to, i == 1 and 1 or 2)
      layers[#layers + 1] = block(to, to, 1)
      from = to
    end
    layers[#layers + 1] = nn.adaptive_avgpool2d(1)
    layers[#layers + 1] = nn.flatten()
    layers[#layers + 1] = nn.linear(512, 10)
    return nn.sequential(layers)
  end,
}

local function pixels(images) return images:to "f32":div_(255):unsqueeze(2) end

-- Endless batches of the training digits; noise in their shape for a network that takes other images.
local function batches(input, p)
  if p.net == "resnet18" then
    local x, y = tensor.rand(p.batch, 3, 32, 32), tensor.randint(0, 9, p.batch)
    return function() return x, y end
  end
  local loader = df.from_columns {
    image = idx.open(input, "train-images-idx3-ubyte"), label = idx.open(input, "train-labels-idx1-ubyte"),
  }:with { label = df.col "label":cast "i64" }:loader { batch_size = p.batch, shuffle = true, seed = 1, drop_last = true }
  return coroutine.wrap(function()
    while true do
      for batch in loader:batches() do coroutine.yield(pixels(batch.image), batch.label) end
    end
  end)
end

local function train(input, p)
  local net = nets[p.net]()
  local opt = optim.adam(net:parameters(), { lr = 1e-3 })
  local next_batch = batches(input, p)
  local function step()
    local x, y = next_batch()
    local loss = nn.cross_entropy(net(x), y)
    opt:zero_grad(); loss:backward(); opt:step()
    return loss
  end
  for _ = 1, 5 do step() end
  local steps, start = 0, time.clock()
  while time.clock() - start < p.seconds do
    step()
    steps = steps + 1
  end
  return { images_per_s = p.batch * steps / (time.clock() - start) }
end

local function infer(p)
  local net = nets[p.net]():compile { shape = { p.batch, 1, 28, 28 } }
  local x = tensor.rand(p.batch, 1, 28, 28)
  local times = {}
  for _ = 1, 20 do net(x) end
  local start = time.clock()
  repeat
    local before = time.clock()
    net(x)
    times[#times + 1] = time.clock() - before
  until time.clock() - start > p.seconds
  table.sort(times)
  local median = times[#times // 2 + 1]
  return { us = median * 1e6, images_per_s = p.batch / median }
end

-- Share of the test digits that are right after each epoch.
local function fit(input, p)
  local net = nets[p.net]()
  local opt = optim.adam(net:parameters(), { lr = 1e-3 })
  local function digits(part)
    return df.from_columns {
      image = idx.open(input, part .. "-images-idx3-ubyte"), label = idx.open(input, part .. "-labels-idx1-ubyte"),
    }:with { label = df.col "label":cast "i64" }
  end
  local train, test = digits "train":loader { batch_size = p.batch, shuffle = true, seed = 1 }, digits "t10k":loader { batch_size = 500 }
  local schedule = optim.cosine(opt, { steps = p.epochs * #train })
  local accuracy, start = {}, time.clock()
  for epoch = 1, p.epochs do
    for batch in train:batches() do
      local loss = nn.cross_entropy(net(pixels(batch.image)), batch.label)
      opt:zero_grad(); loss:backward(); opt:step(); schedule:step()
    end
    local right, all, compiled = 0, 0, net:compile { shape = { 500, 1, 28, 28 } }
    for batch in test:batches() do
      right = right + compiled(pixels(batch.image)):argclass():eq(batch.label):sum():item()
      all = all + #batch
    end
    accuracy[epoch] = right / all
  end
  return { accuracy = accuracy, seconds = time.clock() - start }
end

function M.run(input, _, p)
  tensor.manual_seed(1)
  if p.what == "fit" then return fit(input, p) end
  return p.what == "train" and train(input, p) or infer(p)
end

return M
