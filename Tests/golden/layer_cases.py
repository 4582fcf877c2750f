"""Cases of the ops beyond the first set; `make_tensor_golden.py` calls `add` last, so that the cases before keep their numbers."""
import torch
import torch.nn.functional as F


def add(case, f, pos, ints, bools):
    # transposed and one-dimensional convolutions
    for x, w, at in (
            ((2, 3, 4, 5), (3, 2, 3, 3), {}), ((1, 4, 3, 3), (4, 6, 2, 2), dict(stride=[2, 2])),
            ((2, 4, 4, 3), (4, 1, 3, 2), dict(stride=[3, 2], padding=[1, 0], output_padding=[2, 1], groups=2)),
            ((2, 2, 3, 4), (2, 3, 3, 3), dict(stride=[2, 1], padding=[2, 1], dilation=[2, 1])), ((3, 2, 4, 4), (2, 5, 1, 1), {}),
            ((2, 8, 6, 6), (8, 9, 3, 3), dict(padding=[1, 1])), ((1, 1, 1, 1), (1, 1, 2, 3), {}), ((0, 2, 3, 3), (2, 1, 2, 2), {}),
            ((17, 1, 2, 2), (1, 2, 2, 2), dict(stride=[2, 2], padding=[1, 1]))):
        bias = f(w[1] * at.get("groups", 1))
        case("conv_transpose2d", [f(*x), f(*w), bias], lambda a, b, c: F.conv_transpose2d(a, b, c, **at), **at)
    case("conv_transpose2d", [f(2, 2, 3, 3), f(2, 3, 2, 2)], F.conv_transpose2d)
    for x, w, at in (((2, 3, 7), (4, 3, 3), {}), ((1, 4, 9), (6, 2, 2), dict(stride=2, padding=1, dilation=2, groups=2)), ((3, 2, 5), (1, 2, 5), {})):
        case("conv1d", [f(*x), f(*w), f(w[0])], lambda a, b, c: F.conv1d(a, b, c, **at), **at)
    case("conv1d", [f(2, 2, 4), f(3, 2, 2)], F.conv1d)
    for x, w, at in (((2, 3, 4), (3, 2, 3), {}), ((2, 4, 5), (4, 1, 3), dict(stride=2, padding=1, output_padding=1, groups=2)),
                     ((1, 2, 4), (2, 2, 2), dict(stride=3, dilation=2))):
        bias = f(w[1] * at.get("groups", 1))
        case("conv_transpose1d", [f(*x), f(*w), bias], lambda a, b, c: F.conv_transpose1d(a, b, c, **at), **at)

    # pooling
    for x, k, s, p in (((2, 3, 8), 2, 2, 0), ((1, 2, 7), 3, 2, 1), ((1, 1, 5), 5, 1, 0)):
        at = dict(kernel=k, stride=s, padding=p)
        case("max_pool1d", [f(*x)], lambda a: F.max_pool1d(a, k, s, p), **at)
        case("avg_pool1d", [f(*x)], lambda a: F.avg_pool1d(a, k, s, p), **at)
    for x, o in (((2, 3, 6), 3), ((1, 2, 7), 4), ((1, 1, 3), 5)):
        case("adaptive_avg_pool1d", [f(*x)], lambda a: F.adaptive_avg_pool1d(a, o), size=o)
        case("adaptive_max_pool1d", [f(*x)], lambda a: F.adaptive_max_pool1d(a, o), size=o)
    for x, o in (((2, 3, 6, 6), [1, 1]), ((1, 2, 7, 5), [3, 2]), ((1, 1, 3, 3), [5, 4])):
        case("adaptive_max_pool2d", [f(*x)], lambda a: F.adaptive_max_pool2d(a, o), size=o)

    # normalization
    for x, g in (((2, 6, 3, 4), 3), ((3, 4, 5), 2), ((2, 4), 2), ((1, 3, 2, 2), 1), ((0, 4, 3), 2)):
        case("group_norm", [f(*x), pos(x[1]), f(x[1])], lambda a, w, b: F.group_norm(a, g, w, b), groups=g)
    for x in ((2, 3, 4, 4), (2, 2, 5)):
        case("instance_norm", [f(*x), pos(x[1]), f(x[1])], lambda a, w, b: F.instance_norm(a, weight=w, bias=b))

    # sizes and edges
    for x, size in (((2, 2, 3, 4), [6, 8]), ((1, 2, 5, 3), [7, 4]), ((1, 1, 7, 6), [3, 1]), ((2, 1, 4), [9]), ((1, 2, 1, 1), [3, 2])):
        linear = "linear" if len(x) == 3 else "bilinear"
        case("upsample", [f(*x)], lambda a: F.interpolate(a, size=size), size=size)
        for corners in (False, True):
            case("upsample", [f(*x)], lambda a: F.interpolate(a, size=size, mode=linear, align_corners=corners), size=size, linear=True, corners=corners)
    for x, scale in (((1, 2, 3, 4), [2.0, 2.0]), ((1, 1, 5, 5), [1.5, 0.5]), ((2, 1, 7), [2.3])):
        linear = "linear" if len(x) == 3 else "bilinear"
        case("upsample", [f(*x)], lambda a: F.interpolate(a, scale_factor=scale), scale=scale)
        for corners in (False, True):
            case("upsample", [f(*x)], lambda a: F.interpolate(a, scale_factor=scale, mode=linear, align_corners=corners), scale=scale, linear=True, corners=corners)
    case("pixel_shuffle", [f(2, 8, 2, 3)], lambda a: F.pixel_shuffle(a, 2), factor=2)
    case("pixel_unshuffle", [f(2, 2, 4, 6)], lambda a: F.pixel_unshuffle(a, 2), factor=2)
    for mode in ("reflect", "replicate", "circular"):
        case("pad", [f(2, 2, 3, 4)], lambda a: F.pad(a, [2, 1, 0, 2], mode=mode), amounts=[2, 1, 0, 2], mode=mode, value=0.0)
        case("pad", [f(2, 1, 5)], lambda a: F.pad(a, [3, 4], mode=mode), amounts=[3, 4], mode=mode, value=0.0)
    for x, amounts in (((2, 3, 4), [1, 2]), ((2, 3, 4), [1, 0, 0, 2, 3, 1]), ((2, 5, 4), [-1, 2, -2, -1]), ((3,), [0, 0]), ((0, 2), [1, 1, 1, 0])):
        case("pad", [f(*x)], lambda a: F.pad(a, amounts, value=1.5), amounts=amounts, mode="constant", value=1.5)

    # activations
    plain = {"selu": F.selu, "mish": F.mish, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "relu6": F.relu6, "softsign": F.softsign,
             "erf": torch.erf, "logsigmoid": F.logsigmoid, "gelu_tanh": lambda a: F.gelu(a, approximate="tanh")}
    for name, fn in plain.items():
        for shape in ((3, 7), (), (0, 3)):
            case(name, [f(*shape) * 3], fn)
    for slope in (0.01, 0.3):
        case("leaky_relu", [f(3, 5)], lambda a: F.leaky_relu(a, slope), slope=slope)
        case("elu", [f(3, 5)], lambda a: F.elu(a, slope), slope=slope)
    for x, w in (((4, 3), 3), ((2, 3, 4, 2), 3), ((2, 3, 2), 1), ((5,), 1)):
        case("prelu", [f(*x), f(w)], F.prelu)

    # losses
    w4 = pos(4)
    for x, t in (((3, 4, 2, 3), (3, 2, 3)), ((2, 4, 5), (2, 5)), ((6, 4), (6,))):
        ids = ints(0, 4, *t)
        ids.view(-1)[1] = 7
        for red in ("mean", "sum", "none"):
            for smooth in (0.0, 0.2):
                case("cross_entropy_places", [f(*x), ids], lambda a, b: F.cross_entropy(a, b, weight=w4, ignore_index=7, reduction=red, label_smoothing=smooth),
                     reduction=red, smoothing=smooth, ignore=7, weight=w4.tolist())
            case("cross_entropy_places", [f(*x), ids.clamp(0, 3)], lambda a, b: F.cross_entropy(a, b, reduction=red), reduction=red, smoothing=0.0)
            case("cross_entropy_places", [f(*x), f(*x).softmax(1)], lambda a, b: F.cross_entropy(a, b, weight=w4, reduction=red, label_smoothing=0.1),
                 reduction=red, smoothing=0.1, weight=w4.tolist())
            case("nll_places", [f(*x), ids], lambda a, b: F.nll_loss(a, b, weight=w4, ignore_index=7, reduction=red), reduction=red, ignore=7, weight=w4.tolist())
    case("cross_entropy_places", [f(4), ints(0, 4)], lambda a, b: F.cross_entropy(a, b, ignore_index=9), reduction="mean", smoothing=0.0, ignore=9)
    for red in ("mean", "sum", "none", "batchmean"):
        y = f(3, 4).softmax(1)
        case("kl_div", [f(3, 4), y], lambda a, b: F.kl_div(a, b, reduction=red), reduction=red, log=False)
        case("kl_div", [f(3, 4), y.log()], lambda a, b: F.kl_div(a, b, reduction=red, log_target=True), reduction=red, log=True)
    sparse = torch.tensor([[0.0, 1.0], [0.25, 0.75]])
    case("kl_div", [f(2, 2), sparse], lambda a, b: F.kl_div(a, b.detach(), reduction="sum"), grad=False, reduction="sum", log=False)
    for red in ("mean", "sum", "none"):
        case("bce", [f(3, 4).sigmoid(), f(3, 4).sigmoid()], lambda a, b: F.binary_cross_entropy(a, b, reduction=red), reduction=red)
        case("bce_weighted", [f(3, 4), f(3, 4).sigmoid(), pos(4), pos(4)],
             lambda a, b, w, p: F.binary_cross_entropy_with_logits(a, b, weight=w.detach(), pos_weight=p.detach(), reduction=red), grad=False, reduction=red)
        case("smooth_l1", [f(3, 4), f(3, 4)], lambda a, b: F.smooth_l1_loss(a, b, reduction=red, beta=0.6), reduction=red, beta=0.6)
    case("bce", [torch.tensor([0.0, 1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])], lambda a, b: F.binary_cross_entropy(a, b), grad=False, reduction="mean")
    case("smooth_l1", [f(4), f(4)], lambda a, b: F.smooth_l1_loss(a, b, beta=0.0), reduction="mean", beta=0.0)

    # sums of products
    for eq, shapes in (
            ("ij,jk->ik", ((2, 3), (3, 4))), ("bij,bjk->bik", ((2, 3, 4), (2, 4, 2))), ("ij->ji", ((2, 3),)), ("ij->", ((2, 3),)), ("ii->i", ((3, 3),)),
            ("ii", ((3, 3),)), ("i,j->ij", ((3,), (2,))), ("ij,ij->i", ((2, 3), (2, 3))), ("bhqd,bhkd->bhqk", ((2, 2, 3, 4), (2, 2, 5, 4))),
            ("...ij,...jk->...ik", ((2, 3, 4), (4, 2))), ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))), ("ij,jk", ((2, 3), (3, 4))),
            ("bn,anm,bm->ba", ((2, 3), (4, 3, 5), (2, 5))), ("iji->j", ((2, 3, 2),)), ("...i->...", ((2, 3, 4),)), ("ij,j->ij", ((2, 3), (1,))),
            ("b...,b...->...", ((2, 3, 1), (2, 1, 4)))):
        case("einsum", [f(*s) for s in shapes], lambda *t: torch.einsum(eq, *t), equation=eq)

    # places
    case("flip", [f(2, 3, 4)], lambda a: a.flip([0, 2]), dims=[0, 2])
    case("flip", [f(5)], lambda a: a.flip([0]), dims=[0])
    for shift, dim in ((1, 0), (-2, 1), (7, 1), (0, 0)):
        case("roll", [f(3, 5)], lambda a: a.roll(shift, dim), shift=shift, dim=dim)
    for shape, times in (((2, 3), [2, 2]), ((3,), [2, 1, 3]), ((2, 1, 2), [1, 3, 1]), ((2, 3), [0, 1])):
        case("tile", [f(*shape)], lambda a: a.repeat(*times), times=times)
    case("tile", [f(2, 3)], lambda a: torch.tile(a, (2,)), times=[2])
    for dim in (0, 1):
        case("repeat_interleave", [f(2, 3)], lambda a: a.repeat_interleave(2, dim), times=2, dim=dim)
    for offset in (0, 1, -2, 9):
        case("diagonal", [f(3, 4)], lambda a: a.diagonal(offset if abs(offset) < 4 else 4), offset=offset, a=0, b=1)
        case("tril", [f(2, 3, 4)], lambda a: a.tril(offset), offset=offset)
        case("triu", [f(3, 3)], lambda a: a.triu(offset), offset=offset)
    case("diagonal", [f(2, 3, 4)], lambda a: a.diagonal(0, 2, 0), offset=0, a=2, b=0)
    case("masked_fill", [f(3, 4), bools(4)], lambda a, m: a.masked_fill(m, 2.5), value=2.5)
    case("masked_fill", [f(3, 4), bools(3, 1)], lambda a, m: a.masked_fill(m, float(-1)), value=-1.0)
    index = torch.tensor([[2, 0], [1, 3], [0, 2]])
    case("scatter", [f(3, 4), index, f(3, 2)], lambda a, i, s: a.scatter(1, i, s), dim=1)
    case("scatter", [f(4, 2), torch.tensor([[2, 0], [1, 3]]), f(2, 2)], lambda a, i, s: a.scatter(0, i, s), dim=0)
    case("scatter_value", [f(3, 4), index], lambda a, i: a.scatter(1, i, 1.25), dim=1, value=1.25)
    for shape, dims in (((3, 4), [0]), ((3, 4), [0, 1]), ((2, 3, 4), [0, 2]), ((2, 3), [])):
        for keep in (False, True):
            every = dims if dims else list(range(len(shape)))
            if dims:
                case("amax", [f(*shape)], lambda a: a.amax(every, keepdim=keep), dims=dims, keep=keep)
                case("amin", [f(*shape)], lambda a: a.amin(every, keepdim=keep), dims=dims, keep=keep)
                case("logsumexp", [f(*shape)], lambda a: a.logsumexp(every, keepdim=keep), dims=dims, keep=keep)
    case("logsumexp", [torch.tensor([[1000.0, 1001.0], [-1000.0, -1001.0]])], lambda a: a.logsumexp(1), dims=[1], keep=False)

    # further settings
    for x, k, s, p in (((2, 2, 5, 6), [2, 2], [2, 2], [0, 0]), ((1, 2, 7, 8), [3, 2], [2, 3], [1, 1]), ((1, 1, 6, 5), [3, 3], [3, 2], [0, 1])):
        at = dict(kernel=k, stride=s, padding=p)
        case("max_pool2d_ceil", [f(*x)], lambda a: F.max_pool2d(a, k, s, p, ceil_mode=True), **at)
        for counts in (True, False):
            case("avg_pool2d_ceil", [f(*x)], lambda a: F.avg_pool2d(a, k, s, p, ceil_mode=True, count_include_pad=counts), counts=counts, **at)
    case("gather_part", [f(3, 4), ints(0, 4, 2, 3)], lambda t, i: t.gather(1, i), dim=1)
    case("gather_part", [f(3, 4, 2), ints(0, 3, 5, 2, 1)], lambda t, i: t.gather(0, i), dim=0)
    for x, dim in (((3, 4), 1), ((2, 3, 2), 0)):
        case("normalize", [f(*x)], lambda a: F.normalize(a, dim=dim), dim=dim)
        case("cosine_similarity", [f(*x), f(*x)], lambda a, b: F.cosine_similarity(a, b, dim=dim), dim=dim)
    part = torch.tensor([[2, 0], [1, 3]])
    case("scatter_part", [f(3, 4), part, f(3, 3)], lambda a, i, v: a.scatter(1, i, v), grad=False, dim=1, adds=False)
    case("scatter_part", [f(3, 4), part, f(2, 2)], lambda a, i, v: a.scatter(1, i, v), dim=1, adds=False)
    case("scatter_part", [f(3, 4), part, f(2, 2)], lambda a, i, v: a.scatter_add(1, i, v), dim=1, adds=True)
    case("scatter_part", [f(4, 5), part, f(2, 2)], lambda a, i, v: a.scatter_add(0, i, v), dim=0, adds=True)
    case("masked_select", [f(3, 4), bools(3, 4)], torch.masked_select)
    case("masked_select", [f(3, 4), bools(4)], torch.masked_select)
    case("nonzero", [ints(0, 2, 3, 4)], torch.nonzero)
    case("nonzero", [torch.tensor([0.0, 0.5, -1.0])], torch.nonzero, grad=False)
