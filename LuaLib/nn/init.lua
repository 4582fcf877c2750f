-- Networks: layers, losses, saving. Layers are Lua over the ops of `tensor`; read and change them.
--
--   local net = nn.sequential { nn.unflatten(1, 28, 28), nn.conv2d(1, 16, 3, { padding = 1 }), nn.relu(), ... }
--   local logits = net(images)
local tensor = require "tensor"
local pool = require "nn.pool"
local norm = require "nn.norm"
local activation = require "nn.activation"
local shape = require "nn.shape"
local container = require "nn.container"
local graph = require "nn.graph"
local onnx = require "nn.onnx"

local nn = {
  linear = require "nn.linear",
  conv1d = require "nn.conv1d",
  conv2d = require "nn.conv2d",
  maxpool2d = pool.maxpool2d,
  avgpool2d = pool.avgpool2d,
  adaptive_avgpool2d = pool.adaptive_avgpool2d,
  batchnorm1d = norm.batchnorm1d,
  batchnorm2d = norm.batchnorm2d,
  layernorm = norm.layernorm,
  flatten = shape.flatten,
  unflatten = shape.unflatten,
  embedding = shape.embedding,
  sequential = container.sequential,
  residual = container.residual,
  lambda = container.lambda,
  from_graph = container.from_graph,
  gradcheck = require "nn.gradcheck",
  explain = graph.explain,
  find_nan = require "nn.find_nan",
  export_onnx = onnx.export,
  from_onnx = onnx.import,
  -- losses; targets of cross_entropy and nll are class ids from 0
  cross_entropy = tensor.cross_entropy,
  nll = tensor.nll,
  mse = tensor.mse,
  l1 = tensor.l1,
  huber = tensor.huber,
  bce_with_logits = tensor.bce_with_logits,
  bce = tensor.bce,
  kl_div = tensor.kl_div,
  smooth_l1 = tensor.smooth_l1,
}
for _, part in ipairs {
  activation, require "nn.rectifier", require "nn.conv_transpose", require "nn.norm_groups", require "nn.resize",
  require "nn.padding".layers,
} do
  for name, make in pairs(part) do nn[name] = make end
end

--- Class ids (from 0) of the largest logits.
function nn.predict_class(logits) return logits:argclass() end

return nn
