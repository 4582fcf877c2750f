-- What all optimizers share: groups of parameters, state, saving. A kind of optimizer is made by `define`.
local internals = require "_tensor"
local checked = require "_options"
local tensor = require "tensor"

local optimizer = {}

local Optimizer = {}
Optimizer.__name = "Optimizer"

-- `opt.lr` is the rate of the first group; setting it sets that of all groups.
Optimizer.__index = function(self, key)
  if key == "lr" then return rawget(self, "groups")[1].lr end
  return Optimizer[key]
end
Optimizer.__newindex = function(self, key, value)
  if key ~= "lr" then rawset(self, key, value) return end
  for _, group in ipairs(self.groups) do group.lr = value end
end

-- Options of one group: those given, over those of the optimizer, over the defaults.
local function options(where, given, defaults, skip)
  local own = {}
  for key, value in pairs(given or {}) do
    if key ~= skip then own[key] = value end
  end
  local out = checked.over(where, own, defaults)
  if not (out.lr >= 0 and out.lr < math.huge) then
    fail(("%s: lr must be a finite number that is not negative, got %s"):format(where, out.lr))
  end
  return out
end

-- The groups of a plain list of parameters, or of a list of { params = list, lr = ..., ... }.
local function groups_of(name, parameters, base)
  if type(parameters) ~= "table" or #parameters == 0 then
    fail(name .. ": a list of parameters is needed, as net:parameters() gives, or a list of groups { params = ..., lr = ... }")
  end
  if tensor.is_tensor(parameters[1]) or type(parameters[1]) ~= "table" then
    local group = options(name, nil, base)
    group.params = parameters
    return { group }
  end
  local groups = {}
  for i, given in ipairs(parameters) do
    local where = ("%s: group %d"):format(name, i)
    if type(given) ~= "table" or type(given.params) ~= "table" or #given.params == 0 then
      fail(where .. " needs params, a list of parameters")
    end
    local group = options(where, given, base, "params")
    group.params = given.params
    groups[i] = group
  end
  return groups
end

