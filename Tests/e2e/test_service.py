"""The contract's bodies and how fast a task is taken."""
import os
import re
import statistics
import time

import pytest

from service import Service


def test_a_task_is_taken_within_50_ms(bench):
    times = []
    for i in range(12):
        started = time.monotonic()
        status, body = bench.call("POST", "/api/v1/tasks", {"name": "quick", "input": "", "script": "fine.lua", "output": "", "params": {}})
        times.append(time.monotonic() - started)
        assert status == 201 and set(body) >= {"id", "name", "status", "created_at"}
        assert re.fullmatch(r"task-\d{3,}", body["id"]) and body["name"] == "quick" and body["status"] in ("pending", "running")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", body["created_at"])
        bench.wait(body["id"], ("completed",), 20)
    assert statistics.median(times) <= 0.050, times


def test_the_bodies_of_the_contract(platform):
    (small,) = [found for found in platform.get("/datasets") if found["id"] == "mnist_small"]
    assert small["path"].endswith("lance_storage/datasets/mnist_small.lance") and small["num_rows"] == 3500
    assert set(small["schema"]) == {"image", "label", "split"}
    assert small["schema"]["label"] == "Int64" and small["schema"]["split"] == "String"
    (model,) = [found for found in platform.get("/models") if found["id"] == "cnn_small"]
    assert model["path"].endswith("lance_storage/models/cnn_small.lance")
    details = platform.get("/models/cnn_small")
    assert details["metrics"]["accuracy"] == platform.trained["accuracy"] and details["hyperparameters"]["epochs"] == 4
    assert sum(weight["bytes"] for weight in details["weights"]) == 4 * (16 * 9 + 16 + 32 * 16 * 9 + 32 + 1568 * 128 + 128 + 1280 + 10)
    assert {point["name"] for point in details["curves"]} == {"train_loss", "test_loss", "test_accuracy"}
    assert details["lineage"]["script"].endswith("mnist_cnn.lua") and len(details["lineage"]["script_sha256"]) == 64
    for path, code in (("/datasets/nothing", "DATASET_NOT_FOUND"), ("/models/nothing", "MODEL_NOT_FOUND"), ("/tasks/task-999", "TASK_NOT_FOUND")):
        status, body = platform.call("GET", "/api/v1" + path)
        assert status == 404 and body["error"]["code"] == code and path.rsplit("/", 1)[1] in body["error"]["message"]


def test_an_error_in_a_script_names_the_place(bench):
    bench.script("wrong.lua", "local function inner()\n  local t = nil\n  return t.field\nend\nfunction run()\n  local x = inner()\n  return { x = x }\nend\n")
    error = bench.wait(bench.submit("wrong.lua"), ("failed",), 10)["error"]
    assert error["code"] == "SCRIPT_ERROR" and "attempt to index a nil value" in error["message"], error
    assert error["line"] == 3 and error["script"].endswith("wrong.lua") and "inner" in error["traceback"], error


def test_the_first_rows(platform, few_digits):
    answer = platform.get("/datasets/mnist_small/rows?limit=5")
    rows = answer if isinstance(answer, list) else answer["rows"]
    _, images, labels = few_digits.part("train")
    assert len(rows) == 5 and [row["label"] for row in rows] == list(labels[:5])
    for i, row in enumerate(rows):
        assert len(row["image"]) == 784 and all(abs(value - byte / 255) < 1e-6 for value, byte in zip(row["image"], images[784 * i:]))


@pytest.mark.parametrize("tasks, params, expected", [
    ({"threads": 1}, {}, 1),
    ({"threads": "auto", "slots": 2}, {}, max(1, (os.cpu_count() or 1) // 2)),
    ({"threads": 4}, {}, 4),
    ({"threads": 4}, {"threads": 3}, 3),
    ({"threads": 4}, {"threads": 9}, 4),
])
def test_threads_of_kernels(tmp_path, monkeypatch, tasks, params, expected):
    monkeypatch.delenv("MOONLAKE_THREADS", raising=False)
    with Service(tmp_path, tasks=tasks, data_roots=[tmp_path]) as service:
        assert service.run("Tests/e2e/scripts/threads.lua", tmp_path, **params)["threads"] == expected
