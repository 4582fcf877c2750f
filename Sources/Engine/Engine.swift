// Room Engine: see docs/map.md.
