"""A training killed with SIGKILL at any moment goes on from its last checkpoint and ends with the very same weights."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from service import MOONLAKE, TOP

SCRIPT = os.path.join(TOP, "Tests", "e2e", "scripts", "resume.lua")
KILLS = 20
CHECKPOINTS = 240


class Training:
    """The script over a lake of its own."""

    def __init__(self, folder, digits, **params):
        self.folder, self.digits, self.params = os.path.realpath(folder), os.path.realpath(digits.folder), params
        os.makedirs(self.folder, exist_ok=True)
        self.lake = os.path.join(self.folder, "lake")
        self.config = os.path.join(self.folder, "config.yaml")
        with open(self.config, "w") as text:
            text.write("server:\n  storage_path: %s\n  lualib_path: %s\n  script_root: %s\n  data_roots: [%s]\n" % tuple(map(json.dumps, (
                self.lake, os.path.join(TOP, "LuaLib"), os.path.join(TOP, "Tests", "e2e", "scripts"), self.digits))))

    def start(self, **environment):
        return subprocess.Popen(
            [MOONLAKE, "run", SCRIPT, "--input", self.digits, "--output", "net", "--params", json.dumps(self.params), "--config",
             self.config, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, **environment})

    def finish(self, **environment):
        """The result of a run until its end."""
        process = self.start(**environment)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, (out, errors)
        return json.loads(out)

    def kill(self, checkpoints, seconds):
        """Starts a run and kills its process group so long after so many checkpoints are there; False when it ended before."""
        process = self.start()
        while process.poll() is None and self.number() < checkpoints:
            time.sleep(0.0005)
        time.sleep(seconds)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate(timeout=20)
        return process.returncode == -signal.SIGKILL

    def number(self):
        """Of the newest checkpoint, from 1; 0 when there is none."""
        return max([int(name[:10]) for name in self.files() if name.endswith(".safetensors")], default=0)

    def files(self):
        """Checkpoints, and temporary files that a kill in a write left."""
        folder = os.path.join(self.lake, "checkpoints", "net")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def clear(self):
        shutil.rmtree(self.lake, ignore_errors=True)


def same(result, whole):
    return all(result[key] == whole[key] for key in ("steps", "weights", "losses", "lr"))


@pytest.fixture(scope="module")
def whole(few_digits, tmp_path_factory):
    """What the undisturbed training gives, and how long it takes."""
    training = Training(tmp_path_factory.mktemp("whole"), few_digits)
    begun = time.monotonic()
    result = training.finish()
    result["seconds"] = time.monotonic() - begun
    assert result["from"] == 0 and result["steps"] == 480
    training.clear()
    again = Training(os.path.join(training.folder, "without"), few_digits, every=1000000, prefetch=0).finish(MOONLAKE_THREADS="1")
    assert same(again, result), "neither checkpoints nor prefetching nor the number of threads change the result"
    return result


def test_20_kills_at_random_moments(whole, few_digits, tmp_path):
    moments = random.Random(20)
    good, killed, began, torn = 0, 0, [], 0
    for trial in range(KILLS):
        training = Training(tmp_path / str(trial), few_digits)
        # One moment in each twentieth of the run; then up to the time of a checkpoint and a half more, so that some fall into a write.
        checkpoints = int(CHECKPOINTS * (trial + moments.random()) / KILLS)
        killed += training.kill(checkpoints, moments.random() * (1.5 * whole["seconds"] / CHECKPOINTS if checkpoints else 0.2))
        torn += any(name.endswith(".tmp") for name in training.files())
        result = training.finish()
        assert result["damaged"] == 0 and result["from"] >= 2 * checkpoints, (checkpoints, result)
        assert same(result, whole), "killed in trial %d, gone on from step %d: %r, not %r" % (trial, result["from"], result, whole)
        began.append(result["from"])
        good += 1
        training.clear()
    print("%d of %d the same bits; %d killed, %d of them in a write; gone on from steps %s; a run takes %.1f s" % (
        good, KILLS, killed, torn, began, whole["seconds"]))
    assert good == KILLS and killed >= KILLS - 2 and len(set(began)) > 10, (good, killed, began)


def test_killed_again_and_again(whole, few_digits, tmp_path):
    """One training, killed until it gets through."""
    training, moments, kills = Training(tmp_path, few_digits), random.Random(7), 0
    while training.kill(training.number() + moments.randrange(60), 0.01 * moments.random()):
        kills += 1
        assert kills < 100
    result = training.finish()
    print("killed %d times" % kills)
    assert kills >= 4 and same(result, whole), (kills, result, whole)


def test_kill_at_system_calls_of_a_save(whole, few_digits, tmp_path, shim):
    """Before every call by which checkpoints 4 and 5 change the disk."""
    counted, training = tmp_path / "count", Training(tmp_path / "all", few_digits, epochs=1, every=4, keep=1)
    full = training.finish(KILL_UNDER=training.lake, KILL_AT="0", KILL_COUNT=str(counted), LD_PRELOAD=shim)
    calls = int(counted.read_text())
    each = calls // 5
    assert each >= 5, calls
    for at in range(calls - 2 * each, calls + 1):
        place = Training(tmp_path / str(at), few_digits, **training.params)
        process = place.start(KILL_UNDER=place.lake, KILL_AT=str(at), LD_PRELOAD=shim)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, at
        result = place.finish()
        assert same(result, full) and result["from"] >= 8 and result["damaged"] == 0, (at, calls, result, full)
        place.clear()


def test_a_damaged_file_is_passed_by(whole, few_digits, tmp_path):
    training = Training(tmp_path, few_digits)
    assert training.kill(CHECKPOINTS // 2, 0)
    last = [name for name in training.files() if name.endswith(".safetensors")][-1]
    path = os.path.join(training.lake, "checkpoints", "net", last)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 16]))
    process = training.start()
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "%s' is damaged: its content does not match its checksum; the one before is used" % last in errors, errors
    result = json.loads(out)
    assert result["damaged"] == 1 and same(result, whole), result
