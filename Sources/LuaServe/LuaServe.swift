// Room LuaServe: see docs/map.md.
