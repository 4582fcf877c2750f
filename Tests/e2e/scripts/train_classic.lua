-- The classic CNN from given weights on given batches: the loss of every step, to compare with PyTorch's.
-- The input folder holds weights.safetensors and batches.safetensors (images: u8 (n, 1, 28, 28), labels: i64 (n)).
local fs, nn, optim, tensor = require "fs", require "nn", require "optim", require "tensor"

local M = {}

M.params = {
  batch = { type = "integer", default = 64 },
  lr    = { type = "number", default = 1e-3 },
  dtype = { type = "string", default = "f32", enum = { "f32", "f64" } },
}

function M.run(input, _, p)
  local net = nn.sequential {
    nn.conv2d(1, 32, 3), nn.relu(), nn.conv2d(32, 64, 3), nn.relu(), nn.maxpool2d(2), nn.flatten(),
    nn.linear(9216, 128), nn.relu(), nn.linear(128, 10),
  }
  net:to(p.dtype):load_state_dict(tensor.from_safetensors(fs.read(input .. "/weights.safetensors")))
  local data = tensor.from_safetensors(fs.read(input .. "/batches.safetensors"))
  local opt = optim.adam(net:parameters(), { lr = p.lr })
  local losses = {}
  for first = 1, #data.images, p.batch do
    local x = data.images:slice(1, first, first + p.batch - 1):to(p.dtype) / 255
    local loss = nn.cross_entropy(net(x), data.labels:slice(1, first, first + p.batch - 1))
    opt:zero_grad(); loss:backward(); opt:step()
    losses[#losses + 1] = loss:item()
  end
  return { losses = losses }
end

return M
