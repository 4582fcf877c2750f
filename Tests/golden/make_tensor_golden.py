"""Golden numbers for Tests/TensorsTests: every op of Moonlake's tensors, computed by PyTorch in float64.

  .venv/bin/python Tests/golden/make_tensor_golden.py > Tests/golden/tensor_golden.json

Each case: op, attributes, inputs (dtype, shape, values), outputs, and for float inputs the gradients of
sum(output_0 * weight), weight_i = 0.3 + 0.1 * (i % 7). Dims in attributes count from 0.
"""
import json
import sys

import torch
import torch.nn.functional as F

import layer_cases

assert torch.__version__.startswith("2.13."), "golden numbers are made with PyTorch 2.13, not " + torch.__version__
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
gen = torch.Generator().manual_seed(20260211)
cases = []


def f(*shape):  # normal, three decimals, never 0
    x = (torch.randn(shape, generator=gen) * 1000).round() / 1000
    return torch.where(x == 0, torch.tensor(0.125), x)


def pos(*shape):
    return f(*shape).abs() + 0.25


def ints(low, high, *shape):
    return torch.randint(low, high, shape, generator=gen)


def bools(*shape):
    return torch.randint(0, 2, shape, generator=gen).bool()


NAMES = {torch.float64: "f64", torch.int64: "i64", torch.bool: "bool"}


def dump(t):
    t = t.detach()
    values = t.reshape(-1).tolist()
    return {"dtype": NAMES[t.dtype], "shape": list(t.shape), "values": [int(v) if t.dtype == torch.bool else v for v in values]}


def case(op, inputs, fn, grad=True, **attrs):
    leaves = [t.clone().requires_grad_(grad and t.dtype == torch.float64) for t in inputs]
    out = fn(*leaves)
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    entry = {"op": op, "attrs": attrs, "inputs": [dump(t) for t in inputs], "outputs": [dump(t) for t in outs]}
    tracked = [t for t in leaves if t.requires_grad]
    if grad and tracked and outs[0].requires_grad:
        flat = outs[0].reshape(-1)
        w = 0.3 + 0.1 * (torch.arange(flat.numel()) % 7).double()
        grads = torch.autograd.grad((flat * w).sum(), tracked, allow_unused=True)
        entry["grads"] = [None if g is None else g.reshape(-1).tolist() for g in grads]
    cases.append(entry)


# element-wise
unary = {
    "neg": torch.neg, "abs": torch.abs, "sign": torch.sign, "square": torch.square, "exp": torch.exp, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "relu": torch.relu, "gelu": F.gelu, "silu": F.silu, "sin": torch.sin, "cos": torch.cos,
    "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "reciprocal": torch.reciprocal, "softplus": F.softplus}
for name, fn in unary.items():
    for shape in ((3, 4), (), (0, 3)):
        case(name, [f(*shape)], fn)
for name in ("log", "log1p", "sqrt", "rsqrt"):
    for shape in ((3, 4), (1, 5)):
        case(name, [pos(*shape)], getattr(torch, name))
case("neg", [ints(-5, 5, 6)], torch.neg)
case("abs", [ints(-5, 5, 6)], torch.abs)
shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((0, 3), (1, 3)), ((3, 4), (1, 1))]
for name, fn in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
                 "minimum": torch.minimum, "mod": torch.remainder}.items():
    for a, b in shapes:
        case(name, [f(*a), f(*b)], fn)
for a, b in shapes:
    case("pow", [pos(*a), f(*b)], torch.pow)
    case("floordiv", [f(*a), f(*b)], torch.floor_divide, grad=False)
case("maximum", [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 5.0, 3.0])], torch.maximum)
for name, fn in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "mod": torch.remainder, "floordiv": torch.floor_divide}.items():
    case(name, [ints(-9, 9, 2, 5), torch.tensor([3, -2, 1, -4, 5])], fn)
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    case(name, [ints(0, 4, 3, 5), ints(0, 4, 5)], getattr(torch, name))
    case(name, [f(3, 5), f(3, 1)], getattr(torch, name), grad=False)
for name, fn in {"and": torch.logical_and, "or": torch.logical_or, "xor": torch.logical_xor}.items():
    case(name, [bools(3, 4), bools(4)], fn)
