-- Normalization: batch norm over channels (1d: x (N, C) or (N, C, L); 2d: x (N, C, H, W)) and layer norm over the last dims.
local tensor = require "tensor"
local module = require "nn.module"

local norm = {}

local function batchnorm(name)
  local class = module.define(name, {
    fuses = { relu = true },
    build = function(self, c)
      module.count(name, "features", c.features)
      if c.affine then
        self:add_parameter("weight", tensor.ones(c.features))
        self:add_parameter("bias", tensor.zeros(c.features))
      end
      self:add_buffer("running_mean", tensor.zeros(c.features))
      self:add_buffer("running_var", tensor.ones(c.features))
      self:add_buffer("num_batches_tracked", tensor.zeros({}, { dtype = "i64" }))
    end,
    forward = function(self, x, fused)
      if self.training then self.num_batches_tracked:add_(1) end
      return tensor.batch_norm(x, {
        weight = rawget(self, "weight"), bias = rawget(self, "bias"), running_mean = self.running_mean,
        running_var = self.running_var, training = self.training, momentum = self.config.momentum, eps = self.config.eps,
        relu = fused == "relu",
      })
    end,
  })
  return function(features, opts)
    local o = module.options(name, opts, { momentum = true, eps = true, affine = true })
    return class.new { features = features, momentum = o.momentum or 0.1, eps = o.eps or 1e-5, affine = o.affine ~= false }
  end
end

--- Normalizes each of `features` channels over the batch. Options: eps (1e-5), momentum (0.1), affine (true).
---@name nn.batchnorm1d(features, opts)
---@name nn.batchnorm2d(features, opts)
norm.batchnorm1d = batchnorm "batchnorm1d"
norm.batchnorm2d = batchnorm "batchnorm2d"

local layernorm = module.define("layernorm", {
  build = function(self, c)
    if c.affine then
      self:add_parameter("weight", tensor.ones(c.shape))
      self:add_parameter("bias", tensor.zeros(c.shape))
    end
  end,
  forward = function(self, x)
    return tensor.layer_norm(x, self.config.shape,
      { weight = rawget(self, "weight"), bias = rawget(self, "bias"), eps = self.config.eps })
  end,
})

--- Normalizes over the last dims, whose extents are `shape` (number or list).
function norm.layernorm(shape, opts)
  local o = module.options("layernorm", opts, { eps = true, affine = true })
  if type(shape) ~= "table" then shape = { shape } end
  for _, extent in ipairs(shape) do module.count("layernorm", "shape", extent) end
  return layernorm.new { shape = shape, eps = o.eps or 1e-5, affine = o.affine ~= false }
end

return norm
