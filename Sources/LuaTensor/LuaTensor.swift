// Room LuaTensor: see docs/map.md.
