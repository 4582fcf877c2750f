// Room TestSupport: see docs/map.md.
