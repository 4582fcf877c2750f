-- The schedule that looks at a metric: the rate goes down when the metric no longer gets better (PyTorch's ReduceLROnPlateau).
--
--   local sched = optim.plateau(opt, { patience = 3 })
--   for epoch = 1, 50 do train(); sched:step(validation_loss()) end
local tensor = require "tensor"
local options = require "_options"

local Plateau = {}
Plateau.__index = Plateau
Plateau.__name = "Plateau"

local defaults = {
  factor = 0.1, patience = 10, threshold = 1e-4, threshold_mode = "rel", mode = "min", min_lr = 0.0, cooldown = 0, eps = 1e-8,
}

local function one_of(name, value, a, b)
  if value ~= a and value ~= b then
    fail(("plateau: option '%s' must be \"%s\" or \"%s\", got \"%s\""):format(name, a, b, value))
  end
end

--- lr times factor (0.1), but not below min_lr (0), after more than `patience` (10) metrics in a row that were not better than
-- the best so far. mode: "min" (a loss) or "max" (an accuracy). Better means by threshold (1e-4): a part of the best, or with
-- threshold_mode = "abs" as it is. For cooldown (0) metrics after a change none counts as bad; changes below eps (1e-8) are not
-- made.
---@name optim.plateau(opt, opts)
local function new(opt, opts)
  if type(opt) ~= "table" or type(opt.groups) ~= "table" then fail "a schedule needs an optimizer" end
  local self = options.over("plateau", opts, defaults)
  self.type, self.opt, self.count, self.bad, self.waiting = "plateau", opt, 0, 0, 0
  if not (self.factor > 0 and self.factor < 1) then
    fail(("plateau: option 'factor' must be between 0 and 1, got %s"):format(self.factor))
  end
  one_of("mode", self.mode, "min", "max")
  one_of("threshold_mode", self.threshold_mode, "rel", "abs")
  return setmetatable(self, Plateau)
end

local function is_better(self, metric)
  local best, sign = self.best, self.mode == "min" and 1 or -1
  if metric ~= metric then return false end
  if not best then return metric * sign < math.huge end
  local margin = self.threshold_mode == "rel" and best * self.threshold or self.threshold
  if self.mode == "min" then return metric < best - margin end
  return metric > best + margin
end

--- To be called with each new metric, a number or a tensor of one: mostly after an epoch.
function Plateau:step(metric)
  if tensor.is_tensor(metric) then metric = metric:item() end
  if type(metric) ~= "number" then fail("plateau: step takes the metric, a number; got " .. type(metric)) end
  self.count = self.count + 1
  if is_better(self, metric) then
    self.best, self.bad = metric, 0
  else
    self.bad = self.bad + 1
  end
  if self.waiting > 0 then
    self.waiting, self.bad = self.waiting - 1, 0
  end
  if self.bad > self.patience then
    for _, group in ipairs(self.opt.groups) do
      local lr = math.max(group.lr * self.factor, self.min_lr)
      if group.lr - lr > self.eps then group.lr = lr end
    end
    self.waiting, self.bad = self.cooldown, 0
  end
end

--- What to save to go on later: plain data.
function Plateau:state_dict()
  local rates = {}
  for i, group in ipairs(self.opt.groups) do rates[i] = group.lr end
  return { type = self.type, count = self.count, best = self.best, bad = self.bad, waiting = self.waiting, rates = rates }
end

--- Goes on from a state_dict; the optimizer gets its rates.
function Plateau:load_state_dict(state)
  if type(state) ~= "table" or state.type ~= self.type then
    fail(("optim: a state of %s does not fit the schedule plateau"):format(tostring(type(state) == "table" and state.type)))
  end
  if #state.rates ~= #self.opt.groups then
    fail(("optim: the state has rates of %d groups, the optimizer has %d"):format(#state.rates, #self.opt.groups),
      "STATE_MISMATCH")
  end
  self.count, self.best, self.bad, self.waiting = state.count, state.best, state.bad, state.waiting
  for i, group in ipairs(self.opt.groups) do group.lr = state.rates[i] end
  return self
end

return new
