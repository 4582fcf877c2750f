// Room Lake: see docs/map.md.
