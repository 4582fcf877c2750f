-- Schedules of the learning rate. `sched:step()` after each `opt:step()`; `opt.lr` (`opt.groups[i].lr` of each group) is what
-- the next step uses. Formulas as PyTorch's schedulers of the same purpose. A schedule works from the rates that the optimizer
-- had before any schedule (or that were set by hand since): several can be made for one optimizer and put in a sequence.
local options = require "_options"

local schedule = {}

local Schedule = {}
Schedule.__index = Schedule
Schedule.__name = "Schedule"

local function check(name, opts, known, needed)
  opts = options.check(name, opts, known)
  for key, value in pairs(opts) do
    if type(value) ~= known[key] and known[key] ~= "any" then
      fail(("%s: option '%s' must be a %s, got %s"):format(name, key, known[key], type(value)))
    end
  end
  for _, key in ipairs(needed) do
    if opts[key] == nil then fail(("%s: the option '%s' is needed"):format(name, key)) end
  end
  return opts
end

local function positive(name, o, key)
  if o[key] < 1 or o[key] ~= o[key] then fail(("%s: option '%s' must be at least 1, got %s"):format(name, key, o[key])) end
end

local function groups_of(opt)
  if type(opt) ~= "table" or type(opt.groups) ~= "table" then fail "a schedule needs an optimizer" end
  return opt.groups
end

local function set(group, lr)
  group.lr, group.scheduled_lr = lr, lr
end

-- The rates from which a schedule starts. What a schedule has set last is none of them; what was set by hand is.
local function bases(opt)
  local out = {}
  for i, group in ipairs(groups_of(opt)) do
    if group.lr ~= group.scheduled_lr then group.initial_lr = group.lr end
    out[i] = group.initial_lr
  end
  return out
end

-- A schedule whose rate depends on the base and the number of steps only: rate(base, count, group number).
local function make(name, opt, rate)
  local self = setmetatable({ type = name, opt = opt, bases = bases(opt), count = 0, rate = rate }, Schedule)
  self:apply()
  return self
end

function Schedule:apply()
  for i, group in ipairs(self.opt.groups) do set(group, self.rate(self.bases[i], self.count, i)) end
end

--- To be called after each step of the optimizer.
function Schedule:step()
  self.count = self.count + 1
  self:apply()
end

--- What to save to go on later: plain data.
function Schedule:state_dict() return { type = self.type, count = self.count, bases = { table.unpack(self.bases) } } end

local function check_state(self, state)
  if type(state) ~= "table" or state.type and state.type ~= self.type then
    local given = type(state) == "table" and state.type or type(state)
    fail(("optim: a state of %s does not fit the schedule %s"):format(tostring(given), self.type))
  end
end

