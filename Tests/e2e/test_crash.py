"""Processes die: a worker by a signal, the server by kill -9. What the API says afterwards is true."""
import os
import signal
import time

import pytest

from service import Service, alive, wait_until

SLOW = """local task = require "task"
function run()
  for i = 1, 1000000000 do if i % 1000000 == 0 then task.progress(i / 1000000, 1000) end end
  return {}
end
"""


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_worker_that_dies(bench, name):
    bench.script("slow.lua", SLOW)
    task = bench.submit("slow.lua")
    bench.wait(task, ("running",), 10)
    worker = wait_until(bench.workers, 5, "a worker runs")
    time.sleep(0.2)
    for pid in worker:
        os.kill(pid, getattr(signal, name))
    view = bench.wait(task, ("failed",), 5)
    assert view["error"]["code"] == "WORKER_CRASHED", view["error"]
    assert name in view["error"]["message"], view["error"]
    assert bench.run("fine.lua", seconds=10) == {"fine": True}


def test_kill_9_of_the_server_in_the_middle_of_training(few_digits, tmp_path):
    service = Service(tmp_path, data_roots=[few_digits.folder]).start()
    try:
        cleaned = service.submit("mnist/mnist_clean.lua", few_digits.folder, "mnist_small")
        service.wait(cleaned, ("completed",))
        training = service.submit("mnist/mnist_cnn.lua", "mnist_small", "cnn", epochs=1000)
        waiting = service.submit("mnist/mnist_clean.lua", few_digits.folder, "mnist_again")
        wait_until(lambda: (service.task(training).get("progress") or {}).get("done", 0) > 20, 60, "training is under way")
        before = {task["id"]: task for task in service.get("/tasks")}
        log_before = service.call("GET", "/api/v1/tasks/%s/logs" % cleaned)[1]
        workers = service.workers()
        assert workers
        service.kill()
        wait_until(lambda: not any(alive(pid) for pid in workers), 5, "the worker ends when its server is gone")

        service.start()
        after = {task["id"]: task for task in service.get("/tasks")}
        assert set(after) == {cleaned, training, waiting}
        assert after[cleaned]["status"] == "completed"
        assert service.task(cleaned)["result"] == {**service.task(cleaned)["result"], "total_records": 3500}
        for key in ("name", "created_at", "completed_at"):
            assert after[cleaned][key] == before[cleaned][key]
        lost = service.wait(training, ("failed",), 5)
        assert lost["error"]["code"] == "LOST_ON_RESTART" and lost["completed_at"], lost
        # The one that waited had not begun: it runs now.
        assert service.wait(waiting, ("completed",), 60)["result"]["total_records"] == 3500
        assert service.call("GET", "/api/v1/tasks/%s/logs" % cleaned)[1] == log_before
        sets = {found["id"]: found for found in service.get("/datasets")}
        assert sets["mnist_small"]["num_rows"] == 3500 and sets["mnist_again"]["num_rows"] == 3500
        assert service.get("/models") == []
        assert service.run("mnist/mnist_cnn.lua", "mnist_small", "cnn", epochs=1)["accuracy"] > 0.5
        assert [model["id"] for model in service.get("/models")] == ["cnn"]
    finally:
        service.stop()
