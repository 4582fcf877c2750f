"""The other side of Benchmarks/train/run: the same networks in PyTorch or onnxruntime, one figure per call, as a JSON line.

    peer.py train|infer classic|lenet|resnet18 BATCH SECONDS eager|nhwc|compile|onnx DATA
    peer.py conv BATCH IN SIZE OUT KERNEL STRIDE PAD SECONDS nchw|nhwc
"""
import json
import os
import resource
import statistics
import struct
import sys
import time

THREADS = int(os.environ.get("MOONLAKE_THREADS", "2"))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(1)


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                                  nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))
        self.short = nn.Identity() if a == b else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        return F.relu(self.body(x) + self.short(x))


def network(name):
    if name == "classic":
        return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                             nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    if name == "lenet":
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1),
                             nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10))
    layers, a = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for i, b in enumerate((64, 128, 256, 512)):
        layers += [Block(a, b, 1 if i == 0 else 2), Block(b, b, 1)]
        a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def shape(name):
    return (3, 32, 32) if name == "resnet18" else (1, 28, 28)


def batches(name, batch, data, layout):
    if name == "resnet18":
        x, y = torch.rand(batch, 3, 32, 32).contiguous(memory_format=layout), torch.randint(0, 10, (batch,))
        while True:
            yield x, y
    with open(os.path.join(data, "train-images-idx3-ubyte"), "rb") as f:
        count, height, width = struct.unpack(">4xIII", f.read(16))
        x = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).reshape(count, 1, height, width)
    with open(os.path.join(data, "train-labels-idx1-ubyte"), "rb") as f:
        f.read(8)
        y = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).long()
    x = x.contiguous(memory_format=layout)
    while True:
        order = torch.randperm(count)
        for i in range(0, count - batch + 1, batch):
            rows = order[i:i + batch]
            yield x[rows].float().div_(255), y[rows]


def until(seconds, call):
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return times


def train(name, batch, seconds, mode, data):
    layout = torch.channels_last if mode == "nhwc" else torch.contiguous_format
    net = network(name).to(memory_format=layout)
    run = torch.compile(net) if mode == "compile" else net
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    source = batches(name, batch, data, layout)

    def step():
        x, y = next(source)
        opt.zero_grad()
        F.cross_entropy(run(x), y).backward()
        opt.step()
    for _ in range(5):
        step()
    times = until(seconds, step)
    return {"images_per_s": batch * len(times) / sum(times)}


@torch.no_grad()
def infer(name, batch, seconds, mode):
    layout = torch.channels_last if mode == "nhwc" else torch.contiguous_format
    net = network(name).eval().to(memory_format=layout)
    x = torch.rand(batch, *shape(name)).contiguous(memory_format=layout)
    if mode == "onnx":
        import io
        import onnxruntime
        file = io.BytesIO()
        torch.onnx.export(net, (x,), file, input_names=["x"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        feed = {"x": x.numpy()}

        def call():
            return session.run(None, feed)
    else:
        run = torch.compile(net) if mode == "compile" else net

        def call():
            return run(x)
    for _ in range(20):
        call()
    median = statistics.median(until(seconds, call))
    return {"us": median * 1e6, "images_per_s": batch / median}


def conv(n, c, size, o, k, stride, pad, seconds, mode):
    layout = torch.channels_last if mode == "nhwc" else torch.contiguous_format
    out = (size + 2 * pad - k) // stride + 1
    x, w = torch.randn(n, c, size, size), torch.randn(o, c, k, k)
    b, g = torch.randn(o), torch.randn(n, o, out, out)
    x, w, g = (t.contiguous(memory_format=layout) for t in (x, w, g))

    def backward(wants_x):
        torch.ops.aten.convolution_backward(g, x, w, [o], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, [wants_x, True, True])
    figures = {}
    with torch.no_grad():
        for name, call in (("forward", lambda: F.conv2d(x, w, b, stride, pad)), ("backward", lambda: backward(True)),
                           ("backward_weights", lambda: backward(False))):
            call()
            figures[name] = statistics.median(until(seconds, call))
    return figures


what, rest = sys.argv[1], sys.argv[2:]
if what == "conv":
    result = conv(*map(int, rest[:7]), float(rest[7]), rest[8])
elif what == "train":
    result = train(rest[0], int(rest[1]), float(rest[2]), rest[3], rest[4])
else:
    result = infer(rest[0], int(rest[1]), float(rest[2]), rest[3])
result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(result))