case("where", [bools(3, 4), f(3, 4), f(4)], torch.where)
case("where", [bools(3, 1), f(1, 4), f()], torch.where)
case("clamp", [f(4, 5)], lambda x: x.clamp(-0.5, 0.75), low=-0.5, high=0.75)

# reductions
for shape, dims in (((3, 4), None), ((3, 4), [0]), ((3, 4), [1]), ((2, 3, 4), [0, 2]), ((2, 3, 4), [1]), ((2, 3, 4), [1, 2]),
                    ((5,), [0]), ((), None), ((0, 3), [0]), ((2, 1, 3), [1])):
    for keep in (False, True):
        d = dims if dims is not None else list(range(len(shape)))
        at = dict(dims=dims, keep=keep)
        case("sum", [f(*shape)], lambda x: x.sum(d, keepdim=keep) if d else x.sum(), **at)
        if 0 not in shape:
            case("mean", [f(*shape)], lambda x: x.mean(d, keepdim=keep) if d else x.mean(), **at)
            if shape != () and all(s > 1 for s in shape):
                case("var", [f(*shape)], lambda x: x.var(d, keepdim=keep), **at)
                case("std", [f(*shape)], lambda x: x.std(d, keepdim=keep), **at)
                case("norm", [f(*shape)], lambda x: torch.linalg.vector_norm(x, dim=d, keepdim=keep), **at)
