"""onnx's and onnxruntime's side of Tests/LuaTensorTests/ONNXInteropTests.swift; the protocol is that of command_loop.py.

    python Tests/interop/onnx_files.py
"""
import json

import numpy as np
import onnx
import onnxruntime as ort

from command_loop import serve

assert onnx.__version__.startswith("1.23."), onnx.__version__
assert ort.__version__.startswith("1.32."), ort.__version__


def tensors(path):
    """The f32 tensors of a safetensors file."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(size)), file.read()
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def run(command, model_path, values_path):
    """Checks the file in full and runs it on x1, x2, ...: the largest difference from y1, y2, ... and what the file says of itself."""
    model = onnx.load(model_path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    values = tensors(values_path)
    largest, scale = 0.0, 0.0
    for level in [ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL]:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        session = ort.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for key, x in values.items():
            if not key.startswith("x"):
                continue
            y, wanted = session.run(None, {name: x})[0], values["y" + key[1:]]
            assert y.shape == wanted.shape, (y.shape, wanted.shape)
            largest, scale = max(largest, float(np.abs(y - wanted).max())), max(scale, float(np.abs(wanted).max()))
    return {
        "difference": largest, "scale": scale, "opset": model.opset_import[0].version, "producer": model.producer_name,
        "nodes": len(model.graph.node), "bytes": model.ByteSize(), "values": len(inferred.graph.value_info),
        "batch": model.graph.input[0].type.tensor_type.shape.dim[0].dim_param,
        "out_batch": model.graph.output[0].type.tensor_type.shape.dim[0].dim_param,
        "initializers": sorted(t.name for t in model.graph.initializer),
    }


serve(run)
