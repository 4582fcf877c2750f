"""A data set over REST and from the command line, with pylance looking at the same files: filters find the same rows, changes are seen."""
import json
import os
import struct
import subprocess
import urllib.parse

import pytest

from service import MOONLAKE, Service

lance = pytest.importorskip("lance", reason="pylance is the second opinion on the files")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("lake")) as service:
        os.makedirs(service.storage + "/datasets", exist_ok=True)
        yield service


def table(rows=1000):
    return pa.table({
        "id": pa.array(range(rows), pa.int64()),
        "label": pa.array([None if i % 13 == 0 else i % 10 for i in range(rows)], pa.int64()),
        "share": pa.array([None if i % 7 == 0 else (i % 100) / 8 - 3 for i in range(rows)], pa.float64()),
        "split": pa.array([["train", "test", "Valid_1", "100%", None, "größe"][i % 6] for i in range(rows)]),
        "flag": pa.array([None if i % 11 == 0 else i % 3 == 0 for i in range(rows)]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array([((i * 37) % 101) / 10 for i in range(rows * 4)], pa.float32()), 4),
    })


def write(lake, name, **options):
    path = "%s/datasets/%s.lance" % (lake.storage, name)
    lance.write_dataset(table(), path, max_rows_per_file=300, **options)
    return path


def moonlake(lake, *arguments, code=0):
    ended = subprocess.run([MOONLAKE, *arguments, "--config", lake.config], cwd=lake.folder, capture_output=True, text=True,
                           timeout=120, stdin=subprocess.DEVNULL)
    assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    return json.loads(ended.stdout) if "--json" in arguments else ended.stdout


FILTERS = [
    "label = 3", "label = 3 AND split = 'test'", "label IN (1, 2, 9)", "label NOT IN (1, 2, 9)", "NOT (label = 3 OR split = 'test')",
    "label IS NULL", "label IS NOT NULL AND share < 0", "share BETWEEN -1 AND 1.5", "share NOT BETWEEN -1 AND 1.5",
    "split LIKE 't%'", "split LIKE '%_1'", "split LIKE '_e%'", "split LIKE 'gr__e'", "split NOT LIKE '%t%'", "split ILIKE 'VALID%'",
    "split LIKE '100\\%'", "flag", "NOT flag", "flag IS TRUE", "flag IS NOT TRUE", "flag IS FALSE AND id > 10",
    "label + id > 990", "id % 7 = 3 AND label <> 3", "-share > 2", "share * 2 + 1 >= label", "(id + 1) * 2 < 20 OR id >= 995",
    "lower(split) = 'valid_1'", "length(split) = 5", "coalesce(label, 99) = 99", "abs(share) < 0.5", "round(share) = 2",
    "CAST(label AS double) / 2 = 1.5", "starts_with(split, 'te')", "split || '!' = 'test!'", "label = 3 OR NULL", "true", "false",
    "label >= 3 AND label <= 5 AND share IS NOT NULL AND (split = 'test' OR split IS NULL)",
]


@pytest.mark.parametrize("condition", FILTERS)
def test_filters_find_the_rows_that_pylance_finds(lake, condition):
    path = lake.storage + "/datasets/filtered.lance"
    if not os.path.exists(path):
        write(lake, "filtered")
    theirs = lance.dataset(path).to_table(filter=condition, columns=["id"])["id"].to_pylist()
    ours = lake.get("/datasets/filtered/rows?select=id&limit=1000&where=" + urllib.parse.quote(condition))
    assert [row["id"] for row in ours] == theirs


def test_rows_that_are_imported_and_exported(lake):
    text = "id,name,share\n1,\"a, b\",0.5\n2,,\n3,\"say \"\"x\"\"\",-1\n"
    status, made = lake.call("PUT", "/api/v1/datasets/imported", {"schema": {"id": "Int64", "name": "String", "share": "Float64"}})
    assert (status, made["rows"]) == (201, 0), made
    ended = subprocess.run(["curl", "-sS", "-X", "PUT", "-H", "Content-Type: text/csv", "--data-binary", "@-",
                            lake.base + "/api/v1/datasets/imported?mode=append"], input=text, capture_output=True, text=True, timeout=30)
    made = json.loads(ended.stdout)
    assert (made["version"], made["rows"], made["inserted"]) == (2, 3, 3), ended.stdout + ended.stderr
    found = lance.dataset(lake.storage + "/datasets/imported.lance").to_table().to_pydict()
    assert found == {"id": [1, 2, 3], "name": ["a, b", None, 'say "x"'], "share": [0.5, None, -1.0]}
    assert lake.call("GET", "/api/v1/datasets/imported/export?format=csv")[1] == text
    # All of a larger table, as lines.
    path = write(lake, "exported")
    lines = lake.call("GET", "/api/v1/datasets/exported/export")[1].splitlines()
    # A Float32 is written with the digits that tell it from its neighbours (3.7), not with those of the double next to it.
    def single(row):
        return {**row, "vector": row["vector"] and [struct.pack("f", value) for value in row["vector"]]}
    assert [single(json.loads(line)) for line in lines] == [single(row) for row in lance.dataset(path).to_table().to_pylist()]


