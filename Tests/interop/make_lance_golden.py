"""Makes the tables in Tests/golden/lance with the official Lance library; Swift tests read them without it.

    python Tests/interop/make_lance_golden.py

The library's version is asserted, so that a change of its defaults is noticed here and not in a test.
"""
import pathlib
import shutil

import lance
import pyarrow as pa

assert lance.__version__ == "14.0.2", lance.__version__
ROOT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "lance"


def rows(start, count):
    ids = list(range(start, start + count))
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "name": pa.array([None if i % 5 == 3 else f"row {i}" for i in ids], pa.string()),
        "vector": pa.array([[i, i + 0.5, -i, 0.25] for i in ids], pa.list_(pa.float32(), 4)),
    })


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    # Three versions: create, append, delete (an Arrow deletion file), and a tag.
    path = str(ROOT / "basic.lance")
    lance.write_dataset(rows(0, 10), path)
    table = lance.write_dataset(rows(10, 6), path, mode="append")
    table.tags.create("golden", 2)
    table.delete("id in (0, 7, 9, 12)")
    # More deletions than pylance keeps as Arrow: a roaring bitmap.
    path = str(ROOT / "bitmap.lance")
    table = lance.write_dataset(pa.table({"id": pa.array(range(20000), pa.int32())}), path)
    table.delete("id % 3 = 0")
    # Columns: one added (a second data file), one dropped, one cast.
    path = str(ROOT / "columns.lance")
    table = lance.write_dataset(rows(0, 8), path)
    table.delete("id = 2")
    table.add_columns({"twice": "id * 2"})
    table.drop_columns(["vector"])
    table.alter_columns({"path": "id", "data_type": pa.int32()})
    lance.write_dataset(pa.table({"id": pa.array([100], pa.int32()), "twice": pa.array([200], pa.int64())}), path, mode="append")
    # Names of the first scheme, storage 2.0, and an index.
    path = str(ROOT / "old.lance")
    lance.write_dataset(rows(0, 5), path, data_storage_version="2.0", enable_v2_manifest_paths=False)
    table = lance.dataset(path)
    table.create_scalar_index("id", "BTREE")


main()
