"""The demo as a person runs it, on a few digits; with MOONLAKE_TEST_ALL=1 on all of them."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from service import MOONLAKE, TOP, Service, free_port, wait_until

DEMO = os.path.join(TOP, "scripts", "demo")


def demo(service, folder, *arguments):
    return [sys.executable, DEMO, "--config", service.config, "--data", folder, "--moonlake", MOONLAKE, "--port", str(free_port()),
            "--log", os.path.join(service.folder, "demo.log"), *arguments]


def free_again(port):
    import socket
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_once_on_a_few_digits(few_digits, tmp_path):
    service, figures = Service(tmp_path, data_roots=[few_digits.folder]), tmp_path / "figures.json"
    ended = subprocess.run(demo(service, few_digits.folder, "--once", "--epochs", "4", "--accuracy", "0.85", "--right", "0.8", "--figures", str(figures)),
                           capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "test accuracy" in ended.stdout and "a test digit 7 was read as" in ended.stdout
    written = json.loads(figures.read_text())
    assert written["results"][0]["total_records"] == 3500 and written["results"][1]["accuracy"] >= 0.85
    assert [row["step"] for row in written["steps"]] == ["server", "mnist/mnist_clean.lua", "mnist/mnist_cnn.lua", "mnist/mnist_serve.lua"]
    assert all(row["peak_rss_bytes"] and row["peak_rss_bytes"] > 1 << 20 for row in written["steps"]), written["steps"]
    assert free_again(service.port), "the server that the demo started still runs"


def test_ctrl_c_ends_what_it_started(few_digits, tmp_path):
    service = Service(tmp_path, data_roots=[few_digits.folder])
    process = subprocess.Popen(demo(service, few_digits.folder, "--epochs", "1", "--accuracy", "0", "--right", "0"),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    assert process.poll() is None, "".join(lines)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=15)[0]
    assert process.returncode == 0, "".join(lines) + rest
    wait_until(lambda: free_again(service.port), 5, "the server is gone")


def test_a_server_that_runs_already_is_used_and_left(few_digits, tmp_path):
    with Service(tmp_path, data_roots=[few_digits.folder]) as service:
        ended = subprocess.run(demo(service, few_digits.folder, "--once", "--epochs", "1", "--accuracy", "0", "--right", "0"),
                               capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0 and "already running" in ended.stdout, ended.stdout + ended.stderr
        assert service.call("GET", "/healthz")[0] == 200
        assert [task["status"] for task in sorted(service.get("/tasks"), key=lambda task: task["id"])] == ["completed", "completed", "cancelled"]
        assert not service.workers()


def test_a_port_in_other_hands_is_named(few_digits, tmp_path):
    service = Service(tmp_path, data_roots=[few_digits.folder])
    other = subprocess.Popen([sys.executable, "-m", "http.server", str(service.port), "--bind", "127.0.0.1"],
                             cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: not free_again(service.port), 10, "the other server listens")
        ended = subprocess.run(demo(service, few_digits.folder, "--once"), capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert "port %d is taken by process %d" % (service.port, other.pid) in ended.stderr and "Traceback" not in ended.stderr, ended.stderr
    finally:
        other.terminate()
        other.wait()


@pytest.mark.skipif(not os.environ.get("MOONLAKE_TEST_ALL"), reason="the full demo takes minutes: make test-all")
def test_once_on_all_digits(digits, tmp_path):
    service, figures = Service(tmp_path, data_roots=[digits.folder]), tmp_path / "figures.json"
    started = time.monotonic()
    ended = subprocess.run(demo(service, digits.folder, "--once", "--figures", str(figures)), capture_output=True, text=True, timeout=1800)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    written = json.loads(figures.read_text())
    assert written["results"][0]["total_records"] == 70000 and written["results"][1]["epochs"] <= 5
    assert written["results"][1]["accuracy"] >= 0.985
    print(ended.stdout, "%.0f s" % (time.monotonic() - started))
