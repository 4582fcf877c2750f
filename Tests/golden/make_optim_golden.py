"""Golden numbers for Tests/lua/optim_test.lua: optimizers and schedules of PyTorch, in float64.

  .venv/bin/python Tests/golden/make_optim_golden.py > Tests/golden/optim_golden.json

optimizers: parameters after each of ten steps with given gradients; a null gradient is none. schedules: the rates before each step.
"""
import json
import sys

import torch

assert torch.__version__.startswith("2.13."), "golden numbers are made with PyTorch 2.13, not " + torch.__version__
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
gen = torch.Generator().manual_seed(20260212)
O, S = torch.optim, torch.optim.lr_scheduler
STEPS = 10


def f(*shape):
    return (torch.randn(shape, generator=gen) * 1000).round() / 1000


start = [f(3, 2), f(4), f()]
grads = [[f(3, 2), f(4), f()] for _ in range(STEPS)]
for step in (0, 1, 5):          # a parameter that gets its first gradient late, and one that misses one later
    grads[step][1] = None


def listed(t):
    return None if t is None else t.detach().reshape(-1).tolist()


def trajectory(make):
    params = [torch.nn.Parameter(t.clone()) for t in start]
    opt, out = make(params), []
    for row in grads:
        for p, g in zip(params, row):
            p.grad = None if g is None else g.clone()
        opt.step()
        out.append([listed(p) for p in params])
    return out


def one(name, kind, ours, **theirs):
    return {"name": name, "opts": ours, "steps": trajectory(lambda p: kind(p, **theirs))}


def same(name, kind, **opts):
    return one(name, kind, opts, **opts)


optimizers = [
    one("adam", O.Adam, dict(lr=0.05, beta1=0.8, beta2=0.95, eps=1e-6), lr=0.05, betas=(0.8, 0.95), eps=1e-6),
    same("adam", O.Adam, lr=0.05, weight_decay=0.1),
    same("adamw", O.AdamW, lr=0.05, weight_decay=0.1),
    same("adamw", O.AdamW),
    same("sgd", O.SGD, lr=0.1),
    same("sgd", O.SGD, lr=0.1, momentum=0.9, weight_decay=0.05),
    same("sgd", O.SGD, lr=0.1, momentum=0.9, dampening=0.3),
    same("sgd", O.SGD, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    same("adagrad", O.Adagrad),
    same("adagrad", O.Adagrad, lr=0.1, lr_decay=0.2),
    same("adagrad", O.Adagrad, lr=0.1, initial_accumulator_value=0.5, eps=1e-3),
    same("adagrad", O.Adagrad, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.1),
]
for momentum in (0.0, 0.9):
    for centered in (False, True):
        for decay in (0.0, 0.1):
            optimizers.append(same("rmsprop", O.RMSprop, lr=0.02, alpha=0.9, eps=1e-4, momentum=momentum, centered=centered,
                                   weight_decay=decay))
optimizers.append(same("rmsprop", O.RMSprop))


def grouped(name, kind, groups, **rest):
    """Parameter 1 alone, then the others; options of their own over the common ones."""
    def make(p):
        return kind([dict(params=[p[0]], **groups[0]), dict(params=p[1:], **groups[1])], **rest)
    return {"name": name, "opts": rest, "groups": groups, "steps": trajectory(make)}


optimizers += [
    grouped("adam", O.Adam, [dict(lr=0.1), dict(weight_decay=0.2)], lr=0.02),
    grouped("sgd", O.SGD, [dict(momentum=0.9), dict(lr=0.3)], lr=0.05),
    grouped("rmsprop", O.RMSprop, [dict(centered=True), dict(lr=0.001, momentum=0.5)], lr=0.03),
    grouped("adagrad", O.Adagrad, [dict(lr_decay=0.5), dict(lr=0.2)], lr=0.03),
]


def rates(make, count=25, metrics=None):
    """Rates of two groups (1.0 and 0.25) before each step."""
    opt = O.SGD([dict(params=[torch.nn.Parameter(f())], lr=1.0), dict(params=[torch.nn.Parameter(f())], lr=0.25)], lr=1.0)
    sched, out = make(opt), []
    for i in range(count):
        out.append([g["lr"] for g in opt.param_groups])
        opt.step()
        sched.step(*([] if metrics is None else [metrics[i]]))
    return out


def schedule(name, opts, make, count=25):
    return {"name": name, "opts": opts, "rates": rates(make, count)}


schedules = [
    schedule("step", dict(every=4, gamma=0.5), lambda o: S.StepLR(o, 4, 0.5)),
    schedule("multi_step", dict(milestones=[3, 8, 9, 20], gamma=0.3), lambda o: S.MultiStepLR(o, [3, 8, 9, 20], 0.3)),
    schedule("exponential", dict(gamma=0.9), lambda o: S.ExponentialLR(o, 0.9)),
    schedule("cosine", dict(steps=24, min_lr=0.01), lambda o: S.CosineAnnealingLR(o, 24, 0.01)),
    schedule("warmup", dict(steps=7, start=0.2), lambda o: S.LinearLR(o, 0.2, 1.0, 7)),
    schedule("one_cycle", dict(max_lr=2.0, steps=26), lambda o: S.OneCycleLR(o, 2.0, total_steps=26, cycle_momentum=False)),
    schedule("one_cycle", dict(max_lr=[2.0, 3.0], steps=26, pct_start=0.4, div_factor=10, final_div_factor=100, anneal="linear"),
             lambda o: S.OneCycleLR(o, [2.0, 3.0], total_steps=26, pct_start=0.4, div_factor=10, final_div_factor=100,
                                    anneal_strategy="linear", cycle_momentum=False)),
]
sequences = [
    {"parts": [["warmup", dict(steps=5, start=0.1)], ["cosine", dict(steps=20)]], "milestones": [5],
     "rates": rates(lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 5), S.CosineAnnealingLR(o, 20)], [5]))},
    {"parts": [["warmup", dict(steps=4, start=0.5)], ["exponential", dict(gamma=0.8)], ["step", dict(every=3, gamma=0.5)]],
     "milestones": [4, 12],
     "rates": rates(lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.5, 1.0, 4), S.ExponentialLR(o, 0.8), S.StepLR(o, 3, 0.5)], [4, 12]))},
]

