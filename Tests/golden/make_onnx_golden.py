"""Golden results for Tests/ONNXTests: small ONNX files and what onnxruntime gives for them.

  python Tests/golden/make_onnx_golden.py > Tests/golden/onnx_golden.json

Each case: name, the file in base64, shape, dtype and elements of an input, shape and elements of the output. Files are written with
onnx.helper, the last few by PyTorch's exporter.
"""
import base64
import io
import json
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

assert onnx.__version__.startswith("1.23."), onnx.__version__
assert ort.__version__.startswith("1.32."), ort.__version__
random = np.random.default_rng(20261128)
cases = []
DTYPES = {np.dtype("float32"): ("f32", T.FLOAT), np.dtype("int64"): ("i64", T.INT64), np.dtype("float64"): ("f64", T.DOUBLE)}


def f(*shape):
    return (random.standard_normal(shape) * 1000).round().astype(np.float32) / np.float32(1000)


def record(name, model, x):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    y = session.run(None, {session.get_inputs()[0].name: x})[0]
    cases.append({
        "name": name, "file": base64.b64encode(data).decode(), "shape": list(x.shape), "dtype": DTYPES[x.dtype][0],
        "input": [float("%.4g" % v) for v in x.ravel()], "out_shape": list(y.shape), "output": [float("%.7g" % v) for v in y.ravel()],
    })


def case(name, nodes, x, weights=None, opset=17, batch="batch", dims=None, ir=8, out=None, order=None, as_inputs=False):
    """nodes: (op, inputs, output, attributes); x: the input 'x'; the last output is the graph's."""
    made = [h.make_node(op, inputs, outputs if isinstance(outputs, list) else [outputs], **attributes)
            for op, inputs, outputs, attributes in nodes]
    if order:
        made = [made[i] for i in order]
    shape = dims or [batch] + list(x.shape[1:])
    inputs = [h.make_tensor_value_info("x", DTYPES[x.dtype][1], shape)]
    initializers = []
    for key, value in (weights or {}).items():
        initializers.append(value if isinstance(value, onnx.TensorProto) else nh.from_array(np.asarray(value), key))
        if as_inputs:
            inputs.append(h.make_tensor_value_info(key, initializers[-1].data_type, list(initializers[-1].dims)))
    last = nodes[-1][2]
    output = h.make_tensor_value_info(last if isinstance(last, str) else last[0], out or T.FLOAT, None)
    graph = h.make_graph(made, "case", inputs, [output], initializers)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=ir)
    record(name, model, x)


def one(name, op, x, inputs=(), weights=None, opset=17, out=None, dims=None, batch="batch", **attributes):
    case(name, [(op, ["x", *inputs], "y", attributes)], x, weights, opset, out=out, dims=dims, batch=batch)


i64 = lambda *v: np.array(v, np.int64)  # noqa: E731
image, w = f(2, 3, 7, 8), f(4, 3, 3, 3)

# Layers.
one("conv", "Conv", image, ["w", "b"], {"w": w, "b": f(4)})
one("conv with pads of four sides", "Conv", image, ["w"], {"w": w}, pads=[0, 1, 2, 1], strides=[2, 1])
one("conv with more in front", "Conv", image, ["w"], {"w": w}, pads=[2, 1, 0, 0], strides=[2, 2])
for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
    one("conv " + auto, "Conv", image, ["w"], {"w": f(4, 3, 2, 3)}, auto_pad=auto, strides=[2, 2])
