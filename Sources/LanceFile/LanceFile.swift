// Room LanceFile: see docs/map.md.
