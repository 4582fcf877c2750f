"""The official libraries' side of Tests/LanceIndexTests/InteropTests.swift; the protocol is that of command_loop.py.

    python Tests/interop/lance_index.py

Vectors come from numpy's generator with a fixed seed; `exact` is the plain answer to compare with.
"""
import os

import lance
import lancedb
import numpy as np
import pyarrow as pa

from command_loop import serve

assert lance.__version__ == "14.0.2", lance.__version__


def vectors(count, dim, seed=1):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(30, dim))
    return (centres[rng.integers(0, 30, count)] + 0.3 * rng.normal(size=(count, dim))).astype(np.float32)


def table(first, count, dim, seed=1):
    ids = np.arange(first, first + count)
    return pa.table({
        "id": ids,
        "n": pa.array([None if i % 13 == 0 else int(i * 7919 % 5000) for i in ids], pa.int64()),
        "x": pa.array([float("nan") if i % 17 == 0 else None if i % 19 == 0 else (i * 31 % 1000) / 8 for i in ids], pa.float64()),
        "s": pa.array([None if i % 23 == 0 else "k%d" % (i * 7 % 300) for i in ids]),
        "v": pa.FixedSizeListArray.from_arrays(pa.array(vectors(count, dim, seed).ravel()), dim),
    })


def run(command, path, *rest):
    if command == "write":
        first, count, dim, mode = rest
        lance.write_dataset(table(first, count, dim, seed=1 + first), path, mode=mode, max_rows_per_file=3000)
    elif command == "index":
        column, kind, more = rest
        ds = lance.dataset(path)
        if kind in ("BTREE", "BITMAP", "INVERTED"):
            ds.create_scalar_index(column, kind, replace=True)
        else:
            ds.create_index(column, kind, replace=True, **more)
    elif command == "delete":
        lance.dataset(path).delete(rest[0])
    elif command == "optimize":
        lance.dataset(path).optimize.optimize_indices()
    elif command == "compact":
        lance.dataset(path).optimize.compact_files()
    elif command == "plan":
        # The ids that a filter finds through an index, sorted.
        scanner = lance.dataset(path).scanner(filter=rest[0], columns=["id"])
        plan = scanner.explain_plan(True)
        assert "ScalarIndexQuery" in plan, plan
        return sorted(scanner.to_table()["id"].to_pylist())
    elif command == "ids":
        # The same without an index.
        scanner = lance.dataset(path).scanner(filter=rest[0], columns=["id"], use_scalar_index=False)
        return sorted(scanner.to_table()["id"].to_pylist())
    elif command == "nearest":
        # Ids and distances through a vector index.
        query, k, more = rest
        nearest = {"column": "v", "q": np.array(query, dtype=np.float32), "k": k, **more}
        scanner = lance.dataset(path).scanner(nearest=nearest, columns=["id"])
        plan = scanner.explain_plan(True)
        assert ("ANN" in plan) == more.get("use_index", True), plan
        found = scanner.to_table()
        return [found["id"].to_pylist(), found["_distance"].to_pylist()]
    elif command == "lancedb":
        query, k, where = rest
        folder, name = os.path.split(path)
        opened = lancedb.connect(folder).open_table(name.removesuffix(".lance"))
        found = opened.search(np.array(query, dtype=np.float32)).distance_type("l2").nprobes(100).refine_factor(20).where(where, prefilter=True).limit(k)
        return [[i.name for i in opened.list_indices()], found.select(["id"]).to_arrow()["id"].to_pylist()]
    elif command == "indices":
        ds = lance.dataset(path)
        return sorted([i["name"], i["type"]] for i in ds.list_indices())
    elif command == "statistics":
        stats = lance.dataset(path).stats.index_stats(rest[0])
        return [stats["index_type"], stats["num_indexed_rows"], stats["num_unindexed_rows"], stats["num_indices"]]
    elif command == "fts":
        return sorted(lance.dataset(path).to_table(full_text_query=rest[0], columns=["id"])["id"].to_pylist())
    elif command == "check":
        ds = lance.dataset(path)
        ds.validate()
        return ds.count_rows()
    else:
        raise ValueError(f"unknown command {command}")
    return None


if __name__ == "__main__":
    serve(run)
