-- Optimizers and schedules. A step is one fused kernel per parameter.
--
--   local opt = optim.adam(net:parameters(), { lr = 1e-3 })
--   opt:zero_grad(); loss:backward(); opt:step()
local internals = require "_tensor"
local tensor = require "tensor"
local schedule = require "optim.schedule"

local optim = {}

local Optimizer = {}
Optimizer.__index = Optimizer
Optimizer.__name = "Optimizer"

local function options(name, given, defaults)
  local out = {}
  for key, value in pairs(defaults) do out[key] = value end
  for key, value in pairs(given or {}) do
    if defaults[key] == nil then
      local names = {}
      for known in pairs(defaults) do names[#names + 1] = known end
      table.sort(names)
      fail(("%s: unknown option '%s'; options are: %s"):format(name, tostring(key), table.concat(names, ", ")))
    end
    if type(value) ~= type(defaults[key]) then
      fail(("%s: option '%s' must be a %s, got %s"):format(name, key, type(defaults[key]), type(value)))
    end
    out[key] = value
  end
  if not (out.lr >= 0 and out.lr < math.huge) then
    fail(("%s: lr must be a finite number that is not negative, got %s"):format(name, out.lr))
  end
  return out
end

local function make(name, parameters, opts, apply)
  if type(parameters) ~= "table" or #parameters == 0 then
    fail(name .. ": a list of parameters is needed, as net:parameters() gives")
  end
  for i, p in ipairs(parameters) do
    if not tensor.is_tensor(p) then fail(("%s: parameter %d must be a Tensor, got %s"):format(name, i, type(p))) end
    if not p.requires_grad then fail(("%s: parameter %d does not require a gradient"):format(name, i)) end
  end
  return setmetatable({
    type = name, parameters = parameters, lr = opts.lr, options = opts, apply = apply, steps = 0, slots = {},
  }, Optimizer)
end

-- State tensors of parameter i, made when first needed.
function Optimizer:slot(i, name)
  local slots = self.slots[i]
  if not slots then
    slots = {}
    self.slots[i] = slots
  end
  if not slots[name] then
    local p = self.parameters[i]
    slots[name] = tensor.zeros(p:shape(), { dtype = p:dtype() })
  end
  return slots[name]
end

--- Moves every parameter that has a gradient.
function Optimizer:step()
  self.steps = self.steps + 1
  self.options.lr = self.lr
  for i, p in ipairs(self.parameters) do
    if p.grad then self:apply(i, p) end
  end
end

--- Forgets all gradients.
function Optimizer:zero_grad()
  for _, p in ipairs(self.parameters) do p:zero_grad() end
end

--- Everything needed to go on: numbers, and tensors by name.
function Optimizer:state_dict()
  local tensors = {}
  for i, slots in pairs(self.slots) do
    for name, value in pairs(slots) do tensors[i .. "." .. name] = value end
  end
  return { type = self.type, steps = self.steps, lr = self.lr, tensors = tensors }
end

--- Goes on from a state_dict of the same type and parameters.
function Optimizer:load_state_dict(state)
  if state.type ~= self.type then fail(("optim: a state of %s does not fit %s"):format(tostring(state.type), self.type)) end
  self.steps, self.lr, self.slots = state.steps, state.lr, {}
  for key, value in pairs(state.tensors) do
    local i, name = key:match "^(%d+)%.(.+)$"
    i = math.tointeger(i)
    if not i or not self.parameters[i] then
      fail("optim: the state names parameter " .. tostring(key) .. ", which is not there")
    end
    self:slot(i, name):copy_(value)
  end
  return self
end

local function adam(name, decoupled)
  local function apply(self, i, p)
    internals.adam_step(p, self:slot(i, "m"), self:slot(i, "v"), self.steps, self.options)
  end
  return function(parameters, opts)
    local defaults = { lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = decoupled and 0.01 or 0.0 }
    local o = options(name, opts, defaults)
    o.decoupled = decoupled
    return make(name, parameters, o, apply)
  end
end

--- Adam (Kingma and Ba 2015): {lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0}.
---@name optim.adam(parameters, opts)
optim.adam = adam("adam", false)
--- AdamW (Loshchilov and Hutter 2019): the decay (0.01) shrinks parameters directly.
---@name optim.adamw(parameters, opts)
optim.adamw = adam("adamw", true)

--- SGD: {lr = 1e-2, momentum = 0, dampening = 0, nesterov = false, weight_decay = 0}.
function optim.sgd(parameters, opts)
  local o = options("sgd", opts, { lr = 1e-2, momentum = 0.0, dampening = 0.0, nesterov = false, weight_decay = 0.0 })
  if o.nesterov and (o.momentum <= 0 or o.dampening ~= 0) then fail "sgd: nesterov needs momentum and no dampening" end
  return make("sgd", parameters, o, function(self, i, p)
    local velocity, first = nil, false
    if self.options.momentum ~= 0 then
      first = not (self.slots[i] and self.slots[i].velocity)
      velocity = self:slot(i, "velocity")
    end
    internals.sgd_step(p, velocity, first, self.options)
  end)
end

--- Scales the gradients so that their joint length is at most `most`; gives the length before.
function optim.clip_grad_norm(parameters, most) return internals.clip_grad_norm(parameters, most) end

for name, value in pairs(schedule) do optim[name] = value end

return optim
