// Room Plan: see docs/map.md.