case("sum", [ints(-9, 9, 3, 4)], lambda x: x.sum([1]), dims=[1], keep=False)
case("sum", [bools(3, 4)], lambda x: x.sum(), dims=None, keep=False)
for shape, dim in (((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((5,), 0), ((2, 1, 3), 1)):
    case("prod", [f(*shape)], lambda x: x.prod(dim), dim=dim)
    case("cumsum", [f(*shape)], lambda x: x.cumsum(dim), dim=dim)
    case("max", [f(*shape)], lambda x: x.max(dim), dim=dim)
    case("min", [f(*shape)], lambda x: x.min(dim), dim=dim)
    case("argmax", [f(*shape)], lambda x: x.argmax(dim), dim=dim)
    case("argmin", [f(*shape)], lambda x: x.argmin(dim), dim=dim)
    case("sort", [f(*shape)], lambda x: x.sort(dim), dim=dim, descending=False)
    case("sort", [f(*shape)], lambda x: x.sort(dim, descending=True), dim=dim, descending=True)
    case("topk", [f(*shape)], lambda x: x.topk(1, dim), dim=dim, k=1, largest=True)
case("topk", [f(3, 6)], lambda x: x.topk(4, 1, largest=False), dim=1, k=4, largest=False)
case("prod", [torch.tensor([[2.0, 0.0, 3.0], [0.0, 4.0, 0.0]])], lambda x: x.prod(1), dim=1)
case("max_all", [f(3, 4)], lambda x: x.max())
case("min_all", [torch.tensor([1.0, -2.0, 5.0, -2.0])], lambda x: x.amin())

# matrices
for a, b in (((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 3)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
             ((2, 1, 3, 4), (3, 4, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((3, 4), (2, 4, 5))):
    case("matmul", [f(*a), f(*b)], torch.matmul)
for lead in ((3,), (2, 3), (), (0,)):
    case("linear", [f(*lead, 4), f(5, 4), f(5)], F.linear, relu=False)
    case("linear", [f(*lead, 4), f(5, 4), f(5)], lambda x, w, b: F.relu(F.linear(x, w, b)), relu=True)
case("linear", [f(3, 4), f(5, 4)], F.linear, relu=False)
for x, w, at in (
        ((2, 1, 5, 5), (3, 1, 3, 3), {}), ((2, 3, 6, 5), (4, 3, 3, 2), dict(padding=[1, 1])), ((1, 2, 7, 7), (2, 2, 3, 3), dict(stride=[2, 2])),
        ((2, 2, 7, 8), (3, 2, 3, 3), dict(stride=[2, 3], padding=[2, 1], dilation=[2, 1])), ((2, 4, 5, 5), (6, 2, 3, 3), dict(groups=2, padding=[1, 1])),
        ((2, 3, 4, 4), (3, 1, 3, 3), dict(groups=3, padding=[1, 1])), ((3, 4, 3, 3), (5, 4, 1, 1), {}), ((1, 1, 3, 3), (1, 1, 3, 3), {}),
        ((0, 2, 4, 4), (3, 2, 3, 3), {}), ((17, 2, 4, 4), (3, 2, 3, 3), dict(padding=[1, 1])), ((1, 1, 1, 6), (2, 1, 1, 4), dict(padding=[0, 2], dilation=[1, 2]))):
    bias = f(w[0])
    case("conv2d", [f(*x), f(*w), bias], lambda a, b, c: F.conv2d(a, b, c, **at), relu=False, **at)
    case("conv2d", [f(*x), f(*w), bias], lambda a, b, c: F.relu(F.conv2d(a, b, c, **at)), relu=True, **at)
case("conv2d", [f(2, 2, 4, 4), f(3, 2, 3, 3)], F.conv2d, relu=False)
for x, k, s, p in (((2, 3, 6, 6), [2, 2], [2, 2], [0, 0]), ((1, 2, 7, 5), [3, 2], [2, 1], [1, 1]), ((1, 1, 5, 5), [3, 3], [1, 1], [0, 0]),
                   ((2, 2, 7, 7), [2, 2], [2, 2], [0, 0]), ((0, 2, 4, 4), [2, 2], [2, 2], [0, 0])):
    at = dict(kernel=k, stride=s, padding=p)
    case("max_pool2d", [f(*x)], lambda a: F.max_pool2d(a, k, s, p), **at)
    case("avg_pool2d", [f(*x)], lambda a: F.avg_pool2d(a, k, s, p), **at)
for x, o in (((2, 3, 6, 6), [1, 1]), ((1, 2, 7, 5), [3, 2]), ((1, 1, 4, 4), [4, 4]), ((1, 1, 3, 3), [5, 4])):
    case("adaptive_avg_pool2d", [f(*x)], lambda a: F.adaptive_avg_pool2d(a, o), size=o)

# normalization
for x in ((4, 3), (2, 3, 4, 5), (2, 3, 6)):
    def train(a, g, b, m, v):
        m, v = m.detach().clone(), v.detach().clone()
        out = F.batch_norm(a, m, v, g, b, True, 0.1, 1e-5)
        return out, m, v
    case("batch_norm", [f(*x), pos(3), f(3), f(3), pos(3)], train, training=True)
    m, v = f(3), pos(3)
    case("batch_norm_eval", [f(*x), pos(3), f(3)], lambda a, g, b: F.batch_norm(a, m, v, g, b, False, 0.1, 1e-5), mean=m.tolist(), var=v.tolist())
for x, n in (((3, 5), [5]), ((2, 3, 4), [3, 4]), ((1, 2), [2])):
    case("layer_norm", [f(*x), f(*n), f(*n)], lambda a, g, b: F.layer_norm(a, n, g, b), shape=n)
for x, d in (((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((4,), 0), ((3, 1), 1), ((0, 3), 1)):
    case("softmax", [f(*x)], lambda a: a.softmax(d), dim=d)
    case("log_softmax", [f(*x)], lambda a: a.log_softmax(d), dim=d)
case("softmax", [torch.tensor([[1000.0, 1001.0], [-1000.0, -1000.0]])], lambda a: a.softmax(1), dim=1)

# losses
ids = ints(0, 5, 4)
w5 = pos(5)
for red in ("mean", "sum", "none"):
    for smooth in (0.0, 0.1):
        case("cross_entropy", [f(4, 5), ids], lambda x, t: F.cross_entropy(x, t, reduction=red, label_smoothing=smooth), reduction=red, smoothing=smooth)
        case("cross_entropy", [f(4, 5), ids], lambda x, t: F.cross_entropy(x, t, weight=w5, reduction=red, label_smoothing=smooth), reduction=red, smoothing=smooth, weight=w5.tolist())
    case("nll", [f(4, 5), ids], lambda x, t: F.nll_loss(x, t, reduction=red), reduction=red)
    case("nll", [f(4, 5), ids], lambda x, t: F.nll_loss(x, t, weight=w5, reduction=red), reduction=red, weight=w5.tolist())
    case("mse", [f(3, 4), f(3, 4)], lambda x, y: F.mse_loss(x, y, reduction=red), reduction=red)
    case("l1", [f(3, 4), f(3, 4)], lambda x, y: F.l1_loss(x, y, reduction=red), reduction=red)
    case("huber", [f(3, 4), f(3, 4)], lambda x, y: F.huber_loss(x, y, reduction=red, delta=0.7), reduction=red, delta=0.7)
    case("bce_with_logits", [f(3, 4), f(3, 4).sigmoid()], lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction=red), reduction=red)

# joining and picking
case("cat", [f(2, 3), f(2, 2), f(2, 0)], lambda *t: torch.cat(t, 1), dim=1)
case("cat", [f(2, 3), f(1, 3)], lambda *t: torch.cat(t, 0), dim=0)
case("stack", [f(2, 3), f(2, 3)], lambda *t: torch.stack(t, 1), dim=1)
case("stack", [f(), f(), f()], lambda *t: torch.stack(t, 0), dim=0)
case("split", [f(5, 2)], lambda t: t.split(2, 0), dim=0, size=2)
for x, d in (((4, 3), 0), ((2, 4, 3), 1), ((3, 4), 1)):
    case("index_select", [f(*x), torch.tensor([2, 0, 2])], lambda t, i: t.index_select(d, i), dim=d)
case("gather", [f(3, 4), ints(0, 4, 3, 2)], lambda t, i: t.gather(1, i), dim=1)
case("gather", [f(3, 4), ints(0, 3, 2, 4)], lambda t, i: t.gather(0, i), dim=0)
case("scatter_add", [f(3, 4), ints(0, 4, 3, 2), f(3, 2)], lambda t, i, s: t.scatter_add(1, i, s), dim=1)
case("embedding", [f(5, 3), ints(0, 5, 2, 4)], lambda w, i: F.embedding(i, w))
case("one_hot", [ints(0, 4, 2, 3)], lambda i: F.one_hot(i, 4), classes=4)

# views
case("reshape", [f(2, 6)], lambda t: t.reshape(3, -1), shape=[3, -1])
case("permute", [f(2, 3, 4)], lambda t: t.permute(2, 0, 1), dims=[2, 0, 1])
case("transpose", [f(2, 3, 4)], lambda t: t.transpose(0, 2), a=0, b=2)
case("unsqueeze", [f(2, 3)], lambda t: t.unsqueeze(1), dim=1)
case("squeeze", [f(2, 1, 3, 1)], lambda t: t.squeeze(), dim=None)
case("squeeze", [f(2, 1, 3, 1)], lambda t: t.squeeze(1), dim=1)
case("expand", [f(3, 1)], lambda t: t.expand(2, 3, 4), shape=[2, 3, 4])
case("slice", [f(7, 3)], lambda t: t[1:6:2], dim=0, start=1, end=6, step=2)
case("narrow", [f(3, 6)], lambda t: t.narrow(1, 2, 3), dim=1, start=2, length=3)
case("select", [f(3, 4, 2)], lambda t: t.select(1, -1), dim=1, index=-1)
case("flatten", [f(2, 3, 4)], lambda t: t.flatten(1), start=1)


# optimizers: parameter after five steps with the given gradients (5, n)
def steps(make):
    def run(p, grads):
        p = torch.nn.Parameter(p.detach().clone())
        o = make([p])
        for g in grads:
            p.grad = g.clone()
            o.step()
        return p
    return run


O = torch.optim
p0, gs = f(6), f(5, 6)
case("adam", [p0, gs], steps(lambda p: O.Adam(p, lr=0.1)), grad=False, lr=0.1, decay=0.0, decoupled=False)
case("adam", [p0, gs], steps(lambda p: O.Adam(p, lr=0.01, weight_decay=0.1)), grad=False, lr=0.01, decay=0.1, decoupled=False)
case("adam", [p0, gs], steps(lambda p: O.AdamW(p, lr=0.01, weight_decay=0.1)), grad=False, lr=0.01, decay=0.1, decoupled=True)
for m, n, d, dec in ((0.0, False, 0.0, 0.0), (0.9, False, 0.0, 0.0), (0.9, True, 0.0, 0.1), (0.9, False, 0.2, 0.1)):
    case("sgd", [p0, gs], steps(lambda p: O.SGD(p, lr=0.1, momentum=m, nesterov=n, dampening=d, weight_decay=dec)), grad=False,
         lr=0.1, momentum=m, nesterov=n, dampening=d, decay=dec)

layer_cases.add(case, f, pos, ints, bools)
json.dump({"torch": torch.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