-- Makes a kind of optimizer: `apply(group, states)` moves a group, `slots` names its state tensors (a list, or a function of
-- the group), `check(where, group)` refuses options that do not go together, `first(group)` is what a state starts with (0).
function optimizer.define(name, defaults, kind)
  return function(parameters, opts)
    local base = options(name, opts, defaults)
    local self = setmetatable({
      type = name, kind = kind, groups = groups_of(name, parameters, base), parameters = {}, steps = 0, slots = {},
    }, Optimizer)
    local where = {}
    for g, group in ipairs(self.groups) do
      if kind.check then kind.check(name, group) end
      for i, p in ipairs(group.params) do
        local place = #self.groups == 1 and ("parameter %d"):format(i) or ("parameter %d of group %d"):format(i, g)
        if not tensor.is_tensor(p) then fail(("%s: %s must be a Tensor, got %s"):format(name, place, type(p))) end
        if not p.requires_grad then fail(("%s: %s does not require a gradient"):format(name, place)) end
        if where[p] then fail(("%s: %s is there already as %s"):format(name, place, where[p])) end
        where[p] = place
        self.parameters[#self.parameters + 1] = p
      end
    end
    return self
  end
end

local function slot_names(self, group)
  local slots = self.kind.slots
  return type(slots) == "function" and slots(group) or slots
end

-- The state tensor `name` of parameter number `index`, made when first needed.
local function slot(self, group, index, name)
  local own = self.slots[index]
  if not own then
    own = {}
    self.slots[index] = own
  end
  if not own[name] then
    local p = self.parameters[index]
    if name == "step" then
      own[name] = tensor.zeros({}, { dtype = "i64" })
    else
      own[name] = tensor.full(p:shape(), self.kind.first and self.kind.first(group) or 0.0, { dtype = p:dtype() })
    end
  end
  return own[name]
end

-- The lists of state tensors that a fused step takes, by name; made once, as tensors stay the same.
local function lists(self, number, first)
  local group = self.groups[number]
  local names = slot_names(self, group)
  local key = table.concat(names, " ")
  local cached = rawget(self, "lists")
  if not cached then
    cached = {}
    rawset(self, "lists", cached)
  end
  if cached[number] and cached[number].key == key then return cached[number] end
  local out = { key = key }
  for _, name in ipairs { "step", table.unpack(names) } do
    local list = {}
    for i in ipairs(group.params) do list[i] = slot(self, group, first + i, name) end
    out[name] = list
  end
  cached[number] = out
  return out
end

--- Moves every parameter that has a gradient.
function Optimizer:step()
  local first = 0
  for number, group in ipairs(self.groups) do
    self.kind.apply(group, lists(self, number, first))
    first = first + #group.params
  end
  self.steps = self.steps + 1
end

--- Forgets all gradients.
function Optimizer:zero_grad() internals.forget_gradients(self.parameters) end

--- Everything needed to go on: plain data, and tensors by name ("3.m" is m of the third parameter).
-- `groups` has the options of each group and, in `params`, the numbers of its parameters.
function Optimizer:state_dict()
  local tensors, groups, first = {}, {}, 0
  for i, slots in pairs(self.slots) do
    for name, value in pairs(slots) do tensors[i .. "." .. name] = value end
  end
  for g, group in ipairs(self.groups) do
    local saved = { params = {} }
    for key, value in pairs(group) do
      if key ~= "params" then saved[key] = value end
    end
    for i in ipairs(group.params) do saved.params[i] = first + i end
    first = first + #group.params
    groups[g] = saved
  end
  return { type = self.type, steps = self.steps, lr = self.lr, groups = groups, tensors = tensors }
end

local function check_groups(self, saved)
  if #saved ~= #self.groups then
    fail(("optim: the state has %d groups of parameters, this optimizer %d"):format(#saved, #self.groups), "STATE_MISMATCH")
  end
  for g, group in ipairs(self.groups) do
    if #saved[g].params ~= #group.params then
      fail(("optim: group %d of the state has %d parameters, here it has %d"):format(g, #saved[g].params, #group.params),
        "STATE_MISMATCH")
    end
  end
end

-- The state tensors of a saved state as a list of {parameter number, name, tensor}; nothing is changed yet.
local function check_tensors(self, tensors)
  local found, has_steps = {}, false
  for key, value in pairs(tensors) do
    local i, name = tostring(key):match "^(%d+)%.(.+)$"
    i = math.tointeger(i)
    if not i or not self.parameters[i] then
      fail("optim: the state names parameter " .. tostring(key) .. ", which is not there", "STATE_MISMATCH")
    end
    local shape = table.concat(value:shape(), ", ")
    local wanted = name == "step" and "" or table.concat(self.parameters[i]:shape(), ", ")
    if shape ~= wanted then
      fail(("optim: %s of the state has shape (%s), parameter %d needs (%s)"):format(key, shape, i, wanted), "STATE_MISMATCH")
    end
    has_steps = has_steps or name == "step"
    found[#found + 1] = { i, name, value }
  end
  return found, has_steps
end

--- Goes on from a state_dict of the same type, groups and parameters, exactly where it was. Options come from it too, as in
-- PyTorch.
function Optimizer:load_state_dict(state)
  if type(state) ~= "table" or state.type ~= self.type then
    fail(("optim: a state of %s does not fit %s"):format(tostring(type(state) == "table" and state.type), self.type))
  end
  if state.groups then check_groups(self, state.groups) end
  local found, has_steps = check_tensors(self, state.tensors)
  if state.groups then
    for g, group in ipairs(self.groups) do
      for key, value in pairs(state.groups[g]) do
        if key ~= "params" then group[key] = value end
      end
    end
  else
    self.lr = state.lr
  end
  self.steps, self.slots, self.lists = state.steps, {}, nil
  for _, entry in ipairs(found) do slot(self, self.groups[1], entry[1], entry[2]):copy_(entry[3]) end
  if not has_steps then   -- a state of before there were groups: one count for all
    for i in pairs(self.slots) do slot(self, self.groups[1], i, "step"):fill_(state.steps) end
  end
  return self
end

return optimizer
