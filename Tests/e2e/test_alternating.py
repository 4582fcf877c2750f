"""One data set, changed in turn by Moonlake and by pylance at random; after each change both read what a model in memory says.

MOONLAKE_TEST_ALL=1: 500 changes instead of 60. MOONLAKE_SEED picks another sequence.
"""
import json
import os
import random
import subprocess

import pytest

from service import MOONLAKE, TOP

lance = pytest.importorskip("lance", reason="pylance takes turns with Moonlake")
pa = pytest.importorskip("pyarrow")

CHANGES = 500 if os.environ.get("MOONLAKE_TEST_ALL") else 60
SEED = int(os.environ.get("MOONLAKE_SEED", "7"))
TYPES = {"id": ("i64", pa.int64()), "grp": ("i64", pa.int64()), "name": ("string", pa.string()), "score": ("f64", pa.float64())}


class Table:
    """The data set, its model (rows by id, columns in order) and the model of every version."""

    def __init__(self, folder):
        self.folder, self.path = str(folder), str(folder / "lance_storage" / "datasets" / "t.lance")
        (folder / "config.yaml").write_text("server:\n  script_root: %s\n  lualib_path: %s\n" % (
            json.dumps(TOP), json.dumps(os.path.join(TOP, "LuaLib"))))
        self.rows, self.columns, self.history, self.next_id, self.next_column = {}, list(TYPES), {}, 0, 0

    def moonlake(self, op, **params):
        ended = subprocess.run([MOONLAKE, "run", "--config", os.path.join(self.folder, "config.yaml"), "Tests/e2e/scripts/change.lua",
                                "--input", "t", "--params", json.dumps({"op": op, **params})],
                               cwd=TOP, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert ended.returncode == 0, "%s %s: %s" % (op, params, ended.stderr[-2000:])
        return json.loads(ended.stdout)["answer"]

    def pylance(self):
        return lance.dataset(self.path)

    def arrow(self, rows):
        types = {name: TYPES[name][1] if name in TYPES else pa.int64() for name in self.columns}
        return pa.table({name: pa.array([row[name] for row in rows], types[name]) for name in self.columns})

    def new_rows(self, rng, count):
        rows = []
        for _ in range(count):
            i, self.next_id = self.next_id, self.next_id + 1
            row = {"id": i, "grp": rng.randrange(8), "name": None if rng.random() < 0.2 else "name %d" % i, "score": rng.randrange(1000) / 8}
            rows.append({name: row.get(name) if name in row else rng.randrange(100) for name in self.columns})
        return rows

    def options(self, rows):
        """Rows and their schema as Moonlake's script takes them; a null is an absent member."""
        return {"rows": [{k: v for k, v in row.items() if v is not None} for row in rows],
                "schema": {name: TYPES[name][0] if name in TYPES else "i64" for name in self.columns}}

    def remember(self):
        version = self.pylance().version
        self.history[version] = ({i: dict(row) for i, row in self.rows.items()}, list(self.columns))

    def check(self, what):
        expected = sorted(self.rows.values(), key=lambda row: row["id"])
        dataset = self.pylance()
        theirs = sorted(dataset.to_table().to_pylist(), key=lambda row: row["id"])
        assert theirs == expected, "pylance reads something else after %s" % what
        probe = expected[len(expected) // 2]["id"] if expected else -1
        one = [{"id": row["id"], "score": row["score"]} for row in expected if row["id"] == probe]
        assert dataset.to_table(filter="id = %d" % probe, columns=["id", "score"]).to_pylist() == one, "pylance's filter after %s" % what
        ours = self.moonlake("read", id=probe)
        found = [{name: row.get(name) for name in self.columns} for row in ours["rows"]]
        assert found == expected, "Moonlake reads something else after %s" % what
        assert ours["one"] == one, "Moonlake's filter after %s" % what


def change(table, rng, ours):
    """One random change by one side, in the model too; says what it was."""
    extra = [name for name in table.columns if name not in TYPES]
    kinds = ["append"] * 4 + ["delete", "update", "update", "merge", "merge", "compact", "index"]
    kinds += ["add_column"] if len(extra) < 3 else []
    kinds += ["drop_column"] if extra else []
    kinds += ["restore"] if len(table.history) > 3 else []
    kind = rng.choice(kinds) if table.rows else "append"
    dataset = None if ours else table.pylance()
    if kind == "append":
        rows = table.new_rows(rng, rng.randrange(1, 30))
        table.moonlake("append", **table.options(rows)) if ours else lance.write_dataset(table.arrow(rows), table.path, mode="append")
        table.rows.update((row["id"], row) for row in rows)
    elif kind == "delete":
        grp = rng.randrange(8)
        table.moonlake("delete", grp=grp) if ours else dataset.delete("grp = %d" % grp)
        table.rows = {i: row for i, row in table.rows.items() if row["grp"] != grp}
    elif kind == "update":
        grp, by = rng.randrange(8), rng.randrange(1, 9) / 4
        table.moonlake("update", grp=grp, by=by) if ours else dataset.update({"score": "score + %r" % by}, where="grp = %d" % grp)
        for row in table.rows.values():
            row["score"] += by if row["grp"] == grp else 0
    elif kind == "merge":
        old = rng.sample(sorted(table.rows), min(len(table.rows), rng.randrange(1, 10)))
        rows = table.new_rows(rng, rng.randrange(0, 6))
        rows += [{**table.rows[i], "score": rng.randrange(1000) / 8, "name": "merged"} for i in old]
        if ours:
            table.moonlake("merge", **table.options(rows))
        else:
            dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(table.arrow(rows))
        table.rows.update((row["id"], row) for row in rows)
    elif kind == "add_column":
        name, factor = "extra%d" % table.next_column, rng.randrange(2, 9)
        table.next_column += 1
        table.moonlake("add_column", column=name, factor=factor) if ours else dataset.add_columns({name: "id * %d" % factor})
        table.columns.append(name)
        for row in table.rows.values():
            row[name] = row["id"] * factor
    elif kind == "drop_column":
        name = rng.choice(extra)
        table.moonlake("drop_column", column=name) if ours else dataset.drop_columns([name])
        table.columns.remove(name)
        table.rows = {i: {k: v for k, v in row.items() if k != name} for i, row in table.rows.items()}
    elif kind == "compact":
        table.moonlake("compact") if ours else dataset.optimize.compact_files()
    elif kind == "index":
        table.moonlake("index") if ours else dataset.create_scalar_index("id", "BTREE", replace=True)
    elif kind == "restore":
        version = rng.choice(sorted(table.history))
        table.moonlake("restore", version=version) if ours else lance.dataset(table.path, version=version).restore()
        rows, columns = table.history[version]
        table.rows, table.columns = {i: dict(row) for i, row in rows.items()}, list(columns)
    return kind


def test_taking_turns_with_pylance(tmp_path):
    rng, table = random.Random(SEED), Table(tmp_path)
    rows = table.new_rows(rng, 50)
    table.rows.update((row["id"], row) for row in rows)
    os.makedirs(os.path.dirname(table.path))
    lance.write_dataset(table.arrow(rows), table.path)
    table.remember()
    table.check("pylance's create")
    done = {}
    for number in range(CHANGES):
        ours = rng.random() < 0.5
        kind = change(table, rng, ours)
        side = "Moonlake" if ours else "pylance"
        done[side, kind] = done.get((side, kind), 0) + 1
        table.check("change %d, %s by %s (seed %d)" % (number + 1, kind, side, SEED))
        table.remember()
    table.pylance().validate()
    print("changes: " + ", ".join("%s %s %d" % (*key, count) for key, count in sorted(done.items())))
