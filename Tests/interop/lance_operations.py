"""The official Lance library's side of Tests/LanceTableTests/OperationInteropTests.swift.

    python Tests/interop/lance_operations.py

speaks the protocol of command_loop.py: one JSON array `[COMMAND, TABLE, ARGUMENTS...]` a line, one JSON answer each.

The tables have the columns id int64 (not null), label int32, text string and vector float32[8], made from the id (`row`). Changed
tables are compared as a whole with what the Swift side says they hold.
"""

import lance
import pyarrow as pa

from command_loop import serve

assert lance.__version__ == "14.0.2", lance.__version__

SCHEMA = pa.schema([
    pa.field("id", pa.int64(), nullable=False),
    pa.field("label", pa.int32()),
    pa.field("text", pa.string()),
    pa.field("vector", pa.list_(pa.float32(), 8)),
])


def row(i):
    return {
        "id": i,
        "label": None if i % 11 == 4 else i % 10,
        "text": f"row {i}",
        "vector": [i + k / 8 for k in range(8)],
    }


def rows(ids):
    return pa.Table.from_pylist([row(i) for i in ids], schema=SCHEMA)


def content(path, version=None, tag=None):
    """All rows in order, checked in several ways."""
    table = lance.dataset(path, version=tag if tag else version)
    table.validate()
    found = table.to_table()
    assert table.count_rows() == found.num_rows
    if found.num_rows:
        positions = [found.num_rows - 1, 0, found.num_rows // 2]
        assert table.take(positions).equals(found.take(positions))
    return {
        "version": table.version,
        "schema": [f"{f.name} {f.type}{'' if f.nullable else ' not null'}" for f in found.schema],
        "rows": [[value for value in r.values()] for r in found.drop_columns(
            [f.name for f in found.schema if f.name == "vector"]).to_pylist()],
        "vectors": "vector" not in found.schema.names or all(
            r["vector"] == [r["id"] + k / 8 for k in range(8)] for r in found.to_pylist()),
    }


# What a foreign writer does, each on a table of `SCHEMA`; used after our operations and as the other side of conflicts.
OPERATIONS = {
    "append": lambda t: t.insert(rows([100, 101])),
    "overwrite": lambda t: lance.write_dataset(rows([7, 8]), t, mode="overwrite"),
    "delete 3": lambda t: t.delete("id = 3"),
    "delete 4": lambda t: t.delete("id = 4"),
    "delete 15": lambda t: t.delete("id = 15"),
    "update 3": lambda t: t.update({"label": "77"}, where="id = 3"),
    "update 15": lambda t: t.update({"label": "77"}, where="id = 15"),
    "merge 5": lambda t: t.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows([5, 200])),
    "add": lambda t: t.add_columns({"twice": "id * 2"}),
    "cast": lambda t: t.alter_columns({"path": "label", "data_type": pa.int64()}),
    "drop": lambda t: t.drop_columns(["text"]),
    "rename": lambda t: t.alter_columns({"path": "text", "name": "words"}),
    "index": lambda t: t.create_scalar_index("id", "BTREE"),
    "compact": lambda t: t.optimize.compact_files(),
    "config a": lambda t: t.update_config({"a": "theirs"}),
    "restore 1": lambda t: lance.dataset(t.uri, version=1).restore(),
}


def kind(error):
    text = str(error).lower()
    if "retryable" in text or "preempted by concurrent" in text or "please retry" in text:
        return "retry"
    return "conflict" if "conflict" in text or "incompatible" in text else f"other: {error}"


HANDLES = {}


def run(command, path, *rest):
    if command == "content":
        return content(path, *rest)
    if command == "write":
        lance.write_dataset(rows(rest[0]), path, mode=rest[1], **(rest[2] if len(rest) > 2 else {}))
    elif command == "do":
        OPERATIONS[rest[0]](lance.dataset(path))
    elif command == "hold":
        # A handle on the version of now, to be used when it is stale.
        HANDLES[rest[0]] = lance.dataset(path)
    elif command == "stale":
        # An operation on a handle that was held: the outcome is the answer.
        try:
            OPERATIONS[rest[1]](HANDLES.pop(rest[0]))
            return "ok"
        except Exception as error:
            return kind(error)
    elif command == "tags":
        return {name: tag["version"] for name, tag in lance.dataset(path).tags.list().items()}
    elif command == "set-tag":
        lance.dataset(path).tags.create(rest[0], rest[1])
    elif command == "branches":
        return {name: branch["parent_version"] for name, branch in lance.dataset(path).branches.list().items()}
    elif command == "branch":
        # Continue on a branch that may be ours.
        uri = f"{path}/tree/{rest[0]}"
        lance.write_dataset(rows(rest[1]), uri, mode="append")
        found = content(uri)
        assert lance.dataset(path).checkout_version((rest[0], None)).count_rows() == len(found["rows"])
        return found
    elif command == "create-branch":
        branch = lance.dataset(path).create_branch(rest[0])
        lance.write_dataset(rows(rest[1]), branch.uri, mode="append")
    elif command == "clone":
        lance.dataset(path).shallow_clone(rest[0], lance.dataset(path).version)
    elif command == "config":
        return lance.dataset(path).config()
    elif command == "look-up":
        # Every id through the index, and every row of the scan: both say the same.
        table = lance.dataset(path)
        plan = table.scanner(filter="id = 3").explain_plan()
        assert ("ScalarIndexQuery" in plan) == rest[0], plan
        everything = table.to_table().to_pylist()
        for i in [*range(-1, 21), 100, 101, 200]:
            found = table.to_table(filter=f"id = {i}").to_pylist()
            assert found == [r for r in everything if r["id"] == i], (i, found)
    elif command == "indices":
        return [index["name"] for index in lance.dataset(path).list_indices()]
    else:
        raise ValueError(f"unknown command {command}")
    return None


if __name__ == "__main__":
    serve(run)
