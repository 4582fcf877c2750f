// Room LanceTable: see docs/map.md.