metrics = [1.0, 0.9, 0.8, 0.8, 0.81, 0.79995, 0.79, 0.79, 0.79, 0.8, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6]
plateaus = []
for mode in ("min", "max"):
    for threshold_mode in ("rel", "abs"):
        for extra in (dict(patience=2), dict(patience=1, cooldown=2, min_lr=0.02), dict(patience=0, threshold=0.05, factor=0.5)):
            opts = dict(mode=mode, threshold_mode=threshold_mode, **extra)
            plateaus.append({"opts": opts, "rates": rates(lambda o: S.ReduceLROnPlateau(o, **opts), metrics=metrics)})

# the moving average of parameters: ten updates
average = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7))
walk = [f(2, 2) for _ in range(STEPS)]
net = torch.nn.Linear(2, 2)
path = []
for weight in walk:
    with torch.no_grad():
        net.weight.copy_(weight)
    average.update_parameters(net)
    path.append(listed(average.module.weight))

p = torch.nn.Parameter(f(8))
p.grad = f(8) * 3
before = listed(p.grad)
torch.nn.utils.clip_grad_value_([p], 1.5)

json.dump({
    "torch": torch.__version__, "shapes": [list(t.shape) for t in start], "start": [listed(t) for t in start],
    "grads": [[listed(g) for g in row] for row in grads], "optimizers": optimizers, "schedules": schedules, "sequences": sequences,
    "metrics": metrics, "plateaus": plateaus, "ema": {"decay": 0.7, "walk": [listed(w) for w in walk], "path": path},
    "clip": {"most": 1.5, "before": before, "after": listed(p.grad)},
}, sys.stdout, separators=(",", ":"))
