// Room Server: see docs/map.md.
