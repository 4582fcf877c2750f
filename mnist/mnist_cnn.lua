-- A clean Lance data set (image, label, split) -> a trained convolutional network as a Lance model.
local df     = require "df"
local lake   = require "lake"
local nn     = require "nn"
local optim  = require "optim"
local task   = require "task"
local tensor = require "tensor"

local M = {}

M.params = {
  epochs        = { type = "integer", default = 4, min = 1 },
  learning_rate = { type = "number",  default = 2e-3, min = 0 },
  batch_size    = { type = "integer", default = 64, min = 1 },
  dropout       = { type = "number",  default = 0.25, min = 0, max = 0.9 },
  device        = { type = "string",  default = "cpu", enum = { "cpu" } },
  seed          = { type = "integer", default = 1 },
}

local function build(p)
  return nn.sequential {
    nn.unflatten(1, 28, 28),
    nn.conv2d(1, 16, 3, { padding = 1 }),  nn.relu(), nn.maxpool2d(2),
    nn.conv2d(16, 32, 3, { padding = 1 }), nn.relu(), nn.maxpool2d(2),
    nn.flatten(), nn.linear(32 * 7 * 7, 128), nn.relu(),
    nn.dropout(p.dropout), nn.linear(128, 10),
  }
end

-- Mean loss and share of right answers over a loader.
local function evaluate(net, loader)
  local loss, right, n = 0, 0, 0
  net:eval()
  tensor.no_grad(function()
    for batch in loader:batches() do
      local logits = net(batch.image)
      loss  = loss + nn.cross_entropy(logits, batch.label, { reduction = "sum" }):item()
      right = right + logits:argclass():eq(batch.label):sum():item()   -- class ids count from 0, as in the data
      n     = n + #batch
    end
  end)
  return { loss = loss / n, accuracy = right / n }
end

function M.run(input, output, p)
  tensor.manual_seed(p.seed)
  local frame = df.read_lance(input)
  local function split(name) return frame:where(df.col "split":eq(name)):select { "image", "label" } end
  local train = split "train":loader { batch_size = p.batch_size, shuffle = true, seed = p.seed }
  local test  = split "test":loader { batch_size = 500 }
  if #train == 0 then error "no rows with split = 'train': was the data set cleaned?" end
  if #test == 0 then error "no rows with split = 'test': was the data set cleaned?" end

  local net   = build(p)
  local opt   = optim.adam(net:parameters(), { lr = p.learning_rate })
  local total = p.epochs * #train
  local sched = optim.cosine(opt, { steps = total })

  -- After a kill, a crash or a retry of the task it goes on with the next epoch, bit for bit.
  local state = task.resumable { net = net, opt = opt, sched = sched, loader = train, step = 0 }
  local metrics
  for epoch = train.epoch, p.epochs do
    net:train()
    for batch in train:batches() do
      local loss = nn.cross_entropy(net(batch.image), batch.label)
      opt:zero_grad(); loss:backward(); opt:step(); sched:step()
      state.step = state.step + 1
      task.progress(state.step, total, ("epoch %d of %d"):format(epoch, p.epochs))
      if state.step % 50 == 0 then task.metric("train_loss", loss:item(), state.step) end
    end
    metrics = evaluate(net, test)
    task.metric("test_loss", metrics.loss, state.step)
    task.metric("test_accuracy", metrics.accuracy, state.step)
    task.log("epoch %d: accuracy %.4f, loss %.4f", epoch, metrics.accuracy, metrics.loss)
    state:save()
  end
  metrics = metrics or evaluate(net, test)

  -- Graph, weights, signature, metrics and lineage together: serving needs no copy of build().
  lake.save_model(output, { net = net, metrics = metrics, params = p,
    signature = { input = { image = "f32[784]" }, output = { logits = "f32[10]" } },
    labels = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 } })
  return { accuracy = metrics.accuracy, loss = metrics.loss, epochs = p.epochs }
end

return M
