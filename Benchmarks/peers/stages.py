"""The demo's three stages as a Python user would write them today: Daft writes Lance, PyTorch trains, FastAPI serves.

    python stages.py clean FOLDER OUT.lance
    python stages.py train OUT.lance MODEL.lance EPOCHS [demo|classic|lenet]
    python stages.py serve MODEL.lance PORT

Network "demo", the batch size, the optimizer and the schedule are those of mnist/mnist_cnn.lua; "classic" and "lenet" are the usual
larger and smaller ones, as in Benchmarks/scripts/train_net.lua.
"""
import io
import json
import os
import struct
import sys

TEST = "t10k"


def threads(count):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS"):
        os.environ.setdefault(name, str(count))
    os.environ.update(DAFT_ANALYTICS_ENABLED="0", DO_NOT_TRACK="1", DAFT_PROGRESS_BAR="0")


def build(name):
    from torch import nn
    if name == "classic":
        layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10)]
    elif name == "lenet":
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Flatten(), nn.Linear(784, 10)]
    elif name == "demo":
        layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10)]
    else:
        sys.exit("unknown network '%s'" % name)
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *layers)


def clean(folder, target):
    import daft
    import numpy as np
    import pyarrow as pa
    daft.set_runner_native()

    def read(name):
        with open(os.path.join(folder, name), "rb") as stream:
            body = stream.read()
        dimensions = struct.unpack(">I", body[:4])[0] & 0xFF
        return np.frombuffer(body, np.uint8, offset=4 + 4 * dimensions)
    images = np.concatenate([read("train-images-idx3-ubyte"), read(TEST + "-images-idx3-ubyte")])
    train, test = read("train-labels-idx1-ubyte"), read(TEST + "-labels-idx1-ubyte")
    frame = daft.from_arrow(pa.table({
        "image": pa.FixedSizeListArray.from_arrays(pa.array(images), 784),
        "label": np.concatenate([train, test]).astype(np.int64),
        "split": ["train"] * len(train) + ["test"] * len(test)}))

    @daft.func.batch(return_dtype=daft.DataType.fixed_size_list(daft.DataType.float32(), 784))
    def scaled(column):                     # Daft has no division of a fixed-size list by a number
        array = column.to_arrow()
        array = array.combine_chunks() if hasattr(array, "combine_chunks") else array
        return pa.FixedSizeListArray.from_arrays(pa.array(array.flatten().to_numpy(zero_copy_only=False).astype(np.float32) / 255), 784)
    frame = frame.with_column("image", scaled(daft.col("image"))).where(daft.col("label").between(0, 9))
    frame.write_lance(target, mode="overwrite")
    return {"total_records": daft.read_lance(target).count_rows()}


def train(source, target, epochs, network):
    import daft
    import torch
    from torch.nn.functional import cross_entropy
    daft.set_runner_native()
    torch.set_num_threads(2)
    torch.manual_seed(1)
    frame = daft.read_lance(source)

    def part(name):
        table = frame.where(daft.col("split") == name).select("image", "label").to_arrow()
        images = table["image"].combine_chunks().flatten().to_numpy().copy()
        return torch.from_numpy(images).reshape(-1, 784), torch.from_numpy(table["label"].to_numpy().copy())
    images, labels = part("train")
    test_images, test_labels = part("test")
    net, batch = build(network), 64
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(images) // batch))
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for start in range(0, len(images), batch):
            rows = order[start:start + batch]
            optimizer.zero_grad()
            cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        right = sum(int((net(test_images[i:i + 500]).argmax(1) == test_labels[i:i + 500]).sum()) for i in range(0, len(test_labels), 500))
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    accuracy = right / len(test_labels)
    daft.from_pydict({"weights": [buffer.getvalue()], "accuracy": [accuracy], "network": [network]}).write_lance(target, mode="overwrite")
    return {"accuracy": accuracy}


def application(source):
    """The FastAPI application: a task's state, and predictions where a model is given."""
    from fastapi import FastAPI
    from pydantic import BaseModel, Field
    app = FastAPI()
    task = {"id": "task-001", "name": "quick", "status": "completed", "created_at": "2026-02-10T10:00:00Z",
            "completed_at": "2026-02-10T10:01:30Z", "result": {"done": True}, "input": "", "output": "", "script": "nothing.lua", "params": {}}

    @app.get("/api/v1/tasks/{name}")
    async def view(name: str):
        return task
    if source:
        import daft
        import torch
        daft.set_runner_native()
        torch.set_num_threads(1)            # with one request after the other, more threads only wait for each other
        saved = daft.read_lance(source).to_pydict()
        net = build(saved["network"][0])
        net.load_state_dict(torch.load(io.BytesIO(saved["weights"][0]), weights_only=True))
        net.eval()

        class Body(BaseModel):
            image: list[float] = Field(min_length=784, max_length=784)

        @app.post("/predict")
        async def predict(body: Body):      # on the event loop: twice as fast as in FastAPI's thread pool
            with torch.no_grad():
                shares = torch.softmax(net(torch.tensor(body.image).reshape(1, 784)), 1)[0]
            return {"prediction": int(shares.argmax()), "confidence": float(shares.max()), "probabilities": shares.tolist()}
    return app


def serve(source, port):
    import uvicorn
    uvicorn.run(application(source), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    threads(2)
    stage, source, *rest = sys.argv[1:]
    if stage == "clean":
        print(json.dumps(clean(source, rest[0])))
    elif stage == "train":
        print(json.dumps(train(source, rest[0], int(rest[1]), rest[2] if len(rest) > 2 else "demo")))
    elif stage == "serve":
        serve(source if source != "-" else None, int(rest[0]))
    else:
        sys.exit("unknown stage '%s'" % stage)
