"""The lake's files in other hands: pylance reads, filters and appends; PyTorch loads the weights and computes the same."""
import json

import pytest

from service import Service

lance = pytest.importorskip("lance", reason="pylance is the second opinion on the files")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def cleaned(digits, tmp_path_factory):
    """A server with all 70,000 digits cleaned."""
    with Service(tmp_path_factory.mktemp("interop"), data_roots=[digits.folder]) as service:
        service.result = service.run("mnist/mnist_clean.lua", digits.folder, "mnist_clean", seconds=120)
        yield service


def matrix(table):
    column = table["image"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), 784)


def test_every_pixel(cleaned, digits):
    assert cleaned.result["total_records"] == 70000
    assert (cleaned.result["train"], cleaned.result["test"]) == (60000, 10000)
    data = lance.dataset(cleaned.storage + "/datasets/mnist_clean.lance")
    assert data.count_rows() == 70000
    assert data.schema.field("image").type == pa.list_(pa.float32(), 784)
    assert data.schema.field("label").type == pa.int64() and data.schema.field("split").type == pa.string()
    table = data.to_table()
    parts = [digits.part("train"), digits.part("t10k")]
    pixels = np.frombuffer(b"".join(images for _, images, _ in parts), np.uint8).reshape(-1, 784)
    labels = np.frombuffer(b"".join(labels for _, _, labels in parts), np.uint8)
    assert np.array_equal(matrix(table), pixels.astype(np.float32) / np.float32(255))
    assert np.array_equal(table["label"].to_numpy(), labels)
    assert table["split"].to_pylist() == ["train"] * 60000 + ["test"] * 10000
    # A filter, and rows by position.
    threes = data.to_table(filter="label = 3 and split = 'test'", columns=["label", "split"])
    assert threes.num_rows == 1010 and set(threes["label"].to_pylist()) == {3} and set(threes["split"].to_pylist()) == {"test"}
    positions = [0, 59999, 60000, 69999, 12345]
    taken = data.take(positions)
    assert taken["label"].to_pylist() == [int(labels[i]) for i in positions]
    assert np.array_equal(matrix(taken), pixels[positions].astype(np.float32) / np.float32(255))
    data.validate()


def test_what_pylance_appends(cleaned):
    path = cleaned.storage + "/datasets/mnist_clean.lance"
    schema = lance.dataset(path).schema
    rows = pa.table({"image": pa.FixedSizeListArray.from_arrays(pa.array(np.full(3 * 784, 0.5, np.float32)), 784),
                     "label": pa.array([7, 8, 9], pa.int64()), "split": pa.array(["new", "new", "new"])}).cast(schema)
    lance.write_dataset(rows, path, mode="append")
    found = cleaned.get("/datasets/mnist_clean")
    assert found["num_rows"] == 70003 and found["version"] == lance.dataset(path).version
    # Our own scan sees old and new rows.
    result = cleaned.run("Tests/e2e/scripts/count_splits.lua", "mnist_clean")
    assert result == {"counts": {"train": 60000, "test": 10000, "new": 3}, "labels_of_new": [7, 8, 9], "pixel": 0.5}


def test_what_pylance_writes(cleaned):
    table = pa.table({"id": pa.array(range(1000), pa.int64()), "small": pa.array([i % 7 for i in range(1000)], pa.int32()),
                      "share": pa.array([i / 8 for i in range(1000)], pa.float64()),
                      "name": pa.array([None if i % 10 == 0 else "name %d" % i for i in range(1000)]),
                      "even": pa.array([i % 2 == 0 for i in range(1000)])})
    lance.write_dataset(table, cleaned.storage + "/datasets/foreign.lance", max_rows_per_file=300)
    found = cleaned.get("/datasets/foreign")
    assert found["num_rows"] == 1000 and set(found["schema"]) == {"id", "small", "share", "name", "even"}
    result = cleaned.run("Tests/e2e/scripts/summarize.lua", "foreign")
    assert result == {"rows": 1000, "ids": 499500, "small": sum(i % 7 for i in range(1000)), "share": 499500 / 8,
                      "without_name": 100, "even": 500, "last": "name 999"}


def network(graph, torch):
    """The graph of a model data set as PyTorch modules."""
    nn, made = torch.nn, []
    for layer in graph["layers"]:
        kind, get = layer["type"], layer.get
        if kind == "conv2d":
            made.append(nn.Conv2d(get("in_channels"), get("out_channels"), get("kernel"), get("stride"), get("padding")))
        elif kind == "linear":
            made.append(nn.Linear(get("in_features"), get("out_features"), bias=get("bias")))
        elif kind == "maxpool2d":
            made.append(nn.MaxPool2d(get("kernel"), get("stride"), get("padding")))
        elif kind == "unflatten":
            made.append(nn.Unflatten(1, tuple(get("shape"))))
        else:
            made.append({"relu": nn.ReLU, "flatten": nn.Flatten, "dropout": nn.Dropout}[kind]())
    return nn.Sequential(*made)


def test_pytorch_computes_the_same_logits(platform, few_digits):
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion on the weights")
    load = pytest.importorskip("safetensors.torch").load
    (row,) = lance.dataset(platform.storage + "/models/cnn_small.lance").to_table().to_pylist()
    assert json.loads(row["metrics"])["accuracy"] == platform.trained["accuracy"]
    weights = load(row["weights"])
    net = network(json.loads(row["graph"]), torch)
    net.load_state_dict(weights, strict=True)           # the names are PyTorch's own
    net.eval()
    ours = np.array(platform.run("Tests/e2e/scripts/logits.lua", "mnist_small", model="cnn_small", count=200)["logits"])
    _, images, _ = few_digits.part("t10k")
    pixels = np.frombuffer(images[:200 * 784], np.uint8).reshape(-1, 784).astype(np.float32) / np.float32(255)
    with torch.no_grad():
        theirs = net(torch.from_numpy(pixels)).numpy()
    assert ours.shape == (200, 10)
    assert float(np.abs(ours - theirs).max()) < 1e-4
