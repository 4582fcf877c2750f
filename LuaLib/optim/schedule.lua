-- Schedules of the learning rate. `sched:step()` after each `opt:step()`; `opt.lr` is what the next step uses.
-- Formulas as PyTorch's StepLR, CosineAnnealingLR (without restarts), OneCycleLR and LinearLR.
local schedule = {}

local Schedule = {}
Schedule.__index = Schedule
Schedule.__name = "Schedule"

local function check(name, opts, known, needed)
  opts = opts or {}
  for key in pairs(opts) do
    if not known[key] then
      local names = {}
      for option in pairs(known) do names[#names + 1] = option end
      table.sort(names)
      fail(("%s: unknown option '%s'; options are: %s"):format(name, tostring(key), table.concat(names, ", ")))
    end
  end
  for _, key in ipairs(needed) do
    if type(opts[key]) ~= "number" then fail(("%s: the option '%s' is needed"):format(name, key)) end
  end
  return opts
end

local function make(opt, rate)
  if type(opt) ~= "table" or type(opt.lr) ~= "number" then fail "a schedule needs an optimizer" end
  local self = setmetatable({ opt = opt, base = opt.lr, count = 0, rate = rate }, Schedule)
  opt.lr = rate(self.base, 0)
  return self
end

--- To be called after each step of the optimizer.
function Schedule:step()
  self.count = self.count + 1
  self.opt.lr = self.rate(self.base, self.count)
end

--- What to save to go on later.
function Schedule:state_dict() return { count = self.count, base = self.base } end
function Schedule:load_state_dict(state)
  self.count, self.base = state.count, state.base
  self.opt.lr = self.rate(self.base, self.count)
  return self
end

local function cosine_between(from, to, part) return to + (from - to) * (1 + math.cos(math.pi * part)) / 2 end

--- lr times gamma (0.1) every `every` steps.
function schedule.step(opt, opts)
  local o = check("step", opts, { every = true, gamma = true }, { "every" })
  return make(opt, function(base, count) return base * (o.gamma or 0.1) ^ (count // o.every) end)
end

--- Down to min_lr (0) along half a cosine over `steps`, after `warmup` (0) steps of linear growth.
function schedule.cosine(opt, opts)
  local o = check("cosine", opts, { steps = true, min_lr = true, warmup = true }, { "steps" })
  local warmup, low = o.warmup or 0, o.min_lr or 0
  return make(opt, function(base, count)
    if count < warmup then return base * (count + 1) / (warmup + 1) end
    return cosine_between(base, low, math.min(1, (count - warmup) / math.max(1, o.steps - warmup)))
  end)
end

--- Up to max_lr over the first part (0.3) of `steps` and down to almost nothing, along cosines.
function schedule.one_cycle(opt, opts)
  local o = check("one_cycle", opts,
    { max_lr = true, steps = true, pct_start = true, div_factor = true, final_div_factor = true }, { "max_lr", "steps" })
  local first = o.max_lr / (o.div_factor or 25)
  local last = first / (o.final_div_factor or 1e4)
  local turn = (o.pct_start or 0.3) * o.steps - 1
  return make(opt, function(_, count)
    if count <= turn then return cosine_between(first, o.max_lr, turn > 0 and count / turn or 1) end
    return cosine_between(o.max_lr, last, math.min(1, (count - turn) / math.max(1, o.steps - 1 - turn)))
  end)
end

--- Linear growth from `start` (0.1) times lr to lr over `steps`, then constant.
function schedule.warmup(opt, opts)
  local o = check("warmup", opts, { steps = true, start = true }, { "steps" })
  local start = o.start or 0.1
  return make(opt, function(base, count) return base * (start + (1 - start) * math.min(1, count / o.steps)) end)
end

return schedule
