"""Golden results for the data frames, computed by Polars and DuckDB from the same small tables.

Writes frame_golden.json: the input tables and, per case, the expected rows. Run by `make golden`; FrameGoldenTests reads the file.
"""
import json
import math
import pathlib
import random

import duckdb
import polars as pl

assert pl.__version__ == "2.1.0", pl.__version__
assert duckdb.__version__ == "2.0.0", duckdb.__version__

random.seed(5)
N = 400


def maybe(value, share=0.1):
    return None if random.random() < share else value


sales = {
    "id": list(range(N)),
    "shop": [maybe(random.choice(["north", "south", "east", "Öst", ""])) for _ in range(N)],
    "kind": [maybe(random.randint(0, 6)) for _ in range(N)],
    "amount": [maybe(random.randint(-4000, 4000) / 16) for _ in range(N)],
    "paid": [maybe(random.random() < 0.5) for _ in range(N)],
}
kinds = {"kind": [0, 1, 2, 2, 4, 9, None], "label": ["zero", "one", "two", "deux", "four", None, "none"]}

s = pl.DataFrame(sales, schema={"id": pl.Int64, "shop": pl.String, "kind": pl.Int64, "amount": pl.Float64, "paid": pl.Boolean})
k = pl.DataFrame(kinds, schema={"kind": pl.Int64, "label": pl.String})
c = pl.col
cases = {}


def polars_case(name, frame):
    cases[name] = frame.rows()


def duck_case(name, sql):
    cases[name] = duckdb.sql(sql).fetchall()


polars_case("group", s.group_by("shop", "kind", maintain_order=True).agg(
    n=pl.len(), present=c("amount").count(), total=c("amount").sum(), mean=c("amount").mean(), low=c("amount").min(), high=c("amount").max(),
    std=c("amount").std(), var=c("amount").var(), median=c("amount").median(), q=c("amount").quantile(0.3, "linear"),
    unique=c("amount").n_unique(), first=c("amount").first(), last=c("amount").last(), some=c("paid").any(), every=c("paid").all()))
polars_case("sort", s.sort("kind", "amount", "id", descending=[True, False, False], nulls_last=True).select("id"))
polars_case("sort_nulls_first", s.sort("shop", "id", nulls_last=False).select("id"))
polars_case("inner", s.join(k, on="kind", how="inner", maintain_order="left_right").select("id", "kind", "label"))
polars_case("left", s.join(k, on="kind", how="left", maintain_order="left_right").select("id", "kind", "label"))
polars_case("distinct", s.unique(["shop", "paid"], keep="first", maintain_order=True).select("id"))
polars_case("expressions", s.select(
    "id", a=c("amount") / 4 + c("id"), floor=c("id") // 7, mod=(c("id") - 200) % 7, power=c("kind").cast(pl.Float64) ** 2,
    upper=c("shop").str.to_uppercase(), chars=c("shop").str.len_chars().cast(pl.Int64), has=c("shop").str.contains("st", literal=True),
    part=c("shop").str.slice(1, 2), filled=c("kind").fill_null(-1), between=c("kind").is_between(2, 4),
    both=c("paid") & (c("amount") > 0), either=c("paid") | (c("amount") > 0), inside=c("kind").is_in([1, 5]),
    text=c("id").cast(pl.String), cut=c("amount").cast(pl.Int64), low=c("amount").clip(-100, 100),
    what=pl.when(c("amount") > 100).then(pl.lit("big")).when(c("amount").is_null()).then(pl.lit("none")).otherwise(pl.lit("small"))))
duck_case("duck_group", """
    select shop, count(*), count(amount), coalesce(sum(amount), 0), avg(amount), min(id), max(shop), stddev_samp(amount), median(amount),
           quantile_cont(amount, 0.9), bool_or(paid), bool_and(paid)
    from s where id % 3 <> 1 group by shop order by min(id)""")
duck_case("duck_join", """
    select s.id, k.label from s left join k on s.kind = k.kind where s.amount > 0 and (k.label is null or k.label like 't%')
    order by s.id, k.label nulls last""")


def plain(value):
    if isinstance(value, float):
        assert math.isfinite(value)
    return value


out = {
    "polars": pl.__version__, "duckdb": duckdb.__version__, "sales": sales, "kinds": kinds,
    "cases": {name: [[plain(v) for v in row] for row in rows] for name, rows in cases.items()},
}
path = pathlib.Path(__file__).with_name("frame_golden.json")
path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
print(path, {name: len(rows) for name, rows in cases.items()})
