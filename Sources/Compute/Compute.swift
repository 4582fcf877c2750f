// Room Compute: see docs/map.md.
