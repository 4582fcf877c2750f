// Room Columnar: see docs/map.md.
