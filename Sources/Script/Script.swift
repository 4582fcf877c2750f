// Room Script: see docs/map.md.
