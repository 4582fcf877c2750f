// Room LuaData: see docs/map.md.
