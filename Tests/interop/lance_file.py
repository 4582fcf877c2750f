"""Bare Lance data files between pylance and Moonlake, both ways.

  lance_file.py generate DIR [LEVEL]   pylance writes one file per case below DIR, and DIR/cases.json
  (Moonlake then reads each file NAME.lance, and writes NAME.back.lance and the rows of `take` to NAME.take.lance)
  lance_file.py verify DIR             pylance reads what Moonlake wrote and compares; prints a summary as JSON

Because Moonlake's files hold what Moonlake read, an error of its reader or of its writer shows as a difference.
LEVEL small leaves the larger row counts out.
"""

import datetime
import decimal
import json
import os
import sys

import lance
import numpy as np
import pyarrow as pa
from lance.file import LanceFileReader, LanceFileWriter

EXPECTED = "14.0.2"
assert lance.__version__ == EXPECTED, f"pylance {lance.__version__} instead of {EXPECTED}"

VERSIONS = ["2.0", "2.1", "2.2"]
ROWS = [0, 1, 2, 10, 300, 1023, 1024, 1025, 3000, 100_000]
# Kinds with a version of 100,000 rows; the others would only repeat themselves.
LARGE = {"runs_float", "urls", "zstd_int", "zstd_text", "lz4_text", "zstd_vector", "list_category", "map", "timestamp_us", "decimal128",
         "int64_small_negative", "float64_category", "int64_sequence", "int32_random", "float64", "bool", "text", "category", "vector16", "list_int32", "struct_mixed", "runs"}


def masked(values, nulls, type_):
    if nulls:
        values = [None if i % 7 == 3 or 40 <= i % 211 < 60 else v for i, v in enumerate(values)]
    return pa.array(values, type=type_)


def fixed_list(n, dim, type_, make, nulls):
    values = pa.array(make(n * dim), type=type_)
    mask = pa.array([i % 5 == 2 for i in range(n)], pa.bool_()) if nulls else None
    return pa.FixedSizeListArray.from_arrays(values, dim, mask=mask)