def test_the_command_line_reads_the_lake(lake):
    path = write(lake, "shown")
    listed = moonlake(lake, "lake", "ls", "--json")
    assert [entry["num_rows"] for entry in listed["datasets"] if entry["id"] == "shown"] == [1000]
    shown = moonlake(lake, "lake", "show", "shown", "--where", "label = 3", "--select", "id,split", "--order=-id", "--rows", "2", "--json")
    assert shown["rows"] == [{"id": 993, "split": "100%"}, {"id": 983, "split": "größe"}]
    lance.write_dataset(table(10), path, mode="append")
    versions = moonlake(lake, "lake", "versions", "shown", "--json")
    assert [(entry["version"], entry["rows"]) for entry in versions] == [(1, 1000), (2, 1010)]
    stats = {entry["name"]: entry for entry in moonlake(lake, "lake", "stats", "shown", "id", "label", "--json")}
    assert (stats["id"]["min"], stats["id"]["max"], stats["label"]["nulls"]) == (0, 999, 78)
    assert "error: filter, position 6" in subprocess.run(
        [MOONLAKE, "lake", "show", "shown", "--where", "id = ", "--config", lake.config], capture_output=True, text=True, timeout=30).stderr
    moonlake(lake, "lake", "show", "nothing", code=1)
    moonlake(lake, "lake", "nothing", code=64)


def test_changes_over_rest_are_seen_by_pylance(lake):
    path, base = write(lake, "changed"), "/api/v1/datasets/changed"

    def post(route, body, code=200):
        status, answer = lake.call("POST", base + route, body)
        assert status == code, answer
        return answer

    def rows(condition=None):
        return sorted(lance.dataset(path).to_table(columns=["id"], filter=condition)["id"].to_pylist())
    assert post("/delete-rows", {"where": "id >= 10 AND id % 2 = 1"})["deleted"] == 495
    assert rows() == [i for i in range(1000) if i < 10 or i % 2 == 0]
    done = post("/update", {"set": {"split": "new"}, "expressions": {"label": "id * 2"}, "where": "id < 5"})
    assert (done["updated"], done["version"]) == (5, 3)
    assert rows("split = 'new' AND label = id * 2") == [0, 1, 2, 3, 4]
    assert post("/columns", {"columns": [{"name": "twice", "expression": "id * 2"}, {"name": "note", "type": "String"}]})["version"] == 4
    assert rows("twice = id * 2 AND note IS NULL") == rows()
    assert lake.call("PATCH", base + "/columns/twice", {"name": "double"})[0] == 200
    assert lake.call("PATCH", base + "/columns/double", {"type": "Float32"})[0] == 200
    assert lake.call("DELETE", base + "/columns/note")[0] == 200
    schema = lance.dataset(path).schema
    assert schema.field("double").type == pa.float32() and "note" not in schema.names
    assert post("/tags", {"name": "golden", "version": 2}) == {"name": "golden", "version": 2}
    assert lance.dataset(path, version="golden").count_rows() == 505
    assert post("/restore", {"version": 1})["version"] == 8
    assert rows() == list(range(1000))
    found = lake.get("/datasets/changed/diff?from=1&to=2")
    assert (found["rows_added"], found["rows_removed"], found["operations"]) == (0, 495, ["delete"])
    status, merged = lake.call("PUT", base + "?mode=merge&key=id", None)
    assert status == 415, merged
    text = "id,split\n1,merged\n5000,merged\n"
    ended = subprocess.run(["curl", "-sS", "-X", "PUT", "-H", "Content-Type: text/csv", "--data-binary", "@-",
                            lake.base + base + "?mode=merge&key=id"], input=text, capture_output=True, text=True, timeout=30)
    assert json.loads(ended.stdout)["updated"] == 1 and json.loads(ended.stdout)["inserted"] == 1, ended.stdout
    assert rows("split = 'merged'") == [1, 5000] and rows("id = 1 AND share IS NOT NULL") == [1]


