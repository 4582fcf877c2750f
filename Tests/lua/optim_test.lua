-- Optimizers, groups, averages and schedules as scripts use them; their numbers are compared with PyTorch's in Tests/golden.
local test = require "test"
local tensor, nn, optim = require "tensor", require "nn", require "optim"

local function net() return nn.sequential { nn.linear(3, 4), nn.tanh(), nn.linear(4, 2) } end
local function one() return tensor.zeros(1):requires_grad_() end
local function train(network, opt, steps, after)
  for i = 1, steps do
    opt:zero_grad()
    network(tensor.ones(2, 3) * i):square():sum():backward()
    opt:step()
    if after then after(i) end
  end
end
local function weights(network)
  local out = {}
  for i, p in ipairs(network:parameters()) do out[i] = p:detach():totable() end
  return out
end
local function copy_of(network) return nn.from_graph(network:graph()):load_state_dict(network:state_dict()) end

test.case("rmsprop and adagrad learn", function()
  tensor.manual_seed(5)
  local x = tensor.randn(128, 3)
  local y = (x * x):sum(2):gt(2.4):to "i64"
  for name, make in pairs {
    rmsprop = function(p) return optim.rmsprop(p, { lr = 0.01, momentum = 0.5, centered = true }) end,
    adagrad = function(p) return optim.adagrad(p, { lr = 0.1 }) end,
  } do
    local network = nn.sequential { nn.linear(3, 16), nn.tanh(), nn.linear(16, 2) }
    local opt, first, last = make(network:parameters()), nil, nil
    for _ = 1, 150 do
      local loss = nn.cross_entropy(network(x), y)
      opt:zero_grad(); loss:backward(); opt:step()
      last = loss:item()
      first = first or last
    end
    test.truthy(last < 0.5 * first, name .. ": loss " .. first .. " -> " .. last)
  end
end)