def kinds(n, nulls):
    rng = np.random.default_rng(n + 17 * nulls)
    ints = lambda low, high: rng.integers(low, high, n).tolist()
    words = lambda low, high: ["".join(chr(97 + c) for c in rng.integers(0, 26, k)) for k in rng.integers(low, high, n)]
    m = lambda v, t: masked(v, nulls, t)
    seconds = [1_700_000_000 + 37 * i for i in range(n)]
    yield "int64_sequence", lambda: m(list(range(n)), pa.int64())
    yield "int64_random", lambda: m(ints(-(2**62), 2**62), pa.int64())
    yield "int64_small_negative", lambda: m(ints(-50, 50), pa.int64())
    yield "int32_random", lambda: m(ints(-(2**31), 2**31 - 1), pa.int32())
    yield "int16", lambda: m(ints(0, 300), pa.int16())
    yield "int8", lambda: m(ints(-128, 127), pa.int8())
    yield "uint8", lambda: m(ints(0, 256), pa.uint8())
    yield "uint16", lambda: m(ints(0, 9), pa.uint16())
    yield "uint32", lambda: m(ints(0, 2**20), pa.uint32())
    yield "uint64", lambda: m([2**63 + i for i in range(n)], pa.uint64())
    yield "float16", lambda: m([np.float16(x) for x in rng.random(n)], pa.float16())
    yield "float32", lambda: m(rng.random(n).astype("f4").tolist(), pa.float32())
    yield "float64", lambda: m(rng.random(n).tolist(), pa.float64())
    yield "float64_category", lambda: m([[0.5, 1.5, -2.25][i % 3] for i in range(n)], pa.float64())
    yield "bool", lambda: m((rng.random(n) < 0.5).tolist(), pa.bool_())
    yield "constant_int", lambda: m([42] * n, pa.int64())
    yield "constant_bool", lambda: m([True] * n, pa.bool_())
    yield "constant_text", lambda: m(["always the same"] * n, pa.string())
    yield "runs", lambda: m([i // 700 for i in range(n)], pa.int64())
    yield "all_null", lambda: pa.array([None] * n, pa.int32())
    yield "null_type", lambda: pa.array([None] * n, pa.null())
    yield "text", lambda: m(words(0, 40), pa.string())
    yield "text_large", lambda: m(words(0, 40), pa.large_string())
    yield "text_long", lambda: m([f"{i} " + "lorem ipsum dolor sit amet " * (i % 30) for i in range(n)], pa.string())
    yield "category", lambda: m([f"class {i % 6}" for i in range(n)], pa.string())
    yield "binary", lambda: m([bytes(rng.integers(0, 256, i % 50, dtype="u1")) for i in range(n)], pa.binary())
    yield "large_binary_wide", lambda: m([bytes(rng.integers(0, 256, 200 + i % 300, dtype="u1")) for i in range(n)], pa.large_binary())
    yield "fixed_binary16", lambda: m([bytes(rng.integers(0, 256, 16, dtype="u1")) for i in range(n)], pa.binary(16))
    yield "date32", lambda: m([datetime.date(2020, 1, 1) + datetime.timedelta(days=i % 5000) for i in range(n)], pa.date32())
    yield "date64", lambda: m([86_400_000 * (i % 5000) for i in range(n)], pa.date64())
    yield "time32", lambda: m([i % 86_400 for i in range(n)], pa.time32("s"))
    yield "time64", lambda: m([i * 1000 for i in range(n)], pa.time64("us"))
    yield "timestamp_us", lambda: m([s * 1_000_000 for s in seconds], pa.timestamp("us"))
    yield "timestamp_ms_utc", lambda: m([s * 1000 for s in seconds], pa.timestamp("ms", "UTC"))
    yield "timestamp_ns_zone", lambda: m([s * 10**9 for s in seconds], pa.timestamp("ns", "+02:00"))
    yield "duration", lambda: m(seconds, pa.duration("ms"))
    yield "decimal128", lambda: m([decimal.Decimal(i) / 100 for i in ints(-10**9, 10**9)], pa.decimal128(20, 2))
    yield "decimal256", lambda: m([decimal.Decimal(i) / 1000 for i in ints(-10**9, 10**9)], pa.decimal256(50, 3))
    yield "time32_ms", lambda: m([(i * 997) % 86_400_000 for i in range(n)], pa.time32("ms"))
    yield "time64_ns", lambda: m([i * 1001 for i in range(n)], pa.time64("ns"))
    yield "timestamp_s", lambda: m(seconds, pa.timestamp("s"))
    yield "duration_ns", lambda: m([s * 1000 for s in seconds], pa.duration("ns"))
    yield "runs_float", lambda: m([float(i // 300) / 3 for i in range(n)], pa.float32())
    yield "urls", lambda: m([f"https://www.example.org/a/{x}/index.html?page={i}" for i, x in enumerate(ints(0, 10**6))], pa.string())
    yield "binary_category", lambda: m([b"blob %d" % (i % 9) for i in range(n)], pa.binary())
    yield "dictionary_large", lambda: pa.DictionaryArray.from_arrays(
        masked([i * 7 % 300 for i in range(n)], nulls, pa.int16()), pa.array([f"value {i}" for i in range(300)], pa.large_string()))
    yield "dictionary", lambda: pa.DictionaryArray.from_arrays(
        masked([i % 5 for i in range(n)], nulls, pa.int32()), pa.array(["red", "green", "blue", "black", "white"]))
    yield "vector16", lambda: fixed_list(n, 16, pa.float32(), lambda k: rng.random(k).astype("f4"), nulls)
    yield "vector300", lambda: fixed_list(n, 300, pa.float32(), lambda k: rng.random(k).astype("f4"), nulls)
    yield "image", lambda: fixed_list(n, 784, pa.uint8(), lambda k: rng.integers(0, 256, k, dtype="u1"), nulls)
    yield "matrix", lambda: pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(pa.array(rng.random(n * 6).astype("f4")), 3), 2)
    yield "bools3", lambda: fixed_list(n, 3, pa.bool_(), lambda k: rng.random(k) < 0.5, nulls)
    lists = [None if nulls and i % 11 == 0 else [] if i % 5 == 0 else list(range(i % 9 + 1)) for i in range(n)]
    yield "list_int32", lambda: pa.array(lists, pa.list_(pa.int32()))
    yield "list_float64_nulls", lambda: pa.array(
        [v if not v else [None if nulls and x % 4 == 1 else x / 2 for x in v] for v in lists], pa.list_(pa.float64()))
    yield "large_list_text", lambda: pa.array(
        [v if v is None else [f"t{x}" for x in v] for v in lists], pa.large_list(pa.string()))
    yield "list_wide", lambda: pa.array(
        [v if v is None else ["x" * (100 * x + 40) for x in v[:4]] for v in lists], pa.list_(pa.string()))
    yield "list_vector", lambda: pa.array(
        [v if v is None else [[float(x)] * 4 for x in v] for v in lists], pa.list_(pa.list_(pa.float32(), 4)))
    yield "list_list", lambda: pa.array(
        [v if v is None else [list(range(x % 3)) if not nulls or x % 4 else None for x in v] for v in lists], pa.list_(pa.list_(pa.int64())))
    yield "sparse_lists", lambda: pa.array([[i] if i % 900 == 899 else [] for i in range(n)], pa.list_(pa.int32()))
    yield "empty_lists", lambda: pa.array([None if nulls and i % 3 == 0 else [] for i in range(n)], pa.list_(pa.int32()))
    struct = pa.struct([("a", pa.int32()), ("b", pa.string()), ("c", pa.struct([("d", pa.float64())]))])
    rows = [{"a": i % 100 if not nulls or i % 3 else None, "b": f"s{i}", "c": None if nulls and i % 5 == 1 else {"d": i / 4}} for i in range(n)]
    yield "struct_mixed", lambda: pa.array([None if nulls and i % 13 == 5 else r for i, r in enumerate(rows)], struct)
    item = pa.struct([("x", pa.int32()), ("tags", pa.list_(pa.string()))])
    yield "list_struct", lambda: pa.array(
        [v if v is None else [None if nulls and x == 2 else {"x": x, "tags": None if nulls and x == 3 else ["t"] * (x % 3)} for x in v] for v in lists],
        pa.list_(item))
    yield "struct_list", lambda: pa.array(
        [None if nulls and i % 4 == 2 else {"l": v, "n": i} for i, v in enumerate(lists)], pa.struct([("l", pa.list_(pa.int32())), ("n", pa.int64())]))
    yield "map", lambda: pa.array(
        [None if v is None else [(f"k{x}", x) for x in v] for v in lists], pa.map_(pa.string(), pa.int32()))
    yield "packed_struct", lambda: pa.array([{"a": i, "b": i / 2} for i in range(n)], pa.struct([("a", pa.int32()), ("b", pa.float64())]))
    yield "list_category", lambda: pa.array([v if v is None else [f"c{x % 3}" for x in v] for v in lists], pa.list_(pa.string()))
    yield "list_bool", lambda: pa.array([v if v is None else [x % 2 == 0 for x in v] for v in lists], pa.list_(pa.bool_()))
    yield "list_image", lambda: pa.array([v if v is None else [[x] * 300 for x in v[:3]] for v in lists], pa.list_(pa.list_(pa.uint8(), 300)))
    yield "struct_vector", lambda: pa.array(
        [None if nulls and i % 4 == 1 else {"e": [float(i)] * 8, "t": i} for i in range(n)],
        pa.struct([("e", pa.list_(pa.float32(), 8)), ("t", pa.timestamp("us"))]))
    yield "map_struct", lambda: pa.array(
        [None if v is None else [(f"k{x}", {"a": x, "b": None if nulls and x == 2 else f"b{x}"}) for x in v] for v in lists],
        pa.map_(pa.string(), pa.struct([("a", pa.int64()), ("b", pa.string())])))
    yield "packed_text", lambda: pa.array(
        [{"a": i, "s": f"text {i}" * (i % 5), "b": i / 2, "t": b"x" * (i % 300)} for i in range(n)],
        pa.struct([("a", pa.int32()), ("s", pa.string()), ("b", pa.float64()), ("t", pa.large_binary())]))
    # Encodings on request.
    yield "blob", lambda: m([bytes([i & 255]) * (i % 700) for i in range(n)], pa.large_binary())
    yield "zstd_image", lambda: fixed_list(n, 784, pa.uint8(), lambda k: rng.integers(0, 256, k, dtype="u1") * (rng.random(k) < 0.2).astype("u1"), nulls)
    yield "lz4_image", lambda: fixed_list(n, 784, pa.uint8(), lambda k: rng.integers(0, 256, k, dtype="u1") * (rng.random(k) < 0.2).astype("u1"), nulls)
    yield "zstd_vector", lambda: fixed_list(n, 16, pa.float32(), lambda k: (np.arange(k) // 8).astype("f4"), nulls)
    yield "zstd_int", lambda: m([(i * i) % 10_007 for i in range(n)], pa.int64())
    yield "lz4_text", lambda: m([f"line {i} says the same as line {i // 2}" for i in range(n)], pa.string())
    yield "zstd_list", lambda: pa.array(lists, pa.list_(pa.int32()))
    yield "fsst_text", lambda: m([f"the quick brown fox {i % 97} jumps over {i % 89}" for i in range(n)], pa.string())
    yield "none_text", lambda: m([f"the quick brown fox {i} jumps" for i in range(n)], pa.string())
    yield "zstd_text", lambda: m(words(10, 60), pa.string())
    yield "lz4_float", lambda: m([float(i // 10) for i in range(n)], pa.float32())
    yield "bss_float", lambda: m([float(i) for i in range(n)], pa.float32())
    yield "zstd_long", lambda: m(["lorem ipsum " * (i % 40 + 1) for i in range(n)], pa.string())
    yield "fullzip_text", lambda: m(words(0, 40), pa.string())
    yield "fullzip_list", lambda: pa.array(lists, pa.list_(pa.int32()))


METADATA = {
    "packed_text": {"packed": "true", "lance-encoding:packed": "true"},
    "blob": {"lance-encoding:blob": "true"},
    "zstd_image": {"lance-encoding:compression": "zstd"},
    "lz4_image": {"lance-encoding:compression": "lz4"},
    "zstd_vector": {"lance-encoding:compression": "zstd", "lance-encoding:compression-level": "9"},
    "zstd_int": {"lance-encoding:compression": "zstd"},
    "lz4_text": {"lance-encoding:compression": "lz4"},
    "zstd_list": {"lance-encoding:compression": "zstd"},
    "fsst_text": {"lance-encoding:compression": "fsst"},
    "none_text": {"lance-encoding:compression": "none"},
    "packed_struct": {"packed": "true", "lance-encoding:packed": "true"},
    "zstd_text": {"lance-encoding:compression": "zstd"},
    "lz4_float": {"lance-encoding:compression": "lz4"},
    "bss_float": {"lance-encoding:compression": "zstd", "lance-encoding:bss": "on"},
    "zstd_long": {"lance-encoding:compression": "zstd"},
    "fullzip_text": {"lance-encoding:structural-encoding": "fullzip"},
    "fullzip_list": {"lance-encoding:structural-encoding": "fullzip"},
}


def generate(root, level):
    cases, refused = [], []
    for n in ROWS:
        if level == "small" and n > 3000:
            continue
        for nulls in (False, True):
            for kind, make in kinds(n, nulls):
                if n > 3000 and kind not in LARGE:
                    continue
                array = make()
                field = pa.field("v", array.type, nullable=nulls or array.null_count > 0 or array.type == pa.null(), metadata=METADATA.get(kind))
                # Two batches, so that pages end inside of the data; `i` keeps the row count when v is odd.
                table = pa.table({"i": pa.array(range(n), pa.int64()), "v": array}, schema=pa.schema([pa.field("i", pa.int64(), nullable=False), field]))
                cut = n * 2 // 3
                # Copies: pylance 14 panics on slices of nested structs.
                parts = [table.take(pa.array(range(a, b), pa.int64())) for a, b in ((0, cut), (cut, n)) if b > a] or [table]
                for version in VERSIONS:
                    name = f"{kind}-{version}-{n}-{'nulls' if nulls else 'full'}"
                    path = f"{root}/{name}.lance"
                    try:
                        with LanceFileWriter(path, table.schema, version=version) as writer:
                            for part in parts:
                                for batch in part.to_batches():
                                    writer.write_batch(batch)
                        if kind == "blob":  # pylance's file reader gives descriptors: what was written is kept beside the file
                            with pa.OSFile(f"{root}/{name}.want.arrow", "wb") as sink, pa.ipc.new_file(sink, table.schema) as want:
                                want.write_table(table)
                        else:
                            assert values(LanceFileReader(path).read_all().to_table()["v"]) == values(table["v"])
                    except BaseException as error:  # pylance panics are no Exceptions
                        refused.append(f"{name}: {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}")
                        continue
                    rng = np.random.default_rng(n)
                    take = sorted({0, n - 1, n // 2, n // 2 + 1, *rng.integers(0, n, 20).tolist()} & set(range(n))) if n else []
                    cases.append({"name": name, "version": version, "take": take})
    json.dump({"cases": cases, "refused": refused}, open(f"{root}/cases.json", "w"))
    print(json.dumps({"cases": len(cases), "refused": len(refused)}))


def values(column):
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) and column.num_chunks != 1 else column.chunk(0)


def same(a, b):
    a, b = values(a), values(b)
    return a.equals(b) or a.to_pylist() == b.to_pylist()


def verify(root):
    info = json.load(open(f"{root}/cases.json"))
    differences = []
    for case in info["cases"]:
        name = case["name"]
        wanted = f"{root}/{name}.want.arrow"
        original = pa.ipc.open_file(wanted).read_all() if os.path.exists(wanted) else LanceFileReader(f"{root}/{name}.lance").read_all().to_table()
        for suffix, want in (("back", original), ("take", original.take(pa.array(case["take"], pa.int64())))):
            path = f"{root}/{name}.{suffix}.lance"
            if not os.path.exists(path):
                differences.append(f"{name}: no {suffix}")
                continue
            try:
                got = LanceFileReader(path).read_all().to_table()
                if got.num_rows != want.num_rows or not same(got["i"], want["i"]) or not same(got["v"], want["v"]):
                    differences.append(f"{name}: {suffix} differs: {str(got['v'].to_pylist()[:6])[:200]} for {str(want['v'].to_pylist()[:6])[:200]}")
                elif suffix == "back" and want.num_rows > 10:
                    rows = sorted({1, 9, want.num_rows // 3, want.num_rows - 1})
                    some = LanceFileReader(path).take_rows(rows).to_table()
                    if not same(some["v"], want.take(pa.array(rows))["v"]):
                        differences.append(f"{name}: pylance takes other rows from {suffix}")
            except BaseException as error:
                differences.append(f"{name}: {suffix}: {str(error)[:300]}")
    print(json.dumps({"cases": len(info["cases"]), "differences": differences}))


if __name__ == "__main__":
    if sys.argv[1] == "generate":
        generate(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "all")
    else:
        verify(sys.argv[2])
