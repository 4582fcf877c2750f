"""What the service does by itself for its lake, and what it leaves alone: beside writers, readers and pylance."""
import json
import os
import subprocess
import urllib.request

import pytest

from service import MOONLAKE, Service, wait_until

lance = pytest.importorskip("lance", reason="pylance is the second opinion on the files")
READER = """local lake, time = require "lake", require "time"
function run()
  local old = lake.open("t", { version = 1 })
  print "open"
  while lake.open "t":version() < 9 do time.sleep(0.02) end
  return { rows = old:count() }
end
"""


def put(service, name, rows, mode="append"):
    text = "id,name\n" + "".join("%d,name %d\n" % (i, i) for i in rows)
    request = urllib.request.Request("%s/api/v1/datasets/%s?mode=%s" % (service.base, name, mode), text.encode(), method="PUT",
                                     headers={"Content-Type": "text/csv"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())["version"]


def metric(service, name):
    text = service.call("GET", "/metrics")[1]
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def test_the_service_looks_after_its_lake(tmp_path):
    with Service(tmp_path, upkeep={"interval": "100ms", "keep_versions_for": "2s"}) as service:
        put(service, "t", range(1), "create")
        for i in range(1, 60):
            put(service, "t", range(i, i + 1))
        path = service.storage + "/datasets/t.lance"

        def is_small():
            files = [name for name in os.listdir(path + "/data") if name.endswith(".lance")]
            return len(files) == len(lance.dataset(path).get_fragments()) and len(lance.dataset(path).versions()) == 1
        wait_until(is_small, 20, "old versions and their files go")
        table = lance.dataset(path)
        table.validate()
        assert len(table.get_fragments()) < 20 and sorted(table.to_table()["id"].to_pylist()) == list(range(60))
        assert metric(service, "moonlake_upkeep_compactions_total") >= 1
        assert metric(service, "moonlake_upkeep_freed_bytes_total") > 0 and metric(service, "moonlake_upkeep_failures_total") == 0


def test_a_damaged_table_does_not_stop_it(tmp_path):
    service = Service(tmp_path, upkeep={"interval": "100ms"})
    with service:
        for name in ("a", "b"):
            put(service, name, range(5), "create")
    data = service.storage + "/datasets/a.lance/data/"
    with open(data + os.listdir(data)[0], "r+b") as file:
        file.write(b"\xff")
    with service:
        for name in ("a", "b"):
            for i in range(9):
                put(service, name, range(i, i + 1))
        path = service.storage + "/datasets/b.lance"
        wait_until(lambda: len(lance.dataset(path).get_fragments()) < 8, 20, "the other table is compacted")
        wait_until(lambda: metric(service, "moonlake_upkeep_failures_total") == 1, 20, "the failure is counted once")
        assert "upkeep of 'a': compact failed, later again" in service.output()


def test_versions_that_others_read_stay(tmp_path):
    """The reader is a process of its own; cleanup is another one."""
    (tmp_path / "read.lua").write_text(READER)
    service = Service(tmp_path, upkeep={"interval": "none"})
    with service:
        put(service, "t", range(20), "create")
        reader = subprocess.Popen([MOONLAKE, "run", str(tmp_path / "read.lua"), "--config", service.config], cwd=tmp_path,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert "open" in reader.stderr.readline()
            for i in range(7):
                put(service, "t", range(i + 1), "overwrite" if i % 2 else "append")

            def clean():
                done = subprocess.run([MOONLAKE, "lake", "cleanup", "t", "--older-than", "0s", "--json", "--config", service.config],
                                      cwd=tmp_path, capture_output=True, text=True, timeout=30)
                assert done.returncode == 0, done.stderr
                return json.loads(done.stdout)
            assert 1 in clean()["in_use"]
            put(service, "t", range(3))
            put(service, "t", range(3))
            out, err = reader.communicate(timeout=20)
            assert reader.returncode == 0 and json.loads(out)["rows"] == 20, err
        finally:
            reader.kill()
        assert clean()["in_use"] == [] and [v["version"] for v in lance.dataset(service.storage + "/datasets/t.lance").versions()] == [10]