test.case("groups have options of their own", function()
  local network = net()
  local body, head = network.layers[1], network.layers[3]
  local groups = { { params = body:parameters(), lr = 0.0 }, { params = head:parameters() } }
  local opt = optim.sgd(groups, { lr = 0.1, momentum = 0.5 })
  local before = weights(network)
  train(network, opt, 2)
  local after = weights(network)
  test.equal(after[1], before[1])
  test.truthy(after[3][1][1] ~= before[3][1][1])
  test.equal(#opt.groups, 2)
  test.equal(opt.groups[1].lr, 0.0)
  test.equal(opt.groups[2].momentum, 0.5)
  test.equal(opt.lr, 0.0)                        -- of the first group
  opt.groups[1].lr = 0.2
  train(network, opt, 1)
  test.truthy(weights(network)[1][1][1] ~= before[1][1][1])
  opt.lr = 0.3                                   -- of all
  test.equal(opt.groups[2].lr, 0.3)
  opt.groups[1].learning_rate = 1
  test.raises("has no option 'learning_rate'", function() opt:step() end)
end)

test.case("groups name what is wrong", function()
  local p = net():parameters()
  test.raises("sgd: group 2 needs params, a list of parameters", function() optim.sgd { { params = p }, { lr = 1 } } end)
  test.raises("sgd: group 1: unknown option 'rate'; options are: dampening, lr, momentum, nesterov, weight_decay", function()
    optim.sgd { { params = p, rate = 1 } }
  end)
  test.raises("sgd: group 1: option 'lr' must be a number, got string", function() optim.sgd { { params = p, lr = "1" } } end)
  test.raises("sgd: parameter 1 of group 2 is there already as parameter 1 of group 1", function()
    optim.sgd { { params = p }, { params = { p[1] } } }
  end)
  test.raises("adam: parameter 2 of group 1 must be a Tensor, got number", function()
    optim.adam { { params = { p[1], 3 } }, { params = { p[2] } } }
  end)
  test.raises("sgd: nesterov needs momentum", function() optim.sgd { { params = p, nesterov = true } } end)
  local opt = optim.sgd(p, { lr = 1 })
  opt.lr = -1
  for _, q in ipairs(p) do q.grad = tensor.zeros(q:shape()) end
  test.raises("sgd: lr must be a finite number that is not negative, got -1", function() opt:step() end)
  local other = optim.sgd({ { params = { p[1] } }, { params = { p[2] } } })
  test.raises("the state has 1 groups of parameters, this optimizer 2", function() other:load_state_dict(opt:state_dict()) end)
  test.raises("group 1 of the state has 4 parameters, here it has 1", function()
    optim.sgd({ p[1] }):load_state_dict(opt:state_dict())
  end)
  test.raises("a state of sgd does not fit adam", function() optim.adam(p):load_state_dict(opt:state_dict()) end)
  local adam = optim.adam({ p[1] })
  adam:step()
  local state = adam:state_dict()
  state.tensors["1.m"] = tensor.zeros(7)
  test.raises("1.m of the state has shape (7), parameter 1 needs (4, 3)", function() adam:load_state_dict(state) end)
end)

test.case("a state of before there were groups is read", function()
  local network = net()
  local twin = copy_of(network)
  local opt, other = optim.adam(network:parameters(), { lr = 0.01 }), optim.adam(twin:parameters(), { lr = 0.5 })
  train(network, opt, 3)
  twin:load_state_dict(network:state_dict())
  local state = opt:state_dict()
  state.groups = nil
  for key in pairs(state.tensors) do
    if key:find "step$" then state.tensors[key] = nil end
  end
  other:load_state_dict(state)
  test.equal(other.lr, 0.01)
  train(network, opt, 2)
  train(twin, other, 2)
  test.equal(weights(twin), weights(network))
end)

test.case("a training with groups, schedule and averages goes on exactly", function()
  local function made(network)
    local body, head = network.layers[1], network.layers[3]
    local groups = { { params = body:parameters(), lr = 0.01 }, { params = head:parameters() } }
    local opt = optim.rmsprop(groups, { lr = 0.02, momentum = 0.9 })
    local sched = optim.sequence({ optim.warmup(opt, { steps = 3 }), optim.cosine(opt, { steps = 6 }) }, { milestones = { 3 } })
    return opt, sched, optim.ema(network, { decay = 0.8, warmup = true })
  end
  local a = net()
  local start = copy_of(a)
  local opt, sched, ema = made(a)
  train(a, opt, 8, function() sched:step(); ema:update() end)
  local b = start
  local opt_b, sched_b, ema_b = made(b)
  train(b, opt_b, 4, function() sched_b:step(); ema_b:update() end)
  local c = copy_of(b)
  local opt_c, sched_c, ema_c = made(c)
  opt_c:load_state_dict(opt_b:state_dict())
  sched_c:load_state_dict(sched_b:state_dict())
  ema_c:load_state_dict(ema_b:state_dict())
  for i = 5, 8 do
    opt_c:zero_grad()
    c(tensor.ones(2, 3) * i):square():sum():backward()
    opt_c:step(); sched_c:step(); ema_c:update()
  end
  test.equal(weights(c), weights(a))
  test.equal(opt_c.groups[2].lr, opt.groups[2].lr)
  ema:swap(); ema_c:swap()
  test.equal(weights(c), weights(a))
end)

test.case("averages take the parameters' place and leave it again", function()
  local network = nn.linear(1, 1, { bias = false })
  local w = network.weight
  local function put(value) tensor.no_grad(function() w:fill_(value) end) end
  put(1)
  local ema = optim.ema(network, { decay = 0.75 })
  put(2)
  ema:update()                                    -- the first: the parameters as they are
  put(6)
  ema:update()
  test.equal(ema:use(function() return w:item(), "more" end), 3.0)
  test.equal(w:item(), 6.0)
  test.raises("wrong", function() ema:use(function() error "wrong" end) end)
  test.equal(w:item(), 6.0)
  ema:swap()
  test.equal(w:item(), 3.0)
  test.raises("update while the averages stand in the network", function() ema:update() end)
  ema:swap()
  test.equal(ema:state_dict().tensors.weight:item(), 3.0)
  test.equal(ema:state_dict().updates, 2)
  test.raises("ema: unknown option 'decays'", function() optim.ema(network, { decays = 1 }) end)
  test.raises("ema: decay must be 0 to 1, got 2", function() optim.ema(network, { decay = 2 }) end)
  test.raises("ema: the state has no average of weight", function()
    ema:load_state_dict { decay = 1, updates = 1, tensors = {} }
  end)
end)

test.case("gradients are cut", function()
  local p = one()
  p.grad = tensor.full({ 1 }, -3)
  optim.clip_grad_value({ p }, 2)
  test.equal(p.grad:item(), -2.0)
  p.grad = tensor.full({ 1 }, 0 / 0)
  optim.clip_grad_value({ p }, 2)
  test.truthy(p.grad:item() ~= p.grad:item())
  test.raises("clip_grad_value: the bound must be a number that is not negative, got -1", function()
    optim.clip_grad_value({ p }, -1)
  end)
  test.raises("element 1 must be a Tensor, got number", function() optim.clip_grad_value({ 1 }, 1) end)
end)

test.case("a schedule starts from rates set by hand, not from those of another schedule", function()
  local opt = optim.sgd({ one() }, { lr = 1.0 })
  local first = optim.step(opt, { every = 1, gamma = 0.5 })
  first:step()
  test.equal(opt.lr, 0.5)
  optim.exponential(opt, { gamma = 0.9 })
  test.equal(opt.lr, 1.0)
  opt.lr = 0.2
  optim.exponential(opt, { gamma = 0.9 })
  test.equal(opt.lr, 0.2)
  local free = optim.lambda(opt, function(count) return 1 / (count + 1) end)
  free:step()
  test.close(opt.lr, 0.1, 1e-12)
end)

test.case("schedules name what is wrong", function()
  local opt = optim.sgd({ one() }, { lr = 1.0 })
  test.raises("step: option 'every' must be at least 1, got 0", function() optim.step(opt, { every = 0 }) end)
  test.raises("multi_step: milestone 2 must be a number, got string", function()
    optim.multi_step(opt, { milestones = { 1, "2" } })
  end)
  test.raises("one_cycle: option 'anneal' must be \"cosine\" or \"linear\", got \"round\"", function()
    optim.one_cycle(opt, { max_lr = 1, steps = 10, anneal = "round" })
  end)
  test.raises("cosine: option 'steps' must be a number, got string", function() optim.cosine(opt, { steps = "9" }) end)
  test.raises("plateau: unknown option 'patient'; options are: cooldown", function() optim.plateau(opt, { patient = 1 }) end)
  test.raises("plateau: option 'factor' must be between 0 and 1, got 2", function() optim.plateau(opt, { factor = 2 }) end)
  test.raises("plateau: step takes the metric, a number; got nil", function() optim.plateau(opt):step() end)
  test.raises("sequence: 2 schedules need 1 milestones, got 0", function()
    optim.sequence({ optim.step(opt, { every = 1 }), optim.step(opt, { every = 1 }) }, { milestones = {} })
  end)
  test.raises("sequence: element 1 is no schedule that counts steps", function()
    optim.sequence({ optim.plateau(opt) }, { milestones = {} })
  end)
  test.raises("a state of step does not fit the schedule cosine", function()
    optim.cosine(opt, { steps = 3 }):load_state_dict(optim.step(opt, { every = 1 }):state_dict())
  end)
  test.raises("a schedule needs an optimizer", function() optim.cosine({}, { steps = 3 }) end)
end)
