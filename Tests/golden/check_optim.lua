-- Compares LuaLib/optim with PyTorch's numbers (optim_golden.json, made by make_optim_golden.py). Run by Tests/LuaTensorTests.
local golden = ...
local tensor, optim = require "tensor", require "optim"

local f64 = { dtype = "f64" }
local function made(values, shape) return tensor.from_table(values, f64):reshape(shape) end

local worst = 0
local function compare(place, got, want)
  local diff = math.abs(got - want)
  worst = math.max(worst, diff)
  if diff > 1e-12 * math.max(1, math.abs(want)) or diff ~= diff then
    error(("%s: %.17g, PyTorch has %.17g"):format(place, got, want), 0)
  end
end
local function compare_all(place, t, want)
  local got = t:detach():reshape(-1):totable()
  for i, value in ipairs(want) do compare(("%s, element %d"):format(place, i), got[i], value) end
end

local function text(opts)
  local out = {}
  for key, value in pairs(opts) do out[#out + 1] = key .. "=" .. tostring(value) end
  table.sort(out)
  return table.concat(out, ", ")
end

local function parameters()
  local out = {}
  for i, values in ipairs(golden.start) do out[i] = made(values, golden.shapes[i]):requires_grad_() end
  return out
end

local function optimizer(case, p)
  local given = p
  if case.groups then
    given = {}
    for g, opts in ipairs(case.groups) do
      given[g] = { params = g == 1 and { p[1] } or { p[2], p[3] } }
      for key, value in pairs(opts) do given[g][key] = value end
    end
  end
  return optim[case.name](given, case.opts)
end

local function set_gradients(p, row)
  for i, param in ipairs(p) do
    param:zero_grad()
    if type(row[i]) == "table" then param.grad = made(row[i], golden.shapes[i]) end
  end
end

-- Every optimizer; after `stop` steps (if any) all goes through state_dict into new parameters and a new optimizer.
local function run(case, stop)
  local p = parameters()
  local opt = optimizer(case, p)
  for step, row in ipairs(golden.grads) do
    set_gradients(p, row)
    opt:step()
    for i, want in ipairs(case.steps[step]) do
      compare_all(("%s {%s}, step %d, parameter %d"):format(case.name, text(case.opts), step, i), p[i], want)
    end
    if step == stop then
      local state, fresh = opt:state_dict(), parameters()
      tensor.no_grad(function() for i, param in ipairs(fresh) do param:copy_(p[i]) end end)
      local plain = { name = case.name, opts = {}, groups = case.groups and { {}, {} } }
      p, opt = fresh, optimizer(plain, fresh)        -- made with defaults: the options come with the state
      opt:load_state_dict(state)
    end
  end
end
for _, case in ipairs(golden.optimizers) do
  run(case)
  run(case, 1)
  run(case, 6)
end

local function two_groups()
  local function one() return tensor.zeros(1):requires_grad_() end
  return optim.sgd({ { params = { one() }, lr = 1.0 }, { params = { one() }, lr = 0.25 } }, { lr = 1.0 })
end

-- A schedule's rates; at `stop` it is saved and a new one of a new optimizer goes on.
local function rates(place, make, want, metrics, stop)
  local opt = two_groups()
  local sched = make(opt)
  for i, row in ipairs(want) do
    for g, rate in ipairs(row) do compare(("%s, step %d, group %d"):format(place, i, g), opt.groups[g].lr, rate) end
    sched:step(metrics and metrics[i])
    if i == stop then
      local of_opt, of_sched = opt:state_dict(), sched:state_dict()
      opt = two_groups():load_state_dict(of_opt)
      sched = make(opt):load_state_dict(of_sched)
    end
  end
end
local function each_way(place, make, want, metrics)
  for _, stop in ipairs { 0, 1, 4, 5, 12, 20 } do rates(place, make, want, metrics, stop) end
end
for _, case in ipairs(golden.schedules) do
  each_way(case.name .. " {" .. text(case.opts) .. "}", function(opt) return optim[case.name](opt, case.opts) end, case.rates)
end
for _, case in ipairs(golden.sequences) do
  each_way("sequence", function(opt)
    local parts = {}
    for i, part in ipairs(case.parts) do parts[i] = optim[part[1]](opt, part[2]) end
    return optim.sequence(parts, { milestones = case.milestones })
  end, case.rates)
end
for _, case in ipairs(golden.plateaus) do
  local function make(opt) return optim.plateau(opt, case.opts) end
  each_way("plateau {" .. text(case.opts) .. "}", make, case.rates, golden.metrics)
end

-- Moving averages.
local weight = tensor.zeros(2, 2, f64):requires_grad_()
local ema = optim.ema({ weight }, { decay = golden.ema.decay })
for i, values in ipairs(golden.ema.walk) do
  tensor.no_grad(function() weight:copy_(made(values, { 2, 2 })) end)
  ema:update()
  ema:use(function() compare_all("ema, update " .. i, weight, golden.ema.path[i]) end)
  compare_all("ema, afterwards", weight, values)
end

local p = tensor.zeros(8, f64):requires_grad_()
p.grad = tensor.from_table(golden.clip.before, f64)
optim.clip_grad_value({ p }, golden.clip.most)
compare_all("clip_grad_value", p.grad, golden.clip.after)

return worst, #golden.optimizers, #golden.schedules + #golden.sequences + #golden.plateaus
