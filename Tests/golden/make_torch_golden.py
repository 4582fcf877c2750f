"""Files of torch.save for Tests/TensorsTests/TorchFileTests.swift, in Tests/golden/torch, and what is in them (expected.json).

  .venv/bin/python Tests/golden/make_torch_golden.py

The refused_*.pt files would run code, or hold more than data, were they read by an ordinary unpickler.
"""
import collections
import io
import json
import os
import pickle
import zipfile

import torch

assert torch.__version__.startswith("2.13."), "golden files are made with PyTorch 2.13, not " + torch.__version__
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch")
gen = torch.Generator().manual_seed(20260213)
expected = {}
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64", torch.int32: "i32", torch.uint8: "u8", torch.bool: "bool",
         torch.float16: "f32", torch.bfloat16: "f32"}


def plain(value):
    """What Moonlake should read, as JSON: tensors as {"dtype", "shape", "values"}, dicts as {"dict": [[key, value], ...]}."""
    if isinstance(value, torch.Tensor):
        t = value.detach()
        values = (t.float() if t.dtype in (torch.float16, torch.bfloat16) else t).reshape(-1).tolist()
        return {"dtype": NAMES[t.dtype], "shape": list(t.shape), "values": [repr(float(v)) for v in values]}
    if isinstance(value, dict):
        return {"dict": [[k, plain(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def save(name, value, **options):
    torch.save(value, os.path.join(folder, name + ".pt"), **options)
    expected[name] = plain(value)


torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 3))
opt = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(2):
    opt.zero_grad()
    net(torch.randn(4, 1, 4, 4, generator=gen)).square().sum().backward()
    opt.step()
save("state_dict", net.state_dict())
save("checkpoint", {"model": net.state_dict(), "optimizer": opt.state_dict(), "epoch": 3, "best": 0.25, "name": "größer",
                    "done": True, "note": None, "history": [1.5, None, -2], "big": 1 << 62, "small": -(1 << 40), "deep": {"a": {"b": [[], {}]}}})
block = torch.arange(24.0)
matrix = block.reshape(4, 6)
save("views", collections.OrderedDict([
    ("whole", matrix), ("transposed", matrix.t()), ("part", matrix[1:3, ::2]), ("row", block[5]), ("spread", block[2].expand(2, 3)),
    ("tail", block[20:]), ("empty", block[:0]), ("cube", block.reshape(2, 3, 4).permute(2, 0, 1))]))
save("types", {
    "f32": torch.tensor([1.5, -0.0, float("inf"), 1e-40]), "f64": torch.tensor([1e300, -2.5], dtype=torch.float64),
    "i64": torch.tensor([1 << 40, -7]), "i32": torch.tensor([[2147483647], [-5]], dtype=torch.int32),
    "u8": torch.tensor([0, 255], dtype=torch.uint8), "bool": torch.tensor([True, False, True]),
    "f16": torch.tensor([1.0, -2.5, 65504.0, 6e-8, 6e-5, 0.0], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -3.140625, 1e38, 1e-38], dtype=torch.bfloat16),
    "parameter": torch.nn.Parameter(torch.tensor([0.5])), "scalar": torch.tensor(3.25)})
save("one_tensor", torch.randn(3, 3, generator=gen))
save("protocol_4", {"w": torch.randn(2, 2, generator=gen), "n": 7}, pickle_protocol=4)
tied = torch.nn.Linear(2, 2, bias=False)
save("tied", {"a": tied.weight, "b": tied.weight})


def archive(name, pickled, extra=(), compression=zipfile.ZIP_STORED):
    """A container of our own making around any pickle."""
    with zipfile.ZipFile(os.path.join(folder, name + ".pt"), "w", compression) as out:
        for entry, data in [("x/data.pkl", pickled), ("x/byteorder", b"little"), *extra]:
            out.writestr(zipfile.ZipInfo(entry, (2026, 1, 1, 0, 0, 0)), data, compression)


class Runs:
    """Its pickle calls os.system."""

    def __reduce__(self):
        return os.system, ("touch /tmp/moonlake_was_here",)


archive("refused_system", pickle.dumps({"w": Runs()}, protocol=2))
archive("refused_eval", b"\x80\x02c__builtin__\neval\nX\x05\x00\x00\x001 + 1\x85R.")
archive("refused_old_class", b"(S'touch /tmp/moonlake_was_here'\nios\nsystem\n.")
archive("refused_instance", b"(X\x01\x00\x00\x00aios\nsystem\n.")
archive("refused_compressed", pickle.dumps({"n": [1] * 100}, protocol=2), compression=zipfile.ZIP_DEFLATED)
archive("slip", pickle.dumps({"n": 1}, protocol=2), extra=[("../../etc/passwd", b"root")])     # names are only names
expected["slip"] = plain({"n": 1})
archive("refused_recursive", b"\x80\x02]q\x00h\x00a.")
laughs = b"\x80\x02(](K\x01K\x01eq\x00"
for i in range(40):
    laughs += b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
archive("refused_laughs", laughs + b"t.")
archive("refused_deep", b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b".")


def described(count, offset, shape, stride):
    """A tensor over a storage of four floats, described as wanted."""
    def number(n):
        return b"J" + n.to_bytes(4, "little", signed=True)
    return (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
            b"X\x03\x00\x00\x00cpu" + number(count) + b"tQ" + number(offset) + b"(" + b"".join(map(number, shape)) + b"t("
            + b"".join(map(number, stride)) + b"t\x89}tR.")


four = [("x/data/0", bytes(16))]
archive("refused_too_long", described(4, 0, [5], [1]), four)
archive("refused_offset", described(4, 3, [2], [1]), four)
archive("refused_stride", described(4, 0, [2, 2], [2**30, 2**30]), four)
archive("refused_negative", described(4, 0, [-1], [1]), four)
archive("refused_storage_size", described(1000000, 0, [2], [1]), four)
archive("refused_no_storage", described(4, 0, [2], [1]))
archive("spread_wide", described(4, 0, [2**30, 2**15], [0, 0]), four)     # read as a view: four floats of memory
legacy = io.BytesIO()
torch.save({"w": torch.zeros(1)}, legacy, _use_new_zipfile_serialization=False)
with open(os.path.join(folder, "refused_legacy.pt"), "wb") as out:
    out.write(legacy.getvalue())
torch.save(net, os.path.join(folder, "refused_module.pt"))

# 16-bit floats in safetensors
halves = {"f16": expected["types"]["dict"][6][1], "bf16": expected["types"]["dict"][7][1]}
raw = {"f16": torch.tensor([float(v) for v in halves["f16"]["values"]], dtype=torch.float16), "bf16": torch.tensor([float(v) for v in halves["bf16"]["values"]], dtype=torch.bfloat16)}
header, data = {}, b""
for name, t in raw.items():
    part = bytes(t.view(torch.uint8).tolist())
    header[name] = {"dtype": name.upper(), "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(part)]}
    data += part
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(folder, "halves.safetensors"), "wb") as out:
    out.write(len(text).to_bytes(8, "little") + text + data)
expected["halves"] = {"dict": [[k, v] for k, v in halves.items()]}

with open(os.path.join(folder, "expected.json"), "w") as out:
    json.dump({"torch": torch.__version__, "files": expected}, out, separators=(",", ":"), allow_nan=False)
