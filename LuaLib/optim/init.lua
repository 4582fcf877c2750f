-- Optimizers, schedules, and what goes with them. A step is one call for all parameters of a group, each a fused kernel.
--
--   local opt = optim.adam(net:parameters(), { lr = 1e-3 })
--   opt:zero_grad(); loss:backward(); opt:step()
--
-- Parameters may come in groups with options of their own; `opt.groups` is a list of them, to read and to change:
--
--   local groups = { { params = body:parameters(), lr = 1e-3 }, { params = head:parameters() } }
--   local opt = optim.sgd(groups, { lr = 0.1, momentum = 0.9 })
local internals = require "_tensor"
local optimizer = require "optim.optimizer"

local optim = { ema = require "optim.ema" }

local function adam(name, decoupled)
  return optimizer.define(name, {
    lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = decoupled and 0.01 or 0.0,
  }, {
    slots = { "m", "v" },
    apply = function(group, s) internals.adam_group(group.params, s.step, s.m, s.v, group, decoupled) end,
  })
end

--- Adam (Kingma and Ba 2015): {lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0}.
---@name optim.adam(parameters, opts)
optim.adam = adam("adam", false)
--- AdamW (Loshchilov and Hutter 2019): the decay (0.01) shrinks parameters directly.
---@name optim.adamw(parameters, opts)
optim.adamw = adam("adamw", true)

--- SGD: {lr = 1e-2, momentum = 0, dampening = 0, nesterov = false, weight_decay = 0}.
---@name optim.sgd(parameters, opts)
optim.sgd = optimizer.define("sgd", { lr = 1e-2, momentum = 0.0, dampening = 0.0, nesterov = false, weight_decay = 0.0 }, {
  check = function(where, group)
    if group.nesterov and (group.momentum <= 0 or group.dampening ~= 0) then
      fail(where .. ": nesterov needs momentum and no dampening")
    end
  end,
  slots = function(group) return group.momentum ~= 0 and { "velocity" } or {} end,
  apply = function(group, s) internals.sgd_group(group.params, s.step, s.velocity or {}, group) end,
})

--- RMSprop (Hinton 2012): {lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0, centered = false}.
-- The gradient is divided by the root of its running mean square; `centered` takes the running mean off first (Graves 2013).
---@name optim.rmsprop(parameters, opts)
optim.rmsprop = optimizer.define("rmsprop", {
  lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0, centered = false,
}, {
  slots = function(group)
    local names = { "square" }
    if group.centered then names[#names + 1] = "mean" end
    if group.momentum ~= 0 then names[#names + 1] = "velocity" end
    return names
  end,
  apply = function(group, s)
    internals.rmsprop_group(group.params, s.step, s.square, s.mean or {}, s.velocity or {}, group)
  end,
})

--- Adagrad (Duchi, Hazan and Singer 2011): {lr = 1e-2, lr_decay = 0, eps = 1e-10, weight_decay = 0,
-- initial_accumulator_value = 0}. The gradient is divided by the root of the sum of all its squares so far.
---@name optim.adagrad(parameters, opts)
optim.adagrad = optimizer.define("adagrad", {
  lr = 1e-2, lr_decay = 0.0, eps = 1e-10, weight_decay = 0.0, initial_accumulator_value = 0.0,
}, {
  slots = { "sum" },
  first = function(group) return group.initial_accumulator_value end,
  apply = function(group, s) internals.adagrad_group(group.params, s.step, s.sum, group) end,
})

--- Scales the gradients so that their joint length is at most `most`; gives the length before.
function optim.clip_grad_norm(parameters, most) return internals.clip_grad_norm(parameters, most) end

--- Cuts every element of the gradients to -most..most.
function optim.clip_grad_value(parameters, most) internals.clip_grad_value(parameters, most) end

for name, value in pairs(require "optim.schedule") do optim[name] = value end

return optim
