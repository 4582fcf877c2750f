-- mnist/mnist_cnn.lua with the networks of the peers' benchmarks: one epoch, Adam, no validation set while it trains.
local df     = require "df"
local lake   = require "lake"
local nn     = require "nn"
local optim  = require "optim"
local task   = require "task"
local tensor = require "tensor"

local M = {}

M.params = {
  network    = { type = "string",  default = "classic", enum = { "classic", "lenet" } },
  batch_size = { type = "integer", default = 64, min = 1 },
}

local networks = {
  classic = function()
    return nn.sequential {
      nn.unflatten(1, 28, 28),
      nn.conv2d(1, 32, 3), nn.relu(), nn.conv2d(32, 64, 3), nn.relu(), nn.maxpool2d(2),
      nn.flatten(), nn.linear(9216, 128), nn.relu(), nn.linear(128, 10),
    }
  end,
  lenet = function()
    return nn.sequential {
      nn.unflatten(1, 28, 28),
      nn.conv2d(1, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
      nn.conv2d(8, 16, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
      nn.flatten(), nn.linear(784, 10),
    }
  end,
}

function M.run(input, output, p)
  tensor.manual_seed(1)
  local frame = df.read_lance(input)
  local function split(name) return frame:where(df.col "split":eq(name)):select { "image", "label" } end
  local train = split "train":loader { batch_size = p.batch_size, shuffle = true, seed = 1 }
  local net   = networks[p.network]()
  local opt   = optim.adam(net:parameters(), { lr = 2e-3 })
  local sched = optim.cosine(opt, { steps = #train })
  local step  = 0
  for batch in train:batches() do
    local loss = nn.cross_entropy(net(batch.image), batch.label)
    opt:zero_grad(); loss:backward(); opt:step(); sched:step()
    step = step + 1
    task.progress(step, #train)
  end
  local right, rows = 0, 0
  net:eval()
  tensor.no_grad(function()
    for batch in split "test":loader { batch_size = 500 }:batches() do
      right = right + net(batch.image):argclass():eq(batch.label):sum():item()
      rows  = rows + #batch
    end
  end)
  local metrics = { accuracy = right / rows }
  lake.save_model(output, { net = net, metrics = metrics, params = p,
    signature = { input = { image = "f32[784]" }, output = { logits = "f32[10]" } } })
  return metrics
end

return M
