// Room ObjectStore: see docs/map.md.
