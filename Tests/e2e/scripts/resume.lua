-- A small training that goes on from its checkpoints: its last weights' bits must not depend on where it was killed.
local augment = require("data").augment
local checkpoint = require "checkpoint"
local df = require "df"
local hash = require "hash"
local idx = require "idx"
local nn = require "nn"
local optim = require "optim"
local task = require "task"
local tensor = require "tensor"

local M = {}

M.params = {
  rows   = { type = "integer", default = 320 },
  epochs = { type = "integer", default = 24 },
  every  = { type = "integer", default = 2, help = "steps between checkpoints" },
  keep   = { type = "integer", default = 2 },
  prefetch = { type = "integer", default = 2, help = "batches made ahead" },
}

function M.run(input, output, p)
  tensor.manual_seed(11)
  local images, labels = idx.open(input, "t10k-images-idx3-ubyte"), idx.open(input, "t10k-labels-idx1-ubyte")
  local digits = df.from_columns { image = images, label = labels }
  local train = digits:limit(p.rows):with("label", df.col "label":cast "i64"):loader {
    batch_size = 16, shuffle = true, seed = 4, prefetch = p.prefetch,
    transform = augment.compose {
      augment.affine { degrees = 10, scale = { 0.9, 1.1 } }, augment.shift(2), augment.erase { p = 0.2 },
      augment.normalize(127.5, 127.5),
    },
  }
  local net = nn.sequential {
    nn.unflatten(1, 28, 28), nn.conv2d(1, 8, 3, { padding = 1 }), nn.batchnorm2d(8), nn.relu(), nn.maxpool2d(2),
    nn.conv2d(8, 8, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2), nn.flatten(), nn.linear(8 * 7 * 7, 32), nn.relu(),
    nn.dropout(0.25), nn.linear(32, 10),
  }
  local opt = optim.adam(net:parameters(), { lr = 3e-3 })
  local schedule = optim.cosine(opt, { steps = p.epochs * #train, warmup = 5 })
  local parts = { net = net, optimizer = opt, loader = train, schedule = schedule }

  local saved = checkpoint.load(output, parts)
  local step, losses = saved and saved.step or 0, saved and saved.losses or {}
  for _ = train.epoch, p.epochs do
    for batch in train:batches() do
      local loss = nn.cross_entropy(net(batch.image + tensor.rand(#batch, 28, 28) * 0.1), batch.label)
      opt:zero_grad(); loss:backward(); opt:step(); schedule:step()
      step = step + 1
      losses[step] = loss:item()
      task.progress(step, p.epochs * #train)
      if step % p.every == 0 then
        parts.losses = losses
        checkpoint.save(output, parts, { step = step, keep = p.keep })
      end
    end
  end
  local text = {}
  for i, loss in ipairs(losses) do text[i] = ("%a"):format(loss) end
  return {
    steps = step, from = saved and saved.step or 0, damaged = saved and #saved.damaged or 0, lr = ("%a"):format(opt.lr),
    weights = hash.sha256(tensor.to_safetensors(net:state_dict())), losses = hash.sha256(table.concat(text, " ")),
  }
end

return M
