"""LanceDB and Daft read what Moonlake wrote.

    MOONLAKE_ROOMS=LanceBench swift build -c release
    python Tests/interop/lance_readers.py [.build/release/LanceBench]

pylance writes a table of each kind of `lance_file.py`, Moonlake copies it, with and without compression, and the copies are compared
with what pylance wrote. Each library reads all rows; LanceDB also searches with a filter, Daft filters and counts. Prints
one JSON object and fails when something differs. Needs the packages lancedb and daft[lance], which nothing else needs.
"""
import json
import os
import subprocess
import sys
import tempfile

os.environ.update(DAFT_ANALYTICS_ENABLED="0", DO_NOT_TRACK="1", DAFT_PROGRESS_BAR="0")

import daft  # noqa: E402
import lance  # noqa: E402
import lancedb  # noqa: E402
import lance_file  # noqa: E402
import pyarrow as pa  # noqa: E402

ROWS = 3000
daft.set_runner_native()


def rows(table):
    """Rows as Python values: Daft knows fewer types than Arrow (its strings are large ones). Times as numbers, as Python has no nanoseconds."""
    table = pa.table(table)
    for i, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(f"int{field.type.bit_width}"))
    return table.to_pylist()


def daft_rows(path):
    """What Daft makes of a table: rows, or why it does not know their type."""
    try:
        return rows(daft.read_lance(path).to_arrow())
    except Exception as error:
        return "Unsupported Arrow DataType" if "Unsupported Arrow DataType" in str(error) else str(error)


def check(folder, name, source):
    want = lance.dataset(source).to_table()
    expected, problems = rows(want), []
    table = lancedb.connect(folder).open_table(name)
    if rows(table.to_arrow()) != expected:
        problems.append("LanceDB reads other rows")
    column = next((f.name for f in want.schema if pa.types.is_integer(f.type)), None)
    middle = None
    if column and want.num_rows:
        known = sorted(v for v in want[column].to_pylist() if v is not None)
        middle = known[len(known) // 2] if known else None
    if middle is not None:
        some = [row for row in expected if row[column] is not None and row[column] < middle]
        if rows(table.search().where(f"{column} < {middle}").limit(None).to_arrow()) != some:
            problems.append(f"LanceDB finds other rows where {column} < {middle}")
    ours = os.path.join(folder, name + ".lance")
    read = daft_rows(ours)
    # Some types Daft changes or does not know: then it must do the same with pylance's own table.
    if read != expected and read != daft_rows(source):
        problems.append("Daft reads other rows")
    frame = daft.read_lance(ours)
    if middle is not None and isinstance(read, list) and frame.where(daft.col(column) < middle).count_rows() != len(some):
        problems.append(f"Daft counts other rows where {column} < {middle}")
    return problems


def main(program):
    found, count, refused = {}, 0, []
    with tempfile.TemporaryDirectory() as root, subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bench:
        def ask(**command):
            bench.stdin.write(json.dumps(command) + "\n")
            bench.stdin.flush()
            return json.loads(bench.stdout.readline())
        for kind, make in lance_file.kinds(ROWS, True):
            column = make()
            table = pa.table({"i": pa.array(range(ROWS), pa.int64()), "v": column})
            source = os.path.join(root, "source", kind + ".lance")
            try:
                lance.write_dataset(table, source)
            except BaseException as error:  # Rust panics are no Exceptions
                refused.append(f"{kind}: {str(error)[:80]}")
                continue
            for compression in (None, "zstd"):
                name = kind + (f"_{compression}" if compression else "")
                reply = ask(op="load", path=source)
                if "error" not in reply:
                    reply = ask(op="write", path=os.path.join(root, "tables", name + ".lance"), repeat=0, **({"compression": compression} if compression else {}))
                try:
                    problems = [reply["error"]] if "error" in reply else check(os.path.join(root, "tables"), name, source)
                except BaseException as error:
                    problems = [str(error)[:300]]
                count += 1
                if problems:
                    found[name] = problems
    print(json.dumps({"tables": count, "lancedb": lancedb.__version__, "daft": daft.__version__, "pylance_refuses": refused, "problems": found}, indent=1))
    return not found and count > 50


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1] if len(sys.argv) > 1 else ".build/release/LanceBench") else 1)
