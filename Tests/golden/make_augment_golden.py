"""Golden pictures for Tests/TensorsTests/BatchTests.swift: turned, zoomed and moved by PyTorch's affine_grid and grid_sample in float64.

  .venv/bin/python Tests/golden/make_augment_golden.py > Tests/golden/augment_golden.json
"""
import json
import math

import torch
import torch.nn.functional as F

assert torch.__version__.startswith("2.13."), "golden numbers are made with PyTorch 2.13, not " + torch.__version__
torch.set_default_dtype(torch.float64)
gen = torch.Generator().manual_seed(20261128)


def warp(x, degrees, zoom, down, right):
    """Pixel offsets from the middle are normalized coordinates times half the extent (align_corners=False)."""
    h, w = x.shape[-2:]
    c, s = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    theta = torch.tensor([[c, -s * h / w, 2 / w * (-c * right + s * down)], [s * w / h, c, 2 / h * (-s * right - c * down)]])
    grid = F.affine_grid(theta.expand(len(x), 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


cases = []
for shape in ((1, 1, 9, 9), (2, 3, 5, 8)):
    x = (torch.randn(shape, generator=gen) * 1000).round() / 1000
    for degrees, zoom, down, right in ((0, 1, 1.5, -2.25), (17, 1, 0, 0), (-40, 1.3, 0.75, 0.5), (90, 1, 0, 0), (200, 0.6, -1, 2), (5, 2.5, 0, 0)):
        y = warp(x, degrees, zoom, down, right)
        cases.append({"degrees": degrees, "zoom": zoom, "down": down, "right": right, "shape": list(shape),
                      "x": x.flatten().tolist(), "y": [round(v, 9) for v in y.flatten().tolist()]})
print(json.dumps({"torch": torch.__version__, "cases": cases}))
