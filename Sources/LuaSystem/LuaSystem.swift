// Room LuaSystem: see docs/map.md.
