-- Normalization of each sample by itself, x (N, C, ...): over groups of channels, or each channel alone.
local tensor = require "tensor"
local module = require "nn.module"

local norm = {}

local function build(self, c)
  if c.affine then
    self:add_parameter("weight", tensor.ones(c.features))
    self:add_parameter("bias", tensor.zeros(c.features))
  end
end

local groupnorm = module.define("groupnorm", {
  build = build,
  forward = function(self, x)
    return tensor.group_norm(x, self.config.groups,
      { weight = rawget(self, "weight"), bias = rawget(self, "bias"), eps = self.config.eps })
  end,
})

--- Normalizes each of `groups` groups of `features` channels of every sample. Options: eps (1e-5), affine (true).
function norm.groupnorm(groups, features, opts)
  local o = module.options("groupnorm", opts, { eps = true, affine = true })
  module.count("groupnorm", "groups", groups)
  module.count("groupnorm", "features", features)
  if features % groups ~= 0 then fail(("groupnorm: %d channels cannot be split into %d groups"):format(features, groups)) end
  return groupnorm.new { groups = groups, features = features, eps = o.eps or 1e-5, affine = o.affine ~= false }
end

local function instancenorm(name)
  local class = module.define(name, {
    build = build,
    forward = function(self, x)
      return tensor.instance_norm(x, { weight = rawget(self, "weight"), bias = rawget(self, "bias"), eps = self.config.eps })
    end,
  })
  return function(features, opts)
    local o = module.options(name, opts, { eps = true, affine = true })
    return class.new { features = module.count(name, "features", features), eps = o.eps or 1e-5, affine = o.affine == true }
  end
end

--- Normalizes each channel of every sample (1d: x (N, C, L), 2d: x (N, C, H, W)). Options: eps (1e-5), affine (false).
---@name nn.instancenorm1d(features, opts)
---@name nn.instancenorm2d(features, opts)
norm.instancenorm1d = instancenorm "instancenorm1d"
norm.instancenorm2d = instancenorm "instancenorm2d"

return norm
