"""kill -9 at every system call by which an operation changes a table on disk: afterwards the table is the old or the new
version, for us and for pylance, never neither; and the operation can be done again.

A preloaded library (kill_at.c) counts the calls and kills. By default every third point is tried; MOONLAKE_TEST_ALL=1 tries all.
"""
import json
import os
import shutil
import signal
import subprocess

import pytest

from service import MOONLAKE, TOP

lance = pytest.importorskip("lance")
STEP = 1 if os.environ.get("MOONLAKE_TEST_ALL") == "1" else 3

# What happens before an operation, and the operation, as Lua. `rows(a, b)` makes rows with ids a to b.
PRELUDE = """local df = require "df"
local lake = require "lake"
local function rows(from, to)
  local list = {}
  for id = from, to do list[#list + 1] = { id = id, text = "row " .. id } end
  return df.from_rows(list)
end
function run()
  %s
  return {}
end
"""
CREATED = 'rows(1, 20):write("t"); rows(21, 30):write("t", { mode = "append" })'
OPERATIONS = {
    "create": ("", 'rows(1, 5):write("t")'),
    "append": (CREATED, 'rows(31, 40):write("t", { mode = "append" })'),
    "overwrite": (CREATED, 'rows(100, 105):write("t", { mode = "overwrite" })'),
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler for kill_at.c")
    path = tmp_path_factory.mktemp("shim") / "kill_at.so"
    source = os.path.join(TOP, "Tests", "e2e", "kill_at.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(path), source, "-ldl"], check=True)
    return str(path)


class Place:
    """A lake of its own, in which Lua text runs in a program of its own."""

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "config.yaml")
        with open(self.config, "w") as config:
            config.write("server:\n  storage_path: %s\n  lualib_path: %s\n" % (
                json.dumps(self.lake), json.dumps(os.path.join(TOP, "LuaLib"))))

    @property
    def lake(self):
        return os.path.join(self.folder, "lake")

    @property
    def table(self):
        return os.path.join(self.lake, "datasets", "t.lance")

    def run(self, lua, **environment):
        script = os.path.join(self.folder, "script.lua")
        with open(script, "w") as file:
            file.write(PRELUDE % lua)
        return subprocess.run([MOONLAKE, "run", script, "--config", self.config], capture_output=True, text=True, timeout=60,
                              env={**os.environ, **environment})

    def must(self, lua, **environment):
        done = self.run(lua, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def copy(self, folder):
        other = Place(folder)
        if os.path.exists(self.lake):
            shutil.copytree(self.lake, other.lake)
        return other

    def seen_by_us(self):
        """The newest version's number and rows; None when there is no table."""
        done = self.run('if not lake.exists("t") then return { none = true } end\n'
                        '  local versions = lake.versions("t")\n'
                        '  do return { version = versions[#versions].version, rows = df.read_lance("t"):rows() } end')
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return None if found.get("none") else (found["version"], by_id(found["rows"]))

    def seen_by_them(self):
        if not os.path.exists(os.path.join(self.table, "_versions")) or not [
                name for name in os.listdir(os.path.join(self.table, "_versions")) if name.endswith(".manifest")]:
            return None
        table = lance.dataset(self.table)
        table.validate()
        return table.version, by_id(table.to_table().to_pylist())


def by_id(rows):
    return sorted(({key: value for key, value in row.items() if value is not None} for row in rows),
                  key=lambda row: json.dumps(row, sort_keys=True))


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_kill_at_every_system_call(name, shim, tmp_path):
    before, operation = OPERATIONS[name]
    base = Place(tmp_path / "base")
    base.must(before)
    whole = base.copy(tmp_path / "whole")
    counted = str(tmp_path / "count")
    shimmed = {"LD_PRELOAD": shim, "KILL_COUNT": counted}
    whole.must(operation, KILL_UNDER=whole.lake, KILL_AT="0", **shimmed)
    with open(counted) as file:
        calls = int(file.read())
    assert calls >= 10, calls
    old, new = base.seen_by_us(), whole.seen_by_us()
    assert old != new
    seen = set()
    for at in list(range(1, calls + 1, STEP)) + [calls]:
        place = base.copy(tmp_path / ("at-%d" % at))
        done = place.run(operation, KILL_UNDER=place.lake, KILL_AT=str(at), LD_PRELOAD=shim)
        assert done.returncode == -signal.SIGKILL, (at, done.returncode, done.stderr)
        ours, theirs = place.seen_by_us(), place.seen_by_them()
        assert ours == theirs, "killed at call %d of %d" % (at, calls)
        # An operation of two commits (compaction) has a version between.
        assert ours in (old, new) or (ours and old[1] == new[1] == ours[1] and old[0] < ours[0] < new[0]), (
            "killed at call %d of %d: %r" % (at, calls, ours))
        seen.add("new" if ours == new else "old")
        if ours == old:
            place.must(operation)
            again = place.seen_by_us()
            assert again[1] == new[1] and again == place.seen_by_them(), "done again after a kill at call %d" % at
        shutil.rmtree(place.folder)
    assert seen == {"old", "new"}