one("conv in groups, opset 7", "Conv", f(2, 4, 6, 6), ["w", "b"], {"w": f(6, 2, 3, 3), "b": f(6)}, opset=7, group=2, kernel_shape=[3, 3], dilations=[1, 2])
one("conv of rows", "Conv", f(2, 3, 9), ["w", "b"], {"w": f(5, 3, 4), "b": f(5)}, pads=[1, 2], strides=[2])
row = f(3, 5)
one("gemm", "Gemm", row, ["w", "b"], {"w": f(5, 4), "b": f(4)})
one("gemm with transB and a bias of one row", "Gemm", row, ["w", "b"], {"w": f(4, 5), "b": f(1, 4)}, transB=1)
one("gemm with factors", "Gemm", row, ["w", "b"], {"w": f(4, 5), "b": f(4)}, transB=1, alpha=0.5, beta=2.0)
one("gemm with a scalar", "Gemm", row, ["w", "b"], {"w": f(5, 4), "b": np.float32(0.5)}, opset=9)
case("gemm turned", [("Gemm", ["w", "x"], "y", {"transB": 1}), ("Transpose", ["y"], "z", {})], row, {"w": f(2, 5)})
case("matmul and add", [("MatMul", ["x", "w"], "y", {}), ("Add", ["b", "y"], "z", {})], f(2, 3, 5), {"w": f(5, 4), "b": f(4)})
case("a product that two read", [("MatMul", ["x", "w"], "y", {}), ("Add", ["y", "b"], "z", {}), ("Mul", ["y", "z"], "v", {})], row,
     {"w": f(5, 4), "b": f(4)})
case("a product read before it is added to", [("MatMul", ["x", "w"], "y", {}), ("Mul", ["y", "h"], "m", {}), ("Add", ["y", "b"], "z", {}),
                                             ("Sub", ["z", "m"], "v", {})], row, {"w": f(5, 4), "b": f(4), "h": np.float32(0.5)})
case("a product of two names", [("MatMul", ["x", "w"], "y", {}), ("Identity", ["y"], "i", {}), ("Add", ["i", "b"], "z", {}),
                                ("Mul", ["z", "y"], "v", {})], row, {"w": f(5, 4), "b": f(4)})
