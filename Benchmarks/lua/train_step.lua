-- Training steps of the two small MNIST networks of Benchmarks/peers/train.py, on random data: images per second.
--   moonlake run Benchmarks/lua/train_step.lua --params '{"net": "classic", "batch": 64, "steps": 60}'
local tensor, nn, optim, time = require "tensor", require "nn", require "optim", require "time"

local M = {}

M.params = {
  net   = { type = "string", default = "classic", enum = { "classic", "lenet", "demo" } },
  batch = { type = "integer", default = 64, min = 1 },
  steps = { type = "integer", default = 60, min = 1 },
}

local nets = {
  classic = function()
    return nn.sequential { nn.conv2d(1, 32, 3), nn.relu(), nn.conv2d(32, 64, 3), nn.relu(), nn.maxpool2d(2), nn.flatten(),
      nn.linear(9216, 128), nn.relu(), nn.linear(128, 10) }
  end,
  lenet = function()
    return nn.sequential { nn.conv2d(1, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
      nn.conv2d(8, 16, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.flatten(), nn.linear(784, 10) }
  end,
  demo = function()
    return nn.sequential { nn.conv2d(1, 16, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
      nn.conv2d(16, 32, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.flatten(), nn.linear(1568, 128), nn.relu(),
      nn.dropout(0.25), nn.linear(128, 10) }
  end,
}

function M.run(_, _, p)
  tensor.manual_seed(1)
  local net = nets[p.net]()
  local opt = optim.adam(net:parameters(), { lr = 1e-3 })
  local x = tensor.rand(p.batch, 1, 28, 28)
  local y = tensor.randint(0, 9, p.batch)
  local function steps(n)
    local loss
    for _ = 1, n do
      loss = nn.cross_entropy(net(x), y)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    return loss:item()
  end
  steps(10)
  local rates = {}
  for i = 1, 3 do
    local start = time.clock()
    steps(p.steps)
    rates[i] = p.batch * p.steps / (time.clock() - start)
  end
  table.sort(rates)
  return { images_per_s = rates[2], least = rates[1], most = rates[3] }
end

return M
