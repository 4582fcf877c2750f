// Room DataFrames: see docs/map.md.
