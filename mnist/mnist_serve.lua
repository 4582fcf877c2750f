-- A Lance model -> POST /predict, and the page where one draws a digit.
local http   = require "http"
local lake   = require "lake"
local task   = require "task"
local tensor = require "tensor"

local M = {}

M.params = {
  host        = { type = "string",  default = "127.0.0.1" },
  port        = { type = "integer", default = 8080, min = 0, max = 65535, help = "0 takes a free one" },
  device      = { type = "string",  default = "cpu", enum = { "cpu" } },
  max_batch   = { type = "integer", default = 32, min = 1 },
  max_wait_ms = { type = "number",  default = 2, min = 0, help = "how long a request waits for others to share its batch" },
}

-- A list of 784-vectors -> a list of answers, in one pass through the network.
local function answer(net, images)
  local probabilities = net(tensor.from_table(images)):softmax(-1)
  local best = probabilities:argclass()
  local answers = {}
  for i = 1, #images do
    local row, digit = probabilities[i]:totable(), best[i]:item()
    answers[i] = { prediction = digit, confidence = row[digit + 1], probabilities = row }
  end
  return answers
end

function M.run(input, _, p)
  local model = lake.model(input)
  local net   = model:load():compile { shape = { 1, 784 } }
  local batch = http.batcher({ max = p.max_batch, wait_ms = p.max_wait_ms },
                             function(images) return answer(net, images) end)

  local app = http.app { title = "MNIST", body_limit = "64KiB", timeout = 5, max_in_flight = 256 }

  app:post("/predict", {
    body    = { image = http.list("number", { len = 784, min = 0, max = 1 }) },
    returns = { prediction = "integer", confidence = "number", probabilities = http.list "number" },
  }, function(request) return batch:call(request.body.image) end)

  app:get("/healthz", function()
    return { status = "ok", model = model.name, version = model.version }
  end)
  app:static("/", "mnist/index.html")

  local server = app:listen { host = p.host, port = p.port }
  task.ready { url = server.url }           -- GET /api/v1/tasks/{id} now shows it as "endpoint"
  server:wait()                             -- until the task is cancelled: stop accepting, answer what is open, return
  return { served = server.requests, errors = server.errors }
end

return M
