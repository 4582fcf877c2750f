"""The official Lance library's side of Tests/LanceTableTests/InteropTests.swift.

    python Tests/interop/lance_table.py

reads commands from stdin, one JSON array `[COMMAND, TABLE, ARGUMENTS...]` a line, and answers each with one JSON object:
`{"result": ...}` or `{"error": "traceback"}`. One process serves a whole test, as importing the library takes a second.

Rows are made from their id by the same formulas on both sides (`row` here, `SampleRows` there). A command that finds a
difference fails.
"""
import json
import multiprocessing
import os

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from command_loop import serve

assert lance.__version__ == "14.0.2", lance.__version__

SCHEMA = pa.schema([
    pa.field("id", pa.int64(), nullable=False),
    pa.field("label", pa.int32()),
    pa.field("small", pa.uint8()),
    pa.field("ratio", pa.float32()),
    pa.field("score", pa.float64()),
    pa.field("flag", pa.bool_()),
    pa.field("text", pa.string()),
    pa.field("blob", pa.binary()),
    pa.field("vector", pa.list_(pa.float32(), 80)),
    pa.field("items", pa.list_(pa.float64())),
])


def row(i):
    return {
        "id": i,
        "label": None if i % 11 == 4 else i % 10,
        "small": i % 251,
        "ratio": i / 4,
        "score": None if i % 13 == 0 else i * 0.5 - 3,
        "flag": i % 3 == 0,
        "text": None if i % 5 == 3 else f"row {i}" + "x" * (i % 40),
        "blob": bytes([i % 256, i // 256 % 256]) * (i % 4),
        "vector": [i + k / 16 for k in range(80)],
        "items": None if i % 17 == 5 else [i + k * 0.25 for k in range(i % 4)],
    }


def rows(ids):
    return pa.Table.from_pylist([row(i) for i in ids], schema=SCHEMA)


def check(path, ids):
    """The table holds exactly the rows `ids`, in that order; every way to read agrees."""
    table = lance.dataset(path)
    table.validate()
    ids = list(ids)
    assert table.count_rows() == len(ids), (table.count_rows(), len(ids))
    expected = rows(ids)
    found = table.to_table()
    assert found.schema.names == SCHEMA.names, found.schema
    for field in SCHEMA:
        got = found.schema.field(field.name)
        assert got.type == field.type and got.nullable == field.nullable, (got, field)
    assert found.cast(SCHEMA).equals(expected), "rows differ"
    wanted = pc.and_(pc.equal(expected["label"], 3), pc.equal(expected["flag"], True))
    assert table.to_table(filter="label = 3 and flag").cast(SCHEMA).equals(expected.filter(wanted)), "filter differs"
    positions = [len(ids) - 1, 0, len(ids) // 2, len(ids) // 3]
    taken = table.take(positions, columns=["text", "id", "vector"])
    assert taken.cast(expected.select(["text", "id", "vector"]).schema).equals(expected.take(positions).select(["text", "id", "vector"]))
    assert table.to_table(columns=["blob"], limit=7, offset=3)["blob"].to_pylist() == expected["blob"].to_pylist()[3:10]
    return table


def ids_of(text):
    """`0-9,12,20-21` as numbers."""
    ids = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ids += range(int(first), int(last or first) + 1)
    return ids


def append_ids(arguments):
    path, ids = arguments
    for i in ids:
        lance.write_dataset(rows([i]), path, mode="append")


def run(command, path, *rest):
    if command == "check":
        table = check(path, ids_of(rest[0]))
        return {"version": table.version, "fragments": len(table.get_fragments())}
    if command == "write":
        lance.write_dataset(rows(ids_of(rest[0])), path, mode=rest[1], **json.loads(rest[2]) if len(rest) > 2 else {})
    elif command == "delete":
        lance.dataset(path).delete(rest[0])
    elif command == "compact":
        lance.dataset(path).optimize.compact_files()
    elif command == "index":
        lance.dataset(path).create_scalar_index("id", "BTREE")
    elif command == "others":
        # LanceDB and Daft, where they are installed: read, add, delete, optimize. Answers the number of rows left.
        try:
            import daft
            import lancedb
        except ImportError:
            return None
        folder, name = os.path.split(path)
        table = lancedb.connect(folder).open_table(name.removesuffix(".lance"))
        count = table.count_rows()
        found = [row["id"] for row in table.search().where("id < 8").limit(100).to_list()]
        assert all(i < 8 for i in found) and found, found
        table.add(rows(ids_of("9000-9002")))
        table.delete("id = 9001")
        table.optimize()
        assert table.count_rows() == count + 2
        assert daft.read_lance(path).count_rows() == count + 2
        lance.dataset(path).validate()
        return count + 2
    elif command == "cleanup":
        from datetime import timedelta
        return lance.dataset(path).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True).old_versions
    elif command == "query-index":
        table = lance.dataset(path)
        assert [index["name"] for index in table.list_indices()] == ["id_idx"], table.list_indices()
        plan = table.scanner(filter=f"id = {rest[0]}").explain_plan()
        assert "ScalarIndexQuery" in plan, plan
        assert table.to_table(filter=f"id = {rest[0]}")["id"].to_pylist() == [int(rest[0])]
    elif command == "stale":
        # Handles from before our commit still work: append and delete rebase over it.
        table, other = lance.dataset(path, version=int(rest[0])), lance.dataset(path, version=int(rest[0]))
        table.insert(rows(ids_of(rest[1])))
        other.delete(rest[2])
    elif command == "append-each":
        ids = ids_of(rest[0])
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(append_ids, [(path, ids[0::2]), (path, ids[1::2])])
    elif command == "sorted-ids":
        return sorted(lance.dataset(path).to_table(columns=["id"])["id"].to_pylist())
    elif command == "mnist":
        # Pixels as the Swift side made them: image i, pixel p = (i * 31 + p) % 256 / 255 in float32.
        table = lance.dataset(path)
        table.validate()
        image = np.stack(table.to_table(columns=["image"])["image"].to_numpy(zero_copy_only=False))
        n = int(rest[0])
        expected = ((np.arange(n)[:, None] * 31 + np.arange(784)[None, :]) % 256).astype(np.float32) / np.float32(255)
        assert image.dtype == np.float32 and np.array_equal(image, expected)
        found = table.to_table(filter="label = 3 and split = 'test'", columns=["label"]).num_rows
        assert found == sum(1 for i in range(n) if i % 10 == 3 and i % 7 == 0), found
    else:
        raise ValueError(f"unknown command {command}")
    return None


if __name__ == "__main__":
    serve(run)