case("attention", [("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("MatMul", ["x", "t"], "s", {}), ("Softmax", ["s"], "p", {"axis": -1}),
                   ("MatMul", ["p", "x"], "y", {})], f(2, 4, 3))
bn = {"s": f(3), "b": f(3), "m": f(3), "v": np.abs(f(3)) + np.float32(0.5)}
one("batch norm", "BatchNormalization", image, ["s", "b", "m", "v"], bn, epsilon=1e-3)
one("batch norm, opset 8", "BatchNormalization", image, ["s", "b", "m", "v"], bn, opset=8, momentum=0.8)
one("layer norm", "LayerNormalization", f(2, 3, 4), ["s", "b"], {"s": f(3, 4), "b": f(3, 4)}, axis=1)
one("layer norm without bias", "LayerNormalization", f(2, 3, 4), ["s"], {"s": f(4)})
one("instance norm", "InstanceNormalization", image, ["s", "b"], {"s": f(3), "b": f(3)})
one("softmax, opset 11", "Softmax", f(2, 3, 4), opset=11)
one("softmax, opset 11, axis 2", "Softmax", f(2, 3, 4), opset=11, axis=2)
one("log softmax", "LogSoftmax", f(2, 3, 4), axis=1)
case("dropout, opset 10", [("Dropout", ["x"], ["y", "mask"], {"ratio": 0.3}), ("Identity", ["y"], "z", {})], row, opset=10)
case("dropout, opset 13", [("Dropout", ["x", "r"], "y", {})], row, {"r": np.float32(0.4)}, opset=13)
case("embedding", [("Gather", ["t", "x"], "y", {})], random.integers(0, 6, (3, 4)), {"t": f(6, 5)})

one("conv transpose", "ConvTranspose", f(2, 4, 4, 5), ["w", "b"], {"w": f(4, 3, 3, 2), "b": f(6)}, group=2, strides=[2, 3], pads=[1, 0, 1, 0], output_padding=[1, 0])
one("conv transpose, pads of four sides", "ConvTranspose", f(2, 2, 4, 5), ["w"], {"w": f(2, 3, 3, 3)}, strides=[2, 2], pads=[0, 1, 1, 2])
one("conv transpose of rows", "ConvTranspose", f(2, 2, 5), ["w"], {"w": f(2, 3, 4)}, strides=[2], pads=[1, 1])
one("group norm, opset 21", "GroupNormalization", f(2, 6, 3, 4), ["s", "b"], {"s": f(6), "b": f(6)}, opset=21, num_groups=3, epsilon=1e-3)
one("group norm, opset 18", "GroupNormalization", f(2, 6, 3, 4), ["s", "b"], {"s": f(3), "b": f(3)}, opset=18, num_groups=3)

# Sizes.
small = f(2, 2, 3, 4)
scales = lambda *v: np.array(v, np.float32)  # noqa: E731
one("resize nearest", "Resize", small, ["", "s"], {"s": scales(1, 1, 2, 3)}, opset=19)
one("resize nearest from the corner", "Resize", small, ["", "s"], {"s": scales(1, 1, 2.5, 1.3)}, opset=13, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
one("resize to sizes", "Resize", small, ["", "", "s"], {"s": i64(2, 2, 7, 9)}, opset=13, mode="linear", batch=2)
one("resize linear", "Resize", small, ["", "s"], {"s": scales(1, 1, 2, 2)}, opset=17, mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
one("resize linear by corners", "Resize", small, ["", "s"], {"s": scales(1, 1, 2, 3)}, opset=17, mode="linear", coordinate_transformation_mode="align_corners")
one("resize, opset 10", "Resize", small, ["s"], {"s": scales(1, 1, 2, 2)}, opset=10)
one("upsample, opset 9", "Upsample", small, ["s"], {"s": scales(1, 1, 2, 2)}, opset=9)
one("upsample, opset 7", "Upsample", small, opset=7, scales=[1.0, 1.0, 3.0, 2.0])
one("depth to space", "DepthToSpace", f(2, 8, 3, 2), blocksize=2)
one("depth to space, CRD", "DepthToSpace", f(2, 8, 3, 2), blocksize=2, mode="CRD")
for mode in ["reflect", "edge"]:
    one("Pad " + mode, "Pad", image, ["p"], {"p": i64(0, 0, 1, 2, 0, 0, 3, 0)}, mode=mode)
one("Pad wrap by axes", "Pad", image, ["p", "", "a"], {"p": i64(1, 2, 3, 0), "a": i64(-1, 2)}, opset=19, mode="wrap")

# Pools.
one("max pool", "MaxPool", image, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
one("max pool, ceil", "MaxPool", image, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
one("max pool SAME_UPPER", "MaxPool", image, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
one("max pool of rows", "MaxPool", f(2, 3, 9), kernel_shape=[3], strides=[2])
one("average pool", "AveragePool", image, kernel_shape=[2, 2], strides=[2, 2])
one("average pool without padding in the mean", "AveragePool", image, kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1])
one("average pool with padding in the mean", "AveragePool", image, kernel_shape=[3, 3], pads=[1, 0, 1, 1], count_include_pad=1)
one("average pool, ceil", "AveragePool", image, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
one("average pool SAME_LOWER", "AveragePool", image, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER")
one("global average pool", "GlobalAveragePool", image)
one("global average pool of rows", "GlobalAveragePool", f(2, 3, 5))
one("global max pool", "GlobalMaxPool", image)

# Functions.
for op in ["Relu", "Exp", "Tanh", "Sigmoid", "Neg", "Abs", "Softplus", "Sin", "Cos", "Floor", "Ceil", "Round", "Sign", "Erf", "Softsign",
           "LeakyRelu", "Elu", "Selu", "HardSigmoid", "HardSwish", "Mish"]:
    one(op, op, f(3, 6) * np.float32(2), opset=18)
for op in ["Log", "Sqrt", "Reciprocal"]:
    one(op, op, np.abs(f(3, 6)) + np.float32(0.1))
one("LeakyRelu 0.3", "LeakyRelu", row, alpha=0.3)
one("Elu 2", "Elu", row, alpha=2.0)
one("HardSigmoid with settings", "HardSigmoid", row, alpha=0.3, beta=0.4)
one("PRelu", "PRelu", row, ["s"], {"s": f(5)})
one("Gelu", "Gelu", row, opset=20)
one("Gelu by tanh", "Gelu", row, opset=20, approximate="tanh")
one("Clip, opset 6 style", "Clip", row, opset=9, min=-0.5, max=0.75)
one("Clip by inputs", "Clip", row, ["", "high"], {"high": np.float32(0.3)})
case("silu", [("Sigmoid", ["x"], "s", {}), ("Mul", ["x", "s"], "y", {})], row)
half, one_, root = np.float32(0.5), np.float32(1), np.float32(np.sqrt(2))
case("gelu, half first", [("Mul", ["x", "h"], "a", {}), ("Div", ["x", "r"], "d", {}), ("Erf", ["d"], "e", {}), ("Add", ["o", "e"], "p", {}),
                          ("Mul", ["a", "p"], "y", {})], row, {"h": half, "o": one_, "r": root})
case("gelu, half last", [("Mul", ["x", "r"], "d", {}), ("Erf", ["d"], "e", {}), ("Add", ["e", "o"], "p", {}), ("Mul", ["x", "p"], "m", {}),
                         ("Mul", ["m", "h"], "y", {})], row, {"h": half, "o": one_, "r": np.float32(1 / np.sqrt(2))})
case("nearly gelu", [("Mul", ["x", "r"], "d", {}), ("Erf", ["d"], "e", {}), ("Add", ["e", "o"], "p", {}), ("Mul", ["x", "p"], "y", {})], row,
     {"o": one_, "r": np.float32(0.5)})

# Arithmetic.
for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
    one(op, op, row, ["w"], {"w": f(3, 1) + np.float32(3)}, batch=3)
one("Pow 2", "Pow", row, ["w"], {"w": np.float32(2)})
one("Pow by integers", "Pow", np.abs(row), ["w"], {"w": i64(1, 2, 3, 4, 5)})
case("Div and Mod of integers", [("Cast", ["x"], "i", {"to": T.INT64}), ("Div", ["i", "w"], "d", {}), ("Mod", ["i", "w"], "m", {}),
                                 ("Mul", ["d", "ten"], "t", {}), ("Add", ["t", "m"], "s", {}), ("Cast", ["s"], "y", {"to": T.FLOAT})],
     row * np.float32(9), {"w": i64(2, -3, 4, -5, 1), "ten": i64(10)})
one("Mod of floats", "Mod", row, ["w"], {"w": f(5)}, fmod=1)
case("Sum, Max and Min of three", [("Sum", ["x", "w", "x"], "a", {}), ("Max", ["a", "x", "w"], "b", {}), ("Min", ["b", "a", "x"], "c", {}),
                                   ("Sub", ["a", "c"], "y", {})], row, {"w": f(5)})
one("ReduceSum", "ReduceSum", f(2, 3, 4), ["a"], {"a": i64(-1, 1)}, keepdims=0)
one("ReduceSum, opset 11", "ReduceSum", f(2, 3, 4), opset=11, axes=[1])
one("ReduceMean, opset 17", "ReduceMean", f(2, 3, 4), axes=[2], keepdims=0)
one("ReduceMean, opset 18", "ReduceMean", f(2, 3, 4), ["a"], {"a": i64(1, 2)}, opset=18)
case("Cast there and back", [("Cast", ["x"], "i", {"to": T.INT64}), ("Cast", ["i"], "y", {"to": T.FLOAT})], row * np.float32(5))
case("f64", [("MatMul", ["x", "w"], "y", {})], row.astype(np.float64), {"w": f(5, 2).astype(np.float64)}, out=T.DOUBLE)

# Shapes.
cube = f(2, 3, 4)
one("Reshape 0 and -1", "Reshape", cube, ["s"], {"s": i64(0, -1)})
one("Reshape -1 first", "Reshape", cube, ["s"], {"s": i64(-1, 6, 2)})
one("Reshape that joins the batch", "Reshape", cube, ["s"], {"s": i64(-1, 4)})
one("Reshape with the batch in the shape", "Reshape", cube, ["s"], {"s": i64(2, -1)}, batch=2)
case("Reshape by computed extents", [("Shape", ["x"], "s", {}), ("Gather", ["s", "zero"], "n", {}), ("Unsqueeze", ["n", "axes"], "u", {}),
                                     ("Concat", ["u", "rest"], "t", {"axis": 0}), ("Reshape", ["x", "t"], "y", {})], cube,
     {"zero": np.int64(0), "axes": i64(0), "rest": i64(-1)})
case("Reshape by products", [("Shape", ["x"], "s", {}), ("Slice", ["s", "a", "b"], "n", {}), ("Slice", ["s", "b", "c"], "m", {}),
                             ("Mul", ["n", "m"], "p", {}), ("Concat", ["p", "four"], "t", {"axis": 0}), ("Reshape", ["x", "t"], "y", {})], cube,
     {"a": i64(0), "b": i64(1), "c": i64(2), "four": i64(4)})
for axis in [0, 1, 2, 3, -1]:
    one("Flatten %d" % axis, "Flatten", cube, axis=axis)
one("Transpose", "Transpose", cube, perm=[1, 2, 0])
one("Transpose without perm", "Transpose", cube)
one("Squeeze, opset 11", "Squeeze", f(2, 1, 3, 1), opset=11, axes=[1, -1])
one("Squeeze by input", "Squeeze", f(2, 1, 3, 1), ["a"], {"a": i64(3)})
one("Squeeze all", "Squeeze", f(2, 1, 3, 1))
one("Unsqueeze, opset 11", "Unsqueeze", row, opset=11, axes=[1, 3])
one("Unsqueeze by input", "Unsqueeze", row, ["a"], {"a": i64(-1, 0)})
one("Expand", "Expand", f(2, 1, 3), ["s"], {"s": i64(4, 1)})
one("Slice, opset 9", "Slice", cube, opset=9, starts=[1, -3], ends=[9, -1], axes=[1, 2])
one("Slice with steps", "Slice", f(2, 9, 4), ["s", "e", "a", "t"], {"s": i64(1, 0), "e": i64(2**62, -1), "a": i64(1, -1), "t": i64(3, 2)})
case("Split", [("Split", ["x", "s"], ["a", "b", "c"], {"axis": 1}), ("Concat", ["c", "a", "b"], "y", {"axis": 1})], f(2, 6), {"s": i64(1, 2, 3)})
case("Split evenly, opset 18", [("Split", ["x"], ["a", "b"], {"axis": -1, "num_outputs": 2}), ("Concat", ["b", "a"], "y", {"axis": -1})], f(2, 5), opset=18)
one("Gather one", "Gather", cube, ["i"], {"i": np.int64(-1)}, axis=1)
one("Gather evenly", "Gather", cube, ["i"], {"i": i64(0, 2)}, axis=1)
one("Gather in any order", "Gather", cube, ["i"], {"i": i64(2, 0, -1, 2)}, axis=1)
one("Pad", "Pad", image, ["p", "v"], {"p": i64(0, 0, 1, 2, 0, 0, 3, 0), "v": np.float32(0.5)})
one("Pad, negative, opset 9", "Pad", image, opset=9, pads=[0, 0, -1, 0, 0, 0, 2, -3], value=1.5)
case("Constants of all kinds", [("Constant", [], "a", {"value_float": 0.5}), ("Constant", [], "b", {"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0]}),
                                ("Constant", [], "c", {"value_ints": [-1, 5, 1]}), ("Mul", ["x", "a"], "d", {}), ("Add", ["d", "b"], "e", {}),
                                ("Reshape", ["e", "c"], "y", {})], row)
case("ConstantOfShape, Range, Where, Equal", [
    ("ConstantOfShape", ["s"], "c", {"value": nh.from_array(np.array([2], np.float32))}), ("Range", ["zero", "five", "one"], "r", {}),
    ("Equal", ["r", "two"], "q", {}), ("Where", ["q", "c", "w"], "k", {}), ("Mul", ["x", "k"], "y", {})], row,
    {"s": i64(5), "zero": np.int64(0), "five": np.int64(5), "one": np.int64(1), "two": np.int64(2), "w": f(5)})

# Files.
lists = {
    "float16": h.make_tensor("w", T.FLOAT16, [5], np.array([1.5, -0.25, 6e-8, 65504, 0], np.float16)),
    "float16 raw": nh.from_array(np.array([1.5, -0.25, 6e-8, 6e-5, 0], np.float16), "w"),
    "bfloat16": h.make_tensor("w", T.BFLOAT16, [5], [1.5, -0.25, 3.0, 1e-3, 0]),
    "int8": h.make_tensor("w", T.INT8, [5], [1, -2, 127, -128, 0]), "uint8 raw": nh.from_array(np.array([1, 2, 255, 3, 0], np.uint8), "w"),
    "int64 list": h.make_tensor("w", T.INT64, [5], [1, -2, 3, -4, 5]), "int16 raw": nh.from_array(np.array([1, -2, 300, 4, 5], np.int16), "w"),
    "uint32 list": h.make_tensor("w", T.UINT32, [5], [1, 2, 3, 4, 5]), "bool": h.make_tensor("w", T.BOOL, [5], [1, 0, 1, 1, 0]),
    "double list": h.make_tensor("w", T.DOUBLE, [5], [0.5, 1, -1, 2, 3]),
}
for kind, tensor in lists.items():
    tensor.name = "w"
    case("weight of " + kind, [("Cast", ["w"], "c", {"to": T.FLOAT}), ("Add", ["x", "c"], "y", {})], row, {"w": tensor})
case("weights among the inputs", [("Add", ["x", "w"], "y", {})], row, {"w": f(5)}, opset=7, ir=3, as_inputs=True)
case("a batch that is fixed", [("Flatten", ["x"], "y", {}), ("MatMul", ["y", "w"], "z", {})], cube, {"w": f(12, 2)}, batch=2)
case("a node that nobody needs", [("Tanh", ["x"], "t", {}), ("NonZero", ["x"], "n", {}), ("Relu", ["t"], "y", {})], row)


# PyTorch's exporter.
def exported(name, net, x, opset, dynamic=True):
    import torch
    net.eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.from_numpy(x),), file, input_names=["x"], output_names=["y"], dynamo=False, opset_version=opset,
                          dynamic_axes={"x": {0: "batch"}} if dynamic else None)
    record(name, file.getvalue(), x)


def torch_cases():
    import torch
    from torch import nn
    assert torch.__version__.startswith("2.13."), torch.__version__
    torch.manual_seed(7)

    class Block(nn.Module):
        """Attention and a feed-forward part as in a transformer."""

        def __init__(self):
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
            self.rest = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(self.norm(x)).view(b, t, 3, 2, 4).permute(2, 0, 3, 1, 4)
            a = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1) @ v
            x = x + self.out(a.transpose(1, 2).reshape(b, t, c))
            return x + self.rest(x)

    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.SiLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 3), nn.LogSoftmax(-1))
    for opset in [9, 11, 13, 17, 20]:
        exported("PyTorch, convolutions, opset %d" % opset, net, f(2, 1, 8, 8), opset)
    exported("PyTorch, convolutions, one batch", net, f(1, 1, 8, 8), 17, dynamic=False)
    for opset in [11, 16, 17]:
        exported("PyTorch, attention, opset %d" % opset, Block(), f(2, 5, 8), opset)
    exported("PyTorch, attention, one batch", Block(), f(2, 5, 8), 17, dynamic=False)


torch_cases()
print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]")
print(len(cases), "cases", file=sys.stderr)