--- Goes on from a state_dict of a schedule that was made in the same way; the optimizer gets its rates.
function Schedule:load_state_dict(state)
  check_state(self, state)
  local given = state.bases or { state.base }   -- of before there were groups
  if #given ~= #self.bases then
    fail(("optim: the state has rates of %d groups, the optimizer has %d"):format(#given, #self.bases), "STATE_MISMATCH")
  end
  self.count, self.bases = state.count, { table.unpack(given) }
  for i, group in ipairs(self.opt.groups) do group.initial_lr = self.bases[i] end
  self:apply()
  return self
end

local function cosine_between(from, to, part) return to + (from - to) * (1 + math.cos(math.pi * part)) / 2 end
local function line_between(from, to, part) return from + (to - from) * part end

--- lr times gamma (0.1) every `every` steps.
function schedule.step(opt, opts)
  local o = check("step", opts, { every = "number", gamma = "number" }, { "every" })
  positive("step", o, "every")
  return make("step", opt, function(base, count) return base * (o.gamma or 0.1) ^ (count // o.every) end)
end

--- lr times gamma (0.1) at each of the steps in `milestones`, a list.
function schedule.multi_step(opt, opts)
  local o = check("multi_step", opts, { milestones = "table", gamma = "number" }, { "milestones" })
  for i, milestone in ipairs(o.milestones) do
    if type(milestone) ~= "number" then
      fail(("multi_step: milestone %d must be a number, got %s"):format(i, type(milestone)))
    end
  end
  return make("multi_step", opt, function(base, count)
    local passed = 0
    for _, milestone in ipairs(o.milestones) do
      if count >= milestone then passed = passed + 1 end
    end
    return base * (o.gamma or 0.1) ^ passed
  end)
end

--- lr times gamma at every step.
function schedule.exponential(opt, opts)
  local o = check("exponential", opts, { gamma = "number" }, { "gamma" })
  return make("exponential", opt, function(base, count) return base * o.gamma ^ count end)
end

--- lr times factor(count), count being the number of steps made; `factor` is a function.
function schedule.lambda(opt, factor)
  if type(factor) ~= "function" then fail("lambda: a function of the number of steps is needed, got " .. type(factor)) end
  return make("lambda", opt, function(base, count) return base * factor(count) end)
end

--- Down to min_lr (0) along half a cosine over `steps`, after `warmup` (0) steps of linear growth; then min_lr.
function schedule.cosine(opt, opts)
  local o = check("cosine", opts, { steps = "number", min_lr = "number", warmup = "number" }, { "steps" })
  local warmup, low = o.warmup or 0, o.min_lr or 0
  return make("cosine", opt, function(base, count)
    if count < warmup then return base * (count + 1) / (warmup + 1) end
    return cosine_between(base, low, math.min(1, (count - warmup) / math.max(1, o.steps - warmup)))
  end)
end

--- Up to max_lr over the first part (pct_start, 0.3) of `steps` and down to almost nothing (Smith and Topin 2017). Options:
-- max_lr (a number, or a list with one for each group), div_factor (25; the first rate is max_lr / div_factor),
-- final_div_factor (1e4; the last rate is the first divided by it), anneal ("cosine" or "linear").
function schedule.one_cycle(opt, opts)
  local o = check("one_cycle", opts, {
    max_lr = "any", steps = "number", pct_start = "number", div_factor = "number", final_div_factor = "number",
    anneal = "string",
  }, { "max_lr", "steps" })
  local between = ({ cosine = cosine_between, linear = line_between })[o.anneal or "cosine"]
  if not between then
    fail(("one_cycle: option 'anneal' must be \"cosine\" or \"linear\", got \"%s\""):format(o.anneal))
  end
  local peaks = {}
  for i in ipairs(groups_of(opt)) do
    peaks[i] = type(o.max_lr) == "table" and o.max_lr[i] or o.max_lr
    if type(peaks[i]) ~= "number" then
      fail(("one_cycle: option 'max_lr' must be a number, or a list of one for each of the %d groups"):format(#opt.groups))
    end
  end
  local turn = (o.pct_start or 0.3) * o.steps - 1
  return make("one_cycle", opt, function(_, count, number)
    local peak = peaks[number]
    local first = peak / (o.div_factor or 25)
    if count <= turn then return between(first, peak, turn > 0 and count / turn or 1) end
    local part = math.min(1, (count - turn) / math.max(1, o.steps - 1 - turn))
    return between(peak, first / (o.final_div_factor or 1e4), part)
  end)
end

--- Linear growth from `start` (0.1) times lr to lr over `steps`, then constant. Before another schedule: see `sequence`.
function schedule.warmup(opt, opts)
  local o = check("warmup", opts, { steps = "number", start = "number" }, { "steps" })
  positive("warmup", o, "steps")
  local start = o.start or 0.1
  return make("warmup", opt, function(base, count) return base * (start + (1 - start) * math.min(1, count / o.steps)) end)
end

local Sequence = setmetatable({}, { __index = Schedule })
Sequence.__index = Sequence
Sequence.__name = "Schedule"

function Sequence:apply()
  local number, before = 1, 0
  for i, milestone in ipairs(self.milestones) do
    if self.count >= milestone then number, before = i + 1, milestone end
  end
  local current = self.schedules[number]
  current.count = self.count - before
  current:apply()
end

function Sequence:state_dict()
  local states = {}
  for i, sched in ipairs(self.schedules) do states[i] = sched:state_dict() end
  return { type = self.type, count = self.count, schedules = states }
end

function Sequence:load_state_dict(state)
  check_state(self, state)
  if #state.schedules ~= #self.schedules then
    fail(("optim: the state has %d schedules in sequence, here are %d"):format(#state.schedules, #self.schedules),
      "STATE_MISMATCH")
  end
  for i, sched in ipairs(self.schedules) do sched:load_state_dict(state.schedules[i]) end
  self.count = state.count
  self:apply()
  return self
end

--- Schedules of one optimizer one after the other: the next takes over, from its own beginning, when the number of steps
-- reaches the next of `milestones` (PyTorch's SequentialLR). A linear warm-up before a cosine:
-- `optim.sequence({ optim.warmup(opt, { steps = 100 }), optim.cosine(opt, { steps = 900 }) }, { milestones = { 100 } })`.
function schedule.sequence(schedules, opts)
  local o = check("sequence", opts, { milestones = "table" }, { "milestones" })
  if type(schedules) ~= "table" or #schedules == 0 then fail "sequence: a list of schedules is needed" end
  for i, sched in ipairs(schedules) do
    if type(sched) ~= "table" or not sched.apply then
      fail(("sequence: element %d is no schedule that counts steps"):format(i))
    end
    if sched.opt ~= schedules[1].opt then
      fail(("sequence: schedule %d is of another optimizer than the first"):format(i))
    end
  end
  if #o.milestones ~= #schedules - 1 then
    fail(("sequence: %d schedules need %d milestones, got %d"):format(#schedules, #schedules - 1, #o.milestones))
  end
  for i = 2, #o.milestones do
    if o.milestones[i] <= o.milestones[i - 1] then fail "sequence: milestones must grow" end
  end
  local self = setmetatable({
    type = "sequence", opt = schedules[1].opt, schedules = schedules, milestones = o.milestones, count = 0,
  }, Sequence)
  self:apply()
  return self
end

schedule.plateau = require "optim.plateau"

return schedule