def test_changes_from_the_command_line(lake):
    path = write(lake, "edited")
    assert moonlake(lake, "lake", "delete-rows", "edited", "--where", "label = 3") == "edited: version 2, 92 rows deleted\n"
    assert moonlake(lake, "lake", "delete-rows", "edited", "--where", "label = 3", "--json")["changed"] is False
    assert lance.dataset(path).count_rows() == 908
    assert moonlake(lake, "lake", "tag", "edited", "first", "--version", "1", "--json") == {"name": "first", "version": 1}
    assert moonlake(lake, "lake", "tag", "edited", "--json") == [{"name": "first", "version": 1}]
    assert moonlake(lake, "lake", "show", "edited@first", "--json")["num_rows"] == 1000
    moonlake(lake, "lake", "restore", "edited", "first")
    assert lance.dataset(path).count_rows() == 1000 and lance.dataset(path).version == 3
    moonlake(lake, "lake", "tag", "edited", "first", "--delete")
    assert moonlake(lake, "lake", "tag", "edited") == "no tags\n"
    moonlake(lake, "lake", "restore", "edited", "nothing", code=1)
    moonlake(lake, "lake", "delete-rows", "edited#1", "--where", "true", code=2)


def test_upkeep_from_the_command_line(lake):
    path = lake.storage + "/datasets/kept.lance"
    text = "id,name\n" + "".join("%d,name %d\n" % (i, i) for i in range(1000))
    ended = subprocess.run(["curl", "-sS", "-X", "PUT", "-H", "Content-Type: text/csv", "--data-binary", "@-",
                            lake.base + "/api/v1/datasets/kept"], input=text, capture_output=True, text=True, timeout=30)
    assert json.loads(ended.stdout)["version"] == 1, ended.stdout
    moonlake(lake, "lake", "delete-rows", "kept", "--where", "id % 2 = 0")
    assert moonlake(lake, "lake", "verify", "kept", "--all-versions").startswith("kept: good, ")
    assert moonlake(lake, "lake", "doctor", "kept", "--json")["healthy"] is True
    assert moonlake(lake, "lake", "compact", "kept").startswith("kept: version 4, 1 fragments became 1, 500 deleted rows dropped")
    assert lance.dataset(path).to_table()["id"].to_pylist() == list(range(1, 1000, 2))
    assert moonlake(lake, "lake", "compact", "kept") == "kept: nothing to do, version 4\n"
    assert moonlake(lake, "lake", "cleanup", "kept", "--older-than", "0s", "--dry-run", "--json")["dry_run"] is True
    moonlake(lake, "lake", "cleanup", "kept", "--older-than", "0s")
    assert [entry["version"] for entry in moonlake(lake, "lake", "versions", "kept", "--json")] == [4]
    assert lance.dataset(path).count_rows() == 500

    [name] = os.listdir(path + "/data")
    with open(path + "/data/" + name, "r+b") as file:
        file.seek(20)
        byte = file.read(1)[0]
        file.seek(20)
        file.write(bytes([byte ^ 1]))
    reports = moonlake(lake, "lake", "verify", "--all", "--json", code=1)
    assert [report["table"] for report in reports if not report["is_good"]] == ["kept"]
    assert "damaged: " in moonlake(lake, "lake", "verify", "kept", code=1)



def test_indices_of_the_command_line_serve_pylance(lake):
    path = write(lake, "indexed")
    assert moonlake(lake, "lake", "index", "indexed", "vector", "--type", "ivf_flat", "--partitions", "4", "--json")[0]["kind"] == "IVF_FLAT"
    assert moonlake(lake, "lake", "index", "indexed", "label", "--type", "btree", "--json")[0]["indexed_rows"] == 1000
    query = [1.0, 2.0, 3.0, 4.0]
    nearest = {"column": "vector", "q": query, "k": 5}
    exact = lance.dataset(path).to_table(columns=["id"], nearest={**nearest, "use_index": False}, filter="label = 3", prefilter=True)
    theirs = lance.dataset(path).to_table(columns=["id"], nearest={**nearest, "nprobes": 4}, filter="label = 3", prefilter=True)
    status, ours = lake.call("POST", "/api/v1/datasets/indexed/search", {"vector": query, "k": 5, "where": "label = 3", "probes": 4, "select": ["id"]})
    assert status == 200, ours
    distances = [round(row["_distance"], 3) for row in ours["hits"][0]]
    assert distances == [round(d, 3) for d in exact["_distance"].to_pylist()] == [round(d, 3) for d in theirs["_distance"].to_pylist()]
    moonlake(lake, "lake", "index", "indexed", "--drop", "label_idx")
    assert [entry["name"] for entry in moonlake(lake, "lake", "index", "indexed", "--json")] == ["vector_idx"]
