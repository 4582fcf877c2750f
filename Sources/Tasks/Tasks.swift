// Room Tasks: see docs/map.md.
