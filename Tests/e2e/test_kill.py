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

# What happens before an operation, and the operation, as Lua. `rows(a, b)` makes rows with ids a to b, and with a list if it gets one.
PRELUDE = """local df = require "df"
local lake = require "lake"
local function rows(from, to, v)
  local list = {}
  for id = from, to do list[#list + 1] = { id = id, text = "row " .. id, v = v } end
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
    "delete": (CREATED, 'lake.open("t"):delete "id < 25"'),
    "update": (CREATED, 'lake.open("t"):update({ text = "changed" }, { where = "id > 15" })'),
    "merge": (CREATED, 'lake.open("t"):merge(rows(28, 33):with("text", "merged"), { key = "id" })'),
    "add columns": (CREATED, 'lake.open("t"):add_columns { double = df.col "id" * 2 }'),
    "drop columns": (CREATED, 'lake.open("t"):drop_columns "text"'),
    "restore": (CREATED, 'lake.open("t"):restore(1)'),
    "index": (CREATED, 'lake.open("t"):create_index "id"'),
    "index of vectors": ('rows(1, 20, { 1, 2 }):with("v", df.col "v":cast "f32[2]"):write "t"', 'lake.open("t"):create_index "v"'),
    "compact": (CREATED + '; lake.open("t"):delete "id = 3"', 'lake.open("t"):compact()'),
}
# Operations that leave the rows and the version as they are: only the table's health is looked at.
SILENT = {
    "tag": (CREATED, 'lake.open("t"):tag("first", 1)'),
    "branch": (CREATED, 'lake.open("t"):create_branch "side"'),
    "cleanup": (CREATED + '; rows(1, 3):write("t", { mode = "overwrite" })', 'lake.open("t"):cleanup { older_than_days = 0 }'),
}


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
                        '  local list = {}\n'
                        '  for row in df.read_lance("t"):rows() do list[#list + 1] = row end\n'
                        '  do return { version = versions[#versions].version, rows = list } end')
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


class Trial:
    """A place before an operation, one after it, and the number of calls between them."""

    def __init__(self, before, operation, shim, folder):
        self.operation, self.shim, self.folder = operation, shim, folder
        self.base = Place(folder / "base")
        self.base.must(before)
        self.whole = self.base.copy(folder / "whole")
        counted = str(folder / "count")
        self.whole.must(operation, KILL_UNDER=self.whole.lake, KILL_AT="0", KILL_COUNT=counted, LD_PRELOAD=shim)
        with open(counted) as file:
            self.calls = int(file.read())

    def kills(self):
        """(n, place) for calls n: the place as the kill before call n left it."""
        for at in sorted(set(list(range(1, self.calls + 1, STEP)) + [self.calls])):
            place = self.base.copy(self.folder / ("at-%d" % at))
            done = place.run(self.operation, KILL_UNDER=place.lake, KILL_AT=str(at), LD_PRELOAD=self.shim)
            assert done.returncode == -signal.SIGKILL, (at, done.returncode, done.stderr)
            yield at, place
            shutil.rmtree(place.folder)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_kill_at_every_system_call(name, shim, tmp_path):
    before, operation = OPERATIONS[name]
    trial = Trial(before, operation, shim, tmp_path)
    calls = trial.calls
    assert calls >= 10, calls
    old, new = trial.base.seen_by_us(), trial.whole.seen_by_us()
    assert old != new
    seen = set()
    for at, place in trial.kills():
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
    assert seen == {"old", "new"}


@pytest.mark.parametrize("name", list(SILENT))
def test_kill_in_operations_that_change_no_row(name, shim, tmp_path):
    before, operation = SILENT[name]
    trial = Trial(before, operation, shim, tmp_path)
    assert trial.calls >= 2, trial.calls
    rows = trial.base.seen_by_us()
    assert trial.whole.seen_by_us() == rows
    for at, place in trial.kills():
        assert place.seen_by_us() == rows and place.seen_by_them() == rows, "killed at call %d of %d" % (at, trial.calls)
        health = place.must('local t = lake.open("t"); local report, found = t:verify { all_versions = true }, t:doctor()\n'
                            '  do return { good = report.is_good, healthy = found.healthy, problems = report.problems } end')
        assert health["good"] and health["healthy"], (at, health)
        again = place.run(operation)
        assert again.returncode == 0 or "ALREADY_EXISTS" in again.stderr, (at, again.stderr)
